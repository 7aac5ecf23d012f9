"""Objects in their order, read a few ahead of whoever looks at them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor


def read_ahead(
    names: Iterable[str], read: Callable[[str], bytes | None], objects_ahead: int
) -> Iterator[bytes | None]:
    """Yield the bytes of each object, None for a missing one; at most `objects_ahead` wait in memory.

    Raises what `read` raises, at the object that it was raised for.
    """
    unread = iter(names)
    waiting: deque[Future[bytes | None]] = deque()
    with ThreadPoolExecutor(objects_ahead, thread_name_prefix="rows") as pool:
        while True:
            for name in unread:
                waiting.append(pool.submit(read, name))
                if len(waiting) == objects_ahead:
                    break
            if not waiting:
                return
            yield waiting.popleft().result()

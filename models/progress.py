"""How far a long command is: a bar at a terminal, and a line now and then where there is none."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LINE_EVERY_S: Final = 30.0

Progress = Callable[[str, int, int], None]
"""What is done, how many, of how many."""


@contextmanager
def progress_on_stderr(say: Callable[[str], None]) -> Iterator[Progress]:
    """Show progress on stderr; into a file or a pipe goes, through `say`, one line each half a minute."""
    from rich.console import Console  # noqa: PLC0415  most commands are too short to show any
    from rich.progress import Progress as Bar  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(say)
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def lines(say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Progress:
    """Return a progress that says a line at most every `LINE_EVERY_S`, by a clock in seconds."""
    said_s = clock()

    def progress(what: str, done: int, total: int) -> None:
        nonlocal said_s
        if clock() - said_s >= LINE_EVERY_S:
            said_s = clock()
            say(f"{what}: {done} of {total}")

    return progress

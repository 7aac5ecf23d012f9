"""The processes that score: each loads the pinned model, takes chunks one by one, and writes their parts.

Rules:
1. A part is written before its mark. A kill between the two costs that chunk again, and changes nothing.
2. A process that loses its parent ends: its pipe does.
3. A store that does not answer is asked again a few times; then the run ends, and another one goes on.
"""

import os
import signal
from collections.abc import Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from stream_worker.errors import Misconfigured, StreamWorkerError
from stream_worker.predict.formats.job import ChunkMark, InputChunk, Job
from stream_worker.predict.inputs import again
from stream_worker.predict.malloc import return_what_is_freed
from stream_worker.predict.outputs import InputResult, StoreAt
from stream_worker.process import return_freed_arrow_memory


class Task(NamedTuple):
    """A chunk of one input, and how it is done."""

    job: Job
    result: InputResult
    chunk: InputChunk


class ModelAt(NamedTuple):
    """Which model scores."""

    path: Path | None
    pin: str | None
    scorer: str


class Pool:
    """Some processes. Use it as a context; it ends them."""

    def __init__(self, processes: int, model: ModelAt, desk: StoreAt) -> None:
        context = get_context("spawn")  # nothing of this process but what is passed
        self._free: list[Connection] = []
        self._busy: dict[Connection, Task] = {}
        self._processes: list[Any] = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, model, desk), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._free.append(ours)

    def model(self) -> str:
        """Wait for the model; returns its version. Raises Misconfigured."""
        versions = {_answer(one) for one in self._free}
        if len(versions) > 1:
            raise Misconfigured(f"the processes score in different ways: {', '.join(sorted(versions))}")
        return str(versions.pop())

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, ChunkMark]]:
        """Yield what is done, in whatever order. Raises what a process met."""
        for task in tasks:  # the next chunk is cut while the processes score
            yield from self._collect(0.0 if self._free else None)
            one = self._free.pop()
            one.send(task._replace(chunk=task.chunk._replace(body=b"")))
            one.send_bytes(task.chunk.body)
            self._busy[one] = task._replace(chunk=task.chunk._replace(body=b""))
        while self._busy:
            yield from self._collect(None)

    def _collect(self, timeout_s: float | None) -> Iterator[tuple[Task, ChunkMark]]:
        for one in wait(list(self._busy), timeout_s) if self._busy else ():
            assert isinstance(one, Connection)
            mark = _answer(one)
            self._free.append(one)
            yield self._busy.pop(one), mark

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for one in (*self._free, *self._busy):
            one.close()
        for process in self._processes:
            if self._busy:
                process.kill()  # it would end its chunk first
            process.join()


def _answer(one: Connection) -> Any:
    try:
        answer = one.recv()
    except (EOFError, ConnectionError):
        raise StreamWorkerError(
            "a scoring process was killed, perhaps for want of memory (--processes 1 takes less);"
            " run the same again to go on"
        ) from None
    if isinstance(answer, StreamWorkerError):
        raise answer
    return answer


def work(pipe: Connection, model: ModelAt, desk: StoreAt) -> None:
    """Live as a process: load the model, then do what comes through the pipe until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    return_what_is_freed()
    try:
        try:
            done = _serve(pipe, model, desk)
        except StreamWorkerError as error:
            done = error
        if done is not None:
            pipe.send(done)
    except (EOFError, ConnectionError):
        pass  # the parent is gone, or is done
    os._exit(0)  # nothing is left to flush; freeing takes a while


def _serve(pipe: Connection, at: ModelAt, desk: StoreAt) -> StreamWorkerError | None:
    # Loaded here, not with the module: the parent needs none of it
    import pyarrow as pa  # noqa: PLC0415

    from stream_worker.adapters.object_store.objects import Objects  # noqa: PLC0415
    from stream_worker.predict.formats.score import score_chunk  # noqa: PLC0415

    return_freed_arrow_memory()
    pa.set_cpu_count(1)
    scorer = _load(at)
    objects = Objects(desk.open())

    def create(name: str, body: bytes) -> None:
        again(lambda: objects.create(name, body), objects.address)

    pipe.send(scorer.version)
    while True:
        task: Task = pipe.recv()
        chunk = task.chunk._replace(body=pipe.recv_bytes())
        made = score_chunk(task.job, chunk, scorer.score, scorer.version)
        number = chunk.number
        if made.part:
            create(task.result.part(number), made.part)
        if made.rejected:
            create(task.result.rejected(number), made.rejected)
        create(task.result.mark(number), msgspec.json.encode(made.mark))
        pipe.send(made.mark)


def _load(at: ModelAt) -> Any:
    if at.scorer == "none":
        from models.scorers.unscored import unscored_scorer  # noqa: PLC0415

        return unscored_scorer()
    from models.errors import ModelRefused  # noqa: PLC0415
    from models.registry import load  # noqa: PLC0415

    try:
        return load(at.path, at.pin)
    except ModelRefused as refused:
        raise Misconfigured(str(refused)) from None

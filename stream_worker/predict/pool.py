"""The processes that score: each loads the pinned model, takes chunks one by one, and writes their parts.

Rules:
1. A part is written before its marker. A kill between the two costs that chunk again, and changes nothing.
2. A process that loses its parent ends: its pipe does (docs/decisions/0057).
3. A store that does not answer is asked a few more times; then the run ends, and another one goes on.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

import msgspec

from models.scorers.scores import Scorer
from stream_worker.core.records.batch import ScoreColumns
from stream_worker.errors import Misconfigured, StreamWorkerError
from stream_worker.predict.formats.job import ChunkMarker, InputChunk, Job
from stream_worker.predict.inputs import with_retries
from stream_worker.predict.malloc import return_freed_memory
from stream_worker.predict.outputs import InputResult, StoreReference
from stream_worker.process import return_freed_arrow_memory

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

Message = TypeVar("Message")


class Task(NamedTuple):
    """A chunk of one input, how it is scored, and where its part goes."""

    job: Job
    result: InputResult
    chunk: InputChunk


class ModelReference(NamedTuple):
    """The model that scores, as every process loads it."""

    path: Path | None
    pin: str | None
    scorer: str


class Pool:
    """Scoring processes, each with at most one chunk. Use it as a context; it ends them."""

    def __init__(self, processes: int, model: ModelReference, staging: StoreReference) -> None:
        context = get_context("spawn")  # a process has nothing of this one but its arguments
        self._free: list[Connection] = []
        self._busy: dict[Connection, Task] = {}
        self._processes: list[SpawnProcess] = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=run_process, args=(theirs, model, staging), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._free.append(ours)

    def model_version(self) -> str:
        """Wait until every process has the model; returns its version. Raises Misconfigured."""
        versions = {_receive(pipe, str) for pipe in self._free}
        if len(versions) > 1:
            raise Misconfigured(f"the processes score in different ways: {', '.join(sorted(versions))}")
        return versions.pop()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, ChunkMarker]]:
        """Yield each task when it is done, in any order. Raises the error that a process met."""
        for task in tasks:  # the next chunk is cut while the processes score
            yield from self._collect(0.0 if self._free else None)
            pipe = self._free.pop()
            without_body = task._replace(chunk=task.chunk._replace(body=b""))
            pipe.send(without_body)
            pipe.send_bytes(task.chunk.body)
            self._busy[pipe] = without_body
        while self._busy:
            yield from self._collect(None)

    def _collect(self, timeout_s: float | None) -> Iterator[tuple[Task, ChunkMarker]]:
        for pipe in wait(list(self._busy), timeout_s) if self._busy else ():
            assert isinstance(pipe, Connection)
            marker = _receive(pipe, ChunkMarker)
            self._free.append(pipe)
            yield self._busy.pop(pipe), marker

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for pipe in (*self._free, *self._busy):
            pipe.close()
        for process in self._processes:
            if self._busy:
                process.kill()  # it would end its chunk first
            process.join()


def _receive(pipe: Connection, kind: type[Message]) -> Message:
    """Return the next message of a process. Raises the error that it sent instead."""
    try:
        message = pipe.recv()
    except (EOFError, ConnectionError):
        raise StreamWorkerError(
            "a scoring process was killed, perhaps for want of memory (--processes 1 takes less);"
            " run the same again to go on"
        ) from None
    if isinstance(message, StreamWorkerError):
        raise message
    assert isinstance(message, kind)
    return message


def run_process(pipe: Connection, model: ModelReference, staging: StoreReference) -> None:
    """Live as a process: load the model, then score the chunks that come through the pipe until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    return_freed_memory()
    try:
        try:
            _serve(pipe, model, staging)
        except StreamWorkerError as error:
            pipe.send(error)
    except (EOFError, ConnectionError):
        pass  # the parent is gone, or is done
    os._exit(0)  # nothing is left to flush; freeing takes a while


def _serve(pipe: Connection, model: ModelReference, staging: StoreReference) -> None:
    # Loaded here, not with the module: the parent needs none of it
    import pyarrow as pa  # noqa: PLC0415

    from stream_worker.adapters.object_store.objects import Objects  # noqa: PLC0415

    return_freed_arrow_memory()
    pa.set_cpu_count(1)
    scorer = _load(model)
    objects = Objects(staging.open())

    def create(name: str, body: bytes) -> None:
        with_retries(lambda: objects.create(name, body), objects.address)

    pipe.send(scorer.version)
    while True:
        task: Task = pipe.recv()
        chunk = task.chunk._replace(body=pipe.recv_bytes())
        pipe.send(_score(task._replace(chunk=chunk), scorer, create))


def _score(task: Task, scorer: Scorer, create: Callable[[str, bytes], None]) -> ChunkMarker:
    from stream_worker.predict.formats.score import score_chunk  # noqa: PLC0415  as above

    def score(texts: Sequence[str]) -> ScoreColumns:
        scores = scorer.score(texts)
        return ScoreColumns(scores.label, scores.probability, scores.sentiment_micro)

    scored = score_chunk(task.job, task.chunk, score, scorer.version)
    number = task.chunk.number
    if scored.part:
        create(task.result.part(number), scored.part)
    if scored.rejected:
        create(task.result.rejected(number), scored.rejected)
    create(task.result.marker(number), msgspec.json.encode(scored.marker))
    return scored.marker


def _load(model: ModelReference) -> Scorer:
    if model.scorer == "none":
        from models.scorers.unscored import unscored_scorer  # noqa: PLC0415

        return unscored_scorer()
    from models.errors import ModelRefused  # noqa: PLC0415
    from models.registry import load  # noqa: PLC0415

    try:
        return load(model.path, model.pin)
    except ModelRefused as refused:
        raise Misconfigured(str(refused)) from None

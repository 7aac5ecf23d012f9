"""The journal of a run: what it reads and with which model, and which chunks are done.

Rules:
1. The head is written first. Another run over the same output must be the same one, or is refused.
2. A chunk with a mark is done. Nothing else is remembered: where to go on is worked out from the marks.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.errors import Unreadable
from stream_worker.predict.formats.job import ChunkMark, Job
from stream_worker.predict.inputs import Input, WrongUsage, again
from stream_worker.predict.outputs import HEAD, InputResult, Output

READS_AT_ONCE: Final = 16


class InputIdentity(msgspec.Struct, frozen=True):
    """By what an input is known."""

    address: str
    size: int
    stamp: str
    job: Job


class RunHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is; another one that goes on must have the same."""

    v: int = 1
    model: str
    chunk_rows: int
    inputs: list[InputIdentity]


def head_of(model: str, chunk_rows: int, inputs: list[Input], jobs: list[Job]) -> RunHeader:
    """Return the head of a run."""
    known = [
        InputIdentity(item.address, item.size, item.stamp, job)
        for item, job in zip(inputs, jobs, strict=True)
    ]
    return RunHeader(model=model, chunk_rows=chunk_rows, inputs=known)


def read_head(objects: Objects) -> RunHeader | None:
    """Read the head of the run that was begun; None: none was. Raises Unavailable, WrongUsage."""
    body = again(lambda: objects.read(HEAD), objects.address)
    try:
        return None if body is None else msgspec.json.decode(body, type=RunHeader)
    except msgspec.DecodeError:
        raise WrongUsage(f"{HEAD} in {objects.address} cannot be read; begin anew with --restart") from None


def write_head(objects: Objects, head: RunHeader) -> None:
    """Begin a run. Raises Unavailable."""
    again(lambda: objects.create(HEAD, msgspec.json.encode(head)), objects.address)


def refuse_other(begun: RunHeader, now: RunHeader, output: Output) -> None:
    """Refuse to go on with a run that is not the same. Raises WrongUsage with what differs."""
    why = _difference(begun, now)
    if why:
        raise WrongUsage(f"{output.address} was begun otherwise: {why}; begin anew with --restart")


def _difference(begun: RunHeader, now: RunHeader) -> str:
    before, after = ({one.address: one for one in head.inputs} for head in (begun, now))
    gone, new = before.keys() - after.keys(), after.keys() - before.keys()
    changed = [one for one in now.inputs if one.address in before and one != before[one.address]]
    why = {
        f"by another version of this program (format {begun.v})": begun.v != now.v,
        f"{min(gone, default='')} was read too, and is not there now": gone,
        f"{min(new, default='')} is new": new,
        _change(before[changed[0].address], changed[0]) if changed else "": changed,
        f"model {begun.model} scored then, {now.model} would now": begun.model != now.model,
        f"with --chunk-rows {begun.chunk_rows}": begun.chunk_rows != now.chunk_rows,
    }
    return next((reason for reason, differs in why.items() if differs), "")


def _change(old: InputIdentity, new: InputIdentity) -> str:
    if (old.size, old.stamp) == (new.size, new.stamp):
        return f"{new.address} with other options (column, form, delimiter or prefix)"
    return f"{new.address} has changed since ({old.size:,} bytes then, {new.size:,} now)"


def read_marks(objects: Objects, result: InputResult) -> dict[int, ChunkMark]:
    """Read which chunks of an input are done. Raises Unavailable, Unreadable."""
    names = again(lambda: objects.names(result.journal), objects.address)

    def read(name: str) -> ChunkMark:
        try:
            return msgspec.json.decode(
                again(lambda: objects.read(name), objects.address) or b"", type=ChunkMark
            )
        except msgspec.DecodeError:
            raise Unreadable(
                f"{name} in {objects.address} cannot be read; begin anew with --restart"
            ) from None

    with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="marks") as pool:
        marks: list[Any] = list(pool.map(read, names))
    return {int(name.rsplit("/", 1)[1][:-5]): mark for name, mark in zip(names, marks, strict=True)}

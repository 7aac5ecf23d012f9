"""The journal of a run: its inputs, its model, and which chunks are done.

Rules:
1. The header is written first. Another run over the same output must be the same one, or is refused.
2. A chunk with a marker is done. The markers alone say where a run goes on.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.errors import Unreadable
from stream_worker.predict.formats.job import ChunkMarker, Job
from stream_worker.predict.inputs import Input, WrongUsage, with_retries
from stream_worker.predict.outputs import HEAD, InputResult, Output

READS_AT_ONCE: Final = 16


class InputIdentity(msgspec.Struct, frozen=True):
    """What makes an input the same one in a later run."""

    address: str
    size: int
    stamp: str
    job: Job


class RunHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs and options of a run; one that goes on with it must have the same."""

    v: int = 1
    model: str
    chunk_rows: int
    inputs: list[InputIdentity]


def header_of(model: str, chunk_rows: int, inputs: list[Input], jobs: list[Job]) -> RunHeader:
    """Return the header of a run."""
    identities = [
        InputIdentity(item.address, item.size, item.stamp, job)
        for item, job in zip(inputs, jobs, strict=True)
    ]
    return RunHeader(model=model, chunk_rows=chunk_rows, inputs=identities)


def read_header(objects: Objects) -> RunHeader | None:
    """Read the header of the run that has begun; None: none has. Raises Unavailable, WrongUsage."""
    body = with_retries(lambda: objects.read(HEAD), objects.address)
    try:
        return None if body is None else msgspec.json.decode(body, type=RunHeader)
    except msgspec.DecodeError:
        raise WrongUsage(f"{HEAD} in {objects.address} cannot be read; begin anew with --restart") from None


def write_header(objects: Objects, header: RunHeader) -> None:
    """Begin a run. Raises Unavailable."""
    with_retries(lambda: objects.create(HEAD, msgspec.json.encode(header)), objects.address)


def refuse_other(earlier: RunHeader, now: RunHeader, output: Output) -> None:
    """Refuse to go on with a run that is not the same. Raises WrongUsage with what differs."""
    why = _difference(earlier, now)
    if why:
        raise WrongUsage(f"{output.address} was begun otherwise: {why}; begin anew with --restart")


def _difference(earlier: RunHeader, now: RunHeader) -> str:
    before, after = ({one.address: one for one in header.inputs} for header in (earlier, now))
    gone, new = before.keys() - after.keys(), after.keys() - before.keys()
    changed = [one for one in now.inputs if one.address in before and one != before[one.address]]
    why = {
        f"by another version of this program (format {earlier.v})": earlier.v != now.v,
        f"{min(gone, default='')} was read too, and is not there now": gone,
        f"{min(new, default='')} is new": new,
        _change(before[changed[0].address], changed[0]) if changed else "": changed,
        f"model {earlier.model} scored then, {now.model} would now": earlier.model != now.model,
        f"with --chunk-rows {earlier.chunk_rows}": earlier.chunk_rows != now.chunk_rows,
    }
    return next((reason for reason, differs in why.items() if differs), "")


def _change(old: InputIdentity, new: InputIdentity) -> str:
    if (old.size, old.stamp) == (new.size, new.stamp):
        return f"{new.address} with other options (column, form, delimiter or prefix)"
    return f"{new.address} has changed since ({old.size:,} bytes then, {new.size:,} now)"


def read_markers(objects: Objects, result: InputResult) -> dict[int, ChunkMarker]:
    """Read which chunks of an input are done. Raises Unavailable, Unreadable."""
    names = with_retries(lambda: objects.names(result.journal), objects.address)

    def read(name: str) -> ChunkMarker:
        try:
            return msgspec.json.decode(
                with_retries(lambda: objects.read(name), objects.address) or b"", type=ChunkMarker
            )
        except msgspec.DecodeError:
            raise Unreadable(
                f"{name} in {objects.address} cannot be read; begin anew with --restart"
            ) from None

    with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="markers") as pool:
        markers: list[Any] = list(pool.map(read, names))
    return {int(name.rsplit("/", 1)[1][:-5]): marker for name, marker in zip(names, markers, strict=True)}

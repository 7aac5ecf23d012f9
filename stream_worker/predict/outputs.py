"""Where results go: a file, a folder of files, or a prefix in S3; and the staging area of their chunks.

Rules:
1. Parts and markers are create-only: whoever comes second finds the same object and skips it.
2. A local result appears whole or not at all: the file is assembled beside its place, synced and renamed.
3. In S3 the parts are the result, `OUT/part-000000.csv` and so on; `OUT/_predict/done.json` marks it
   complete.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import obstore
from obstore.store import ObjectStore

from stream_worker.adapters.object_store.objects import Objects, open_store
from stream_worker.errors import Unavailable
from stream_worker.predict.inputs import Input, Shape, WrongUsage, shape_of, with_retries

JOURNAL: Final = "_predict"
HEAD: Final = f"{JOURNAL}/head.json"
DONE: Final = f"{JOURNAL}/done.json"
REJECTED: Final = "_rejected"
COPIED_BYTES: Final = 1024**2
_PART: Final = re.compile(r"(_rejected/)?([^/]+/)?part-\d{6}(\.[a-z]+){1,2}")


class StoreReference(NamedTuple):
    """What opens a store, in this process or in another."""

    url: str
    endpoint: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    region: str | None = None
    allow_http: bool = False

    def open(self) -> ObjectStore:
        """Open it. Raises Misconfigured."""
        return open_store(**self._asdict())


class InputResult(NamedTuple):
    """Where the rows of one input go."""

    number: int
    shape: Shape
    path: Path | None  # None: in S3
    prefix: str  # of its parts, in the staging area

    def part(self, chunk: int) -> str:
        """Name of a part in the staging area."""
        return f"{self.prefix}part-{chunk:06}{_suffix(self.shape) if self.path is None else ''}"

    def rejected(self, chunk: int) -> str:
        """Name of the rejected rows of a chunk in the staging area."""
        return f"{REJECTED}/{self.prefix}part-{chunk:06}.jsonl"

    @property
    def journal(self) -> str:
        """Where the markers lie in the staging area."""
        return f"{JOURNAL}/{self.number:06}"

    def marker(self, chunk: int) -> str:
        """Name of a marker in the staging area."""
        return f"{self.journal}/{chunk:06}.json"

    @property
    def rejected_path(self) -> Path | None:
        """The file of rejected rows."""
        return None if self.path is None else self.path.with_name(self.path.name + ".rejected.jsonl")


class Output(NamedTuple):
    """Where all results go, and the staging area."""

    address: str
    staging: StoreReference
    folder: Path | None  # of the staging area; None: S3
    results: list[InputResult]

    @property
    def local(self) -> bool:
        """Whether results are files."""
        return self.folder is not None


def plan(out: str, inputs: list[Input], bucket: StoreReference) -> Output:
    """Decide where each result goes. Raises WrongUsage."""
    single = len(inputs) == 1
    shape_of_out = shape_of(out.rstrip("/"))
    names = [item.name for item in inputs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise WrongUsage(f"two inputs have the name {twice}: give their folders one by one")
    if out.startswith("s3://"):
        shapes = [shape_of_out or item.shape for item in inputs]
        results = [
            InputResult(i, shape, None, "" if single else f"{item.name}/")
            for i, (item, shape) in enumerate(zip(inputs, shapes, strict=True))
        ]
        return Output(out.rstrip("/"), bucket._replace(url=out.rstrip("/")), None, results)
    path = Path(out)
    is_folder = out.endswith("/") or path.is_dir() or shape_of_out is None
    if single and not is_folder:
        assert shape_of_out is not None
        staging, paths = path.with_name(f".{path.name}.predict"), [(path, shape_of_out)]
    elif not is_folder:
        raise WrongUsage(f"{len(inputs)} inputs do not go into one file; name a folder for OUT")
    else:
        if path.exists() and not path.is_dir():
            raise WrongUsage(
                f"{out} is a file whose name does not say its form: end it in .csv, .jsonl or .parquet"
            )
        staging, paths = path / ".predict", [(path / item.name, item.shape) for item in inputs]
    for item, (target, _) in zip(inputs, paths, strict=True):
        if target.exists() and not item.address.startswith("s3://") and target.samefile(item.address):
            raise WrongUsage(f"{target} is read and cannot be written as well; name another place")
    results = [InputResult(i, shape, target, f"{i:06}/") for i, (target, shape) in enumerate(paths)]
    return Output(out, StoreReference(staging.absolute().as_uri()), staging, results)


@contextmanager
def locked(output: Output) -> Iterator[None]:
    """Lock the staging area for this process; one at a time. Raises Unavailable, WrongUsage."""
    if output.folder is None:
        yield
        return
    try:
        output.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(output.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise Unavailable(f"{output.address} cannot be written: {error.strerror or error}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WrongUsage(f"{output.address} is being written by another predict; wait for it") from None
        try:
            yield
        finally:
            if not (output.folder / HEAD).exists():  # no run has begun
                shutil.rmtree(output.folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def clear(output: Output, objects: Objects, *, has_begun: bool) -> None:
    """Remove the objects of an earlier run, and nothing else."""
    if not has_begun and not output.local:
        return
    if output.folder is not None:
        for entry in output.folder.iterdir():
            if entry.name != "lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return
    names = objects.names("")
    parts = [name for name in names if _PART.fullmatch(name)]
    journal = [name for name in names if name.startswith(f"{JOURNAL}/") and name != HEAD]
    for group in (parts, journal, [HEAD]):  # the header last: until then it says that there is a run
        if group:
            with_retries(partial(obstore.delete, output.staging.open(), group), output.address)


def refuse_foreign(output: Output, objects: Objects) -> None:
    """Refuse a prefix in S3 that holds something else than a run. Raises WrongUsage."""
    if output.folder is None and objects.names(""):
        raise WrongUsage(f"{output.address} holds something else already; name another OUT")


def assemble(result: InputResult, output: Output, chunks: int, heading: bytes, to_parquet: bool) -> None:
    """Make the local files of a result out of its parts. Raises Unavailable."""
    target, rejected_path, folder = result.path, result.rejected_path, output.folder
    assert target is not None
    assert rejected_path is not None
    assert folder is not None
    rejected = [path for n in range(chunks) if (path := folder / result.rejected(n)).exists()]
    parts = [path for n in range(chunks) if (path := folder / result.part(n)).exists()]
    try:
        if rejected:
            _replace(rejected_path, rejected, b"")
        else:
            rejected_path.unlink(missing_ok=True)
        if to_parquet:
            from stream_worker.predict.parquet_input import join  # noqa: PLC0415  only where it is needed

            join(parts, _temporary_path(target))
            _publish(target)
        else:
            _replace(target, parts, heading)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written: {error.strerror or error}") from None


def _replace(path: Path, parts: list[Path], heading: bytes) -> None:
    with _temporary_path(path).open("wb") as file:
        file.write(heading)
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, COPIED_BYTES)
    _publish(path)


def _temporary_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.{sha256(path.name.encode()).hexdigest()[:8]}.new")


def _publish(path: Path) -> None:
    """Sync the file that lies beside its place, and move it there."""
    for one in (_temporary_path(path), path.parent):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if one != path.parent:
            os.replace(one, path)  # noqa: PTH105  the same, and both are paths already


def _suffix(shape: Shape) -> str:
    name = {"csv": ".tsv" if shape.delimiter == "\t" else ".csv", "jsonl": ".jsonl", "parquet": ".parquet"}
    return name[shape.form] + (".gz" if shape.compressed else "")

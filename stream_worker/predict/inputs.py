"""The inputs: files by path or glob, objects by s3:// address, each with its identity.

Rules:
1. The identity of an input is its size and a stamp: time and first bytes of a file, the ETag of an object. A
   run goes on only over the inputs it began with.
2. An object is read in ranges, each requested a few times at most, and only while its ETag is the same.
"""

import gzip
import io
import os
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from glob import glob, has_magic
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar, cast

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError
from obstore.store import ObjectStore

from stream_worker.errors import StreamWorkerError, Unavailable, Unreadable
from stream_worker.predict.formats.job import Form

FORMS: Final[dict[str, Form]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
T = TypeVar("T")

INPUTS_MAX: Final = 10_000
BEGINNING_BYTES: Final = 64 * 1024
RANGE_BYTES: Final = 4 * 1024**2
TRIES: Final = 5
FIRST_PAUSE_S: Final = 0.5


class WrongUsage(StreamWorkerError):
    """The request cannot be carried out as it stands; the message says how it can."""

    exit_code = 2


class Shape(NamedTuple):
    """The form of a file, by its name."""

    form: Form
    delimiter: str
    compressed: bool


class Input(NamedTuple):
    """A file or an object."""

    name: str  # without folders
    address: str
    size: int
    stamp: str
    shape: Shape
    open_raw: Callable[[], BinaryIO]

    def open(self) -> tuple[BinaryIO, BinaryIO]:
        """Open it; returns its bytes without compression, and as they are: how far it was read."""
        raw = self.open_raw()
        return (cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if self.shape.compressed else raw), raw


def shape_of(name: str) -> Shape | None:
    """Return the form of a file by its name; None: no known one."""
    path = PurePosixPath(name)
    compressed = path.suffix == ".gz"
    suffix = (path.with_suffix("") if compressed else path).suffix
    form = FORMS.get(suffix)
    if form is None or (compressed and form == "parquet"):
        return None
    return Shape(form, "\t" if suffix == ".tsv" else ",", compressed)


def find(source: str, open_bucket: Callable[[str], ObjectStore]) -> list[Input]:
    """Find the inputs by path, glob, folder or s3:// address, by name. Raises WrongUsage, Unavailable."""
    found = _objects(source, open_bucket) if source.startswith("s3://") else _files(source)
    if not found:
        raise WrongUsage(f"{source}: nothing is there to read; names must end in {_suffixes()}")
    if len(found) > INPUTS_MAX:
        raise WrongUsage(f"{source}: more than {INPUTS_MAX:,} inputs; take them in parts")
    return found


def _suffixes() -> str:
    return ", ".join(FORMS) + ", or .gz behind the first four"


def _files(source: str) -> list[Input]:
    if Path(source).is_dir():
        paths = [
            path for path in Path(source).iterdir() if shape_of(path.name) and not path.name.startswith(".")
        ]
    elif Path(source).exists() or not has_magic(source):
        paths = [Path(source)]
    else:
        paths = [path for path in map(Path, glob(source, recursive=True)) if path.is_file()]  # noqa: PTH207  a whole pattern
    return [_file(path) for path in sorted(paths)]


def _file(path: Path) -> Input:
    shape = shape_of(path.name)
    if shape is None:
        raise WrongUsage(f"{path}: its form is not known by its name, which must end in {_suffixes()}")
    try:
        if not path.is_file():
            raise WrongUsage(f"{path}: no such file" if not path.exists() else f"{path}: is no file")
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            beginning = sha256(file.read(BEGINNING_BYTES)).hexdigest()[:16]
    except OSError as error:
        raise WrongUsage(f"{path} cannot be read: {error.strerror or error}") from None
    stamp = f"{status.st_mtime_ns}-{beginning}"
    return Input(path.name, str(path), status.st_size, stamp, shape, lambda: path.open("rb"))


def _objects(source: str, open_bucket: Callable[[str], ObjectStore]) -> list[Input]:
    bucket, _, path = source.removeprefix("s3://").partition("/")
    store = open_bucket(f"s3://{bucket}")
    if shape_of(path) and not has_magic(path):
        try:
            metas: list[Any] = [with_retries(lambda: obstore.head(store, path), source)]
        except FileNotFoundError:
            raise WrongUsage(f"{source}: no such object") from None
    else:
        folder = path.partition("*")[0].rpartition("/")[0] if has_magic(path) else path.rstrip("/")
        batches = with_retries(lambda: list(obstore.list(store, folder or None, chunk_size=1000)), source)
        listed = sorted((meta for batch in batches for meta in batch), key=lambda meta: meta["path"])
        metas = [
            meta
            for meta in listed
            if (fnmatchcase(meta["path"], path) if has_magic(path) else not _is_hidden(meta["path"], folder))
        ]
    return [_object(store, bucket, meta) for meta in metas if shape_of(meta["path"])]


def _is_hidden(path: str, folder: str) -> bool:
    return any(part.startswith(("_", ".")) for part in path.removeprefix(folder).split("/"))


def _object(store: ObjectStore, bucket: str, meta: Any) -> Input:
    path, address = meta["path"], f"s3://{bucket}/{meta['path']}"
    shape = shape_of(path)
    assert shape is not None
    tag = meta["e_tag"]
    stamp = tag or meta["last_modified"].isoformat()

    def open_raw() -> BinaryIO:
        raw = _Ranges(store, path, meta["size"], tag, address)
        return cast("BinaryIO", io.BufferedReader(raw, RANGE_BYTES))

    return Input(PurePosixPath(path).name, address, meta["size"], stamp, shape, open_raw)


class _Ranges(io.RawIOBase):
    """An object, read in ranges."""

    def __init__(self, store: ObjectStore, path: str, size: int, tag: str | None, address: str) -> None:
        self._store, self._path, self._size, self._tag, self._address = store, path, size, tag, address
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._size - self._at)
        if size <= 0:
            return 0
        options: Any = {"range": (self._at, self._at + size)}
        if self._tag:
            options["if_match"] = self._tag
        try:
            body = with_retries(
                lambda: obstore.get(self._store, self._path, options=options).bytes(), self._address
            )
        except (PreconditionError, FileNotFoundError):
            raise Unreadable(
                f"{self._address} was changed or removed while it was read; begin anew with --restart"
            ) from None
        buffer[: len(body)] = memoryview(body)
        self._at += len(body)
        return len(body)


def with_retries(request: Callable[[], T], address: str) -> T:
    """Return the answer of a store, which is asked a few times if it gives none; `address` is for messages.

    Raises Unavailable, and the FileNotFoundError or PreconditionError that is an answer. A retry may find
    the effect of a request without an answer: requests must be safe to repeat.
    """
    pause_s = FIRST_PAUSE_S
    for _ in range(TRIES - 1):
        try:
            return _attempt(request, address)
        except Unavailable as error:
            if isinstance(error.__cause__, PermissionDeniedError | UnauthenticatedError):
                raise
        time.sleep(pause_s)
        pause_s *= 2
    return _attempt(request, address)


def _attempt(request: Callable[[], T], address: str) -> T:
    try:
        return request()
    except (FileNotFoundError, PreconditionError) as error:
        if "NoSuchBucket" in str(error):
            raise Unavailable(f"{address}: there is no such bucket") from None
        raise
    except (BaseError, OSError) as error:
        raise Unavailable(
            f"{address} cannot be read: {_reason(error)}; check the address, and archive.endpoint and what"
            " is beside it in the settings"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rsplit(" - ", 1)[-1][:200]

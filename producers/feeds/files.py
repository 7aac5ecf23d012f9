"""Files of rows: CSV, JSON lines and Parquet, read a little at a time.

Rules:
1. Rows are numbered from 1 (the header of a CSV is not a row).
2. A row that cannot be read is yielded with its problem, never dropped and never guessed at.
3. CSV and JSON lines may be compressed (.gz, .bz2, .zst, .lz4) or come from standard input (`-`).
"""

import csv
import io
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from producers.errors import Unusable
from stream_worker.quantity import quantity

FORMATS = ("csv", "tsv", "jsonl", "parquet")
_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_COMPRESSIONS = frozenset({".gz", ".bz2", ".zst", ".lz4"})
CELL_CHARS_MAX = 4_000_000
"""Longer cells make their row unreadable: an unclosed quote must not eat a whole file."""
LINE_BYTES_MAX = 16_000_000
"""The longest line of JSON; no record that a broker takes by default needs a tenth of it."""
JSONL_SAMPLE_ROWS = 100
"""JSON lines have no header: their columns are the names seen in so many rows."""
PARQUET_BATCH_ROWS = 8_192


class FileRow(NamedTuple):
    """One row: its values in the requested order, or why it cannot be used."""

    number: int
    values: tuple[object, ...]
    problem: str = ""


class OpenedFile(NamedTuple):
    """A file that was opened: its columns, and a function that reads some of them once."""

    columns: list[str]
    read: Callable[[list[str]], Iterator[FileRow]]


def open_rows(file: Path, file_format: str | None = None) -> OpenedFile:
    """Open a file of rows; raise `Unusable` if it is missing, empty, damaged or of no known format."""
    kind = file_format or _format_of(file)
    if str(file) != "-" and not file.is_file():
        raise Unusable(f"{file}: no such file")
    try:
        if kind == "parquet":
            return _open_parquet(file)
        stream = sys.stdin.buffer if str(file) == "-" else _decompressed(file)
        if kind == "jsonl":
            return _open_jsonl(file, stream)
        return _open_csv(file, stream, "\t" if kind == "tsv" else ",")
    except (OSError, pa.ArrowException) as error:
        raise Unusable(f"{file}: cannot be read as {kind}: {_first_line(error)}") from error


def _decompressed(file: Path) -> BinaryIO:
    return io.BufferedReader(pa.input_stream(str(file), compression="detect"))


def _format_of(file: Path) -> str:
    endings = [ending.lower() for ending in file.suffixes]
    if endings and endings[-1] in _COMPRESSIONS:
        endings.pop()
    if endings and endings[-1] in _ENDINGS:
        return _ENDINGS[endings[-1]]
    raise Unusable(f"{file}: format unknown; name it with --format {'|'.join(FORMATS)}")


def _open_csv(file: Path, stream: Any, delimiter: str) -> OpenedFile:
    csv.field_size_limit(CELL_CHARS_MAX)
    # A byte that is not UTF-8 becomes a surrogate, which makes its row unusable, not the whole file.
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
    except (StopIteration, csv.Error) as error:
        raise Unusable(f"{file}: has no header row") from error
    if len(set(header)) != len(header):
        raise Unusable(f"{file}: two columns have the same name: {', '.join(header)}")

    def read(names: list[str]) -> Iterator[FileRow]:
        positions = [header.index(name) for name in names]
        for number in itertools.count(1):
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield FileRow(number, (), f"damaged: {error}")
                continue
            except (OSError, EOFError) as error:
                raise Unusable(f"{file}: damaged after row {number - 1}: {_first_line(error)}") from error
            if not cells:
                yield FileRow(number, (), "empty line")
            elif len(cells) != len(header):
                yield FileRow(number, (), f"has {quantity(len(cells), 'cell')}, the header {len(header)}")
            else:
                yield FileRow(number, tuple(cells[position] for position in positions))

    return OpenedFile(header, read)


def _open_jsonl(file: Path, stream: BinaryIO) -> OpenedFile:
    decoder = msgspec.json.Decoder(dict[str, Any])

    def parsed(number: int, line: bytes | None) -> tuple[int, dict[str, Any] | str]:
        if line is None:
            return number, f"longer than {LINE_BYTES_MAX:,} bytes"
        if not line.strip():
            return number, "empty line"
        try:
            return number, decoder.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return number, "not a JSON object"

    numbered = (parsed(number, line) for number, line in enumerate(_lines(stream), 1))
    first = list(itertools.islice(numbered, JSONL_SAMPLE_ROWS))
    columns = list(dict.fromkeys(name for _, row in first if isinstance(row, dict) for name in row))
    if not columns:
        raise Unusable(f"{file}: holds no JSON object in its first {JSONL_SAMPLE_ROWS} lines")

    def read(names: list[str]) -> Iterator[FileRow]:
        try:
            for number, row in itertools.chain(first, numbered):
                if isinstance(row, str):
                    yield FileRow(number, (), row)
                else:
                    yield FileRow(number, tuple(row.get(name) for name in names))
        except (OSError, EOFError) as error:
            raise Unusable(f"{file}: damaged: {_first_line(error)}") from error

    return OpenedFile(columns, read)


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield each line, or None for one that is too long to be held."""
    while line := stream.readline(LINE_BYTES_MAX):
        if len(line) < LINE_BYTES_MAX or line.endswith(b"\n"):
            yield line
            continue
        while (rest := stream.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
            pass
        yield None


def _open_parquet(file: Path) -> OpenedFile:
    if str(file) == "-":
        raise Unusable("Parquet cannot be read from standard input: name a file")
    parquet = pq.ParquetFile(file)

    def read(names: list[str]) -> Iterator[FileRow]:
        number = 0
        distinct = list(dict.fromkeys(names))
        try:
            for batch in parquet.iter_batches(batch_size=PARQUET_BATCH_ROWS, columns=distinct):
                columns = [_values(batch.column(name)) for name in names]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield FileRow(number, values)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise Unusable(f"{file}: damaged after row {number}: {_first_line(error)}") from error

    return OpenedFile(list(parquet.schema_arrow.names), read)


def _values(column: pa.Array) -> list[object]:
    """Return a column's values; times are cut to milliseconds, since datetimes hold no nanoseconds."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False)
    values: list[object] = column.to_pylist()
    return values


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__

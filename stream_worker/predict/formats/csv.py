"""CSV: the heading of a file, and the rows of a chunk with their texts.

A row that is kept is kept as its very bytes, so that quotes and numbers are written as they came.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from stream_worker.predict.formats.chunking import csv_row, field, rows_of
from stream_worker.predict.formats.job import InputChunk, Job, RejectedRow
from stream_worker.predict.formats.text_columns import TextRows, refuse_text

BOM: Final = b"\xef\xbb\xbf"
HEADING_BYTES_MAX: Final = 1024**2


class Heading(NamedTuple):
    """The first row of a file. `size` is its bytes, those before it (blank lines, BOM) counted."""

    names: list[str]
    size: int
    lines: int
    newline: str


def read_heading(beginning: bytes, delimiter: str) -> Heading:
    """Read the heading. Raises ValueError with what is wrong."""
    if not beginning.strip(BOM + b"\r\n"):
        raise ValueError("it is empty: a heading with the names of the columns is needed")
    if beginning[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise ValueError("it is UTF-16; save it as UTF-8")
    start = len(BOM) if beginning.startswith(BOM) else 0
    while beginning[start : start + 1] in {b"\r", b"\n"}:
        start += 1
    whole = beginning if beginning.endswith(b"\n") else beginning + b"\n"
    found = csv_row(delimiter).match(whole, start)
    if found is None:
        raise ValueError("its heading is no CSV: a quote is not closed, or lines end in carriage returns")
    row = found.group()
    try:
        names = [one.decode() for one in split(row, delimiter)]
    except UnicodeDecodeError:
        raise ValueError("its heading is not UTF-8") from None
    newline = "\r\n" if row.endswith(b"\r\n") else "\n"
    return Heading(names, min(found.end(), len(beginning)), whole.count(b"\n", 0, found.end()), newline)


def split(row: bytes, delimiter: str) -> list[bytes]:
    """Return the values of a well-formed row."""
    row = row.removesuffix(b"\n").removesuffix(b"\r")
    if b'"' not in row:
        return row.split(delimiter.encode())
    values, at, step = [], 0, len(delimiter.encode())
    one = _field(delimiter)
    while True:
        found = one.match(row, at)
        assert found is not None, "the row is well formed"
        values.append(unquoted(found.group()))
        at = found.end() + step
        if found.end() >= len(row):
            return values


def unquoted(value: bytes) -> bytes:
    """Return a value without the quotes around it."""
    return value[1:-1].replace(b'""', b'"') if value.startswith(b'"') else value


def extract(job: Job, chunk: InputChunk) -> TextRows:
    """Return the rows of a chunk: their texts, and their bytes without line end."""
    body, any_row = chunk.body, csv_row(job.delimiter)
    this_row = _row_of(job.delimiter, len(job.names), job.names.index(job.text))
    extracted = TextRows(is_utf8=_is_utf8(body))
    row = chunk.start.row
    for start, end, well_formed in rows_of(any_row, body):
        row += 1
        found = this_row.fullmatch(body, start, end)
        if found is not None:
            value = unquoted(found[1])
            text, reason = refuse_text(value, body[start:end] if not extracted.is_utf8 else None)
            if text is not None:
                extracted.texts.append(text)
                extracted.rows.append(body[start:end].rstrip(b"\r\n"))
                continue
        else:
            reason = "columns" if well_formed else "not_csv"
        line = chunk.start.line + body.count(b"\n", 0, start) + 1
        raw = body[start:end].rstrip(b"\r\n")
        extracted.rejects.append(RejectedRow(row, line, reason, raw, len(raw)))
    return extracted


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(maxsize=32)
def _field(delimiter: str) -> re.Pattern[bytes]:
    return re.compile(field(delimiter))


@lru_cache(maxsize=32)
def _row_of(delimiter: str, columns: int, at: int) -> re.Pattern[bytes]:
    """Return the pattern of a row of so many columns, with the value of one of them."""
    one, comma = field(delimiter), re.escape(delimiter.encode())
    before = rb"(?:%b%b){%d}" % (one, comma, at)
    behind = rb"(?:%b%b){%d}" % (comma, one, columns - at - 1)
    return re.compile(before + b"(" + one + b")" + behind + rb"\r?\n")

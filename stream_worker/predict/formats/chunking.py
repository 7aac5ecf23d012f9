"""Cutting a stream of CSV or JSON lines into chunks of whole rows.

Rules:
1. A quoted CSV field may hold line ends: a row is found by its grammar (RFC 4180), not by a line end alone.
2. A line that the grammar refuses is a row of its own, and the next line begins anew. One quote that is never
   closed costs its line, not the rest of the file.
3. At most `ROW_BYTES_MAX` and a chunk are in memory. Blank lines are no rows.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO, Final

from stream_worker.predict.formats.job import CHUNK_BYTES, KEPT_BYTES_MAX, ROW_BYTES_MAX, InputChunk, Position

READ_BYTES: Final = 512 * 1024
BLANK_BYTES_MAX: Final = 80
JSON_LINE: Final = re.compile(rb"[^\n]*+\n")


@lru_cache(maxsize=32)
def field(delimiter: str) -> bytes:
    """Return the pattern of one CSV field: quoted, or without delimiter. It never goes back."""
    one = re.escape(delimiter.encode())
    return rb'(?:"(?:[^"]++|"")*+"|(?:[^"\r\n' + one + rb"][^\r\n" + one + rb"]*+)?)"


@lru_cache(maxsize=32)
def csv_row(delimiter: str) -> re.Pattern[bytes]:
    """Return the pattern of one CSV row of any number of columns, its line end included."""
    one = field(delimiter)
    return re.compile(one + rb"(?:" + re.escape(delimiter.encode()) + one + rb")*+\r?\n")


def rows_of(pattern: re.Pattern[bytes], body: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, end, well formed) of each row of a chunk's body, which ends with a line end."""
    at, match = 0, pattern.match
    while at < len(body):
        found = match(body, at, at + ROW_BYTES_MAX)
        end = found.end() if found else body.find(b"\n", at) + 1
        if _is_row(body, at, end):
            yield at, end, found is not None
        at = end


def _is_row(body: bytes, at: int, end: int) -> bool:
    return end - at > BLANK_BYTES_MAX or not body[at:end].isspace()


def cut(stream: BinaryIO, pattern: re.Pattern[bytes], start: Position, rows_max: int) -> Iterator[InputChunk]:
    """Yield the chunks of a stream that stands at `start`; numbers begin at 0. Raises what the stream raises.

    A stream without rows gives one empty chunk.
    """
    window, here, number = _Window(stream, pattern), start, 0
    while window.fill(0):
        rows, at = 0, 0
        while rows < rows_max and at < CHUNK_BYTES and window.fill(at):
            end = window.row_end(at)
            if end is None:
                break
            rows += _is_row(window.buffer, at, end)
            at = end
        if at:
            body, cut_bytes = window.take(at), 0
            lines, size = body.count(b"\n"), len(body)
        else:
            body, size = window.skip_oversized()
            rows, lines, cut_bytes = 1, 1, size
        end_position = Position(here.offset + size, here.row + rows, here.line + lines)
        yield InputChunk(number, here, end_position, body, end_position.offset, cut_bytes)
        here, number = end_position, number + 1
    if not number:
        yield InputChunk(0, start, start, b"", start.offset)


class _Window:
    """The part of a stream that is in memory: it begins where a row begins."""

    def __init__(self, stream: BinaryIO, pattern: re.Pattern[bytes]) -> None:
        self._stream, self._match = stream, pattern.match
        self.buffer, self._at_end = b"", False

    def fill(self, at: int) -> bool:
        """Return whether the stream has a byte at `at`; reads on until the buffer has it."""
        while at >= len(self.buffer) and not self._at_end:
            self._read()
        return at < len(self.buffer)

    def row_end(self, at: int) -> int | None:
        """Return where the row at `at` ends; None if it is larger than a row may be."""
        while True:
            found = self._match(self.buffer, at, at + ROW_BYTES_MAX)
            if found:
                return found.end()
            if self._at_end or len(self.buffer) - at > ROW_BYTES_MAX:
                break
            self._read()
        end = self.buffer.find(b"\n", at) + 1
        return end if 0 < end - at <= ROW_BYTES_MAX else None

    def take(self, size: int) -> bytes:
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return body

    def skip_oversized(self) -> tuple[bytes, int]:
        """Pass over one line that is too large; returns its beginning and its size."""
        beginning, size = self.buffer[:KEPT_BYTES_MAX], 0
        while (end := self.buffer.find(b"\n")) < 0:
            size += len(self.buffer)
            self.buffer = b""
            if not self.fill(0):
                return beginning, size
        size += end + 1
        self.buffer = self.buffer[end + 1 :]
        return beginning, size

    def _read(self) -> None:
        more = self._stream.read(READ_BYTES)
        if not more:
            self._at_end = True
            more = b"\n" if self.buffer and not self.buffer.endswith(b"\n") else b""
        self.buffer += more

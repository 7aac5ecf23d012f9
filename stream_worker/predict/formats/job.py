"""The terms of batch scoring: a job, a chunk, the outcome of its rows, and why a row was rejected.

Rules:
1. Where a chunk begins and ends depends on the file and the job only: not on how the file was read, not on a
   process, not on a clock. So a run that goes on after a kill cuts the same chunks.
2. Every row of a chunk is scored, uncertain, unscored or rejected; the four add up to its rows.
"""

from typing import Final, Literal, NamedTuple

import msgspec

Form = Literal["csv", "jsonl", "parquet"]

CHUNK_ROWS: Final = 4_096
CHUNK_BYTES: Final = 1024**2
"""A chunk ends after the row that reaches either."""
ROW_BYTES_MAX: Final = 4 * 1024**2
TEXT_BYTES_MAX: Final = 1024**2
COLUMNS_MAX: Final = 1_000
KEPT_BYTES_MAX: Final = 64 * 1024
"""So much is kept of a row that is larger than `ROW_BYTES_MAX`."""

LABELS: Final = ("negative", "neutral", "positive", "uncertain", "unscored")
"""Words of the values of `label` (core/records/batch.py)."""

ADDED: Final = ("label", "p_negative", "p_neutral", "p_positive", "sentiment", "model")

REASONS: Final = {
    "no_text": "the text is null, or not there",
    "empty_text": "the text is empty, or white space only",
    "not_text": "the text is a number, a list or something else",
    "not_utf8": "the row is not UTF-8",
    "not_json": "the line is not JSON, or nested too deeply",
    "not_an_object": "the line is JSON, but no object",
    "columns": "more or fewer columns than the heading",
    "not_csv": "a quote is not closed or not in its place, or a carriage return stands alone",
    "column_taken": "the row has a column already that is to be added",
    "too_large": "a text above 1 MiB, or a row above 4 MiB",
}


class Position(NamedTuple):
    """Where a chunk begins or ends. `offset` counts bytes (Parquet: rows); row and line are before it."""

    offset: int
    row: int
    line: int


class InputChunk(NamedTuple):
    """Some rows of a file: CSV and JSONL as their bytes, Parquet as an Arrow stream."""

    number: int
    start: Position
    end: Position
    body: bytes
    read_bytes: int  # of the file, up to the end of the chunk: how far it is
    cut_bytes: int = 0  # > 0: one row, too large, of so many bytes; the body is its beginning


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows of one file are read and written. Names are those of the file."""

    form: Form
    out: Form
    text: str
    names: list[str] = []  # of the columns; of JSON lines only where a table is written
    kinds: list[str] = []  # of the columns of JSON lines, see json_lines.py
    delimiter: str = ","
    out_delimiter: str = ","
    newline: str = "\n"
    prefix: str = ""  # before the names of the columns that are added
    compressed: bool = False  # the output
    whole_parts: bool = False  # each part is a file of its own, with a heading

    @property
    def added(self) -> list[str]:
        """Names of the columns that are added."""
        return [self.prefix + name for name in ADDED]

    @property
    def always_a_part(self) -> bool:
        """Whether a part without rows is written too: it says which columns there are."""
        return self.whole_parts or self.out == "parquet"


class ChunkMarker(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a chunk. It is written after its part, so that a chunk with a marker is done."""

    v: int = 1
    start: Position
    end: Position
    read_bytes: int
    labels: list[int]  # rows by label, five numbers
    reasons: dict[str, int]  # rejected rows by reason

    @property
    def rows(self) -> int:
        """All rows, rejected ones too."""
        return sum(self.labels) + sum(self.reasons.values())


class RejectedRow(NamedTuple):
    """A row that cannot be used."""

    row: int  # from 1, heading not counted
    line: int  # from 1, of its first line; 0 for Parquet
    reason: str
    raw: bytes
    bytes: int  # of the row; more than are in `raw` if it was too large to keep

"""A chunk, scored: its part, its rejected rows, its marker."""

import base64
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from stream_worker.core.records.batch import ScoreColumns
from stream_worker.predict.formats import arrow, csv, encode, json_lines
from stream_worker.predict.formats.job import (
    KEPT_BYTES_MAX,
    LABELS,
    REASONS,
    ChunkMarker,
    InputChunk,
    Job,
    RejectedRow,
)
from stream_worker.predict.formats.text_columns import TextRows

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS_AT_ONCE: Final = 4_096
"""Features of scikit-learn take some kB for each text."""

Score = Callable[[Sequence[str]], ScoreColumns]


class ScoredChunk(NamedTuple):
    """The objects of a chunk; empty bytes are not stored."""

    part: bytes
    rejected: bytes
    marker: ChunkMarker


def score_chunk(job: Job, chunk: InputChunk, score: Score, model: str) -> ScoredChunk:
    """Score a chunk. Raises nothing for what is in it: a bad row is a rejected row."""
    kept: list[bytes] | pa.Table
    if chunk.cut_bytes:
        reject = RejectedRow(
            chunk.end.row, chunk.end.line, "too_large", chunk.body[:KEPT_BYTES_MAX], chunk.cut_bytes
        )
        extracted, kept = TextRows(rejects=[reject]), []
    elif job.form == "parquet":
        extracted, kept = arrow.extract(job, chunk)
    else:
        extract = csv.extract if job.form == "csv" else json_lines.extract
        extracted = extract(job, chunk)
        kept = extracted.rows
    scores = _in_batches(extracted.texts, score)
    marker = ChunkMarker(
        start=chunk.start,
        end=chunk.end,
        read_bytes=chunk.read_bytes,
        labels=np.bincount(scores.label, minlength=len(LABELS)).tolist(),
        reasons=dict(sorted(Counter(one.reason for one in extracted.rejects).items())),
    )
    assert marker.rows == chunk.end.row - chunk.start.row, "every row has one fate"
    part = encode.part(job, kept, scores, model) if extracted.texts or job.always_a_part else b""
    return ScoredChunk(part, b"".join(map(_as_line, extracted.rejects)), marker)


def _in_batches(texts: list[str], score: Score) -> ScoreColumns:
    batches = [score(texts[i : i + TEXTS_AT_ONCE]) for i in range(0, len(texts), TEXTS_AT_ONCE)]
    if not batches:
        return ScoreColumns(np.empty(0, np.int8), np.empty((0, 3), np.float32), np.empty(0, np.int32))
    return ScoreColumns(
        np.concatenate([one.label for one in batches]),
        np.concatenate([one.probability for one in batches]),
        np.concatenate([one.sentiment_micro for one in batches]),
    )


def _as_line(reject: RejectedRow) -> bytes:
    """A rejected row as a line of JSON, with its bytes: as text, else as base64."""
    line: dict[str, object] = {"row": reject.row}
    if reject.line:
        line["line"] = reject.line
    line |= {"reason": reject.reason, "why": REASONS[reject.reason]}
    if reject.bytes > len(reject.raw):
        line |= {"bytes": reject.bytes, "cut": True}
    try:
        line["raw"] = reject.raw.decode()
    except UnicodeDecodeError:
        line["raw_base64"] = base64.b64encode(reject.raw).decode()
    return msgspec.json.encode(line) + b"\n"

"""Scored rows as bytes: the columns that are added to each row, and a part.

Rules:
1. From CSV to CSV and from JSON lines to JSON lines a row keeps its bytes; the added columns follow them.
2. Probabilities and sentiment are 32-bit floats; as text, six digits behind the point. They are null, in CSV
   empty, where a row is unscored.
3. A chunk gives the same bytes in every process.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream_worker.core.records.batch import NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, UNSCORED, ScoreColumns
from stream_worker.core.sentiment.net import MICRO
from stream_worker.predict.formats import arrow
from stream_worker.predict.formats.header import heading, pack
from stream_worker.predict.formats.job import ADDED, LABELS, Job

_LABEL_TEXTS: Final = pa.array(LABELS, pa.string())
assert list(range(len(LABELS))) == [NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, UNSCORED]


def added(scores: ScoreColumns, model: str, names: Sequence[str] = ADDED) -> pa.Table:
    """Return the columns that are added to the rows."""
    unscored = scores.label == UNSCORED
    numbers = [scores.probability[:, i] for i in range(3)] + [scores.sentiment_micro / MICRO]
    columns = [pa.array(one.astype(np.float32), mask=unscored) for one in numbers]
    label = _LABEL_TEXTS.take(pa.array(scores.label))
    rows = len(scores.label)
    return pa.table([label, *columns, pa.repeat(pa.scalar(model, pa.string()), rows)], names=list(names))


def part(job: Job, kept: list[bytes] | pa.Table, scores: ScoreColumns, model: str) -> bytes:
    """Return the bytes of a part: the rows that were kept, with what is added."""
    columns = added(scores, model, job.added)
    if isinstance(kept, list) and job.form == job.out and job.delimiter == job.out_delimiter:
        return _packed(job, _append(job, kept, columns))
    if isinstance(kept, list):
        kept = arrow.from_csv(job, kept) if job.form == "csv" else arrow.from_json(job, kept)
    for name in columns.column_names:
        kept = kept.append_column(name, columns[name])
    if job.out == "parquet":
        return arrow.to_parquet(kept) if job.whole_parts else arrow.to_stream(kept)
    if job.out == "jsonl":
        return _packed(job, arrow.to_json(_rounded(kept, job.added)))
    return _packed(job, arrow.to_csv(_rounded(kept, job.added), job.out_delimiter, job.newline))


def _packed(job: Job, body: bytes) -> bytes:
    return pack(job, heading(job) + body if job.whole_parts else body)


def _append(job: Job, rows: list[bytes], columns: pa.Table) -> bytes:
    """Return rows with their bytes, and the added columns behind each; one pass of Arrow over all of them."""
    if not rows:
        return b""
    if job.out == "csv":
        signs, null = [job.delimiter] * len(ADDED), ""
        begin, end = rows, job.newline
    else:
        keys = [msgspec.json.encode(name).decode() for name in job.added]
        signs, null = [f",{key}:" for key in keys], "null"
        begin, end = [row[:-1] for row in rows], "}\n"
    quote = "" if job.out == "csv" else '"'
    parts: list[pa.Array | pa.Scalar] = [pa.array(begin, pa.large_binary())]
    for name, sign, column in zip(ADDED, signs, columns.columns, strict=True):
        is_text = name in {"label", "model"}
        text = column.combine_chunks() if is_text else pc.fill_null(_decimals(column), null)
        parts += [_literal(sign + quote * is_text), text.cast(pa.large_binary()), _literal(quote * is_text)]
    joined = pc.binary_join_element_wise(*parts, _literal(end), _literal(""))
    return memoryview(joined.buffers()[2]).tobytes()


def _literal(text: str) -> pa.Scalar:
    return pa.scalar(text.encode(), pa.large_binary())


def _decimals(column: pa.ChunkedArray) -> pa.Array:
    """Write six digits behind the point at most, without zeros at the end."""
    return pc.round(column.cast(pa.float64()), 6).cast(pa.string()).combine_chunks()


def _rounded(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Round the added numbers as they are in text."""
    for name in names:
        i = table.column_names.index(name)
        if pa.types.is_floating(table.schema.field(i).type):
            table = table.set_column(i, name, pc.round(table[i].cast(pa.float64()), 6))
    return table

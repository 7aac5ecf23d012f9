"""Rows as Parquet, schema 1: a file per event hour, the same bytes for the same rows.

See docs/design.md#the-archive.

Rules:
1. Bytes depend on the rows only: not on how they came in parts, not on a clock, not on a process.
2. Plain Arrow types and every column in every file, so that any reader takes the tree with no option.
3. Dictionary pages and statistics only where they pay; every page carries its checksum.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stream_worker.core.archive.layout import ROW_SCHEMA_VERSION
from stream_worker.core.records.batch import UNSCORED, PackedBatch, ScoredBatch
from stream_worker.core.time import HOUR_MS

TIME = pa.timestamp("ms", tz="UTC")


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


SCHEMA = pa.schema(
    [
        _required("topic", pa.string()),
        _required("partition", pa.int32()),
        _required("offset", pa.int64()),
        _required("record_time", TIME),
        _required("event_time", TIME),
        _required("id", pa.string()),
        _required("brand", pa.string()),
        _required("network", pa.string()),
        pa.field("author", pa.string()),
        _required("text", pa.string()),
        pa.field("url", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("reach", pa.int64()),
        pa.field("reply_to", pa.string()),
        pa.field("extra", pa.string()),
        _required("duplicate", pa.bool_()),
        _required("repeat", pa.bool_()),
        _required("voice", pa.bool_()),
        _required("late", pa.bool_()),
        _required("label", pa.int8()),
        pa.field("p_neg", pa.float32()),
        pa.field("p_neu", pa.float32()),
        pa.field("p_pos", pa.float32()),
        pa.field("sentiment_micro", pa.int32()),
        _required("model", pa.string()),
        _required("schema", pa.int16()),
    ]
)
"""Rows, schema 1."""

_DICTIONARY = ["brand", "network", "topic", "lang", "model"]
_STATISTICS = ["offset", "event_time", "brand"]


def tables_by_hour(
    topic: str, partition: int, parts: Sequence[ScoredBatch[PackedBatch]]
) -> Iterator[tuple[int, pa.Table]]:
    """Yield (start of the event hour in ms, its rows in the order of offsets), oldest hour first."""
    parts = [part for part in parts if len(part.columns)]
    if not parts:
        return
    table = pa.Table.from_arrays(_arrays(topic, partition, parts), schema=SCHEMA)
    offsets = np.concatenate([part.columns.offsets for part in parts])
    hours = np.concatenate([part.columns.event_times_ms for part in parts]) // HOUR_MS
    order = np.lexsort((offsets, hours))
    if not np.array_equal(order, np.arange(len(order))):
        table, hours = table.take(pa.array(order)), hours[order]
    cuts = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(hours)]
    for start, stop in pairwise(cuts):
        yield int(hours[start]) * HOUR_MS, table.slice(start, stop - start)


def models_of(table: pa.Table) -> str:
    """The models that scored the rows, sorted, with commas."""
    return ",".join(sorted(pc.unique(table["model"]).to_pylist()))


def encode(table: pa.Table) -> bytes:
    """Encode the rows of one object."""
    out = pa.BufferOutputStream()
    pq.write_table(
        table,
        out,
        compression="zstd",
        compression_level=1,
        use_dictionary=_DICTIONARY,
        write_statistics=_STATISTICS,
        write_page_checksum=True,
        store_schema=False,  # the Parquet types say all of it, and 2 kB a file are saved
    )
    return bytes(out.getvalue())


def describe(body: bytes) -> tuple[int, str]:
    """Rows and models of an encoded object, from itself; all pages are read and their checksums compared.

    Raises ArrowException or OSError when it is damaged, and ValueError when it is not an object of rows.
    """
    with pq.ParquetFile(pa.BufferReader(body), page_checksum_verification=True) as file:
        if not file.schema_arrow.equals(SCHEMA):
            raise ValueError("it does not hold rows of schema 1")
        table = file.read()
    return table.num_rows, models_of(table)


def _arrays(topic: str, partition: int, parts: Sequence[ScoredBatch[PackedBatch]]) -> list[pa.Array]:
    """Columns of all parts in the order of SCHEMA."""
    columns = [part.columns for part in parts]
    flags = [part.flags for part in parts]
    n = sum(map(len, columns))
    label = np.concatenate([part.scores.label for part in parts])
    probability = np.concatenate([part.scores.probability for part in parts]).astype(np.float32, copy=False)
    micro = np.concatenate([part.scores.sentiment_micro for part in parts])
    unscored = (label == UNSCORED) | np.isnan(probability).any(axis=1)
    models = [pa.repeat(pa.scalar(part.model, pa.string()), len(part.columns)) for part in parts]
    return [
        pa.repeat(pa.scalar(topic, pa.string()), n),
        pa.repeat(pa.scalar(partition, pa.int32()), n),
        pa.array(np.concatenate([c.offsets for c in columns]), pa.int64()),
        pa.array(np.concatenate([c.record_times_ms for c in columns]), pa.int64()).cast(TIME),
        pa.array(np.concatenate([c.event_times_ms for c in columns]), pa.int64()).cast(TIME),
        _strings([c.ids for c in columns]),
        _strings([c.brands for c in columns]),
        _strings([c.networks for c in columns]),
        _strings([c.authors for c in columns]),
        _strings([c.texts for c in columns]),
        _strings([c.urls for c in columns]),
        _strings([c.langs for c in columns]),
        pa.concat_arrays([pa.array(c.reaches, pa.int64()) for c in columns]),
        _strings([c.reply_tos for c in columns]),
        _strings([c.extras for c in columns]),
        pa.array(np.concatenate([f.duplicate for f in flags])),
        pa.array(np.concatenate([f.copy for f in flags])),
        pa.array(np.concatenate([f.voice for f in flags])),
        pa.array(np.concatenate([f.late for f in flags])),
        pa.array(label, pa.int8()),
        *(_nullable(probability[:, k], unscored, pa.float32()) for k in range(3)),
        _nullable(micro, unscored, pa.int32()),
        pa.concat_arrays(models),
        pa.repeat(pa.scalar(ROW_SCHEMA_VERSION, pa.int16()), n),
    ]


def _strings(columns: Sequence[Sequence[str | None]]) -> pa.Array:
    return pa.concat_arrays([pa.array(values, pa.string()) for values in columns])  # packed: taken as it is


def _nullable(values: npt.NDArray[np.generic], null: npt.NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    return pa.array(np.ascontiguousarray(values), kind, mask=null)

"""Rows of an object of the archive, as the audit looks at them: in batches, only the columns it needs.

Rules:
1. What makes an object useless is raised as ValueError with the reason; nothing is guessed from the rest.
2. Coordinates are unique: each offset of a plan log is a bit, set by the first row that has it.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stream_worker.core.reconcile.cells import Names, RecountRows, row_sums
from stream_worker.core.records.batch import Bool, Int64
from stream_worker.core.time import HOUR_MS, MINUTE_MS

BATCH_ROWS: Final = 65_536
COLUMNS: Final = (
    "topic",
    "partition",
    "offset",
    "record_time",
    "event_time",
    "brand",
    "network",
    "duplicate",
    "repeat",
    "voice",
    "late",
    "label",
    "sentiment_micro",
    "model",
)


class RowBatch(NamedTuple):
    """Some rows; n each. `rows` are to be recounted once the duplicates are left out."""

    rows: RecountRows
    duplicate: Bool
    record_times_ms: Int64
    event_times_ms: Int64
    topics: list[str]
    partitions: list[int]
    models: list[str]
    model_codes: Int64  # of each row, into `models`


def read_batches(body: bytes, schema: pa.Schema, networks: Names, brands: Names) -> Iterator[RowBatch]:
    """Yield the rows of an encoded object. Raises ValueError when it is not one of schema 1, or damaged."""
    try:
        with pq.ParquetFile(
            pa.BufferReader(body),
            page_checksum_verification=True,
            read_dictionary=["brand", "network", "model"],
        ) as file:
            found = file.schema_arrow
            if [*found.names] != [*schema.names]:
                raise ValueError("its columns are not those of schema 1")
            for batch in file.iter_batches(BATCH_ROWS, columns=list(COLUMNS)):
                yield _batch(batch, networks, brands)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"it is damaged: {str(error).splitlines()[0]}") from error


def _batch(batch: pa.RecordBatch, networks: Names, brands: Names) -> RowBatch:
    event_ms, label = _times(batch, "event_time"), _integers(batch, "label")
    flags = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in _FLAGS}
    sentiment = (
        pc.fill_null(batch.column("sentiment_micro"), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    rows = RecountRows(
        offsets=_integers(batch, "offset"),
        minutes=event_ms % HOUR_MS // MINUTE_MS,
        networks=_codes(batch.column("network"), networks),
        brands=_codes(batch.column("brand"), brands),
        late=flags["late"],
        sums=row_sums(label, sentiment, flags["repeat"], flags["voice"]),
    )
    models = batch.column("model")
    models = models if pa.types.is_dictionary(models.type) else models.dictionary_encode()
    return RowBatch(
        rows=rows,
        duplicate=flags["duplicate"],
        record_times_ms=_times(batch, "record_time"),
        event_times_ms=event_ms,
        topics=pc.unique(batch.column("topic")).to_pylist(),
        partitions=pc.unique(batch.column("partition")).to_pylist(),
        models=models.dictionary.to_pylist(),
        model_codes=models.indices.to_numpy(zero_copy_only=False).astype(np.int64),
    )


_FLAGS: Final = ("duplicate", "repeat", "voice", "late")


def _integers(batch: pa.RecordBatch, name: str) -> Int64:
    found: Int64 = batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _times(batch: pa.RecordBatch, name: str) -> Int64:
    found: Int64 = batch.column(name).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found


def _codes(column: pa.Array, names: Names) -> Int64:
    """Codes of a column of names; those that Redis has not admitted are 0."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    codes = names.codes(encoded.dictionary.to_pylist())
    found: Int64 = codes[encoded.indices.to_numpy(zero_copy_only=False)]
    return found


class OffsetBitmap:
    """The offsets `[start, end)` of a plan log that a row was found for: one bit each."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self._bits = np.zeros((max(0, end - start) + 7) // 8, np.uint8)

    def add(self, offsets: Int64) -> Int64:
        """Take in offsets of the range; return those that were there before, or twice."""
        at = offsets - self.start
        again = self.has(offsets)
        if len(at) > 1:
            order = np.sort(at)
            again = again | np.isin(at, order[1:][order[1:] == order[:-1]])
        np.bitwise_or.at(self._bits, at >> 3, np.left_shift(1, at & 7).astype(np.uint8))
        return offsets[again]

    def has(self, offsets: Int64) -> Bool:
        """Which offsets of the range have a row."""
        at = offsets - self.start
        found: Bool = (self._bits[at >> 3] >> (at & 7).astype(np.uint8)) & 1 == 1
        return found

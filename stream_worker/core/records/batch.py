"""A micro-batch as columns: a struct of arrays, never a list of objects.

Rules:
1. All columns of a batch have one length and one order: rising offsets, one partition.
2. Only mentions are here. A rejected record is a `Rejected`, kept with its bytes for its dead letter.
3. The flags (duplicate, copy, voice, late) and `watermark_before_ms` are pure functions of the log
   (docs/design.md#verdicts); the score columns are a pure function of text and model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Int8 = npt.NDArray[np.int8]
Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]

NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, UNSCORED = range(5)
"""Values of `label`. Neither uncertain nor unscored is ever "neutral"."""


class Records(NamedTuple):
    """Raw records of one partition in the order of the log."""

    offsets: Sequence[int]
    record_times_ms: Sequence[int]
    values: Sequence[bytes | None]


def slice_records(records: Records, low: int, high: int) -> Records:
    """Return the records [low, high) of a batch."""
    return Records(records.offsets[low:high], records.record_times_ms[low:high], records.values[low:high])


class Rejected(NamedTuple):
    """A record that cannot be used: where it is, why, and its unchanged bytes."""

    offset: int
    record_time_ms: int
    value: bytes | None
    reason: str
    field: str
    error: str


@dataclass(slots=True, eq=False)
class MentionBatch:
    """The mentions of one micro-batch, decoded; n rows."""

    offsets: Int64
    record_times_ms: Int64
    event_times_ms: Int64
    ids: list[str]
    brands: list[str]
    networks: list[str]
    authors: list[str | None]
    texts: list[str]
    urls: list[str | None]
    langs: list[str | None]
    reaches: list[int | None]
    reply_tos: list[str | None]
    extras: list[str | None]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True, eq=False)
class PackedBatch:
    """The same rows on their way to the archive, n each: Arrow arrays of strings, and `reaches` of int64."""

    offsets: Int64
    record_times_ms: Int64
    event_times_ms: Int64
    ids: pa.Array
    brands: pa.Array
    networks: pa.Array
    authors: pa.Array
    texts: pa.Array
    urls: pa.Array
    langs: pa.Array
    reaches: pa.Array
    reply_tos: pa.Array
    extras: pa.Array

    def __len__(self) -> int:
        return len(self.ids)


def pack(batch: MentionBatch) -> PackedBatch:
    """Return the same rows as Arrow arrays: well under half the memory of lists of strings."""
    return PackedBatch(
        batch.offsets,
        batch.record_times_ms,
        batch.event_times_ms,
        ids=_strings(batch.ids),
        brands=_strings(batch.brands),
        networks=_strings(batch.networks),
        authors=_strings(batch.authors),
        texts=_strings(batch.texts),
        urls=_strings(batch.urls),
        langs=_strings(batch.langs),
        reaches=pa.array(batch.reaches, pa.int64()),
        reply_tos=_strings(batch.reply_tos),
        extras=_strings(batch.extras),
    )


def _strings(values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


Batch = TypeVar("Batch", MentionBatch, PackedBatch)


def slice_batch(batch: Batch, low: int, high: int) -> Batch:
    """Return the rows [low, high) of a batch; numpy and Arrow arrays are views."""
    rows = slice(low, high)
    return type(batch)(*(getattr(batch, field.name)[rows] for field in fields(batch)))


@dataclass(slots=True, eq=False)
class Flags:
    """What the log before each row says about it; n rows each."""

    duplicate: Bool
    copy: Bool
    voice: Bool
    late: Bool
    watermark_before_ms: Int64


@dataclass(slots=True, eq=False)
class ScoreColumns:
    """What the model says; n rows each. `probability` is (n, 3), in label order; NaN where unscored."""

    label: Int8
    probability: Float32
    sentiment_micro: Int32


@dataclass(slots=True, eq=False)
class ScoredBatch(Generic[Batch]):
    """Mentions with all that is known of each: n rows in every part, scored by `model`."""

    columns: Batch
    flags: Flags
    scores: ScoreColumns
    model: str

    def __len__(self) -> int:
        return len(self.columns)


def slice_scored(batch: ScoredBatch[Batch], low: int, high: int) -> ScoredBatch[Batch]:
    """Return the rows [low, high) of a scored batch."""
    if low == 0 and high == len(batch):
        return batch
    rows, flags, scores = slice(low, high), batch.flags, batch.scores
    return ScoredBatch(
        columns=slice_batch(batch.columns, low, high),
        flags=Flags(
            duplicate=flags.duplicate[rows],
            copy=flags.copy[rows],
            voice=flags.voice[rows],
            late=flags.late[rows],
            watermark_before_ms=flags.watermark_before_ms[rows],
        ),
        scores=ScoreColumns(scores.label[rows], scores.probability[rows], scores.sentiment_micro[rows]),
        model=batch.model,
    )


def scored_from(batch: ScoredBatch[Batch], offset: int) -> ScoredBatch[Batch]:
    """Return the rows at or after `offset`."""
    return slice_scored(batch, int(np.searchsorted(batch.columns.offsets, offset)), len(batch))

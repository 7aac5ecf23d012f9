"""A micro-batch as columns: a struct of arrays, never a list of objects.

Rules:
1. All arrays of one `MentionBatch` have one length and one order: rising offsets, one partition.
2. Only mentions are here. A rejected record is a `Rejected`, kept with its bytes for its dead letter.
3. The flags (duplicate, repeat, voice, late) and `watermark_before_ms` are pure functions of the log
   (docs/design.md#verdicts); the score columns are a pure function of text and model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

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
    """The mentions of one micro-batch; n rows. On its way to the archive: Arrow arrays, not lists."""

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

"""The chunk buffer: rows and rejected records of one partition on their way into chunks of the archive.

Rules:
1. What is buffered is one range of offsets `[start, position)` without a hole that we know of.
2. A chunk ends where a limit says, and only a plan fixes it: a clock may propose an end, never decide one.
3. A chunk spans at most `span_max` offsets and 64 event hours: it ends before the row that would exceed them.
4. Rows wait as Arrow arrays: well under half the memory of Python strings, and what Parquet is made of.
"""

from dataclasses import dataclass

import numpy as np

from stream_worker.core.archive.layout import Outcomes
from stream_worker.core.records.batch import (
    MentionBatch,
    PackedBatch,
    Rejected,
    ScoredBatch,
    pack,
    slice_scored,
)
from stream_worker.core.time import HOUR_MS

HOURS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RollLimits:
    """When a chunk is long enough."""

    rows_max: int = 50_000
    bytes_max: int = 16 * 1024 * 1024  # of record values
    seconds_max: float = 60.0
    span_max: int = 100_000


@dataclass(slots=True)
class Chunk:
    """The content of one planned range: its rows, its dead letters, and where its offsets went."""

    batches: list[ScoredBatch[PackedBatch]]
    rejected: list[Rejected]
    outcomes: Outcomes
    late: int


class ChunkBuffer:
    """Rows and rejected records of `[start, position)`."""

    def __init__(self, start: int, watermark_ms: int) -> None:
        self.start = self.position = start
        self.watermark_ms = watermark_ms  # at `position`
        self.rows = self.bytes = 0
        self._batches: list[ScoredBatch[PackedBatch]] = []
        self._rejected: list[Rejected] = []
        self._since_s: float | None = None
        self._hours: set[int] = set()
        self._hours_end: int | None = None

    def add(
        self,
        batch: ScoredBatch[MentionBatch],
        rejected: list[Rejected],
        *,
        position: int,
        watermark_ms: int,
        value_bytes: int,
        now_s: float,
    ) -> None:
        """Take the rows and rejected records up to `position`, where the watermark is `watermark_ms`."""
        if len(batch):
            packed = ScoredBatch(pack(batch.columns), batch.flags, batch.scores, batch.model)
            self._batches.append(packed)
            self.rows += len(packed)
            self._note_hours(packed)
        self._rejected += rejected
        self.position, self.watermark_ms = position, watermark_ms
        self.bytes += value_bytes
        if self._since_s is None:
            self._since_s = now_s

    def roll(self, limits: RollLimits, now_s: float, *, flush: bool = False) -> int | None:
        """Return the end that a chunk from `start` should have now, or None while it may still grow."""
        if self.position == self.start:
            return None
        end = self.position
        if end - self.start >= limits.span_max:
            end = self.start + limits.span_max
        if self._hours_end is not None:
            end = min(end, self._hours_end)
        due = (
            flush
            or end < self.position
            or end - self.start >= limits.span_max
            or self.rows >= limits.rows_max
            or self.bytes >= limits.bytes_max
            or self.age_s(now_s) >= limits.seconds_max
        )
        return end if due else None

    def age_s(self, now_s: float) -> float:
        """Seconds since the oldest record here was gathered; 0 when there is none."""
        return 0.0 if self._since_s is None else now_s - self._since_s

    def watermark_at(self, offset: int) -> int:
        """Watermark before `offset`, which lies in `[start, position]`."""
        for batch in self._batches:
            row = int(np.searchsorted(batch.columns.offsets, offset))
            if row < len(batch):
                return int(batch.flags.watermark_before_ms[row])
        return self.watermark_ms

    def take(self, end: int, *, lost: int, now_s: float) -> Chunk:
        """Take what lies before `end` out; `lost` offsets before it are no longer in the log."""
        before, after = [], []
        for batch in self._batches:
            split = int(np.searchsorted(batch.columns.offsets, end))
            if split:
                before.append(slice_scored(batch, 0, split))
            if split < len(batch):
                after.append(slice_scored(batch, split, len(batch)))
        rejected = [record for record in self._rejected if record.offset < end]
        self._rejected = [record for record in self._rejected if record.offset >= end]
        rows = sum(map(len, before))
        duplicates = sum(int(np.count_nonzero(batch.flags.duplicate)) for batch in before)
        chunk = Chunk(
            batches=before,
            rejected=rejected,
            outcomes=Outcomes(
                counted=rows - duplicates,
                duplicate=duplicates,
                rejected=len(rejected),
                absent=end - self.start - rows - len(rejected) - lost,
                lost=lost,
            ),
            late=sum(int(np.count_nonzero(batch.flags.late)) for batch in before),
        )
        share = rows / self.rows if self.rows else 1.0
        self.rows -= rows
        self.bytes -= round(self.bytes * share)  # an estimate is enough: it only proposes ends
        self.start = end
        self._since_s = now_s if self.position > end else None
        self._batches, self._hours, self._hours_end = [], set(), None
        for batch in after:
            self._batches.append(batch)
            self._note_hours(batch)
        return chunk

    def _note_hours(self, batch: ScoredBatch[PackedBatch]) -> None:
        """Find the first row that would exceed the hours of a chunk, if it is in this batch."""
        if self._hours_end is not None:
            return
        row_hours = batch.columns.event_times_ms // HOUR_MS
        self._hours |= set(np.unique(row_hours).tolist())
        if len(self._hours) <= HOURS_MAX:
            return
        hours = set().union(
            *(set((b.columns.event_times_ms // HOUR_MS).tolist()) for b in self._batches[:-1])
        )
        for offset, hour in zip(batch.columns.offsets.tolist(), row_hours.tolist(), strict=True):
            hours.add(hour)
            if len(hours) > HOURS_MAX:
                self._hours_end = offset
                return

"""Gathering: rows and rejected records of one partition on their way into chunks of the archive.

Rules:
1. What is gathered is one range of offsets `[start, position)` without a hole that we know of.
2. A chunk ends where a limit says, and only a plan fixes it: a clock may propose an end, never decide one.
3. A chunk spans at most `span_max` offsets and 64 event hours: it is cut before the row that would exceed.
4. Rows wait as Arrow arrays: well under half the memory of Python strings, and what Parquet is made of.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from stream_worker.core.archive.layout import Outcomes
from stream_worker.core.partition.effects import ScoredBatch
from stream_worker.core.records.batch import Flags, MentionBatch, Rejected, ScoreColumns
from stream_worker.core.time import HOUR_MS

HOURS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RollLimits:
    """When a chunk is cut."""

    rows_max: int = 50_000
    bytes_max: int = 16 * 1024 * 1024  # of record values
    seconds_max: float = 60.0
    span_max: int = 100_000


@dataclass(slots=True)
class Chunk:
    """The content of one planned range: its rows, its letters, and where its offsets went."""

    parts: list[ScoredBatch]
    rejected: list[Rejected]
    outcomes: Outcomes
    late: int


class ChunkBuffer:
    """Rows and rejected records of `[start, position)`."""

    def __init__(self, start: int, watermark_ms: int) -> None:
        self.start = self.position = start
        self.watermark_ms = watermark_ms  # at `position`
        self.rows = self.bytes = 0
        self._parts: list[ScoredBatch] = []
        self._rejected: list[Rejected] = []
        self._since_s: float | None = None
        self._hours: set[int] = set()
        self._hours_end: int | None = None

    def add(
        self,
        part: ScoredBatch,
        rejected: list[Rejected],
        *,
        position: int,
        watermark_ms: int,
        value_bytes: int,
        now_s: float,
    ) -> None:
        """Take the rows and letters up to `position`, where the watermark is `watermark_ms`."""
        if len(part.columns):
            self._parts.append(replace(part, columns=pack(part.columns)))
            self.rows += len(part.columns)
            self._note_hours(part)
        self._rejected += rejected
        self.position, self.watermark_ms = position, watermark_ms
        self.bytes += value_bytes
        if self._since_s is None:
            self._since_s = now_s

    def cut(self, limits: RollLimits, now_s: float, *, flush: bool = False) -> int | None:
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
        for part in self._parts:
            row = int(np.searchsorted(part.columns.offsets, offset))
            if row < len(part.columns):
                return int(part.flags.watermark_before_ms[row])
        return self.watermark_ms

    def take(self, end: int, *, lost: int, now_s: float) -> Chunk:
        """Take what lies before `end` out; `lost` offsets before it are no longer in the log."""
        before, after = [], []
        for part in self._parts:
            cut = int(np.searchsorted(part.columns.offsets, end))
            if cut:
                before.append(_slice(part, 0, cut))
            if cut < len(part.columns):
                after.append(_slice(part, cut, len(part.columns)))
        letters = [letter for letter in self._rejected if letter.offset < end]
        self._rejected = [letter for letter in self._rejected if letter.offset >= end]
        self._parts = after
        rows = sum(len(part.columns) for part in before)
        duplicates = sum(int(np.count_nonzero(part.flags.duplicate)) for part in before)
        chunk = Chunk(
            parts=before,
            rejected=letters,
            outcomes=Outcomes(
                counted=rows - duplicates,
                duplicate=duplicates,
                rejected=len(letters),
                absent=end - self.start - rows - len(letters) - lost,
                lost=lost,
            ),
            late=sum(int(np.count_nonzero(part.flags.late)) for part in before),
        )
        share = rows / self.rows if self.rows else 1.0
        self.rows -= rows
        self.bytes -= round(self.bytes * share)  # an estimate is enough: it only proposes ends
        self.start = end
        self._since_s = now_s if self.position > end else None
        parts, self._parts, self._hours, self._hours_end = self._parts, [], set(), None
        for part in parts:
            self._parts.append(part)
            self._note_hours(part)
        return chunk

    def _note_hours(self, part: ScoredBatch) -> None:
        """Find the first row that would exceed the hours of a chunk, if it is in this part."""
        if self._hours_end is not None:
            return
        row_hours = part.columns.event_times_ms // HOUR_MS
        self._hours |= set(np.unique(row_hours).tolist())
        if len(self._hours) <= HOURS_MAX:
            return
        hours = set().union(*(set((p.columns.event_times_ms // HOUR_MS).tolist()) for p in self._parts[:-1]))
        for offset, hour in zip(part.columns.offsets.tolist(), row_hours.tolist(), strict=True):
            hours.add(hour)
            if len(hours) > HOURS_MAX:
                self._hours_end = offset
                return


def _slice(part: ScoredBatch, low: int, high: int) -> ScoredBatch:
    if low == 0 and high == len(part.columns):
        return part
    at, flags, scores = slice(low, high), part.flags, part.scores
    return ScoredBatch(
        columns=_each(part.columns, lambda _, values: values[at]),
        flags=Flags(
            flags.duplicate[at],
            flags.copy[at],
            flags.voice[at],
            flags.late[at],
            flags.watermark_before_ms[at],
        ),
        scores=ScoreColumns(scores.label[at], scores.probability[at], scores.sentiment_micro[at]),
        model=part.model,
    )


def part_from(part: ScoredBatch, offset: int) -> ScoredBatch:
    """Return the rows at or after `offset`."""
    return _slice(part, int(np.searchsorted(part.columns.offsets, offset)), len(part.columns))


def pack(columns: MentionBatch) -> MentionBatch:
    """Return the same rows with Arrow arrays instead of lists."""

    def packed(name: str, values: Any) -> Any:
        if isinstance(values, np.ndarray):
            return values
        return pa.array(values, pa.int64() if name == "reaches" else pa.string())

    return _each(columns, packed)


def _each(columns: MentionBatch, change: Callable[[str, Any], Any]) -> MentionBatch:
    return MentionBatch(*(change(field.name, getattr(columns, field.name)) for field in fields(MentionBatch)))

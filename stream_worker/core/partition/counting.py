"""Counting: the part of a partition's step machine that adds to Redis (docs/design.md#step).

Rules:
1. One batch at a time. It is cut at offsets into calls of at most 5,000 increments; each is applied if the
   stored cursor is the expected one, and changes nothing otherwise.
2. The stored cursor is the truth: ahead of us, somebody applied it (a zombie, or our own lost try); behind
   us, Redis went back in time; absent, Redis was lost.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np

from stream_worker.core.aggregates.aggregate import INCREMENTS_MAX, fold, increments
from stream_worker.core.partition.effects import Apply
from stream_worker.core.partition.inputs import Applied, Cursor
from stream_worker.core.records.batch import MentionBatch, ScoredBatch


class CursorState(Enum):
    """What a reply of the apply script says of the cursor in Redis."""

    KNOWN = "known"  # ours, or ahead of us: somebody applied the batch
    WENT_BACK = "went back"
    LOST = "lost"


@dataclass(slots=True, eq=False)
class PendingBatch:
    """A micro-batch on its way to Redis: its rows, and position and watermark behind its last record."""

    scored: ScoredBatch[MentionBatch]
    position: int
    watermark_ms: int


class Counting:
    """The cursor of one partition in Redis, as far as it is known, and the batch on its way."""

    def __init__(self, partition: int, increments_max: int = INCREMENTS_MAX) -> None:
        self._partition = partition
        self._increments_max = increments_max
        self.cursor = Cursor(0, 0)
        self.log_end = 0
        self._batch: PendingBatch | None = None
        self._requested: deque[Apply] = deque()

    def begin(self, cursor: Cursor) -> None:
        """Stand at `cursor` with nothing on its way; replies to earlier calls are void from here on."""
        self.cursor, self._batch = cursor, None
        self._requested.clear()

    @property
    def counted(self) -> int:
        """The next offset that Redis will accept."""
        return self.cursor.next

    @property
    def waits(self) -> bool:
        """Whether a reply is awaited."""
        return bool(self._requested)

    def add(self, batch: PendingBatch) -> list[Apply]:
        """Fold what is not yet counted of a batch."""
        assert self._batch is None, "one batch at a time"
        if batch.position <= self.counted:
            return []
        self._batch = batch
        return self._request()

    def report(self, watermark_ms: int, *, paused: bool, proof_t0_ms: int | None) -> list[Apply]:
        """Say that the partition lives: the same cursor again, perhaps with a proof of idleness."""
        call = Apply(
            self._partition, self.counted, self.counted, watermark_ms, self.log_end, None, paused, proof_t0_ms
        )
        self._requested.append(call)
        return [call]

    def applied(self, reply: Applied) -> tuple[CursorState, list[Apply]]:
        """Take the reply to the oldest call; return what it says of Redis, and the calls that follow."""
        if not self._requested:
            return CursorState.KNOWN, []  # void: we began anew since the call
        self._requested.popleft()
        if reply.cursor is None:
            return CursorState.LOST, []
        if reply.cursor.next < self.counted:
            return CursorState.WENT_BACK, []
        self.cursor = reply.cursor
        if self._requested or self._batch is None:
            return CursorState.KNOWN, []
        if self.counted >= self._batch.position:
            self._batch = None
            return CursorState.KNOWN, []
        return CursorState.KNOWN, self._request()  # somebody else cut otherwise: the rest is still ours

    def _request(self) -> list[Apply]:
        assert self._batch is not None
        offsets = self._batch.scored.columns.offsets
        first = int(np.searchsorted(offsets, self.counted))
        calls = self._calls(first, len(offsets), self.counted)
        self._requested.extend(calls)
        return calls

    def _calls(self, first: int, last: int, expected: int) -> list[Apply]:
        """Fold rows [first, last) into calls that are small enough."""
        assert self._batch is not None
        scored = self._batch.scored
        delta = fold(scored.columns, scored.flags, scored.scores, scored.model, slice(first, last))
        size, rows = increments(delta), last - first
        if size > self._increments_max and rows > 1:
            calls: list[Apply] = []
            step = max(1, rows * self._increments_max // (size + size // 4))
            for low in range(first, last, step):
                calls += self._calls(low, min(low + step, last), calls[-1].next if calls else expected)
            return calls
        whole = last == len(scored)
        end = self._batch.position if whole else int(scored.columns.offsets[last])
        watermark_ms = self._batch.watermark_ms if whole else int(scored.flags.watermark_before_ms[last])
        return [Apply(self._partition, expected, end, watermark_ms, self.log_end, delta)]

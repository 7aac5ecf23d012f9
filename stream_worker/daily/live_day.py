"""What Redis held of a day while it was read, beside the rows of the archive.

Rules:
1. A minute is read from its hash while there is one, from the history of minutes for 48 h, from that of hours
   for 35 days. What Redis does not claim to hold (before complete_from, too old, not closed) is not compared.
"""

from typing import NamedTuple

import numpy as np

from stream_worker.adapters.redis.spilled_snapshot import SpilledCells, SpilledSnapshot
from stream_worker.core.archive.days import Day
from stream_worker.core.reconcile.cells import CellKind
from stream_worker.core.reconcile.redis_position import PartitionOfLog
from stream_worker.core.time import MINUTE_MS
from stream_worker.ports import SnapshotReader


class LivePart(NamedTuple):
    """One kind of cells of an hour."""

    kind: CellKind
    spilled: SpilledCells


class LiveDay:
    """What was read of Redis for a day, until `close`."""

    def __init__(self, snapshots: SnapshotReader, day: Day) -> None:
        self.day = day
        self.snapshot = SpilledSnapshot(snapshots)
        self.cursors: dict[PartitionOfLog, int] = self.snapshot.begun.partitions()
        """Of the first instant: the next offset that Redis will count, by partition."""

    def close(self) -> None:
        """Remove what was read."""
        self.snapshot.close()

    def read(self) -> None:
        """Read the day, unless Redis is empty. Raises Unavailable, Unreadable."""
        if self.cursors:
            self.snapshot.read_day(self.day.start_ms)

    @property
    def sealed_ms(self) -> int:
        """Every minute that starts before this was sealed in the first instant."""
        return self.snapshot.begun.sealed_ms

    @property
    def cursors_after(self) -> dict[PartitionOfLog, int]:
        """The cursors of the last instant."""
        return self.snapshot.position.partitions()

    def parts(self, hour_ms: int) -> list[LivePart]:
        """Load the parts of an hour: its minutes, and one kind of history."""
        if not self.cursors:
            return []
        parts = []
        for kind in CellKind:
            spilled = self.snapshot.cells(kind, hour_ms)
            if spilled is None:
                continue
            if kind == CellKind.MINUTE:  # a minute without a hash is compared by its history
                starts = range(hour_ms, hour_ms + 60 * MINUTE_MS, MINUTE_MS)
                has_hash = np.array([[start_ms in self.snapshot.models] for start_ms in starts])
                spilled = spilled._replace(held=spilled.held & has_hash)
            parts.append(LivePart(kind, spilled))
        return parts

    def why_not_held(self, minute_ms: int) -> str:
        """Why a minute that was not compared is not held."""
        begun = self.snapshot.begun
        if not self.cursors:
            return "Redis is empty"
        if minute_ms < begun.complete_from_ms:
            return "below the floor"
        if minute_ms >= min(begun.closed_ms):
            return "not closed yet"
        return "no longer kept"

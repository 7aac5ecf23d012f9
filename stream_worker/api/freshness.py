"""How far the numbers are, and whether they can be trusted: minutes, cursors, lag."""

import time
from collections.abc import Sequence
from typing import Final

from stream_worker.api.redis_reader import RedisReader
from stream_worker.api.schemas import (
    Freshness,
    MinuteCell,
    MinuteState,
    PartitionState,
    Pipeline,
    Progress,
    instant,
    instant_or_none,
)
from stream_worker.api.snapshot import MinuteTotals, PageSnapshot, PartitionCursor
from stream_worker.core.time import MINUTE_MS

CELLS: Final = 8
SILENT_MS: Final = 30_000
SLOWER_MS: Final = 5_000
"""A partition this far behind the fastest is called the slowest; less is the beat of proofs."""
COVERAGE_S: Final = 5.0


class FreshnessReader:
    """Reads how fresh the numbers are; coverage over all brands is kept for a few seconds."""

    def __init__(self, reader: RedisReader, lateness_ms: int) -> None:
        self._reader, self._lateness_ms = reader, lateness_ms
        self._coverage: float | None = None
        self._coverage_s = -COVERAGE_S

    async def freshness(self, snapshot: PageSnapshot) -> Freshness:
        """Return how far the numbers are. Raises Unavailable."""
        cells: list[MinuteCell] = []
        if snapshot.newest_ms is not None:
            end_ms = snapshot.newest_ms + MINUTE_MS
            first_ms = max(0, end_ms - CELLS * MINUTE_MS)
            totals = await self._reader.minute_totals(first_ms, end_ms)
            cells = [_cell(at, totals.get(at), snapshot) for at in range(first_ms, end_ms, MINUTE_MS)]
        visible_ms = snapshot.visible_to_ms(self._lateness_ms)
        return Freshness(
            as_of=instant(snapshot.now_ms),
            final=False,
            revision=snapshot.revision,
            coverage=await self._read_coverage(snapshot),
            model=next((cell.model for cell in reversed(cells) if cell.model), None),
            newest=instant_or_none(snapshot.newest_ms),
            visible_to=instant_or_none(visible_ms),
            behind_s=None if not visible_ms else max(0.0, round((snapshot.now_ms - visible_ms) / 1000, 3)),
            sealed_to=instant_or_none(snapshot.sealed_ms),
            final_to=instant_or_none(snapshot.final_ms),
            minutes=cells,
        )

    async def pipeline(self, snapshot: PageSnapshot) -> Pipeline:
        """Return how far each partition is. Raises Unavailable."""
        freshness = await self.freshness(snapshot)
        slowest_ms = _slowest_ms(snapshot.partitions)
        partitions = [_partition(cursor, snapshot, slowest_ms) for cursor in snapshot.partitions]
        return Pipeline(
            as_of=instant(snapshot.now_ms),
            final=False,
            revision=snapshot.revision,
            coverage=freshness.coverage,
            model=freshness.model,
            log=snapshot.log,
            lag=sum(state.lag or 0 for state in partitions),
            expired=snapshot.expired,
            floor=instant_or_none(snapshot.complete_from_ms),
            brands=len(snapshot.brands),
            networks=sorted(snapshot.networks),
            freshness=freshness,
            partitions=partitions,
        )

    async def _read_coverage(self, snapshot: PageSnapshot) -> float | None:
        if time.monotonic() - self._coverage_s >= COVERAGE_S:
            received, unscored = await self._reader.received(snapshot.brands)
            self._coverage = round((received - unscored) / received, 4) if received else None
            self._coverage_s = time.monotonic()
        return self._coverage


def state_of_minute(start_ms: int, final_ms: int, snapshot: PageSnapshot, late: int) -> MinuteState:
    """Name the state of a minute: filling, provisional, final, or corrected by late mentions."""
    if start_ms < final_ms:
        return "corrected" if late else "final"
    return "filling" if start_ms + MINUTE_MS > snapshot.now_ms else "provisional"


def _cell(start_ms: int, totals: MinuteTotals | None, snapshot: PageSnapshot) -> MinuteCell:
    totals = totals or MinuteTotals(0, 0, sealed=False, complete=True, models="", sealed_at_ms=None)
    after_ms = None if totals.sealed_at_ms is None else totals.sealed_at_ms - start_ms - MINUTE_MS
    return MinuteCell(
        start=instant(start_ms),
        state=state_of_minute(start_ms, snapshot.final_ms, snapshot, totals.late),
        mentions=totals.mentions + totals.late,
        late=totals.late,
        complete=totals.complete,
        model=totals.models or None,
        final_after_s=None if after_ms is None else round(after_ms / 1000, 1),
    )


def _slowest_ms(cursors: Sequence[PartitionCursor]) -> int | None:
    """Return the watermark of the slowest partition; None where all are about as far."""
    watermarks = [cursor.effective_ms for cursor in cursors if cursor.effective_ms is not None]
    if not watermarks or max(watermarks) - min(watermarks) < SLOWER_MS:
        return None
    return min(watermarks)


def _partition(cursor: PartitionCursor, snapshot: PageSnapshot, slowest_ms: int | None) -> PartitionState:
    return PartitionState(
        partition=cursor.number,
        state=_progress(cursor, snapshot),
        next=cursor.next,
        end=cursor.end,
        lag=None if cursor.next is None or cursor.end is None else max(0, cursor.end - cursor.next),
        watermark=instant_or_none(cursor.effective_ms),
        slowest=slowest_ms is not None and cursor.effective_ms == slowest_ms,
        reported=instant_or_none(cursor.reported_ms),
        owner=cursor.owner,
    )


def _progress(cursor: PartitionCursor, snapshot: PageSnapshot) -> Progress:
    if cursor.next is None:
        return "unknown"
    if snapshot.now_ms - cursor.reported_ms > SILENT_MS:
        return "silent"
    return "reading" if cursor.effective_ms == cursor.watermark_ms else "idle"

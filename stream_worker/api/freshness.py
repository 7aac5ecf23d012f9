"""How far the numbers are, and whether they can be trusted: minutes, cursors, lag. Pure but for its reads."""

import time
from typing import Any, Final

from stream_worker.api.redis_reader import RedisReader
from stream_worker.api.schemas import (
    Freshness,
    MinuteCell,
    MinuteState,
    PartitionState,
    Pipeline,
    instant,
    instant_or_none,
)
from stream_worker.api.snapshot import MinuteTotals, PageSnapshot, PartitionCursor
from stream_worker.core.time import MINUTE_MS

CELLS: Final = 8
SILENT_MS: Final = 30_000
SLOWER_MS: Final = 5_000
"""A partition this far behind the fastest is told as the slowest; less is the beat of proofs."""
COVERAGE_S: Final = 5.0


class FreshnessReader:
    """Says how fresh the picture is; coverage over all brands is kept for a few seconds."""

    def __init__(self, reader: RedisReader, lateness_ms: int) -> None:
        self._reader, self._lateness_ms = reader, lateness_ms
        self._coverage: float | None = None
        self._covered_s = -COVERAGE_S

    async def freshness(self, look: PageSnapshot) -> Freshness:
        """Say how far the numbers are. Raises Unavailable."""
        cells: list[MinuteCell] = []
        if look.newest_ms is not None:
            first_ms, end_ms = max(0, look.newest_ms - (CELLS - 1) * MINUTE_MS), look.newest_ms + MINUTE_MS
            heads = await self._reader.heads(first_ms, end_ms)
            cells = [_cell(at, heads.get(at), look) for at in range(first_ms, end_ms, MINUTE_MS)]
        visible_ms = look.visible_to_ms(self._lateness_ms)
        return Freshness(
            as_of=instant(look.now_ms),
            final=False,
            revision=look.revision,
            coverage=await self._covered(look),
            model=next((cell.model for cell in reversed(cells) if cell.model), None),
            newest=instant_or_none(look.newest_ms),
            visible_to=instant_or_none(visible_ms),
            behind_s=None if not visible_ms else max(0.0, round((look.now_ms - visible_ms) / 1000, 3)),
            sealed_to=instant_or_none(look.sealed_ms),
            final_to=instant_or_none(look.final_ms),
            minutes=cells,
        )

    async def pipeline(self, look: PageSnapshot) -> Pipeline:
        """Say how far each partition is. Raises Unavailable."""
        fresh = await self.freshness(look)
        known = [of.effective_ms for of in look.partitions if of.effective_ms is not None]
        slowest_ms = min(known) if known and max(known) - min(known) >= SLOWER_MS else None
        partitions = [_partition(of, look, slowest_ms) for of in look.partitions]
        return Pipeline(
            **fresh_fields(look, fresh.model, fresh.coverage),
            log=look.log,
            lag=sum(of.lag or 0 for of in partitions),
            expired=look.expired,
            floor=instant_or_none(look.complete_from_ms),
            brands=len(look.brands),
            networks=sorted(look.networks),
            freshness=fresh,
            partitions=partitions,
        )

    async def _covered(self, look: PageSnapshot) -> float | None:
        if time.monotonic() - self._covered_s >= COVERAGE_S:
            received, unscored = await self._reader.received(look.brands)
            self._coverage = round((received - unscored) / received, 4) if received else None
            self._covered_s = time.monotonic()
        return self._coverage


def fresh_fields(look: PageSnapshot, model: str | None, coverage: float | None) -> dict[str, Any]:
    """Return the fields of `Answer` for numbers that go on changing."""
    return {
        "as_of": instant(look.now_ms),
        "final": False,
        "revision": look.revision,
        "coverage": coverage,
        "model": model,
    }


def state_of_minute(start_ms: int, final_ms: int, look: PageSnapshot, late: int) -> MinuteState:
    """Name the state of a minute: filling, provisional, final, or corrected by late mentions."""
    if start_ms < final_ms:
        return "corrected" if late else "final"
    return "filling" if start_ms + MINUTE_MS > look.now_ms else "provisional"


def _cell(start_ms: int, head: MinuteTotals | None, look: PageSnapshot) -> MinuteCell:
    head = head or MinuteTotals(0, 0, sealed=False, complete=True, models="", sealed_at_ms=None)
    after_ms = None if head.sealed_at_ms is None else head.sealed_at_ms - start_ms - MINUTE_MS
    return MinuteCell(
        start=instant(start_ms),
        state=state_of_minute(start_ms, look.final_ms, look, head.late),
        mentions=head.mentions + head.late,
        late=head.late,
        complete=head.complete,
        model=head.models or None,
        final_after_s=None if after_ms is None else round(after_ms / 1000, 1),
    )


def _partition(of: PartitionCursor, look: PageSnapshot, slowest_ms: int | None) -> PartitionState:
    lag = None if of.next is None or of.end is None else max(0, of.end - of.next)
    slowest = slowest_ms is not None and of.effective_ms == slowest_ms
    state = "reading"
    if of.next is None:
        state = "unknown"
    elif look.now_ms - of.reported_ms > SILENT_MS:
        state = "silent"
    elif of.effective_ms != of.watermark_ms:
        state = "idle"
    return PartitionState(
        partition=of.number,
        state=state,  # type: ignore[arg-type]
        next=of.next,
        end=of.end,
        lag=lag,
        watermark=instant_or_none(of.effective_ms),
        slowest=slowest,
        reported=instant_or_none(of.reported_ms),
        owner=of.owner,
    )

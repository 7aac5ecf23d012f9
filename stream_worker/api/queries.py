"""Queries: what was read, joined with what is usual and with how fresh it is, as answers.

At most `ROWS_MAX` brands are in one answer: the unusual ones, then the loudest.
"""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from stream_worker.api.alerts import alerts_of
from stream_worker.api.brand_rows import (
    STRIP_MINUTES,
    WindowTally,
    brand_row,
    most_unusual_first,
    number_fields,
    strip_of,
    tally_of_minutes,
    tally_of_view,
)
from stream_worker.api.freshness import FreshnessReader
from stream_worker.api.minute_series import LEAD_MS, MinuteSeries, minutes_of
from stream_worker.api.model_changes import changes_in, in_order, models_over
from stream_worker.api.redis_reader import RedisReader
from stream_worker.api.schemas import (
    Alerts,
    Brand,
    BrandDetail,
    Brands,
    Minutes,
    Network,
    Window,
    instant,
)
from stream_worker.api.snapshot import MinuteTotals, PageSnapshot
from stream_worker.api.typical_ranges import TypicalRanges
from stream_worker.core.aggregates.encoding import WINDOWS, ZEROS, Sums
from stream_worker.core.sentiment.estimate import Estimate, MeasuredModel, estimates, is_by
from stream_worker.core.sentiment.net import coverage
from stream_worker.core.time import HOUR_MS, MINUTE_MS

ROWS_MAX: Final = 200
ESTIMATES_MAX: Final = 500
"""More estimates at once would hold up the loop."""
HASHES_MS: Final = 2 * HOUR_MS
"""The hash of a minute lives so long behind its close."""


class Queries:
    """Answers from Redis. All methods raise Unavailable or Unreadable.

    `measured` is the model whose errors are known; labels of others are not corrected.
    """

    def __init__(self, reader: RedisReader, lateness_ms: int, measured: MeasuredModel | None = None) -> None:
        self.reader = reader
        self.freshness_reader = FreshnessReader(reader, lateness_ms)
        self.typical_ranges = TypicalRanges(reader, measured and measured.errors)
        self._measured = measured

    async def brands(self, window: Window, *, find: str = "", limit: int = ROWS_MAX) -> Brands:
        """Return all brands whose name contains `find`, in any case, the most unusual first."""
        snapshot = await self.reader.snapshot()
        matching = [brand for brand in snapshot.brands if find.casefold() in brand.casefold()]
        rows = await self.rows(matching, window, snapshot, limit=limit)
        freshness = await self.freshness_reader.freshness(snapshot)
        return Brands(
            as_of=instant(snapshot.now_ms),
            final=False,
            revision=snapshot.revision,
            coverage=freshness.coverage,
            model=freshness.model,
            window=window,
            total=len(snapshot.brands),
            freshness=freshness,
            brands=rows,
        )

    async def rows(
        self,
        brands: Sequence[str],
        window: Window,
        snapshot: PageSnapshot,
        *,
        limit: int = ROWS_MAX,
        strip_minutes: int = STRIP_MINUTES,
    ) -> list[Brand]:
        """Return the rows of brands in order, at most `limit`.

        Up to an hour is added up from minutes, which a worker that is busy does not refresh; a day is the
        rolling view, and a brand that has no view yet is left out of it.
        """
        if snapshot.newest_ms is None:
            return []
        by_view, end_ms = window == "24h", snapshot.newest_ms + MINUTE_MS
        unsealed_ms = max(end_ms - HOUR_MS, min(snapshot.sealed_ms, snapshot.newest_ms))
        totals = await self.reader.minute_totals(unsealed_ms, end_ms)
        models = await self._models(totals, end_ms - WINDOWS[window] * MINUTE_MS, end_ms)
        if by_view or len(brands) > limit:
            views = await self.reader.views(brands)
            viewed = {
                brand: tally for brand, view in views.items() if (tally := _tally_of_view(view, window))
            }
            rows = await self._rows(viewed, models, snapshot, window, snapshot.damaged)
            rows = most_unusual_first(rows)[:limit]
            brands = [row.brand for row in rows]
        self.typical_ranges.watch(reversed(brands))
        minutes = await self.reader.minutes(brands, end_ms - HOUR_MS, end_ms, snapshot)
        if not by_view:
            newest = totals.get(snapshot.newest_ms)
            model = newest.models or None if newest is not None else None
            tallies = {
                brand: tally_of_minutes(minutes[brand].tallies, window, snapshot, model) for brand in brands
            }
            damaged = snapshot.damaged | {brand for brand in brands if minutes[brand].damaged}
            rows = await self._rows(tallies, models, snapshot, window, damaged)
        for row in rows:
            row.last_hour = strip_of(minutes[row.brand].tallies, end_ms - strip_minutes * MINUTE_MS, end_ms)
        return most_unusual_first(rows)

    async def _rows(
        self,
        tallies: Mapping[str, WindowTally],
        models: str | None,
        snapshot: PageSnapshot,
        window: Window,
        damaged: AbstractSet[str],
    ) -> list[Brand]:
        nets = await self._estimates([tally.sums for tally in tallies.values()], models)
        return [
            brand_row(
                brand,
                tally,
                snapshot,
                window,
                self.typical_ranges.of(brand, window),
                net,
                damaged=brand in damaged,
            )
            for (brand, tally), net in zip(tallies.items(), nets, strict=True)
        ]

    async def _models(self, totals: Mapping[int, MinuteTotals], first_ms: int, end_ms: int) -> str | None:
        """Return the models that scored in [first, end), comma-separated; None if none is measured."""
        if self._measured is None:
            return None
        return models_over(in_order(await self.reader.models()), totals, first_ms, end_ms)

    async def _estimates(self, sums: Sequence[Sums], models: str | None) -> list[Estimate | None]:
        """Estimate tallies that these models scored; many in a thread, so that the loop goes on."""
        by_measured = [is_by(self._measured, models)] * len(sums)
        if len(sums) > ESTIMATES_MAX:
            return await asyncio.to_thread(estimates, sums, by_measured, self._measured)
        return estimates(sums, by_measured, self._measured)

    async def brand(self, brand: str, window: Window) -> BrandDetail | None:
        """Return one brand with its networks; None for a brand that Redis does not know."""
        snapshot = await self.reader.snapshot()
        rows = await self.rows([brand], window, snapshot) if brand in snapshot.brands else []
        if not rows or snapshot.newest_ms is None:
            return None
        row, end_ms = rows[0], snapshot.newest_ms + MINUTE_MS
        first_ms = end_ms - WINDOWS[window] * MINUTE_MS
        networks = share = None
        if end_ms - first_ms <= HOUR_MS:
            totals = await self.reader.minute_totals(first_ms, end_ms)
            networks = await self._networks(brand, first_ms, end_ms, totals, snapshot)
            total = sum(minute.mentions + minute.late for minute in totals.values())
            share = round(min(1.0, row.mentions / total), 4) if total else None
        return BrandDetail(
            as_of=instant(snapshot.now_ms),
            final=False,
            revision=snapshot.revision,
            coverage=row.coverage,
            model=row.model,
            brand=row,
            share_of_all=share,
            networks=networks,
            freshness=await self.freshness_reader.freshness(snapshot),
        )

    async def _networks(
        self,
        brand: str,
        first_ms: int,
        end_ms: int,
        totals: Mapping[int, MinuteTotals],
        snapshot: PageSnapshot,
    ) -> list[Network]:
        """Return the networks that mention a brand in [first, end), the loudest first."""
        by_network = await self.reader.networks(brand, first_ms, end_ms, snapshot)
        loudest_first = sorted(by_network.items(), key=lambda item: (-item[1][0], item[0]))
        models = await self._models(totals, first_ms, end_ms)
        nets = await self._estimates([sums for _, sums in loudest_first], models)
        return [
            Network(network=network, **number_fields(sums, net))
            for (network, sums), net in zip(loudest_first, nets, strict=True)
            if sums[0]
        ]

    async def minutes(self, brand: str, span: str, span_minutes: int) -> Minutes | None:
        """Return a brand minute by minute, up to the newest one; None for a brand Redis does not know."""
        snapshot = await self.reader.snapshot()
        if brand not in snapshot.brands:
            return None
        end_ms = (snapshot.newest_ms or 0) + MINUTE_MS
        first_ms = max(0, end_ms - span_minutes * MINUTE_MS)
        final_ms = snapshot.final_of(brand)
        series = await self._series(brand, max(0, first_ms - LEAD_MS), end_ms, snapshot)
        minutes = await asyncio.to_thread(
            minutes_of, series, first_ms, end_ms, final_ms, snapshot, self._measured
        )
        inside = [sums for start, sums in series.tallies.items() if start >= first_ms]
        total = [sum(column) for column in zip(*inside, strict=True)] or ZEROS
        return Minutes(
            as_of=instant(snapshot.now_ms),
            final=final_ms >= end_ms,
            revision=snapshot.revision,
            coverage=coverage(total),
            model=next((minute.model for minute in reversed(minutes) if minute.model), None),
            brand=brand,
            span=span,
            since=instant(first_ms),
            until=instant(end_ms),
            final_to=instant(max(0, final_ms)),
            models=changes_in(series.changes, first_ms, end_ms),
            minutes=minutes,
        )

    async def _series(self, brand: str, from_ms: int, end_ms: int, snapshot: PageSnapshot) -> MinuteSeries:
        tallies = await self.reader.minutes([brand], from_ms, end_ms, snapshot)
        totals = await self.reader.minute_totals(max(from_ms, snapshot.final_ms - HASHES_MS, 0), end_ms)
        late = await self.reader.late_of(brand, list(totals), snapshot)
        return MinuteSeries(tallies[brand].tallies, totals, late, in_order(await self.reader.models()))

    async def alerts(self) -> Alerts:
        """Return all alerts that Redis remembers."""
        snapshot = await self.reader.snapshot()
        alerts = alerts_of(await self.reader.messages(), snapshot)
        return Alerts(
            as_of=instant(snapshot.now_ms),
            final=False,
            revision=snapshot.revision,
            coverage=None,
            model=None,
            open=sum(1 for alert in alerts if alert.ended is None),
            alerts=alerts,
        )


def _tally_of_view(view: Mapping[str, str], window: Window) -> WindowTally | None:
    """Read a window from the rolling view; None when it cannot be read: the next refresh writes it anew."""
    try:
        return tally_of_view(view, window)
    except (ValueError, KeyError):
        return None

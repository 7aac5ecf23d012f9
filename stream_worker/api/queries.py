"""Brands as they are answered: what was read, joined with what is usual, and how fresh it is.

At most `ROWS_MAX` brands are shown in one answer: the unusual ones, then the loudest.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stream_worker.api.alerts import alerts_of
from stream_worker.api.brand_rows import (
    STRIP_MINUTES,
    Tally,
    brand_row,
    most_unusual_first,
    numbers_of,
    of_minutes,
    of_view,
    strip_of,
)
from stream_worker.api.freshness import FreshnessReader, fresh_fields
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
from stream_worker.errors import Unreadable

ROWS_MAX: Final = 200
ESTIMATES_MAX: Final = 500
"""More estimates at once would hold up the loop."""
HASHES_MS: Final = 2 * HOUR_MS
"""The hash of a minute lives so long behind its close."""


class Queries:
    """Answers from Redis. All methods raise Unavailable or Unreadable."""

    def __init__(self, reader: RedisReader, lateness_ms: int, known: MeasuredModel | None = None) -> None:
        self.reader = reader
        self.fresh = FreshnessReader(reader, lateness_ms)
        self.usuals = TypicalRanges(reader, known and known.errors)
        self._known = known

    async def brands(self, window: Window, *, find: str = "", limit: int = ROWS_MAX) -> Brands:
        """Answer all brands whose name has `find` in it, the most unusual first."""
        look = await self.reader.look()
        wanted = [brand for brand in look.brands if find.casefold() in brand.casefold()]
        rows = await self.rows(wanted, window, look, limit=limit)
        fresh = await self.fresh.freshness(look)
        return Brands(
            **fresh_fields(look, fresh.model, fresh.coverage),
            window=window,
            total=len(look.brands),
            freshness=fresh,
            brands=rows,
        )

    async def rows(
        self,
        brands: Sequence[str],
        window: Window,
        look: PageSnapshot,
        *,
        limit: int = ROWS_MAX,
        strip_minutes: int = STRIP_MINUTES,
    ) -> list[Brand]:
        """Return the rows of brands in order, at most `limit`.

        Up to an hour is added up from minutes, which a worker that is busy does not redraw; a day is the
        rolling view, and one that was never drawn is left out of it.
        """
        if look.newest_ms is None:
            return []
        by_view, end_ms = window == "24h", look.newest_ms + MINUTE_MS
        unsealed_ms = max(end_ms - HOUR_MS, min(look.sealed_ms, look.newest_ms))
        heads = await self.reader.heads(unsealed_ms, end_ms)
        models = await self._models(heads, end_ms - WINDOWS[window] * MINUTE_MS, end_ms)
        if by_view or len(brands) > limit:
            views = await self.reader.views(brands)
            viewed = {brand: self._viewed(view, window) for brand, view in views.items()}
            rows = most_unusual_first(await self._rows(viewed, models, look, window))[:limit]
            brands = [row.brand for row in rows]
        self.usuals.ask(reversed(brands))
        minutes = await self.reader.minutes(brands, end_ms - HOUR_MS, end_ms, look)
        if not by_view:
            model = heads[look.newest_ms].models or None if look.newest_ms in heads else None
            tallies = {brand: of_minutes(minutes[brand], window, look, model) for brand in brands}
            rows = await self._rows(tallies, models, look, window)
        for row in rows:
            row.last_hour = strip_of(minutes[row.brand], end_ms - strip_minutes * MINUTE_MS, end_ms)
        return most_unusual_first(rows)

    async def _rows(
        self, tallies: Mapping[str, Tally], models: str | None, look: PageSnapshot, window: Window
    ) -> list[Brand]:
        found = await self._estimates([tally.sums for tally in tallies.values()], models)
        return [
            brand_row(brand, tally, look, window, self.usuals.of(brand, window), estimate)
            for (brand, tally), estimate in zip(tallies.items(), found, strict=True)
        ]

    async def _models(self, heads: Mapping[int, MinuteTotals], first_ms: int, end_ms: int) -> str | None:
        """Return who scored in [first, end), several with commas; not asked where it changes nothing."""
        if self._known is None:
            return None
        return models_over(in_order(await self.reader.models()), heads, first_ms, end_ms)

    async def _estimates(self, sums: Sequence[Sums], models: str | None) -> list[Estimate | None]:
        """Estimate tallies that these models scored; many beside the loop, so that others are answered."""
        by_known = [is_by(self._known, models)] * len(sums)
        if len(sums) > ESTIMATES_MAX:
            return await asyncio.to_thread(estimates, sums, by_known, self._known)
        return estimates(sums, by_known, self._known)

    def _viewed(self, view: Mapping[str, str], window: Window) -> Tally:
        try:
            return of_view(view, window)
        except (ValueError, KeyError) as error:
            raise Unreadable(
                f"Redis at {self.reader.address} holds a view that is not ours: see docs/redis.md"
            ) from error

    async def brand(self, brand: str, window: Window) -> BrandDetail | None:
        """Answer one brand with its networks; None for a brand that is not known."""
        look = await self.reader.look()
        rows = await self.rows([brand], window, look) if brand in look.brands else []
        if not rows or look.newest_ms is None:
            return None
        row, end_ms = rows[0], look.newest_ms + MINUTE_MS
        first_ms = end_ms - WINDOWS[window] * MINUTE_MS
        networks = share = None
        if end_ms - first_ms <= HOUR_MS:
            found = await self.reader.networks(brand, first_ms, end_ms, look)
            ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
            heads = await self.reader.heads(first_ms, end_ms)
            models = await self._models(heads, first_ms, end_ms)
            nets = await self._estimates([sums for _, sums in ordered], models)
            networks = [
                Network(network=network, **numbers_of(sums, net))
                for (network, sums), net in zip(ordered, nets, strict=True)
                if sums[0]
            ]
            total = sum(head.mentions + head.late for head in heads.values())
            share = round(min(1.0, row.mentions / total), 4) if total else None
        return BrandDetail(
            **fresh_fields(look, row.model, row.coverage),
            brand=row,
            share_of_all=share,
            networks=networks,
            freshness=await self.fresh.freshness(look),
        )

    async def minutes(self, brand: str, span: str, span_minutes: int) -> Minutes | None:
        """Answer a brand minute by minute, up to the newest one; None for a brand that is not known."""
        look = await self.reader.look()
        if brand not in look.brands:
            return None
        end_ms = (look.newest_ms or 0) + MINUTE_MS
        first_ms = max(0, end_ms - span_minutes * MINUTE_MS)
        from_ms = max(0, first_ms - LEAD_MS)
        tallies = (await self.reader.minutes([brand], from_ms, end_ms, look))[brand]
        heads = await self.reader.heads(max(from_ms, look.final_ms - HASHES_MS, 0), end_ms)
        late = await self.reader.late_of(brand, list(heads), look)
        final_ms = look.final_of(brand)
        changes = in_order(await self.reader.models())
        read = MinuteSeries(tallies, heads, late, changes)
        known = await asyncio.to_thread(minutes_of, read, first_ms, end_ms, final_ms, look, self._known)
        inside = [sums for start, sums in tallies.items() if start >= first_ms]
        total = [sum(column) for column in zip(*inside, strict=True)] or ZEROS
        model = next((minute.model for minute in reversed(known) if minute.model), None)
        fields = fresh_fields(look, model, coverage(total))
        return Minutes(
            **{**fields, "final": final_ms >= end_ms},
            brand=brand,
            span=span,
            since=instant(first_ms),
            until=instant(end_ms),
            final_to=instant(max(0, final_ms)),
            models=changes_in(changes, first_ms, end_ms),
            minutes=known,
        )

    async def alerts(self) -> Alerts:
        """Answer all alerts that Redis remembers."""
        look = await self.reader.look()
        alerts = alerts_of(await self.reader.messages(), look)
        return Alerts(
            **fresh_fields(look, None, None), open=sum(1 for of in alerts if of.ended is None), alerts=alerts
        )


def parts(item: Any) -> dict[str, Any]:
    """Return an answer as what JSON can hold."""
    return item.model_dump(mode="json")  # type: ignore[no-any-return]

"""The typical range of each brand that clients ask for, computed beside the requests as minutes are closed.

Rules:
1. Hours that are over are read once; later only the two newest ones, so that a minute costs little.
2. Only closed minutes count, and only `BRANDS_MAX` brands are kept: those that were asked for last.
"""

from collections.abc import Iterable
from typing import Final

from stream_worker.api.redis_reader import RedisReader
from stream_worker.api.schemas import Window
from stream_worker.api.snapshot import PageSnapshot
from stream_worker.core.aggregates.encoding import WINDOWS, Sums
from stream_worker.core.sentiment.correction import ConfusionMatrix
from stream_worker.core.sentiment.typical_range import BIN_MS, TypicalRange, bins_of, typical_range
from stream_worker.core.time import HOUR_MS, MINUTE_MS

BRANDS_MAX: Final = 400
HOURS: Final = 48
AGAIN_HOURS: Final = 2
COMPARED: Final[tuple[Window, ...]] = ("5m", "15m", "1h")


class TypicalRanges:
    """Typical ranges by brand and window."""

    def __init__(self, reader: RedisReader, errors: ConfusionMatrix | None = None) -> None:
        self._reader, self._errors = reader, errors
        self._watched: dict[str, None] = {}  # in the order in which they were asked for
        self._history: dict[str, dict[int, Sums]] = {}
        self._ranges: dict[tuple[str, Window], TypicalRange | None] = {}
        self._known_to: dict[str, int] = {}

    def of(self, brand: str, window: Window) -> TypicalRange | None:
        """Return the typical range of a brand; None while it is not known."""
        return self._ranges.get((brand, window))

    def watch(self, brands: Iterable[str]) -> None:
        """Keep the ranges of these brands from the next `refresh` on; the oldest ones make room."""
        for brand in brands:
            self._watched.pop(brand, None)
            self._watched[brand] = None
        while len(self._watched) > BRANDS_MAX:
            oldest = next(iter(self._watched))
            del self._watched[oldest]
            self._history.pop(oldest, None)
            self._known_to.pop(oldest, None)
            for window in COMPARED:
                self._ranges.pop((oldest, window), None)

    async def refresh(self, snapshot: PageSnapshot) -> None:
        """Compute the ranges of every watched brand that was closed since. Raises Unavailable."""
        if not self._watched:
            self.watch(snapshot.brands[:BRANDS_MAX])
        for brand in list(self._watched):
            await self._refresh(brand, snapshot)

    async def _refresh(self, brand: str, snapshot: PageSnapshot) -> None:
        end_ms = snapshot.final_of(brand)
        if end_ms <= 0 or self._known_to.get(brand) == end_ms:
            return  # nothing was closed since
        closed = await self._read_closed(brand, end_ms)
        # Bins end at a whole five minutes, or a minute more would move every window.
        edge_ms = end_ms - end_ms % BIN_MS
        sums, minutes = bins_of(closed, edge_ms)
        episode = snapshot.episodes.get(brand)
        troubled = (
            [] if episode is None else [(episode.opened_ms - BIN_MS, episode.resolved_ms or snapshot.now_ms)]
        )
        self._known_to[brand] = end_ms
        for window in COMPARED:
            width_ms = WINDOWS[window] * MINUTE_MS
            self._ranges[brand, window] = typical_range(
                sums, minutes, edge_ms, width_ms // MINUTE_MS, troubled, self._errors
            )

    async def _read_closed(self, brand: str, end_ms: int) -> dict[int, Sums]:
        """Bring the history of a brand up to date; returns its minutes before `end_ms`."""
        this_hour_ms = (end_ms - 1) - (end_ms - 1) % HOUR_MS
        known = self._history.get(brand, {})
        since = AGAIN_HOURS if known else HOURS
        hours = range(this_hour_ms - since * HOUR_MS, this_hour_ms + 1, HOUR_MS)
        known |= await self._reader.hours(brand, [hour for hour in hours if hour >= 0])
        oldest_ms = end_ms - (HOURS + 1) * HOUR_MS
        self._history[brand] = {start: sums for start, sums in known.items() if start >= oldest_ms}
        return {start: sums for start, sums in self._history[brand].items() if start < end_ms}

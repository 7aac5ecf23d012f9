"""What is usual for the brands that are looked at, worked out beside the requests when a minute is closed.

Rules:
1. Hours that are over are read once; later only the two newest ones, so that a minute costs little.
2. Only closed minutes teach, and only `BRANDS_MAX` brands are kept: those asked for last.
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
    """What is usual, per brand and window."""

    def __init__(self, reader: RedisReader, errors: ConfusionMatrix | None = None) -> None:
        self._reader, self._errors = reader, errors
        self._asked: dict[str, None] = {}
        self._history: dict[str, dict[int, Sums]] = {}
        self._found: dict[tuple[str, Window], TypicalRange | None] = {}
        self._known_to: dict[str, int] = {}

    def of(self, brand: str, window: Window) -> TypicalRange | None:
        """Return what is usual as far as it is known; None when it is not."""
        return self._found.get((brand, window))

    def ask(self, brands: Iterable[str]) -> None:
        """Remember that these brands are looked at."""
        for brand in brands:
            self._asked.pop(brand, None)
            self._asked[brand] = None
        while len(self._asked) > BRANDS_MAX:
            forgotten = next(iter(self._asked))
            del self._asked[forgotten]
            self._history.pop(forgotten, None)
            self._known_to.pop(forgotten, None)
            for window in COMPARED:
                self._found.pop((forgotten, window), None)

    async def refresh(self, look: PageSnapshot) -> None:
        """Work it out anew for every brand that is looked at and was closed since. Raises Unavailable."""
        if not self._asked:
            self.ask(look.brands[:BRANDS_MAX])
        for brand in list(self._asked):
            await self._refresh(brand, look)

    async def _refresh(self, brand: str, look: PageSnapshot) -> None:
        end_ms = look.final_of(brand)
        if end_ms <= 0 or self._known_to.get(brand) == end_ms:
            return  # nothing was closed since
        this_hour_ms = (end_ms - 1) - (end_ms - 1) % HOUR_MS
        known = self._history.get(brand, {})
        since = AGAIN_HOURS if known else HOURS
        hours = range(this_hour_ms - since * HOUR_MS, this_hour_ms + 1, HOUR_MS)
        known |= await self._reader.hours(brand, [hour for hour in hours if hour >= 0])
        oldest_ms = end_ms - (HOURS + 1) * HOUR_MS
        self._history[brand] = {start: sums for start, sums in known.items() if start >= oldest_ms}
        closed = {start: sums for start, sums in self._history[brand].items() if start < end_ms}
        # Bins end at a whole five minutes, or a minute more would move every window.
        edge_ms = end_ms - end_ms % BIN_MS
        sums, minutes = bins_of(closed, edge_ms)
        episode = look.episodes.get(brand)
        troubled = (
            [] if episode is None else [(episode.opened_ms - BIN_MS, episode.resolved_ms or look.now_ms)]
        )
        self._known_to[brand] = end_ms
        for window in COMPARED:
            width_ms = WINDOWS[window] * MINUTE_MS
            self._found[brand, window] = typical_range(
                sums, minutes, edge_ms, width_ms // MINUTE_MS, troubled, self._errors
            )

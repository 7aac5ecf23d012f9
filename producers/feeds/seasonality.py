"""Daily and weekly season: how much a brand is talked about at a moment, against its own average."""

import math

from producers.feeds.phrases import InventedBrand

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
STEP_MS = 60_000.0
"""The season moves in steps of a minute."""
_MONDAY_MS = 4 * DAY_MS
"""1970 began on a Thursday."""


def season(brand: InventedBrand, time_ms: float) -> float:
    """Return the factor at a moment: a daily wave with its crest at the brand's hour, and a weekend."""
    hours = time_ms % DAY_MS / HOUR_MS
    wave = 1 + brand.swing * math.cos((hours - brand.peak_hour) * math.tau / 24)
    weekday = (time_ms - _MONDAY_MS) % (7 * DAY_MS) // DAY_MS
    return wave * (brand.weekend if weekday >= 5 else 1.0)

"""Event time: integer milliseconds since 1970, UTC; datetimes only where people read them."""

import datetime as dt
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000


def day_start_ms(date: dt.date) -> int:
    """Return the start of a day, ms."""
    return (date - _DAY_0).days * DAY_MS


_DAY_0: Final = dt.date(1970, 1, 1)

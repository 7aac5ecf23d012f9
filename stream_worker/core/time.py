"""Event time: integer milliseconds since 1970, UTC; datetimes only where people read them."""

import datetime as dt
from typing import Final, Literal

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

_1970: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def day_start_ms(date: dt.date) -> int:
    """Return the start of a day, ms."""
    return (date - _1970.date()).days * DAY_MS


def rfc3339(
    time_ms: int, *, fraction: Literal["if any", "always"] = "if any", zone: Literal["Z", "+00:00"] = "Z"
) -> str:
    """Write a time as RFC 3339 in UTC: `2026-09-22T12:00:00Z`, or `2026-09-22T12:00:00.250Z`.

    A fraction is milliseconds. Raises OverflowError for a year that does not have four digits.
    """
    timespec = "milliseconds" if fraction == "always" or time_ms % 1000 else "seconds"
    at = _1970 + dt.timedelta(milliseconds=time_ms)
    return at.replace(tzinfo=None).isoformat(timespec=timespec) + zone

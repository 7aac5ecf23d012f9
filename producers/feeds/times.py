"""Times as files write them.

Rules:
1. A number is counted since 1970 UTC; its unit follows from its size: below 1e11 seconds, below 1e14
   milliseconds, below 1e17 microseconds, else nanoseconds.
2. A text is ISO 8601 (RFC 3339), the form old Twitter exports have, or what `time_format` says.
3. A time without an offset is UTC.
"""

import datetime as dt
import math

from producers.feeds.scheduled import INSTANT_MS_MAX, epoch_ms

TWITTER_FORMAT = "%a %b %d %H:%M:%S %z %Y"
_UNITS = ((1e11, 1_000.0), (1e14, 1.0), (1e17, 1e-3), (math.inf, 1e-6))


def read_time(value: object, time_format: str | None = None) -> int:
    """Return milliseconds since 1970; raise ValueError when it is no time, or none a calendar has."""
    ms = _epoch_ms(value, time_format)
    if not 0 <= ms <= INSTANT_MS_MAX:
        raise ValueError("before 1970 or after 9999")
    return ms


def has_no_offset(value: object) -> bool:
    """Tell whether a readable time says nothing of its offset (numbers are UTC by definition)."""
    if isinstance(value, dt.datetime):
        return value.tzinfo is None
    if not isinstance(value, str) or _number(value) is not None:
        return False
    try:
        return dt.datetime.fromisoformat(value.strip()).tzinfo is None
    except ValueError:
        return False


def _epoch_ms(value: object, time_format: str | None) -> int:
    if isinstance(value, dt.datetime):
        return epoch_ms(value)
    if isinstance(value, dt.date):
        return epoch_ms(dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC))
    if isinstance(value, str):
        text = value.strip()
        if time_format is not None:
            return epoch_ms(dt.datetime.strptime(text, time_format))  # noqa: DTZ007 - rule 3
        number = _number(text)
        return _scaled(number) if number is not None else epoch_ms(_moment(text))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _scaled(value)
    raise ValueError("not a time")


def _moment(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return dt.datetime.strptime(text, TWITTER_FORMAT)  # noqa: DTZ007 - the format has the offset


def _number(text: str) -> float | None:
    # "20240101" is a date to ISO 8601, and no moment of 1970 that anybody exports.
    if len(text) == len("20240101") and text.isdigit():
        return None
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return None


def _scaled(number: float) -> int:
    if not math.isfinite(number):
        raise ValueError("not a time")
    ms_each = next(ms for bound, ms in _UNITS if abs(number) < bound)
    return round(number * ms_each)

"""Durations and sizes as people write them: `200ms`, `30s`, `5m`, `1.5h`, `2d`; `1000B`, `64KiB`, `2GiB`.

The parsers raise ValueError with one line that says how to write it. They refuse what is easily misread:
pydantic's ByteSize would take 64KB for 64,000 bytes, and 1,5MiB for one byte.
"""

import datetime as dt
import re
from typing import Final

_DURATIONS: Final = {
    "ms": dt.timedelta(milliseconds=1),
    "s": dt.timedelta(seconds=1),
    "m": dt.timedelta(minutes=1),
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
}
_SIZES: Final = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
DURATION_PATTERN: Final = r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$"
SIZE_PATTERN: Final = r"^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)$"
_DURATION_DIGITS_MAX = 12


def parse_duration(value: object) -> dt.timedelta:
    """Return the duration that a text names. Raises ValueError."""
    if isinstance(value, dt.timedelta):
        return value
    found = re.match(DURATION_PATTERN, value.strip()) if isinstance(value, str) else None
    if found is None or len(found[1]) > _DURATION_DIGITS_MAX:
        raise ValueError("is no duration: write it with its unit, as 200ms, 30s, 5m, 2h or 1d")
    try:
        return float(found[1]) * _DURATIONS[found[2]]
    except OverflowError:
        raise ValueError("is too long") from None


def parse_size(value: object) -> int:
    """Return the bytes that a text names; a whole number is bytes. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if text.isdecimal():
        return int(text)
    found = re.match(SIZE_PATTERN, text)
    if found is None:
        raise ValueError("is no size: write it with its unit, as 1000B, 64KiB, 16MiB or 2GiB")
    return int(float(found[1]) * _SIZES[found[2]])


def format_duration(duration: dt.timedelta) -> str:
    """Write a duration in the largest unit that divides it, in whole milliseconds at least."""
    if not duration:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if duration >= _DURATIONS[unit] and not duration % _DURATIONS[unit]:
            return f"{duration // _DURATIONS[unit]}{unit}"
    return f"{in_ms(duration)}ms"


def format_size(size_bytes: int) -> str:
    """Write a size in the largest unit that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes >= _SIZES[unit] and not size_bytes % _SIZES[unit]:
            return f"{size_bytes // _SIZES[unit]}{unit}"
    return f"{size_bytes}B"


def in_ms(duration: dt.timedelta) -> int:
    """Return whole milliseconds."""
    return duration // _DURATIONS["ms"]

"""Numbers and names of the daily report as people read them: plain text, which the template escapes."""

from typing import SupportsInt

NONE, MINUS = "\u2013", "\u2212"


def printable(text: str) -> str:
    """Put a space where a character is not printable: control characters, overrides of direction."""
    return "".join(c if c.isprintable() else " " for c in text)


def margin(below: float, above: float) -> str:
    """Write the larger half of an interval, in points."""
    widest = round(max(below, above))
    return f"± {widest}" if widest else "± <1"


def count(number: SupportsInt) -> str:
    """Write a whole number."""
    return f"{int(number):,}"


def percent(share: float | None, digits: int = 0) -> str:
    """Write a share in percent; a dash for none."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def between(low: float | None, high: float | None) -> str:
    """Write an interval of shares in percent, with a digit more where it would be one number."""
    if low is None or high is None:
        return ""
    digits = 0 if round(100 * low) != round(100 * high) else 1
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %"


def net_margin(value: float | None, low: float | None, high: float | None) -> str:
    """Write the margin of net sentiment."""
    if value is None or low is None or high is None:
        return "nothing scored"
    return margin(100 * (value - low), 100 * (high - value))


def signed(value: float | None) -> str:
    """Write net sentiment in points, with its sign; a dash for none."""
    if value is None:
        return NONE
    points = round(100 * value)
    return f"{MINUS}{-points}" if points < 0 else f"+{points}" if points else "0"

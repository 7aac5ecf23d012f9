"""Values of options as people write them: durations, speeds, moments, crises.

Each function raises `typer.BadParameter`, which is exit code 2 with the option's name.
"""

import datetime as dt
import math
import re

import typer

from producers.feeds.crises import KINDS, Crisis, crisis_of
from producers.feeds.replay import Rebase
from producers.feeds.scheduled import epoch_ms

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SPEED = re.compile(r"(\d+(?:\.\d+)?)x?")
_CRISIS = re.compile(r"(?P<brand>.+)@\+(?P<start>[^/@+:]+)(?:/(?P<lasts>[^/@+:]+))?(?::(?P<kind>[a-z]+))?")
NOW = "now"
RATE_MIN, RATE_MAX = 0.001, 1_000_000.0


def duration_ms(text: str) -> float:
    """Return milliseconds: `500ms`, `60s`, `1.5m`, `2h`, `1d`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise typer.BadParameter(f"{text!r} is no duration; write 500ms, 60s, 5m, 2h or 1d")
    return float(found[1]) * _UNITS_MS[found[2]]


def speed(text: str | float) -> float:
    """Return how many times faster: `60x`, `60`, `0.5x`, or infinity for `max`."""
    text = str(text)  # a default comes as a number
    if text == "max":
        return math.inf
    found = _SPEED.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise typer.BadParameter(f"{text!r} is no speed; write 60x, 0.5x or max")
    return float(found[1])


def moment_ms(text: str) -> int:
    """Return milliseconds since 1970 of an ISO 8601 time; without an offset it is UTC."""
    try:
        return epoch_ms(dt.datetime.fromisoformat(text.strip()))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write it like 2026-11-22T10:00:00Z (without an offset it is UTC)"
        ) from None


def rebase(text: str) -> Rebase:
    """Return where the first mention is moved to: `now` or a time."""
    return Rebase(None if text == NOW else moment_ms(text), anchor_last=False)


def rate(text: str | float) -> float:
    """Return mentions per second; `max` is more than can be sent."""
    text = str(text)  # a default comes as a number
    if text == "max":
        return RATE_MAX
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not RATE_MIN <= value <= RATE_MAX:
        raise typer.BadParameter(f"{text!r} is no rate; write {RATE_MIN} to {RATE_MAX:,.0f} a second, or max")
    return value


def crisis(text: str) -> Crisis:
    """Return the crisis of `BRAND@+30s` (to the end), `…/2m` (for two minutes), or `…:KIND` of a kind."""
    found = _CRISIS.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no crisis; write BRAND@+30s, BRAND@+30s/2m for two minutes, or BRAND@+30s/2m:outage"
        )
    kind = found["kind"] or ""
    if kind and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is no kind of crisis; there are {', '.join(KINDS)}")
    from_ms = duration_ms(found["start"])
    until_ms = from_ms + duration_ms(found["lasts"]) if found["lasts"] else math.inf
    return crisis_of(found["brand"], from_ms, until_ms, kind)

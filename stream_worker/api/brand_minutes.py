"""The minutes of a brand as Redis holds them, and whether all of them can be read. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from stream_worker.core.aggregates.encoding import ZEROS, Sums, add_sums, decode_sums
from stream_worker.core.aggregates.measures import MEASURES


class BrandMinutes(NamedTuple):
    """Ten sums by start of the minute, ms; `damaged`: others cannot be read."""

    tallies: dict[int, Sums]
    damaged: bool = False

    def between(self, first_ms: int, end_ms: int) -> "BrandMinutes":
        """Return the minutes [first, end)."""
        inside = {start: sums for start, sums in self.tallies.items() if first_ms <= start < end_ms}
        return BrandMinutes(inside, self.damaged)


def decode_history(fields: Mapping[str, str] | None) -> BrandMinutes:
    """Decode an hour of history; None: the key is of another type."""
    if fields is None:
        return BrandMinutes({}, damaged=True)
    tallies: dict[int, Sums] = {}
    for start, value in fields.items():
        try:
            tallies[int(start)] = decode_sums(value)
        except ValueError:
            continue
    return BrandMinutes(tallies, damaged=len(tallies) < len(fields))


def join_minutes(
    history: Iterable[BrandMinutes], on_time: Mapping[int, Sequence[str | None] | None]
) -> BrandMinutes:
    """Join history with on-time counts, rows of ten for each network, of minutes that are not closed."""
    tallies: dict[int, Sums] = {}
    damaged = False
    for hour in history:
        tallies |= hour.tallies
        damaged = damaged or hour.damaged
    for minute, row in on_time.items():
        tallies[minute] = add_sums(tallies.get(minute, ZEROS), over_networks(row or []))
        damaged = damaged or row is None or any(map(_is_damaged, row))
    return BrandMinutes(tallies, damaged)


def over_networks(values: Sequence[str | None]) -> Sums:
    """Add rows of ten measures up; a count that is no integer is left out."""
    width = len(MEASURES)
    return tuple(
        sum(int(value) for value in values[i::width] if value and not _is_damaged(value))
        for i in range(width)
    )


def _is_damaged(value: str | None) -> bool:
    if value is None:
        return False
    try:
        int(value)
    except ValueError:
        return True
    return False

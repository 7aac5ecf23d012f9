"""A day of the archive: which objects it has, how far its plan logs are, and when it is complete.

Rules:
1. A day is UTC, `[start, end)` of event time. Its rows are those of finished chunks only.
2. It is complete when no partition can bring an on-time mention any more: its plan log's watermark has passed
   the day's end by the allowed lateness; or, since a quiet partition's watermark stands still, Redis had
   sealed the day in an instant whose cursors the plan logs have passed.
3. The marker of a complete day is create-only. Mentions that come later are still counted, and reported.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from stream_worker.core.archive.layout import FORMAT_VERSION, Log, StoredObject
from stream_worker.core.time import DAY_MS, day_start_ms


class Day(NamedTuple):
    """One day of event time, UTC."""

    start_ms: int

    @property
    def end_ms(self) -> int:
        """Its end, not included."""
        return self.start_ms + DAY_MS

    @property
    def date(self) -> dt.date:
        """Its date."""
        return dt.datetime.fromtimestamp(self.start_ms / 1000, dt.UTC).date()

    @property
    def before(self) -> "Day":
        """The day before."""
        return Day(self.start_ms - DAY_MS)

    def __str__(self) -> str:
        return self.date.isoformat()


def day_of(date: dt.date) -> Day:
    """Return the day of a date."""
    return Day(day_start_ms(date))


class PlanLogEnd(NamedTuple):
    """How far the plan log of a partition is done."""

    log: Log
    partition: int
    end: int  # the first offset that no finished chunk holds
    watermark_ms: int  # at that end; 0 without a chunk
    lateness_ms: int

    @property
    def coordinates(self) -> tuple[str, int]:
        """Log and partition."""
        return self.log.name, self.partition


class DayObject(NamedTuple):
    """Rows of one hour of the day, as the manifest of their chunk names them."""

    hour_ms: int
    log: Log
    partition: int
    stored: StoredObject


class DayListing(NamedTuple):
    """What the archive holds of a day."""

    objects: list[DayObject]  # by hour, then by place
    unfinished: int  # objects of chunks that are not done: their rows are left out
    lost: int  # offsets that the log lost within the day's chunks
    partial: int  # chunks before which the log no longer held the whole dedup window
    missing: list[tuple[int, str]]  # hour and name: a manifest names it, yet it is not in the store


class MarkedPartition(msgspec.Struct, frozen=True):
    """One partition in a marker."""

    end: int
    watermark: int


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """`_days/<date>.json`: the day is complete, with what was there then."""

    v: int = FORMAT_VERSION
    date: str
    rows: int
    counted: int
    duplicates: int
    objects: int
    logs: dict[str, dict[str, MarkedPartition]]


def marker_of(day: Day, ends: Sequence[PlanLogEnd], rows: int, duplicates: int, objects: int) -> Marker:
    """Return the marker of a day that is complete."""
    logs: dict[str, dict[str, MarkedPartition]] = {}
    for one in sorted(ends, key=lambda one: one.coordinates):
        logs.setdefault(one.log.name, {})[str(one.partition)] = MarkedPartition(one.end, one.watermark_ms)
    return Marker(
        date=str(day), rows=rows, counted=rows - duplicates, duplicates=duplicates, objects=objects, logs=logs
    )


def newest_log(ends: Sequence[PlanLogEnd]) -> Log | None:
    """Return the log that is written to: of several incarnations the one that is furthest in time."""
    return max(ends, key=lambda one: (one.watermark_ms, one.log.name)).log if ends else None


def open_partitions(
    day: Day, ends: Sequence[PlanLogEnd], sealed_ms: int, cursors: Mapping[tuple[str, int], int]
) -> list[str]:
    """Why the day is not complete, a line each; nothing when it is (rule 2).

    `sealed_ms` and `cursors` are of one instant of Redis, read before `ends`; 0 and nothing without a Redis.
    """
    newest, why = newest_log(ends), []
    for one in sorted(ends, key=lambda one: one.coordinates):
        if one.log != newest or one.watermark_ms >= day.end_ms + one.lateness_ms:
            continue
        name = f"partition {one.partition} of {one.log.name}"
        cursor = cursors.get(one.coordinates)
        if sealed_ms < day.end_ms:
            why.append(
                f"{name} is archived up to {_clock(one.watermark_ms)}, and Redis has not sealed the day"
            )
        elif cursor is None:
            why.append(f"{name} has no cursor in Redis")
        elif one.end < cursor:
            why.append(f"{name} is archived up to offset {one.end:,}, Redis has counted up to {cursor:,}")
    return why


def _clock(time_ms: int) -> str:
    return (
        "nothing" if time_ms <= 0 else f"{dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC):%Y-%m-%d %H:%M}"
    )

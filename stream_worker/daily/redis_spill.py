"""What Redis holds of a day, read part by part onto a shelf of files: an hour of it is in memory at a time.

Rules:
1. Each part (a minute; the history of some brands for an hour) comes with the cursors of its instant: only
   rows below them belong to it. No two instants are mixed.
2. A minute is read from its hash while there is one, from the history of minutes for 48 h, from that of hours
   for 35 days. What Redis does not claim to hold (below the floor, too old, not closed) is not compared.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from stream_worker.adapters.redis.minute_hash import minute_cells
from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.archive.days import Day
from stream_worker.core.reconcile.cells import (
    BRAND_BITS,
    EMPTY,
    NETWORK_BITS,
    Cells,
    Names,
    history_cells,
    joined,
)
from stream_worker.core.reconcile.redis_position import RedisPosition, SnapshotReader
from stream_worker.core.records.batch import Bool, Int64
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from stream_worker.errors import Unavailable, Unreadable

BATCH: Final = 200
"""Brands whose history is read at once."""
MINUTES, HISTORY, HOURS = KINDS = ("m", "hm", "hd")


class LivePart(NamedTuple):
    """One kind of cells of an hour. `limits` (units, places); `held` (60, units of `held`).

    Minutes: a unit is a minute of the hour, `held` (60, 1). History: a unit is a batch of brands, `held`
    (60, brands).
    """

    kind: str
    cells: Cells
    limits: Int64
    held: Bool


class LiveDay:
    """What was read of Redis for a day, until `close`."""

    def __init__(self, snapshots: SnapshotReader, day: Day) -> None:
        self.day = day
        self.networks, self.brands = Names(), Names()
        self.models: dict[int, str] = {}
        """Minute → its models, comma-separated, where it has a hash."""
        self.incomplete: list[int] = []
        """Minutes that were sealed without some partition."""
        self._snapshots = snapshots
        self.standing = snapshots.look()
        self._folder = tempfile.TemporaryDirectory(prefix="stream-worker-daily-")
        self._shelf = Path(self._folder.name)
        self.cursors = _cursors(self.standing)
        """Of the first instant: log name and partition → the next offset that Redis will count."""
        self.cursors_after = self.cursors
        """Of the last instant."""
        self._places = {place: number for number, place in enumerate(sorted(self.cursors))}

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def read(self) -> None:
        """Read the day. Raises Unavailable, Unreadable."""
        for what, names in (("networks", self.networks), ("brands", self.brands)):
            for name in sorted(self._snapshots.admitted(what)):
                names.add(name)
        self._known = len(self.brands)
        self._shards = [shard_of(name) for name in self.brands.part(0, self._known)]
        if not self.cursors:
            return  # nothing of it would mean anything
        for hour_ms in range(self.day.start_ms, self.day.end_ms, HOUR_MS):
            self._put(hour_ms, self._minutes(hour_ms))
            part = self._history(HISTORY, hour_ms)
            if not part.held.any():
                part = self._history(HOURS, hour_ms)
            self._put(hour_ms, part)
        self.cursors_after = _cursors(self._not_back(self._snapshots.look()))

    def place(self, log: str, partition: int) -> int:
        """Return the column of a partition in `limits`; the last one is for those without a cursor."""
        return self._places.get((log, partition), len(self._places))

    def parts(self, hour_ms: int) -> list[LivePart]:
        """Take the parts of an hour from the shelf."""
        found = []
        for kind in KINDS:
            path = self._shelf / f"{kind}-{hour_ms}.npz"
            if path.exists():
                with np.load(path) as stored:
                    cells = Cells(stored["keys"], stored["sums"], stored["on_time"])
                    found.append(LivePart(kind, cells, stored["limits"], stored["held"]))
        return found

    def batch_of(self, brands: Int64) -> Int64:
        """Return the unit of history of each brand; those that were not read are in none (-1)."""
        found: Int64 = np.where(brands < self._known, brands // BATCH, -1)
        return found

    def why_not(self, minute_ms: int) -> str:
        """Why a minute that was not compared is not held."""
        if not self.cursors:
            return "Redis is empty"
        if minute_ms < self.standing.complete_from_ms:
            return "below the floor"
        if minute_ms >= min(self.standing.closed_ms):
            return "not closed yet"
        return "no longer kept"

    # ------------------------------------------------------------

    def _put(self, hour_ms: int, part: LivePart) -> None:
        keys, sums, on_time = part.cells
        np.savez(
            self._shelf / f"{part.kind}-{hour_ms}.npz",
            limits=part.limits,
            held=part.held,
            keys=keys,
            sums=sums,
            on_time=on_time,
        )

    def _limits(self, standing: RedisPosition) -> Int64:
        cursors = [standing.cursors.get(log, {}).get(at, 0) for log, at in self._places]
        return np.array([*cursors, 0], np.int64)

    def _not_back(self, standing: RedisPosition) -> RedisPosition:
        for (log, partition), at in self.cursors.items():
            if standing.cursors.get(log, {}).get(partition, -1) < at:
                raise Unavailable("Redis went back in time, or was emptied, while it was read: run it again")
        return standing

    def _minutes(self, hour_ms: int) -> LivePart:
        begun = self.standing
        listed = set(begun.minutes)
        parts, limits = [EMPTY], np.tile(self._limits(begun), (60, 1))
        held = np.zeros((60, 1), np.bool_)
        for number in range(60):
            start_ms = hour_ms + number * MINUTE_MS
            if start_ms in listed:
                standing, fields = self._snapshots.minute(start_ms)
                held[number] = self._not_back(standing).has_minute(start_ms)
                if held[number]:
                    parts.append(self._minute(start_ms, number, fields))
                    limits[number] = self._limits(standing)
        return LivePart(MINUTES, joined(parts), limits, held)

    def _minute(self, start_ms: int, number: int, fields: dict[str, str]) -> Cells:
        try:
            cells, models, complete, _ = minute_cells(fields, number, self.networks, self.brands)
        except ValueError as error:
            raise Unreadable(f"Redis: the minute {start_ms} holds what is no integer: {error}") from None
        self.models[start_ms] = models
        if not complete:
            self.incomplete.append(start_ms)
        return cells

    def _history(self, kind: str, hour_ms: int) -> LivePart:
        start_ms = hour_ms if kind == HISTORY else hour_ms - hour_ms % DAY_MS
        held, limits, cells = np.zeros((60, self._known), np.bool_), [], [EMPTY]
        for first in range(0, self._known, BATCH):
            names = self.brands.part(first, min(first + BATCH, self._known))
            standing, hashes = self._snapshots.history(kind, start_ms, names)
            limits.append(self._limits(self._not_back(standing)))
            held[:, first : first + BATCH] = _held(
                kind, hour_ms, standing, self._shards[first : first + BATCH]
            )
            cells.append(_cells(kind, hour_ms, first, hashes))
        return LivePart(kind, _only(joined(cells), held), np.array(limits, np.int64), held)


def _cursors(standing: RedisPosition) -> dict[tuple[str, int], int]:
    return {(log, at): next_ for log, found in standing.cursors.items() for at, next_ in found.items()}


def _held(kind: str, hour_ms: int, standing: RedisPosition, shards: Sequence[int]) -> Bool:
    """Which minutes of an hour Redis holds, by brand; of hours the first one stands for all."""
    held = np.zeros((60, len(shards)), np.bool_)
    starts = hour_ms + np.arange(60) * MINUTE_MS
    for i, shard in enumerate(shards):
        if kind == HISTORY and standing.has_hour_of_minutes(hour_ms, shard):
            held[:, i] = (starts >= standing.complete_from_ms) & (starts < standing.closed_ms[shard])
        elif kind == HOURS:
            held[:, i] = standing.has_hour(hour_ms, shard)
    return held


def _cells(kind: str, hour_ms: int, first: int, hashes: Sequence[dict[str, str]]) -> Cells:
    end_ms = hour_ms + (HOUR_MS if kind == HISTORY else 1)
    values, minutes, codes = [], [], []
    for code, fields in enumerate(hashes, first):
        for start, value in fields.items():
            if hour_ms <= int(start) < end_ms:
                values.append(value)
                minutes.append((int(start) - hour_ms) // MINUTE_MS)
                codes.append(code)
    try:
        return history_cells(values, minutes, codes)
    except ValueError as error:
        raise Unreadable(f"Redis: {kind} of {hour_ms}: {error}; see docs/redis.md") from None


def _only(cells: Cells, held: Bool) -> Cells:
    """The cells that are compared."""
    if not len(cells.keys):
        return cells
    minutes, brands = cells.keys >> (NETWORK_BITS + BRAND_BITS), cells.keys & ((1 << BRAND_BITS) - 1)
    wanted = held[minutes, brands]
    return Cells(cells.keys[wanted], cells.sums[wanted], cells.on_time[wanted])

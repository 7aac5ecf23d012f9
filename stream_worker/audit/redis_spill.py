"""Reading what Redis holds, part by part, onto a shelf of files: one hour of it is in memory at a time.

Rules:
1. Each part (a minute; the history of some brands for an hour or a day) comes with the cursors of its
   instant. They are its *limits*: only rows below them belong to it. No two instants are ever mixed.
2. Redis that goes back meanwhile voids the audit: `Unavailable`, run it again.
3. What Redis does not claim to hold (below the floor, trimmed, too old, not closed) is not compared.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from stream_worker.adapters.redis.minute_hash import minute_cells
from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.reconcile.cells import (
    BRAND_BITS,
    EMPTY,
    MINUTE_SHIFT,
    Cells,
    Names,
    history_cells,
    joined,
)
from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.redis_position import (
    DAYS_OF_HOURS_MS,
    HOURS_OF_MINUTES_MS,
    RedisPosition,
    SnapshotReader,
)
from stream_worker.core.records.batch import Bool, Int64
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from stream_worker.errors import Unavailable, Unreadable

BATCH: Final = 200
"""Brands whose history is read at once."""

UNITS: Final = {"hm": MINUTE_MS, "hd": HOUR_MS}
LENGTHS: Final = {"hm": HOUR_MS, "hd": DAY_MS}
"""What a value of history covers, and what a key of it covers."""

Place = tuple[str, int]
"""Log name and partition."""

Progress = Callable[[str, int, int], None]
"""Told what is read, and how much of how much."""


class SpilledCells(NamedTuple):
    """One kind of cells of one hour. `limits` (units, places); `held` says what is compared.

    Minutes: a unit is a minute, `held` (60, 1). History: a unit is a batch of brands, `held` (60, brands).
    """

    cells: Cells
    limits: Int64
    held: Bool


class SpilledSnapshot:
    """What was read of Redis, by hour, until `close`."""

    def __init__(self, snapshots: SnapshotReader, places: Sequence[Place], findings: Findings) -> None:
        self.networks, self.brands = Names(), Names()
        self.models: dict[int, str] = {}  # minute -> its models, comma-separated
        self.late_minutes: set[int] = set()  # minutes with late mentions
        self._snapshots, self._places, self._findings = snapshots, list(places), findings
        self._hours: set[int] = set()
        self._day: tuple[int, SpilledCells | None] = (-1, None)  # the last day that was taken from the shelf
        self._folder = tempfile.TemporaryDirectory(prefix="stream-worker-audit-")
        self._shelf = Path(self._folder.name)
        self.standing = self._begun = snapshots.look()

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def read(self, progress: Progress) -> None:
        """Read all. Raises Unavailable, Unreadable."""
        begun = self._begun
        for what, names in (("networks", self.networks), ("brands", self.brands)):
            for name in sorted(self._snapshots.admitted(what)):
                names.add(name)
        self._read_minutes(begun, progress)
        self._brands_read = len(self.brands)
        self._read_history(begun, progress)
        for name in sorted(self._snapshots.admitted("brands")):
            self.brands.add(name)  # admitted since: not in the history that was read
        self._take(self._snapshots.look())

    def hours(self) -> set[int]:
        """Starts of the hours of which there is any cell."""
        return self._hours

    def part(self, kind: str, hour_ms: int) -> SpilledCells | None:
        """Take one kind (`m`, `hm`, `hd`) of an hour from the shelf; None when nothing of it was read."""
        if kind == "hd":
            return self._hour_of_day(hour_ms)
        path = self._shelf / f"{kind}-{hour_ms}.npz"
        if path.exists():
            return _load(path)
        return self._without_hash(hour_ms) if kind == "m" else None

    def _hour_of_day(self, hour_ms: int) -> SpilledCells | None:
        """Take one hour out of the history of its day."""
        day_ms = hour_ms - hour_ms % DAY_MS
        if self._day[0] != day_ms:
            path = self._shelf / f"hd-{day_ms}.npz"
            self._day = day_ms, _load(path) if path.exists() else None
        day, number = self._day[1], (hour_ms - day_ms) // HOUR_MS
        if day is None:
            return None
        keys = day.cells.keys
        at = np.flatnonzero(keys >> MINUTE_SHIFT == number)
        cells = Cells(keys[at] & ((1 << MINUTE_SHIFT) - 1), day.cells.sums[at], day.cells.on_time[at])
        return SpilledCells(cells, day.limits, np.tile(day.held[number], (60, 1)))

    def _without_hash(self, hour_ms: int) -> SpilledCells:
        """An hour of which no minute had a hash when the audit began: then there is nothing."""
        starts = hour_ms + np.arange(60) * MINUTE_MS
        held = np.array([[self._begun.has_minute(start)] for start in starts.tolist()])
        return SpilledCells(EMPTY, np.tile(self._limits(self._begun), (60, 1)), held)

    def batch_of(self, brands: Int64) -> Int64:
        """Return the unit of history of each brand; those that were not read are in none (-1)."""
        found: Int64 = np.where(brands < self._brands_read, brands // BATCH, -1)
        return found

    def _put(self, kind: str, start_ms: int, part: SpilledCells) -> None:
        path, cells = self._shelf / f"{kind}-{start_ms}.npz", part.cells
        np.savez(
            path, limits=part.limits, held=part.held, keys=cells.keys, sums=cells.sums, on_time=cells.on_time
        )
        unit_ms = HOUR_MS if kind == "hd" else 0
        slots = np.unique(cells.keys >> MINUTE_SHIFT).tolist()
        self._hours |= {start_ms + slot * unit_ms for slot in slots}

    def _take(self, standing: RedisPosition) -> RedisPosition:
        """Note how far Redis is now."""
        for log, cursors in self.standing.cursors.items():
            now = standing.cursors.get(log, {})
            if any(now.get(partition, -1) < at for partition, at in cursors.items()):
                raise Unavailable(
                    "Redis went back in time, or was emptied, while it was audited: audit again"
                )
            if any((log, partition) not in self._places for partition in now):
                raise Unavailable("a partition was added while Redis was audited: audit again")
        self.standing = standing
        return standing

    def _limits(self, standing: RedisPosition) -> Int64:
        cursors = [standing.cursors.get(log, {}).get(partition, 0) for log, partition in self._places]
        return np.array(cursors, np.int64)

    # ------------------------------------------------------------ minutes

    def _read_minutes(self, begun: RedisPosition, progress: Progress) -> None:
        listed = set(begun.minutes)
        hours = sorted({minute - minute % HOUR_MS for minute in listed})
        for done, hour_ms in enumerate(hours):
            progress("minutes in Redis", done, len(hours))
            parts, limits, held = (
                [EMPTY],
                np.tile(self._limits(begun), (60, 1)),
                np.zeros((60, 1), np.bool_),
            )
            for number in range(60):
                start_ms = hour_ms + number * MINUTE_MS
                if start_ms not in listed:
                    held[number] = begun.has_minute(
                        start_ms
                    )  # it had no hash in that instant: nothing is there
                    continue
                standing, fields = self._snapshots.minute(start_ms)
                held[number] = self._take(standing).has_minute(start_ms)
                if held[number]:
                    parts.append(self._minute(start_ms, number, fields))
                    limits[number] = self._limits(standing)
            self._put("m", hour_ms, SpilledCells(joined(parts), limits, held))

    def _minute(self, start_ms: int, number: int, fields: dict[str, str]) -> Cells:
        try:
            cells, models, _, faults = minute_cells(fields, number, self.networks, self.brands)
        except ValueError as error:
            raise Unreadable(f"Redis: the minute {start_ms} holds what is no integer: {error}") from None
        self.models[start_ms] = models
        if (cells.sums[:, 0] != cells.on_time[:, 0]).any():
            self.late_minutes.add(start_ms)
        for fault in faults:
            self._findings.differ("minute's totals", f"minute hash {start_ms}", "the sum of its cells", fault)
        return cells

    # ------------------------------------------------------------ history

    def _read_history(self, begun: RedisPosition, progress: Progress) -> None:
        closed_ms = max(begun.closed_ms)
        if closed_ms < 0:
            return
        complete_from_ms = begun.complete_from_ms - begun.complete_from_ms % HOUR_MS
        hours = range(
            max(_hour(begun.sealed_ms - HOURS_OF_MINUTES_MS), complete_from_ms),
            _hour(closed_ms - 1) + HOUR_MS,
            HOUR_MS,
        )
        days = range(
            max(closed_ms - DAYS_OF_HOURS_MS, complete_from_ms) // DAY_MS * DAY_MS,
            closed_ms // DAY_MS * DAY_MS + 1,
            DAY_MS,
        )
        for done, hour_ms in enumerate(hours):
            progress("history of minutes in Redis", done, len(hours))
            self._put("hm", hour_ms, self._history("hm", hour_ms))
        for done, day_ms in enumerate(days):
            progress("history of hours in Redis", done, len(days))
            self._put("hd", day_ms, self._history("hd", day_ms))

    def _history(self, kind: str, start_ms: int) -> SpilledCells:
        """Read an hour of minutes, or a day of hours, of all brands."""
        held = np.zeros((LENGTHS[kind] // UNITS[kind], self._brands_read), np.bool_)
        cells, limits = [], []
        for first in range(0, self._brands_read, BATCH):
            names = self.brands.part(first, min(first + BATCH, self._brands_read))
            standing, hashes = self._snapshots.history(kind, start_ms, names)
            limits.append(self._limits(self._take(standing)))
            held[:, first : first + BATCH] = _held(kind, start_ms, standing, names)
            cells.append(_cells(kind, start_ms, first, hashes))
        return SpilledCells(_only(joined(cells), held), np.array(limits, np.int64), held)


def _load(path: Path) -> SpilledCells:
    with np.load(path) as stored:
        return SpilledCells(
            Cells(stored["keys"], stored["sums"], stored["on_time"]), stored["limits"], stored["held"]
        )


def _hour(time_ms: int) -> int:
    return time_ms - time_ms % HOUR_MS


def _cells(kind: str, start_ms: int, first: int, hashes: Sequence[dict[str, str]]) -> Cells:
    """Read history of the brands from code `first` on; the slot of a value is its minute, or its hour."""
    unit_ms, end_ms = UNITS[kind], start_ms + LENGTHS[kind]
    found = [
        (value, (int(at) - start_ms) // unit_ms, code)
        for code, fields in enumerate(hashes, first)
        for at, value in fields.items()
        if start_ms <= int(at) < end_ms
    ]
    values, slots, codes = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [])
    try:
        return history_cells(values, slots, codes)
    except ValueError as error:
        raise Unreadable(f"Redis: {kind}:{start_ms} of some brand: {error}; see docs/redis.md") from None


def _held(kind: str, start_ms: int, standing: RedisPosition, brands: Sequence[str]) -> Bool:
    """Which slots are compared, by brand."""
    slots = LENGTHS[kind] // UNITS[kind]
    held = np.zeros((slots, len(brands)), np.bool_)
    starts = start_ms + np.arange(slots) * UNITS[kind]
    of_shard: dict[int, Bool] = {}
    for i, shard in enumerate(map(shard_of, brands)):
        if shard not in of_shard and kind == "hm":
            kept = standing.has_hour_of_minutes(start_ms, shard)
            of_shard[shard] = (
                (starts >= standing.complete_from_ms) & (starts < standing.closed_ms[shard]) & kept
            )
        elif shard not in of_shard:
            of_shard[shard] = np.array([standing.has_hour(start, shard) for start in starts.tolist()])
        held[:, i] = of_shard[shard]
    return held


def _only(cells: Cells, held: Bool) -> Cells:
    """The cells that are compared."""
    wanted = held[cells.keys >> MINUTE_SHIFT, cells.keys & ((1 << BRAND_BITS) - 1)]
    return Cells(cells.keys[wanted], cells.sums[wanted], cells.on_time[wanted])

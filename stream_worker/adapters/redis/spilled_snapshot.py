"""What Redis holds, read part by part and spilled to files: memory holds one hour of it at a time.

Rules:
1. Each part (a minute; the history of some brands for an hour or a day) comes with the cursors of its
   instant. They are its *limits*: only rows below them belong to it. No two instants are ever mixed.
2. Redis that goes back meanwhile voids what was read: `Unavailable`, run the command again.
3. What Redis does not claim to hold (below complete_from, trimmed, too old, not closed) is not `held`.
"""

import tempfile
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from stream_worker.adapters.redis.minute_hash import minute_cells
from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.reconcile.cells import (
    BRAND_BITS,
    EMPTY,
    MINUTE_SHIFT,
    CellKind,
    Cells,
    Names,
    RecountRows,
    history_cells,
    joined,
)
from stream_worker.core.reconcile.redis_position import (
    DAYS_OF_HOURS_MS,
    HOURS_OF_MINUTES_MS,
    PartitionOfLog,
    RedisPosition,
)
from stream_worker.core.records.batch import Bool, Int64
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from stream_worker.errors import Unavailable, Unreadable
from stream_worker.ports import SnapshotReader

BRANDS_AT_ONCE: Final = 200
"""Brands whose history is read at once; they share their limits."""

Progress = Callable[[str, int, int], None]
"""Takes what is read, and how much of how much."""


class SpilledCells(NamedTuple):
    """One kind of cells of one hour. `limits` (units, partitions); `held` says what Redis claims to hold.

    Minutes: a unit is a minute, `held` (60, 1). History: a unit is a batch of brands, `held` (60, brands); an
    hour of the history of hours is held for all its 60 minutes or for none.
    """

    cells: Cells
    limits: Int64
    held: Bool


class SpilledSnapshot:
    """What was read of Redis, until `close`. `partitions` are the columns of limits, in their order.

    One more column stands for all other partitions: of their rows Redis has counted none.
    """

    def __init__(self, snapshots: SnapshotReader, partitions: Sequence[PartitionOfLog] | None = None) -> None:
        self.networks, self.brands = Names(), Names()
        self.models: dict[int, str] = {}  # of each minute whose hash was read, comma-separated
        self.late_minutes: set[int] = set()  # with late mentions
        self.incomplete_minutes: list[int] = []  # sealed without some partition
        self.faults: list[tuple[int, str]] = []  # minutes whose hash contradicts itself, and how
        self.begun = self.position = snapshots.position()
        """Of the first instant, and of the last."""
        columns = sorted(self.begun.partitions()) if partitions is None else partitions
        self._columns = {partition: column for column, partition in enumerate(columns)}
        self._snapshots = snapshots
        self._hours: set[int] = set()
        self._brands_read = 0
        self._folder = tempfile.TemporaryDirectory(prefix="stream-worker-redis-")
        self._spill = Path(self._folder.name)

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    # ------------------------------------------------------------ reading Redis

    def read(self, progress: Progress) -> None:
        """Read all that Redis holds. Raises Unavailable, Unreadable."""
        self._read_names()
        begun = self.begun
        hours_with_hashes = sorted({_hour(minute) for minute in begun.minutes})
        for done, hour_ms in enumerate(hours_with_hashes):
            progress("minutes in Redis", done, len(hours_with_hashes))
            self._read_minutes(hour_ms)
        self._brands_read = len(self.brands)
        hours, days = _hours_with_history(begun), _days_with_history(begun)
        for done, hour_ms in enumerate(hours):
            progress("history of minutes in Redis", done, len(hours))
            self._read_history_of_minutes(hour_ms)
        for done, day_ms in enumerate(days):
            progress("history of hours in Redis", done, len(days))
            self._read_history_of_hours(day_ms, range(day_ms, day_ms + DAY_MS, HOUR_MS))
        for brand in sorted(self._snapshots.admitted_brands()):
            self.brands.add(brand)  # admitted since: in no history that was read
        self._advance(self._snapshots.position())

    def read_day(self, start_ms: int) -> None:
        """Read one day: minutes, and of each hour the finer history that is kept. Raises like `read`."""
        self._read_names()
        self._brands_read = len(self.brands)
        coarse = []
        for hour_ms in range(start_ms, start_ms + DAY_MS, HOUR_MS):
            self._read_minutes(hour_ms)
            if not self._read_history_of_minutes(hour_ms):
                coarse.append(hour_ms)
        if coarse:
            self._read_history_of_hours(start_ms, coarse)
        self._advance(self._snapshots.position())

    def _read_names(self) -> None:
        for network in sorted(self._snapshots.admitted_networks()):
            self.networks.add(network)
        for brand in sorted(self._snapshots.admitted_brands()):
            self.brands.add(brand)

    def _advance(self, position: RedisPosition) -> RedisPosition:
        """Note how far Redis is now. Raises Unavailable when it was further before."""
        now = position.partitions()
        if any(now.get(partition, -1) < cursor for partition, cursor in self.position.partitions().items()):
            raise Unavailable("Redis went back in time, or was emptied, while it was read: run it again")
        self.position = position
        return position

    def _limits(self, position: RedisPosition) -> Int64:
        cursors = position.partitions()
        return np.array([*(cursors.get(partition, 0) for partition in self._columns), 0], np.int64)

    def _read_minutes(self, hour_ms: int) -> None:
        parts, limits = [EMPTY], np.tile(self._limits(self.begun), (60, 1))
        held = self._held_without_hash(hour_ms)
        listed = set(self.begun.minutes)
        for number in range(60):
            start_ms = hour_ms + number * MINUTE_MS
            if start_ms not in listed:
                continue
            position, fields = self._snapshots.minute(start_ms)
            held[number] = self._advance(position).has_minute(start_ms)
            if held[number]:
                parts.append(self._minute(start_ms, number, fields))
                limits[number] = self._limits(position)
        self._put(CellKind.MINUTE, hour_ms, SpilledCells(joined(parts), limits, held))

    def _held_without_hash(self, hour_ms: int) -> Bool:
        """Which minutes were held in the first instant: those without a hash hold nothing, for certain."""
        starts = range(hour_ms, hour_ms + HOUR_MS, MINUTE_MS)
        return np.array([[self.begun.has_minute(start_ms)] for start_ms in starts])

    def _minute(self, start_ms: int, number: int, fields: dict[str, str]) -> Cells:
        try:
            minute = minute_cells(fields, number, self.networks, self.brands)
        except ValueError as error:
            raise Unreadable(f"Redis: the minute {start_ms} holds what is no integer: {error}") from None
        self.models[start_ms] = minute.models
        if (minute.cells.sums[:, 0] != minute.cells.on_time[:, 0]).any():
            self.late_minutes.add(start_ms)
        if not minute.complete:
            self.incomplete_minutes.append(start_ms)
        self.faults += [(start_ms, fault) for fault in minute.faults]
        return minute.cells

    def _read_history_of_minutes(self, hour_ms: int) -> bool:
        """Read the closed minutes of an hour; False, and nothing is kept, when Redis holds none of them."""
        held, cells, limits = np.zeros((60, self._brands_read), np.bool_), [], []
        starts = hour_ms + np.arange(60) * MINUTE_MS
        for first, brands in self._batches():
            position, hashes = self._snapshots.history_of_minutes(hour_ms, brands)
            limits.append(self._limits(self._advance(position)))
            held[:, first : first + len(brands)] = _held_by_brand(
                brands, partial(_held_minutes, position, hour_ms)
            )
            cells.append(_history(CellKind.HISTORY_OF_MINUTES, starts, first, hashes))
        if not held.any():
            return False
        kept = _only(joined(cells), held)
        self._put(CellKind.HISTORY_OF_MINUTES, hour_ms, SpilledCells(kept, np.array(limits, np.int64), held))
        return True

    def _read_history_of_hours(self, day_ms: int, hours: Collection[int]) -> None:
        """Read the hours of a day, and keep some of them, each by itself."""
        held, cells, limits = np.zeros((24, self._brands_read), np.bool_), [], []
        starts = day_ms + np.arange(24) * HOUR_MS
        for first, brands in self._batches():
            position, hashes = self._snapshots.history_of_hours(day_ms, brands)
            limits.append(self._limits(self._advance(position)))
            held[:, first : first + len(brands)] = _held_by_brand(
                brands, partial(_held_hours, position, day_ms)
            )
            cells.append(_history(CellKind.HISTORY_OF_HOURS, starts, first, hashes))
        kept = _only(joined(cells), held)
        for hour_ms in hours:
            number = (hour_ms - day_ms) // HOUR_MS
            if not held[number].any():
                continue
            at = np.flatnonzero(kept.keys >> MINUTE_SHIFT == number)
            keys = kept.keys[at] & ((1 << MINUTE_SHIFT) - 1)
            of_hour = SpilledCells(
                Cells(keys, kept.sums[at], kept.on_time[at]), np.array(limits, np.int64), held[number, None]
            )
            self._put(CellKind.HISTORY_OF_HOURS, hour_ms, of_hour)

    def _batches(self) -> list[tuple[int, list[str]]]:
        """The brands whose history is read, in batches: code of the first one, and names."""
        starts = range(0, self._brands_read, BRANDS_AT_ONCE)
        return [
            (first, self.brands.part(first, min(first + BRANDS_AT_ONCE, self._brands_read)))
            for first in starts
        ]

    # ------------------------------------------------------------ the spill

    def hours(self) -> set[int]:
        """Starts of the hours that have any cell."""
        return self._hours

    def cells(self, kind: CellKind, hour_ms: int) -> SpilledCells | None:
        """Load one kind of an hour; None when nothing of it was read."""
        path = self._path(kind, hour_ms)
        if not path.exists():
            if kind != CellKind.MINUTE:
                return None
            limits = np.tile(self._limits(self.begun), (60, 1))
            return SpilledCells(EMPTY, limits, self._held_without_hash(hour_ms))
        with np.load(path) as stored:
            cells, held = Cells(stored["keys"], stored["sums"], stored["on_time"]), stored["held"]
            if kind == CellKind.HISTORY_OF_HOURS:
                held = np.tile(held, (60, 1))
            return SpilledCells(cells, stored["limits"], held)

    def _put(self, kind: CellKind, hour_ms: int, part: SpilledCells) -> None:
        keys, sums, on_time = part.cells
        np.savez(
            self._path(kind, hour_ms),
            limits=part.limits,
            held=part.held,
            keys=keys,
            sums=sums,
            on_time=on_time,
        )
        if len(keys):
            self._hours.add(hour_ms)

    def _path(self, kind: CellKind, hour_ms: int) -> Path:
        return self._spill / f"{kind.name}-{hour_ms}.npz"

    # ------------------------------------------------------------ rows beside it

    def column(self, partition: PartitionOfLog) -> int:
        """Return the column of a partition in `limits`."""
        return self._columns.get(partition, len(self._columns))

    def held_and_counted(
        self, kind: CellKind, part: SpilledCells, rows: RecountRows, column: int
    ) -> tuple[Bool, Bool]:
        """Which rows of a partition lie in cells that are held, and which below the cursor of that cell."""
        if kind == CellKind.MINUTE:
            return part.held[rows.minutes, 0], rows.offsets < part.limits[rows.minutes, column]
        known = rows.brands < self._brands_read  # history that was read has them
        brands = np.where(known, rows.brands, 0)
        held: Bool = known & part.held[rows.minutes, brands]
        return held, rows.offsets < part.limits[brands // BRANDS_AT_ONCE, column]


def _hour(time_ms: int) -> int:
    return time_ms - time_ms % HOUR_MS


def _hours_with_history(position: RedisPosition) -> range:
    """Starts of the hours whose minutes may be in history."""
    closed_ms = max(position.closed_ms)
    if closed_ms < 0:
        return range(0)
    first = max(_hour(position.sealed_ms - HOURS_OF_MINUTES_MS), _hour(position.complete_from_ms))
    return range(first, _hour(closed_ms - 1) + HOUR_MS, HOUR_MS)


def _days_with_history(position: RedisPosition) -> range:
    """Starts of the days whose hours may be in history."""
    closed_ms = max(position.closed_ms)
    if closed_ms < 0:
        return range(0)
    first = max(closed_ms - DAYS_OF_HOURS_MS, _hour(position.complete_from_ms))
    return range(first // DAY_MS * DAY_MS, closed_ms // DAY_MS * DAY_MS + 1, DAY_MS)


def _held_minutes(position: RedisPosition, hour_ms: int, shard: int) -> Bool:
    """Which minutes of an hour the history of minutes holds for brands of a shard, (60,)."""
    starts = hour_ms + np.arange(60) * MINUTE_MS
    whole = (starts >= position.complete_from_ms) & (starts < position.closed_ms[shard])
    return whole & position.has_hour_of_minutes(hour_ms, shard)


def _held_hours(position: RedisPosition, day_ms: int, shard: int) -> Bool:
    """Which hours of a day the history of hours holds for brands of a shard, (24,)."""
    return np.array([position.has_hour(start, shard) for start in range(day_ms, day_ms + DAY_MS, HOUR_MS)])


def _held_by_brand(brands: Sequence[str], held_by_shard: Callable[[int], Bool]) -> Bool:
    """Which slots are held, (slots, brands); brands of one shard hold the same."""
    shards = [shard_of(brand) for brand in brands]
    of_shard = {shard: held_by_shard(shard) for shard in set(shards)}
    return np.column_stack([of_shard[shard] for shard in shards])


def _history(kind: CellKind, starts: Int64, first: int, hashes: Sequence[dict[str, str]]) -> Cells:
    """Read history of the brands from code `first` on; the slot of a value is that of its start."""
    slots = {start: slot for slot, start in enumerate(starts.tolist())}
    found = [
        (value, slots[start_ms], code)
        for code, fields in enumerate(hashes, first)
        for start, value in fields.items()
        if (start_ms := int(start)) in slots
    ]
    values, at, codes = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [])
    try:
        return history_cells(values, at, codes)
    except ValueError as error:
        raise Unreadable(f"Redis: {kind} from {starts[0]}, some brand: {error}; see docs/redis.md") from None


def _only(cells: Cells, held: Bool) -> Cells:
    """The cells that are held."""
    some = held[cells.keys >> MINUTE_SHIFT, cells.keys & ((1 << BRAND_BITS) - 1)]
    return Cells(cells.keys[some], cells.sums[some], cells.on_time[some])

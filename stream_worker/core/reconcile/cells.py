"""Cells of one event hour: how rows are summed again, and how what Redis holds is read into the same form.

Rules:
1. A key is one integer: minute of the hour (6 bits), network (16), brand (24). History has no network, the
   history of hours no minute either; their bits are 0.
2. Sums are integers in the order of `MEASURES`, `(k, 10)`. Cells of zeros are the same as absent ones.
3. A row belongs to a cell of Redis if its offset lies below the cursor that was read together with that cell.
   These cursors come as `limits`: per minute or batch of brands, one column per partition.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.records.batch import NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, UNSCORED, Bool, Int64

BRAND_BITS: Final = 24
NETWORK_BITS: Final = 16
MINUTE_SHIFT: Final = NETWORK_BITS + BRAND_BITS
MERGE_AT: Final = 60_000
"""So many cells of single batches wait, beyond those of the hour, before they are summed up."""

_WIDTH: Final = len(MEASURES)
_INDEX: Final = {measure: i for i, measure in enumerate(MEASURES)}


class CellKind(StrEnum):
    """Where cells are in Redis, as people read it."""

    MINUTE = "minute"
    HISTORY_OF_MINUTES = "history of minutes"
    HISTORY_OF_HOURS = "history of hours"


class Names:
    """Admitted names in the order they were seen; 0 is the reserved empty one, for all that were refused."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {"": 0}
        self._names: list[str] = [""]

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> int:
        """Return the code of an admitted name."""
        code = self._codes.setdefault(name, len(self._names))
        if code == len(self._names):
            self._names.append(name)
        return code

    def codes(self, names: Iterable[str]) -> Int64:
        """Return the codes of names in rows: 0 for those that Redis has not admitted."""
        return np.array([self._codes.get(name, 0) for name in names], np.int64)

    def name(self, code: int) -> str:
        """Return the name of a code."""
        return self._names[code]

    def part(self, start: int, stop: int) -> list[str]:
        """Return the names of the codes [start, stop)."""
        return self._names[start:stop]


class Cells(NamedTuple):
    """k cells: rising keys; all sums, and those on time (zeros where Redis does not tell)."""

    keys: Int64
    sums: Int64
    on_time: Int64


EMPTY: Final = Cells(np.empty(0, np.int64), np.empty((0, _WIDTH), np.int64), np.empty((0, _WIDTH), np.int64))


def key_of(minute: int, network: int, brand: int) -> int:
    """Pack a key."""
    return (minute << MINUTE_SHIFT) | (network << BRAND_BITS) | brand


def unpack(key: int) -> tuple[int, int, int]:
    """Return minute of the hour, network and brand of a key."""
    network = (key >> BRAND_BITS) & ((1 << NETWORK_BITS) - 1)
    return key >> MINUTE_SHIFT, network, key & ((1 << BRAND_BITS) - 1)


@dataclass(slots=True, eq=False)
class RecountRows:
    """Rows of one partition and one event hour, as far as a recount needs them; n each."""

    offsets: Int64
    minutes: Int64  # of the hour, 0 … 59
    networks: Int64
    brands: Int64
    late: Bool
    sums: Int64  # (n, 10): what each row adds


def row_sums(label: Int64, sentiment_micro: Int64, repeat: Bool, voice: Bool) -> Int64:
    """Return what each mention adds to its cell, (n, 10)."""
    sums = np.zeros((len(label), _WIDTH), np.int64)
    sums[:, _INDEX["n"]] = 1
    labels = (("neg", NEGATIVE), ("neu", NEUTRAL), ("pos", POSITIVE))
    for measure, value in (*labels, ("uncertain", UNCERTAIN), ("unscored", UNSCORED)):
        sums[:, _INDEX[measure]] = label == value
    sums[:, _INDEX["sum"]] = sentiment_micro
    sums[:, _INDEX["repeats"]] = repeat
    sums[:, _INDEX["voices"]] = voice
    sums[:, _INDEX["neg_voices"]] = voice & (label == NEGATIVE)
    return sums


class Recount:
    """Sums rows into cells; `by_network`, `by_minute`: what the keys keep apart."""

    def __init__(self, *, by_minute: bool, by_network: bool) -> None:
        self._by_minute, self._by_network = by_minute, by_network
        self._pending: list[Cells] = []
        self._merge_at = MERGE_AT

    def add(self, rows: RecountRows, selected: Bool) -> None:
        """Add the selected rows."""
        keys = rows.brands[selected]
        if self._by_network:
            keys = keys | rows.networks[selected] << BRAND_BITS
        if self._by_minute:
            keys = keys | rows.minutes[selected] << MINUTE_SHIFT
        sums = rows.sums[selected]
        on_time = np.where(rows.late[selected][:, None], 0, sums)
        self._pending.append(grouped(keys, sums, on_time))
        if sum(len(cells.keys) for cells in self._pending) > self._merge_at:
            self._pending = [self.cells()]
            self._merge_at = (
                MERGE_AT + len(self._pending[0].keys) * 3 // 2
            )  # adding stays cheap for a full hour

    def cells(self) -> Cells:
        """Return all cells so far."""
        return joined(self._pending)


def grouped(keys: Int64, sums: Int64, on_time: Int64) -> Cells:
    """Sum up what has the same key."""
    if not len(keys):
        return EMPTY
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(keys)) + 1))
    add = np.add.reduceat
    return Cells(keys[starts], add(sums[order], starts, axis=0), add(on_time[order], starts, axis=0))


def joined(parts: Sequence[Cells]) -> Cells:
    """Sum up several."""
    if len(parts) < 2:
        return parts[0] if parts else EMPTY
    keys, sums, on_time = (np.concatenate(column) for column in zip(*parts, strict=True))
    return grouped(keys, sums, on_time)


def history_cells(values: Sequence[str], minutes: Sequence[int], brands: Sequence[int]) -> Cells:
    """Read history values of these minutes of the hour (0 for hours) and brands. Raises ValueError."""
    sums = np.fromstring(",".join(values), dtype=np.int64, sep=",") if values else np.empty(0, np.int64)
    if len(sums) != _WIDTH * len(values):
        raise ValueError("history is not ten integers")
    sums = sums.reshape(-1, _WIDTH)
    keys = np.asarray(minutes, np.int64) << MINUTE_SHIFT | np.asarray(brands, np.int64)
    some = sums.any(axis=1)
    return grouped(keys[some], sums[some], np.zeros_like(sums[some]))

"""Comparing: the cells of the recount with those of Redis.

Rules:
1. Counts (`n`, `repeats`, `voices`) are compared always; what depends on the model only where rows and
   Redis name the same single one.
2. Names past the limit are counted under the reserved empty one. When a limit was raised later, some mentions
   of a name stand there and some under the name itself: within a minute these must sum up in all measures.
3. Redis may hold more than the rows by what the archive says it has lost, and by no more than that.
4. On-time counts are frozen: they never exceed the rows that are not late.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.reconcile.cells import (
    BRAND_BITS,
    MINUTE_SHIFT,
    NETWORK_BITS,
    CellKind,
    Cells,
    Names,
    unpack,
)
from stream_worker.core.reconcile.findings import Difference, Findings
from stream_worker.core.records.batch import Bool, Int64
from stream_worker.core.time import MINUTE_MS

COUNTS: Final = np.array([measure in ("n", "repeats", "voices") for measure in MEASURES])
FREE_OF_SIGN: Final = np.array([measure != "sum" for measure in MEASURES])


@dataclass(slots=True)
class LostOffsets:
    """How many offsets the archive has lost; Redis may have counted as many before."""

    offsets: int
    used: int = 0

    def explains(self, mentions: int) -> bool:
        """Whether so many more mentions in Redis can be of what was lost; then they are used up."""
        if self.used + mentions > self.offsets:
            return False
        self.used += mentions
        return True


@dataclass(slots=True, eq=False)
class DifferingCells:
    """The same cells of both sides, those that differ only; `measures` (k, 10) says what was compared."""

    keys: Int64
    rows: Cells
    redis: Cells
    measures: Bool


@dataclass(slots=True)
class CellComparison:
    """Compares one kind of cells of one hour; `kind` names where they lie in Redis."""

    kind: CellKind
    hour_ms: int
    networks: Names
    brands: Names
    lost: LostOffsets
    findings: Findings

    def compare(self, rows: Cells, redis: Cells, scored: Bool, *, frozen: bool) -> None:
        """Compare; `scored` (60) says of each minute whether its sentiment is comparable."""
        aligned = _aligned(rows, redis, scored)
        minutes = aligned.keys >> MINUTE_SHIFT
        for minute in np.unique(minutes).tolist():
            at = np.flatnonzero(minutes == minute)
            if not self._is_explained(aligned, at):
                self.findings.add(self._differences(aligned, at))
        if frozen:
            self.findings.add(self._thawed(rows, redis, scored, aligned.keys))

    def _is_explained(self, aligned: DifferingCells, at: Int64) -> bool:
        """Rules 2 and 3, for the differing cells of one minute."""
        more = aligned.redis.sums[at] - aligned.rows.sums[at]
        keys = aligned.keys[at]
        reserved = keys & ((1 << BRAND_BITS) - 1) == 0
        if self.kind == CellKind.MINUTE:
            reserved |= (keys >> BRAND_BITS) & ((1 << NETWORK_BITS) - 1) == 0
        above = reserved[more[:, 0] > 0]
        compared = aligned.measures[at].all(axis=0)
        if len(above) and above.all() and not more.sum(axis=0)[compared].any():
            self.findings.note(
                "mentions from before a limit of brands was raised stand under the reserved name"
            )
            return True
        if (more[:, COUNTS] < 0).any() or not self.lost.offsets or not more[:, 0].all():
            return False
        if not self.lost.explains(int(more[:, 0].sum())):
            return False
        self.findings.note(
            "Redis has counted mentions that the archive has lost; their cells are not compared"
        )
        return True

    def _differences(self, aligned: DifferingCells, at: Int64) -> Iterator[Difference]:
        for i in at.tolist():
            expected, found = aligned.rows.sums[i], aligned.redis.sums[i]
            differs = np.flatnonzero((expected != found) & aligned.measures[i])
            yield Difference(
                self.kind,
                self.where(int(aligned.keys[i])),
                ", ".join(f"{MEASURES[m]} {expected[m]}" for m in differs),
                ", ".join(f"{MEASURES[m]} {found[m]}" for m in differs)
                + _split(aligned.redis.on_time[i], found, differs),
            )

    def _thawed(self, rows: Cells, redis: Cells, scored: Bool, reported: Int64) -> Iterator[Difference]:
        """Rule 4, for cells that were not reported already."""
        aligned = _aligned(rows, redis, scored, on_time=True)
        for i in np.flatnonzero(~np.isin(aligned.keys, reported)).tolist():
            key = int(aligned.keys[i])
            expected, found = aligned.rows.on_time[i], aligned.redis.on_time[i]
            above = np.flatnonzero((found > expected) & aligned.measures[i])
            yield Difference(
                f"{self.kind} on time",
                self.where(key),
                ", ".join(f"{MEASURES[m]} at most {expected[m]}" for m in above),
                ", ".join(f"{MEASURES[m]} {found[m]}" for m in above),
            )

    def where(self, key: int) -> str:
        """Name a cell for people."""
        minute, network, brand = unpack(key)
        at = dt.datetime.fromtimestamp((self.hour_ms + minute * MINUTE_MS) / 1000, dt.UTC)
        of_network = f", network {self.networks.name(network)}" if self.kind == CellKind.MINUTE else ""
        unit = "hour" if self.kind == CellKind.HISTORY_OF_HOURS else "minute"
        named = repr(self.brands.name(brand)) if brand else "'' (all that Redis has not admitted)"
        return f"{unit} {at:%Y-%m-%dT%H:%MZ}{of_network}, brand {named}"


def _split(on_time: Int64, found: Int64, differs: Int64) -> str:
    """Say how much of what was found is late, where Redis knows."""
    if not on_time.any():
        return ""
    return " (" + ", ".join(f"{on_time[m]} on time + {found[m] - on_time[m]} late" for m in differs) + ")"


def _aligned(rows: Cells, redis: Cells, scored: Bool, *, on_time: bool = False) -> DifferingCells:
    """Bring both sides to the same keys, and keep the cells that differ."""
    keys = rows.keys
    if not np.array_equal(keys, redis.keys):  # where all is well both have the same, and nothing is copied
        keys = np.union1d(rows.keys, redis.keys)
        rows, redis = _spread(rows, keys), _spread(redis, keys)
    measures = COUNTS | scored[keys >> MINUTE_SHIFT][:, None]
    if on_time:
        measures &= FREE_OF_SIGN
        differs = ((redis.on_time > rows.on_time) & measures).any(axis=1)
    else:
        differs = ((rows.sums != redis.sums) & measures).any(axis=1)
    at = np.flatnonzero(differs)
    return DifferingCells(keys[at], _pick(rows, at), _pick(redis, at), measures[at])


def _spread(cells: Cells, keys: Int64) -> Cells:
    """Give the cells these keys, zeros where they have none."""
    at = np.searchsorted(keys, cells.keys)
    sums, on_time = (np.zeros((len(keys), len(MEASURES)), np.int64) for _ in range(2))
    sums[at], on_time[at] = cells.sums, cells.on_time
    return Cells(keys, sums, on_time)


def _pick(cells: Cells, at: Int64) -> Cells:
    return Cells(cells.keys[at], cells.sums[at], cells.on_time[at])

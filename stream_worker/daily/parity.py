"""Parity with live: each minute of a day as the archive has it, against what Redis showed.

Rules:
1. A minute agrees, differs for a reason that is named, or differs unexplained. The reasons: *below the floor*
   (Redis began later, or was emptied), *Redis is empty*, *no longer kept*, *not closed yet*, *not yet in
   Redis* (rows above its cursor), *not yet archived* (Redis has counted what no finished chunk holds), *lost
   to retention*, *limit of brands raised*, *unreadable object*. Nothing else explains.
2. A reason is used up: Redis may hold more by as many mentions as offsets are not archived, or were lost.
   It never explains that Redis holds less.
3. Counts are compared always; what depends on the model only where rows and Redis name the same single one.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.archive.days import Day
from stream_worker.core.reconcile.cells import BRAND_BITS, NETWORK_BITS, CellKind, Cells, Names, unpack
from stream_worker.core.records.batch import Bool, Int64
from stream_worker.core.time import DAY_MS, MINUTE_MS

DIFFERENCES_MAX: Final = 50
NOT_ARCHIVED, LOST = "not yet archived", "lost to retention"
RAISED, UNREADABLE, NOT_IN_REDIS = "limit of brands raised", "unreadable object", "not yet in Redis"
UNEXPLAINED: Final = "unexplained"

_ALL: Final[list[str]] = list(MEASURES)
_COUNTS: Final[list[str]] = [measure for measure in MEASURES if measure in ("n", "repeats", "voices")]


class Parity:
    """The comparison of a day; `spare` are mentions Redis may hold beyond the rows, by reason."""

    def __init__(self, day: Day, networks: Names, brands: Names, spare: dict[str, int]) -> None:
        self._day, self._networks, self._brands = day, networks, brands
        self._spare = {(reason, kind): count for reason, count in spare.items() for kind in CellKind}
        self._held = np.zeros(DAY_MS // MINUTE_MS, np.bool_)
        self._by_hash = np.zeros(DAY_MS // MINUTE_MS, np.bool_)
        self._reasons: dict[str, dict[int, dict[str, int]]] = {}  # -> minute of the day -> kind -> mentions
        self.differences: list[str] = []
        """The first unexplained ones, a line each."""
        self.unexplained = 0
        self.notes: list[str] = []

    def explain(self, reason: str, minute: int, mentions: int, kind: str = "") -> None:
        """Note mentions of a minute of the day that were not compared, or differ, for a reason."""
        kinds = self._reasons.setdefault(reason, {}).setdefault(minute, {})
        kinds[kind] = kinds.get(kind, 0) + mentions

    def note(self, line: str) -> None:
        """Keep a remark, once."""
        if line not in self.notes:
            self.notes.append(line)

    def compare(
        self, kind: CellKind, hour_ms: int, rows: Cells, redis: Cells, held: Bool, scored: Bool
    ) -> None:
        """Compare cells of an hour; `held` and `scored` (60): which minutes, and whether their sentiment."""
        first = (hour_ms - self._day.start_ms) // MINUTE_MS
        span = slice(first, first + 60)
        self._held[span] |= held
        if kind == CellKind.MINUTE:
            self._by_hash[span] |= held
        if not len(rows.keys) and not len(redis.keys):
            return
        both = _aligned(rows, redis)
        minute = both.index.to_numpy() >> (NETWORK_BITS + BRAND_BITS)
        comparable = scored[minute]
        differs = (both[_rows(_COUNTS)].to_numpy() != both[_redis(_COUNTS)].to_numpy()).any(axis=1)
        all_differ = (both[_rows(_ALL)].to_numpy() != both[_redis(_ALL)].to_numpy()).any(axis=1)
        both = both[differs | (comparable & all_differ)]
        for number, cells in both.groupby(both.index.to_numpy() >> (NETWORK_BITS + BRAND_BITS)):
            measures = _ALL if scored[number] else _COUNTS
            self._evaluate(kind, hour_ms, int(number), cells, measures)

    def _evaluate(
        self, kind: CellKind, hour_ms: int, number: int, cells: pd.DataFrame, measures: list[str]
    ) -> None:
        """Find the reason of the cells of one minute that differ."""
        minute = (hour_ms - self._day.start_ms) // MINUTE_MS + number
        more = cells[_redis(measures)].to_numpy() - cells[_rows(measures)].to_numpy()
        mentions = int(np.abs(more[:, 0]).sum())
        if self._raised(kind, cells, more):
            self.explain(RAISED, minute, mentions, kind)
            return
        if (more[:, [measures.index(one) for one in _COUNTS]] >= 0).all() and more[:, 0].all():
            for reason in (NOT_ARCHIVED, LOST):
                spare = self._spare.get((reason, kind), 0)
                if mentions <= spare:
                    self._spare[reason, kind] = spare - mentions
                    self.explain(reason, minute, mentions, kind)
                    return
        self.explain(UNEXPLAINED, minute, mentions, kind)
        self.unexplained += 1
        self._describe(kind, hour_ms, cells, measures)

    @staticmethod
    def _raised(kind: CellKind, cells: pd.DataFrame, more: Int64) -> bool:
        """Whether the minute sums up, and only the reserved names have more than the rows."""
        keys = cells.index.to_numpy()
        reserved = keys & ((1 << BRAND_BITS) - 1) == 0
        if kind == CellKind.MINUTE:
            reserved |= (keys >> BRAND_BITS) & ((1 << NETWORK_BITS) - 1) == 0
        above = reserved[more[:, 0] > 0]
        return bool(len(above) and above.all() and not more.sum(axis=0).any())

    def _describe(self, kind: CellKind, hour_ms: int, cells: pd.DataFrame, measures: list[str]) -> None:
        for key, cell in cells.iterrows():
            if len(self.differences) >= DIFFERENCES_MAX:
                return
            minute, network, brand = unpack(int(key))
            at = dt.datetime.fromtimestamp((hour_ms + minute * MINUTE_MS) / 1000, dt.UTC)
            wrong = [one for one in measures if cell[f"{one}_rows"] != cell[f"{one}_redis"]]
            where = f"{at:%H:%M}" + (
                f", network {self._networks.name(network)}" if kind == CellKind.MINUTE else ""
            )
            measured = ", ".join(
                f"{one}: archive {cell[f'{one}_rows']}, Redis {cell[f'{one}_redis']}" for one in wrong
            )
            self.differences.append(f"{where}, brand {self._brands.name(brand)!r}: {measured}")

    def result(self) -> dict[str, Any]:
        """Return how many of the day's minutes agree, and for each reason minutes and mentions."""
        differs = {minute for minutes in self._reasons.values() for minute in minutes}
        agree = [minute for minute in np.flatnonzero(self._held).tolist() if minute not in differs]
        return {
            "minutes": len(self._held),
            "agree": len(agree),
            "by_minute": int(self._by_hash[agree].sum()),
            "reasons": {
                # The same mentions are missed in the hash of a minute and in history
                reason: {
                    "minutes": len(minutes),
                    "mentions": sum(max(one.values()) for one in minutes.values()),
                }
                for reason, minutes in sorted(self._reasons.items())
            },
            "unexplained": self.unexplained,
        }


def _rows(measures: Sequence[str]) -> list[str]:
    return [f"{measure}_rows" for measure in measures]


def _redis(measures: Sequence[str]) -> list[str]:
    return [f"{measure}_redis" for measure in measures]


def _aligned(rows: Cells, redis: Cells) -> pd.DataFrame:
    """Both sides by key, zeros where one has nothing."""
    left = pd.DataFrame(rows.sums, index=rows.keys, columns=_rows(_ALL))
    right = pd.DataFrame(redis.sums, index=redis.keys, columns=_redis(_ALL))
    return left.join(right, how="outer").fillna(0).astype("int64")

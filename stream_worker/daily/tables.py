"""Tables of a day, as pandas frames: by brand, network and hour; by brand; by hour; the movers.

Rules:
1. Counts stay integers; shares are computed from sums, never averaged.
2. The columns are documented in docs/batch.md and only ever added to.
"""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.reconcile.cells import BRAND_BITS, NETWORK_BITS, Cells
from stream_worker.core.sentiment.estimate import MeasuredModel, estimates
from stream_worker.core.sentiment.net import Z, coverage, negative_share
from stream_worker.core.time import HOUR_MS
from stream_worker.daily.recount import DayCounts

MOVE_MENTIONS_MIN: Final = 30
"""With fewer scored mentions on a day a brand is no mover: too few to judge."""
MOVE_MIN: Final = 0.03
"""A share that moved by less is no move, however certain it is."""
HOUR_SHARE_MIN: Final = 0.1
_ALL: Final[list[str]] = list(MEASURES)
_SUMS: Final = [*_ALL, "late", "duplicates"]
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def hours_table(counts: DayCounts) -> pd.DataFrame:
    """Return a row for each brand, network and hour that has mentions: integers only, sorted."""
    frames = [
        _hour(hour_ms, counted, duplicates)
        for hour_ms, (counted, duplicates) in counts.hours.items()
        if len(counted.keys) or len(duplicates.keys)
    ]
    table = pd.concat(frames, ignore_index=True) if frames else _hour(0, *[_NOTHING] * 2)
    table["brand"] = _named(table["brand"], counts.brands.part(0, len(counts.brands)))
    table["network"] = _named(table["network"], counts.networks.part(0, len(counts.networks)))
    table["hour"] = pd.to_datetime(table["hour"], unit="ms", utc=True)
    ordered = table.sort_values(["brand", "network", "hour"], ignore_index=True)
    return ordered[["hour", "brand", "network", *_SUMS]]


_NOTHING: Final = Cells(
    np.empty(0, np.int64), np.empty((0, len(MEASURES)), np.int64), np.empty((0, len(MEASURES)), np.int64)
)


def _hour(hour_ms: int, counted: Cells, duplicates: Cells) -> pd.DataFrame:
    table = pd.DataFrame(counted.sums, index=counted.keys, columns=_ALL)
    table["late"] = counted.sums[:, 0] - counted.on_time[:, 0]
    again = pd.Series(duplicates.sums[:, 0], index=duplicates.keys, name="duplicates")
    table = table.join(again, how="outer").fillna(0).astype("int64")
    keys = table.index.to_numpy().astype(np.int64)
    table["hour"] = hour_ms
    table["brand"] = keys & ((1 << BRAND_BITS) - 1)
    table["network"] = (keys >> BRAND_BITS) & ((1 << NETWORK_BITS) - 1)
    return table


def _named(codes: pd.Series, names: list[str]) -> pd.Series:
    return codes.map(lambda code: names[code])


class ScoredBy(NamedTuple):
    """The models of a day: the errors of the one in use, if they are known, and where it alone scored."""

    known: MeasuredModel | None
    hours_ms: frozenset[int]
    """Starts of hours."""
    day: bool


UNKNOWN: Final = ScoredBy(None, frozenset(), day=False)


def with_shares(table: pd.DataFrame, scored_by: ScoredBy = UNKNOWN) -> pd.DataFrame:
    """Add coverage, negative share and net sentiment with 95 % intervals; NaN where nothing is scored."""
    by_known = [scored_by.day] * len(table)
    if "hour" in table:
        hours = (table["hour"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(hours=1)
        by_known = [hour * HOUR_MS in scored_by.hours_ms for hour in hours.tolist()]
    rows = shares(table[_ALL].to_numpy().tolist(), by_known, scored_by.known)
    found = pd.DataFrame(rows, index=table.index, columns=list(SHARES))
    return table.join(found.astype(dict.fromkeys(SHARES[:-1], "float64") | {SHARES[-1]: "str"}))


class Shares(NamedTuple):
    """Shares of one tally with their 95 % intervals; None where nothing is scored."""

    coverage: float | None
    negative_share: float | None
    negative_low: float | None
    negative_high: float | None
    net_sentiment: float | None
    net_low: float | None
    net_high: float | None
    net_estimate: float | None
    interval_holds: str | None


SHARES: Final = Shares._fields


def shares(
    tallies: Sequence[Sequence[int]], by_known: Sequence[bool], known: MeasuredModel | None
) -> list[Shares]:
    """Return the shares of each tally of ten sums; `by_known`: the known model scored it."""
    rows = []
    for sums, net in zip(tallies, estimates(tallies, by_known, known), strict=True):
        share = negative_share(sums)
        low, high = wilson(sums[1], sums[0] - sums[5]) if share is not None else (None, None)
        nets = (None,) * 5 if net is None else (net.mean, net.low, net.high, net.value, net.holds)
        rows.append(Shares(coverage(sums), share, low, high, *nets))
    return rows


def wilson(found: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score; `of` is above 0.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    share = found / of
    centre = (share + Z * Z / (2 * of)) / (1 + Z * Z / of)
    half = Z * sqrt(share * (1 - share) / of + Z * Z / (4 * of * of)) / (1 + Z * Z / of)
    return max(0.0, centre - half), min(1.0, centre + half)


def by_brand(table: pd.DataFrame, scored_by: ScoredBy = UNKNOWN) -> pd.DataFrame:
    """Return a row for each brand, the most mentioned first."""
    brands = table.groupby("brand", as_index=False)[_SUMS].sum()
    ordered = brands.sort_values(["n", "brand"], ascending=[False, True], ignore_index=True)
    return with_shares(ordered, scored_by)


def by_hour(table: pd.DataFrame, start: pd.Timestamp) -> pd.DataFrame:
    """Return 24 rows, zeros included."""
    hours = pd.date_range(start, periods=24, freq="h")
    return table.groupby("hour")[_SUMS].sum().reindex(hours, fill_value=0)


def in_common(table: pd.DataFrame, before: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Return both days in the hours that can be compared, and how many those are.

    An hour with less than `HOUR_SHARE_MIN` of the other day's mentions is one that the archive hardly has:
    its first one, or the last one so far.
    """
    days = (table, before)
    now, then = (one.groupby(one["hour"].dt.hour)["n"].sum().reindex(range(24), fill_value=0) for one in days)
    enough = (now > 0) & (then > 0) & (now >= HOUR_SHARE_MIN * then) & (then >= HOUR_SHARE_MIN * now)
    hours = enough.index[enough]
    cut = [one[one["hour"].dt.hour.isin(hours)] for one in days]
    return cut[0], cut[1], len(hours)


def movers(today: pd.DataFrame, before: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the brands whose negative share moved most against the day before, and beyond its margin.

    A move counts only if it is `MOVE_MIN` at least, the two days' intervals do not overlap, and both days
    have `MOVE_MENTIONS_MIN` scored mentions.
    """
    both = today.merge(before, on="brand", suffixes=("", "_before"))
    scored = both["n"] - both["unscored"], both["n_before"] - both["unscored_before"]
    enough = (scored[0] >= MOVE_MENTIONS_MIN) & (scored[1] >= MOVE_MENTIONS_MIN)
    apart = (both["negative_low"] > both["negative_high_before"]) | (
        both["negative_high"] < both["negative_low_before"]
    )
    both["moved"] = both["negative_share"] - both["negative_share_before"]
    both = both[enough & apart & (both["moved"].abs() >= MOVE_MIN)]
    return both.reindex(both["moved"].abs().sort_values(ascending=False, kind="stable").index)[:count]


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, with plain types; the same table gives the same bytes."""
    pq.write_table(_arrow(table), path, compression="zstd", store_schema=False)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV; a name that a spreadsheet would run as a formula gets a ' in front."""
    safe = table.copy()
    for name in ("brand", "network"):
        safe[name] = [f"'{text}" if text.startswith(_FORMULA) else text for text in safe[name]]
    pa_csv.write_csv(_arrow(safe), path)


def read_hours(path: Path) -> pd.DataFrame:
    """Read a table that `write_parquet` wrote. Raises OSError, ArrowException when it cannot be read."""
    table: pd.DataFrame = pq.read_table(path).to_pandas()
    return table[["hour", "brand", "network", *_SUMS]]


def _arrow(table: pd.DataFrame) -> pa.Table:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    fields = [
        pa.field(one.name, pa.string() if pa.types.is_large_string(one.type) else one.type)
        for one in arrow.schema
    ]
    return arrow.cast(pa.schema(fields)).replace_schema_metadata(None)

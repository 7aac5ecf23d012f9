"""Counts per brand and minute, for the backtest: from a Parquet file, or counted from the archive.

Rules of a file:
1. Columns `brand` (text), `minute` (minutes since 1970), `mentions`, `negative`, and both or none of
   `unique_mentions` and `unique_negative`: the voices among them. Without those every mention is a voice.
2. Rows may stand in any order. A minute that is absent is a hole; one with zeros is a zero.
3. Anything else is refused with the row, counted from 0: an unknown column, a value that is absent, negative,
   fractional or no number, a minute of a brand that comes twice, more negative ones than mentions.
Rules of the archive:
4. Rows that are duplicates or late do not count, as in the worker. A brand has zeros from its first minute
   to the archive's last; more than 30 minutes without a row of any brand are a hole for all, and so is a
   minute that was scored by several models.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stream_worker.core.detection.evaluate import artefact_of
from stream_worker.core.detection.replay import CountSeries
from stream_worker.core.records.batch import Bool, Int64
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import Misconfigured

REQUIRED: Final = ("brand", "minute", "mentions", "negative")
OPTIONAL: Final = ("unique_mentions", "unique_negative")
NUMBERS: Final = ("minute", "mentions", "negative", *OPTIONAL)
MINUTE_LIMIT: Final = 500_000_000  # the year 2920; beyond it stand seconds or milliseconds
COUNT_LIMIT: Final = 1 << 53
HOLE_MINUTES: Final = 30
PARTS_MAX: Final = 64
ARCHIVE_COLUMNS: Final = ("brand", "event_time", "label", "voice", "duplicate", "late", "model")
MEASURES: Final = ("mentions", "negative", "voices", "neg_voices")


def read_counts(path: Path) -> Iterator[tuple[str, CountSeries]]:
    """Yield each brand of a file with its series, by name. Raises Misconfigured."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise Misconfigured(f"{path} cannot be read as Parquet ({reason})") from None
    _check_columns(path, table.column_names)
    brands, names = _brands(path, table)
    columns = {name: _whole(path, name, table[name]) for name in NUMBERS if name in table.column_names}
    _check_values(path, columns)
    mentions, negative = columns["mentions"], columns["negative"]
    voices = columns.get("unique_mentions", mentions)
    neg_voices = columns.get("unique_negative", negative)
    order = _order(path, brands, columns["minute"], names)
    columns_of = columns["minute"], mentions, negative, voices, neg_voices
    yield from _split(
        names, brands, [column if order is None else column[order] for column in columns_of], order
    )


def _check_columns(path: Path, found: list[str]) -> None:
    if missing := [name for name in REQUIRED if name not in found]:
        raise Misconfigured(f"{path} has no column {', '.join(missing)}; it needs {', '.join(REQUIRED)}")
    if unknown := [name for name in found if name not in (*REQUIRED, *OPTIONAL)]:
        known = ", ".join((*REQUIRED, *OPTIONAL))
        raise Misconfigured(f"{path} has an unknown column {unknown[0]!r}; known are {known}")
    if len(set(found)) < len(found):
        raise Misconfigured(f"{path} has a column twice")
    if (OPTIONAL[0] in found) != (OPTIONAL[1] in found):
        raise Misconfigured(f"{path} has one of {' and '.join(OPTIONAL)}; they go together")


def _brands(path: Path, table: pa.Table) -> tuple[Int64, list[str]]:
    """Return a code per row and the names, by code, in order."""
    column = table["brand"].combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise Misconfigured(f"{path}: brand is {column.type}, not text")
    if column.null_count:
        raise Misconfigured(
            f"{path} row {_first(pc.is_null(column).to_numpy(zero_copy_only=False))}: no brand"
        )
    names = sorted(pc.unique(column).to_pylist())
    codes = pc.index_in(column, value_set=pa.array(names, column.type))
    return codes.to_numpy(zero_copy_only=False).astype(np.int64), names


def _whole(path: Path, name: str, chunks: pa.ChunkedArray) -> Int64:
    column = chunks.combine_chunks()
    if column.null_count:
        row = _first(pc.is_null(column).to_numpy(zero_copy_only=False))
        raise Misconfigured(f"{path} row {row}: no {name}")
    if pa.types.is_integer(column.type):
        values = column.to_numpy(zero_copy_only=False)
    elif pa.types.is_floating(column.type):
        values = column.to_numpy(zero_copy_only=False)
        wrong = ~np.isfinite(values) | (values != np.floor(values))
        if wrong.any():
            row = _first(wrong)
            raise Misconfigured(f"{path} row {row}: {name} is {values[row]}, not a whole number")
    else:
        raise Misconfigured(f"{path}: {name} is {column.type}, not a whole number")
    limit = MINUTE_LIMIT if name == "minute" else COUNT_LIMIT
    wrong = (values < 0) | (values > limit)
    if wrong.any():
        row = _first(wrong)
        hint = "; it counts minutes since 1970" if name == "minute" else ""
        raise Misconfigured(f"{path} row {row}: {name} is {values[row]}, not 0 to {limit}{hint}")
    return np.asarray(values, np.int64)


def _check_values(path: Path, columns: dict[str, Int64]) -> None:
    for less, more in (
        ("negative", "mentions"),
        ("unique_mentions", "mentions"),
        ("unique_negative", "negative"),
        ("unique_negative", "unique_mentions"),
    ):
        if less in columns and (wrong := columns[less] > columns[more]).any():
            row = _first(wrong)
            values = f"{less} is {columns[less][row]}, {more} only {columns[more][row]}"
            raise Misconfigured(f"{path} row {row}: {values}")


def _order(path: Path, brands: Int64, minutes: Int64, names: list[str]) -> Int64 | None:
    """Return how to sort the rows by brand and minute, None if they are; refuse one that comes twice."""
    steps = (np.diff(brands) << 32) + np.diff(minutes)
    order = None
    if (steps <= 0).any():
        order = np.lexsort((minutes, brands))
        steps = (np.diff(brands[order]) << 32) + np.diff(minutes[order])
        if (steps == 0).any():
            at = _first(steps == 0)
            rows = sorted(order[at : at + 2].tolist())
            what = f"minute {minutes[rows[1]]} of {names[brands[rows[1]]]!r}"
            raise Misconfigured(f"{path} row {rows[1]}: {what} is in row {rows[0]} already")
    return order


def _split(
    names: list[str], brands: Int64, columns: list[Int64], order: Int64 | None
) -> Iterator[tuple[str, CountSeries]]:
    codes = brands if order is None else brands[order]
    bounds = np.searchsorted(codes, np.arange(len(names) + 1))
    for code, name in enumerate(names):
        part = slice(bounds[code], bounds[code + 1])
        yield name, CountSeries(*(column[part] for column in columns))


def _first(wrong: Bool) -> int:
    return int(np.flatnonzero(wrong)[0])


def count_archive(tables: Iterable[pa.Table]) -> Iterator[tuple[str, CountSeries]]:
    """Count rows of the archive (`ARCHIVE_COLUMNS`) by minute; yield each brand with its series, by name."""
    counting = BrandMinuteCounts()
    for rows in tables:
        counting.add(rows)
    yield from counting.series()


class BrandMinuteCounts:
    """Rows of the archive, counted by brand and minute as they come."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._models: dict[int, set[str]] = {}

    def add(self, rows: pa.Table, labels: pa.Array | None = None) -> None:
        """Count rows; `labels` take the place of theirs, scored by one model all of them."""
        counts = pa.array(np.asarray(pc.invert(pc.or_(rows["duplicate"], rows["late"]))))
        used = rows.filter(counts)
        negative = pc.equal(used["label"] if labels is None else labels.filter(counts), 0)
        voice = used["voice"]
        minute = pc.divide(pc.cast(used["event_time"], pa.int64()), MINUTE_MS)
        values = (pc.cast(one, pa.int64()) for one in (negative, voice, pc.and_(voice, negative)))
        ones = pa.array(np.ones(used.num_rows, np.int64))
        named = dict(zip(("brand", "minute", *MEASURES), (used["brand"], minute, ones, *values), strict=True))
        self._parts.append(_summed(pa.table(named)))
        if len(self._parts) >= PARTS_MAX:
            self._parts = [_summed(pa.concat_tables(self._parts))]
        if labels is None and "model" in rows.column_names:
            pairs = pa.table({"minute": minute, "model": used["model"]}).group_by(["minute", "model"])
            for at, model in zip(*pairs.aggregate([]).to_pydict().values(), strict=True):
                self._models.setdefault(at, set()).add(model)

    @property
    def artefacts(self) -> dict[int, str]:
        """Minute since 1970 -> the artefact that scored it; minutes of several models are not in it."""
        return {at: artefact_of(*models) for at, models in self._models.items() if len(models) == 1}

    def series(self) -> Iterator[tuple[str, CountSeries]]:
        """Yield each brand with its series, by name."""
        if not self._parts:
            return
        table = _summed(pa.concat_tables(self._parts))
        table = table.sort_by([("brand", "ascending"), ("minute", "ascending")])
        several = [at for at, models in self._models.items() if len(models) > 1]
        grid = _observed(np.unique(table["minute"].to_numpy()))
        grid = grid[~np.isin(grid, several)]
        table = table.filter(pa.array(np.isin(table["minute"].to_numpy(), grid)))
        brands = table["brand"].to_pylist()
        bounds = [0, *(i for i in range(1, len(brands)) if brands[i] != brands[i - 1]), len(brands)]
        numbers = [table[name].to_numpy() for name in ("minute", *MEASURES)]
        for start, end in pairwise(bounds):
            minutes, *columns = (column[start:end] for column in numbers)
            if len(minutes):
                yield brands[start], _filled(grid[np.searchsorted(grid, minutes[0]) :], minutes, columns)


def _filled(fed: Int64, minutes: Int64, columns: Sequence[Int64]) -> CountSeries:
    """Return a series over the minutes that were fed, with zeros where there is nothing."""
    at = np.searchsorted(fed, minutes)
    filled = []
    for column in columns:
        zeros = np.zeros(len(fed), np.int64)
        zeros[at] = column
        filled.append(zeros)
    return CountSeries(fed, *filled)


def _summed(table: pa.Table) -> pa.Table:
    summed = table.group_by(["brand", "minute"]).aggregate([(name, "sum") for name in MEASURES])
    return summed.rename_columns(["brand", "minute", *MEASURES])


def _observed(seen: Int64) -> Int64:
    """Return all minutes from the first to the last one seen, less holes of more than 30 minutes."""
    gaps = np.diff(seen)
    starts = seen[:-1][gaps > HOLE_MINUTES + 1]
    ends = seen[1:][gaps > HOLE_MINUTES + 1]
    whole = np.arange(seen[0], seen[-1] + 1)
    hole = np.zeros(len(whole), bool)
    for start, end in zip(starts - seen[0] + 1, ends - seen[0], strict=True):
        hole[start:end] = True
    return whole[~hole]

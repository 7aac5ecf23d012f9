"""The daily batch from outside: reads Redis and the archive, writes the report, marks the day.

Rules:
1. Redis is read first, then the ends of the plan logs, then objects: what Redis had counted has the most time
   to be archived.
2. It writes nothing to Redis, and to the store only marker and profiles of a complete day, create-only.
3. A report may be made again at any time: the same archive gives the same files, apart from the comparison
   with Redis, which forgets. Files are replaced whole.
"""

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd
import pyarrow as pa

from stream_worker.adapters.object_store.days import StoredDays
from stream_worker.adapters.object_store.parquet import SCHEMA
from stream_worker.bootstrap import open_archive_store, open_snapshots
from stream_worker.core.archive.days import (
    Day,
    DayListing,
    Marker,
    PlanLogEnd,
    day_of,
    marker_of,
    open_partitions,
)
from stream_worker.core.archive.layout import Log
from stream_worker.core.detection import profiles
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.sentiment.estimate import MeasuredModel, is_by
from stream_worker.daily import tables
from stream_worker.daily.html import ReportPage, page
from stream_worker.daily.learning import ProfileLearner
from stream_worker.daily.live_day import LiveDay
from stream_worker.daily.parity import LOST, NOT_ARCHIVED, Parity
from stream_worker.daily.recount import DayCounts, Progress, recount
from stream_worker.errors import Misconfigured, Unavailable
from stream_worker.inference.confusion import known_model
from stream_worker.quantity import quantity
from stream_worker.settings.schema import Settings

TEXTS_SHOWN: Final = 12
MOVERS_SHOWN: Final = 8
OPEN: Final = "not complete: numbers may still change"
PARQUET, CSV, HTML = "hours.parquet", "hours.csv", "report.html"

Say = Callable[[str], None]


class DailyReport(NamedTuple):
    """The outcome of a report."""

    day: Day
    complete: bool
    why_open: list[str]
    account: dict[str, int]
    parity: dict[str, Any] | None
    differences: list[str]
    incomplete: list[str]
    faults: list[str]
    files: list[Path]

    @property
    def clean(self) -> bool:
        """Whether every object could be used and no minute differs unexplained."""
        return not self.faults and not (self.parity and self.parity["unexplained"])

    def as_object(self) -> dict[str, Any]:
        """The report for JSON (docs/batch.md)."""
        return {
            "date": str(self.day),
            "complete": self.complete,
            "why_not_complete": self.why_open,
            **self.account,
            "parity": self.parity,
            "unexplained": self.parity["unexplained"] if self.parity else None,
            "differences": self.differences,
            "incomplete": self.incomplete,
            "faults": self.faults,
            "files": [str(path) for path in self.files],
        }


def daily(
    settings: Settings, date: dt.date, out: Path, say: Say, progress: Progress, *, compare_live: bool = True
) -> DailyReport:
    """Report a day into `out`/<date>. Raises Misconfigured, Unavailable, Unreadable."""
    day = day_of(date)
    days = StoredDays(open_archive_store(settings), settings.kafka.topic)
    logs = days.logs()
    if not logs:
        raise Misconfigured(
            f"nothing to report: no worker has ever archived topic {settings.kafka.topic} in {days.address};"
            " see archive.url and kafka.topic"
        )
    live = _read_live(settings, logs, day) if compare_live else None
    known, why_not = known_model(settings.model)
    if why_not:
        say(f"intervals hold sampling only: {why_not}")
    try:
        return _report(days, logs, day, live, known, out, say, progress)
    finally:
        if live is not None:
            live.close()


def _report(
    days: StoredDays,
    logs: list[Log],
    day: Day,
    live: LiveDay | None,
    known: MeasuredModel | None,
    out: Path,
    say: Say,
    progress: Progress,
) -> DailyReport:
    ends = days.ends(logs, day)
    listing = days.listing(day, ends)
    counts = DayCounts(
        day, learner=ProfileLearner(ShareDetector(), days.profiles_before(day, ShareDetector()))
    )
    parity = (
        Parity(day, live.snapshot.networks, live.snapshot.brands, _allowances(ends, listing, live))
        if live
        else None
    )
    recount(counts, listing, days.read, SCHEMA, live, parity, progress)
    why_open = open_partitions(day, ends, *_sealed(live)) + [
        f"cannot be read: {one}" for one in counts.faults
    ]
    if not counts.rows:
        why_open.append("no row of this day is archived")
    marker = _mark(days, day, ends, counts, listing) if not why_open else days.marker(day)
    if not why_open and counts.learner is not None:
        days.write_profiles(day, profiles.encode(str(day), ShareDetector(), counts.learner.result()))
    table = tables.hours_table(counts)
    scored_by = _models_of(listing, known)
    same, before, hours_in_common = _hours_in_common(table, _day_before(days, logs, day, out, say))
    account = _account(table, counts, listing)
    report = ReportPage(
        day=day,
        state="complete" if not why_open else OPEN,
        why_open=why_open,
        hours=tables.by_hour(table, pd.Timestamp(day.start_ms, unit="ms", tz="UTC")),
        table=table,
        brands=tables.by_brand(table, scored_by),
        scored_by=scored_by,
        before=before,
        same=same,
        hours_in_common=hours_in_common,
        movers=None if before is None or same is None else tables.movers(same, before, MOVERS_SHOWN),
        texts=counts.texts.top(TEXTS_SHOWN),
        parity=parity.result() if parity else None,
        differences=parity.differences if parity else [],
        account=account,
        incomplete=_incomplete(listing, live, parity, marker, counts),
    )
    files = _write(out / str(day), tables.with_shares(table, scored_by), page(report))
    return DailyReport(
        day,
        not why_open,
        why_open,
        account,
        report.parity,
        report.differences,
        report.incomplete,
        counts.faults,
        files,
    )


def _models_of(listing: DayListing, known: MeasuredModel | None) -> tables.ScoredBy:
    """Return in which hours, and whether all day, the known model alone scored."""
    models: dict[int, set[str]] = {}
    for one in listing.objects:
        models.setdefault(one.hour_ms, set()).add(one.stored.model)
    hours = frozenset(hour for hour, of in models.items() if is_by(known, ",".join(of)))
    return tables.ScoredBy(known, hours, day=bool(models) and len(hours) == len(models))


def _read_live(settings: Settings, logs: list[Log], day: Day) -> LiveDay:
    snapshots = open_snapshots(settings, logs)
    live: LiveDay | None = None
    try:
        live = LiveDay(snapshots, day)
        live.read()
    except BaseException:
        if live is not None:
            live.close()
        raise
    finally:
        snapshots.close()
    return live


def _sealed(live: LiveDay | None) -> tuple[int, dict[tuple[str, int], int]]:
    return (live.sealed_ms, live.cursors) if live else (0, {})


def _allowances(ends: list[PlanLogEnd], listing: DayListing, live: LiveDay) -> dict[str, int]:
    """Return how many mentions Redis may hold beyond the rows, by reason."""
    done = {one.coordinates: one.end for one in ends}
    behind = sum(
        max(0, cursor - done.get(coordinates, 0)) for coordinates, cursor in live.cursors_after.items()
    )
    return {NOT_ARCHIVED: behind, LOST: listing.lost}


def _mark(
    days: StoredDays, day: Day, ends: list[PlanLogEnd], counts: DayCounts, listing: DayListing
) -> Marker:
    return days.mark(day, marker_of(day, ends, counts.rows, counts.duplicates, len(listing.objects)))


def _day_before(days: StoredDays, logs: list[Log], day: Day, out: Path, say: Say) -> pd.DataFrame | None:
    """Return the table of the day before: of its report if that exists, else counted again; None: no rows."""
    path = out / str(day.before) / PARQUET
    if path.exists():
        try:
            return tables.read_hours(path)
        except (OSError, pa.ArrowException, KeyError) as error:
            say(f"{path} cannot be read and is counted again: {str(error).splitlines()[0]}")
    listing = days.listing(day.before, days.ends(logs, day.before))
    if not listing.objects:
        return None
    say(f"counting {day.before} for the comparison; its own report would spare that")
    counts = DayCounts(day.before)
    recount(counts, listing, days.read, SCHEMA, None, None, lambda _done, _total: None)
    return tables.hours_table(counts)


def _hours_in_common(
    table: pd.DataFrame, before: pd.DataFrame | None
) -> tuple[pd.DataFrame | None, pd.DataFrame | None, int]:
    """Return brands of the day and of the day before, in the hours that both have, and how many those are."""
    if before is None:
        return None, None, 0
    now, then, hours = tables.in_common(table, before)
    return (tables.by_brand(now), tables.by_brand(then), hours) if hours else (None, None, 0)


def _account(table: pd.DataFrame, counts: DayCounts, listing: DayListing) -> dict[str, int]:
    return {
        "objects": len(listing.objects),
        "rows": counts.rows,
        "counted": int(table["n"].sum()),
        "duplicates": counts.duplicates,
        "late": int(table["late"].sum()),
        "repeats": int(table["repeats"].sum()),
        "uncertain": int(table["uncertain"].sum()),
        "unscored": int(table["unscored"].sum()),
        "brands": int(table["brand"].nunique()),
        "models": len(counts.models),
    }


def _incomplete(
    listing: DayListing, live: LiveDay | None, parity: Parity | None, marker: Marker | None, counts: DayCounts
) -> list[str]:
    lines = []
    if listing.unfinished:
        lines.append(f"left out: {quantity(listing.unfinished, 'object')} of chunks that are not done yet")
    if listing.lost:
        lines.append(f"lost to the topic's retention, or skipped: {quantity(listing.lost, 'record')}")
    if listing.partial:
        chunks = quantity(listing.partial, "chunk")
        lines.append(f"partial: {chunks}; a duplicate or a copy may not have been seen as one")
    if live is not None and live.snapshot.incomplete_minutes:
        lines.append(
            f"sealed without some partition: {quantity(len(live.snapshot.incomplete_minutes), 'minute')}"
        )
    if marker is not None and counts.rows > marker.rows:
        late = quantity(counts.rows - marker.rows, "row")
        lines.append(f"{late} came after the day was marked complete")
    if len(counts.models) > 1:
        lines.append(f"{len(counts.models)} models scored this day: their sentiments are not of one scale")
    return lines + (parity.notes if parity else [])


def _write(folder: Path, table: pd.DataFrame, html: str) -> list[Path]:
    """Write the files, each whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / name for name in (PARQUET, CSV, HTML)]
        aside = [path.with_name(f".{path.name}.new") for path in files]
        tables.write_parquet(table, aside[0])
        tables.write_csv(table, aside[1])
        aside[2].write_text(html, encoding="utf-8")
        for new, path in zip(aside, files, strict=True):
            os.replace(new, path)  # noqa: PTH105 - the same, and both are paths already
    except OSError as error:
        raise Unavailable(
            f"the report cannot be written to {folder}: {error.strerror or error}; see --out"
        ) from None
    return files

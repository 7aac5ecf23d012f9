"""The backtest: what alerts there would have been, from a file of counts or from the archive."""

import csv
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.backtest.counts import ARCHIVE_COLUMNS, BrandMinuteCounts, read_counts
from stream_worker.bootstrap import open_archive_store
from stream_worker.core.detection.replay import MINUTES_PER_WEEK, CountSeries, ReplayedEpisode, replay
from stream_worker.core.detection.sensitivity import OPEN_SCORES, advice
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.errors import Misconfigured
from stream_worker.settings.schema import Settings

Source = Iterable[tuple[str, CountSeries]]
Artefacts = Mapping[int, str]
"""Minute since 1970 -> the artefact that scored it."""


class Incident(NamedTuple):
    """A time in which an alert was right, as people say."""

    brand: str
    from_ms: int
    to_ms: int


class BacktestResult(NamedTuple):
    """What a backtest found."""

    sensitivities: dict[str, float]  # brand -> its own
    told: dict[float, list[ReplayedEpisode]]  # per sensitivity, all brands
    weeks: float  # brand-weeks that were fed
    minutes: int

    @property
    def episodes(self) -> list[ReplayedEpisode]:
        """The episodes of each brand at its own sensitivity, by brand and opening."""
        return [one for by, told in self.told.items() for one in told if self.sensitivities[one.brand] == by]


def open_source(settings: Settings, counts: Path | None) -> tuple[Source, Artefacts]:
    """Open a file of counts, else the archive. Raises Misconfigured, Unavailable."""
    if counts is not None:
        return read_counts(counts), {}
    counting = BrandMinuteCounts()
    for rows in _tables(Objects(open_archive_store(settings))):
        counting.add(rows)
    return counting.series(), counting.artefacts


def backtest(source: Source, of: Callable[[str], float], artefacts: Mapping[int, str] = {}) -> BacktestResult:
    """Replay every brand at every sensitivity; `of` gives each brand its own."""
    told: dict[float, list[ReplayedEpisode]] = {one: [] for one in OPEN_SCORES}
    sensitivities, minutes, detector = {}, 0, ShareDetector()
    for brand, series in source:
        sensitivities[brand] = of(brand)
        past = replay(brand, series, detector, artefacts=artefacts)
        minutes += past.minutes
        for one, episodes in past.episodes.items():
            told[one] += episodes
    return BacktestResult(sensitivities, told, minutes / MINUTES_PER_WEEK, minutes)


def as_rows(episodes: Sequence[ReplayedEpisode]) -> list[dict[str, Any]]:
    """Return one JSON object per episode."""
    return [
        {
            "brand": one.brand,
            "opened_at": _instant(one.opened_ms),
            "resolved_at": None if one.ended_ms is None else _instant(one.ended_ms),
            "expired": one.expired,
            "peak_score": round(one.peak_score, 2),
            "escalated": one.escalated,
            "notifications": one.notifications,
        }
        for one in episodes
    ]


def in_words(result: BacktestResult, incidents: Sequence[Incident]) -> list[str]:
    """Say how much people would have been told, and what another sensitivity would have done."""
    if not result.minutes:
        return ["no minutes to replay"]
    brands, episodes = len(result.sensitivities), result.episodes
    rate = f"{len(episodes) / result.weeks:.2f} per brand and week"
    lines = [
        f"episodes: {len(episodes)}, of {brands} brands in {result.weeks:.1f} brand-weeks: {rate}",
        f"expected where nothing happens: {advice(brands, result.sensitivities.values())}",
    ]
    for by, told in result.told.items():
        more, gone = len(apart(told, episodes)), len(apart(episodes, told))
        rate = f"{len(told) / result.weeks:.2f} per brand and week"
        lines.append(f"at {by:g} for all: {len(told)} episodes, {rate}; {more} more, {gone} fewer")
    if incidents:
        found = sum(_is_found(incident, episodes) for incident in incidents)
        right = sum(any(_is_in(one, incident) for incident in incidents) for one in episodes)
        lines.append(
            f"{found} of {len(incidents)} incidents were found ({found / len(incidents):.1%}); "
            f"{right} of {len(episodes)} episodes opened in one"
        )
    return lines


def read_incidents(path: Path) -> list[Incident]:
    """Read a CSV with the columns brand, from, to (RFC 3339). Raises Misconfigured with the line."""
    incidents = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                try:
                    incidents.append(Incident(row["brand"], _ms(row["from"]), _ms(row["to"])))
                except (KeyError, TypeError, ValueError):
                    needed = "brand, from and to must be there, the times as RFC 3339 with a zone"
                    raise Misconfigured(f"{path} line {number}: {needed}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read ({error})") from None
    return incidents


def _tables(objects: Objects) -> Iterator[pa.Table]:
    days = [folder for folder in objects.folders("") if folder.startswith("dt=")]
    for name in (name for day in days for name in objects.names(day)):
        body = objects.read(name) if name.endswith(".parquet") else None
        if body is not None:
            yield pq.read_table(pa.BufferReader(body), columns=list(ARCHIVE_COLUMNS))


def apart(some: Sequence[ReplayedEpisode], others: Sequence[ReplayedEpisode]) -> list[ReplayedEpisode]:
    """Return those of `some` that overlap none of `others`."""
    of: dict[str, list[ReplayedEpisode]] = {}
    for other in others:
        of.setdefault(other.brand, []).append(other)
    return [one for one in some if not any(_overlap(one, other) for other in of.get(one.brand, ()))]


def _overlap(one: ReplayedEpisode, other: ReplayedEpisode) -> bool:
    return (other.ended_ms is None or one.opened_ms <= other.ended_ms) and (
        one.ended_ms is None or other.opened_ms <= one.ended_ms
    )


def _is_found(incident: Incident, episodes: Iterable[ReplayedEpisode]) -> bool:
    return any(_is_in(one, incident) for one in episodes)


def _is_in(one: ReplayedEpisode, incident: Incident) -> bool:
    return one.brand == incident.brand and incident.from_ms <= one.opened_ms <= incident.to_ms


def _instant(time_ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _ms(text: str) -> int:
    time = dt.datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("no zone")
    return int(time.timestamp() * 1000)

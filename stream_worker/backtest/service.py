"""The backtest: which alerts there would have been, from a file of counts or from the archive."""

import csv
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.backtest.counts import ARCHIVE_COLUMNS, BrandMinuteCounts, read_counts
from stream_worker.bootstrap import open_archive_store
from stream_worker.core.archive.layout import parse_day_folder
from stream_worker.core.detection.replay import MINUTES_PER_WEEK, CountSeries, ReplayedEpisode, replay
from stream_worker.core.detection.sensitivity import OPEN_SCORES, advice
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.time import rfc3339
from stream_worker.errors import Misconfigured
from stream_worker.quantity import quantity
from stream_worker.settings.schema import Settings

Source = Iterable[tuple[str, CountSeries]]
Artefacts = Mapping[int, str]
"""Minute since 1970 -> the artefact that scored it."""


class Incident(NamedTuple):
    """A time in which, as people know, an alert would have been right."""

    brand: str
    from_ms: int
    to_ms: int


class BacktestResult(NamedTuple):
    """The outcome of a backtest."""

    sensitivities: dict[str, float]  # brand -> its own
    by_sensitivity: dict[float, list[ReplayedEpisode]]  # episodes of all brands
    weeks: float  # brand-weeks that were fed
    minutes: int

    @property
    def episodes(self) -> list[ReplayedEpisode]:
        """The episodes of each brand at its own sensitivity, by brand and opening."""
        return [
            episode
            for sensitivity, episodes in self.by_sensitivity.items()
            for episode in episodes
            if self.sensitivities[episode.brand] == sensitivity
        ]


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
    by_sensitivity: dict[float, list[ReplayedEpisode]] = {sensitivity: [] for sensitivity in OPEN_SCORES}
    sensitivities, minutes, detector = {}, 0, ShareDetector()
    for brand, series in source:
        sensitivities[brand] = of(brand)
        past = replay(brand, series, detector, artefacts=artefacts)
        minutes += past.minutes
        for sensitivity, episodes in past.episodes.items():
            by_sensitivity[sensitivity] += episodes
    return BacktestResult(sensitivities, by_sensitivity, minutes / MINUTES_PER_WEEK, minutes)


def as_rows(episodes: Sequence[ReplayedEpisode]) -> list[dict[str, object]]:
    """Return one JSON object per episode."""
    return [
        {
            "brand": one.brand,
            "opened_at": rfc3339(one.opened_ms),
            "resolved_at": None if one.ended_ms is None else rfc3339(one.ended_ms),
            "expired": one.expired,
            "peak_score": round(one.peak_score, 2),
            "escalated": one.escalated,
            "notifications": one.notifications,
        }
        for one in episodes
    ]


def summary_lines(result: BacktestResult, incidents: Sequence[Incident]) -> list[str]:
    """Return how many episodes there would have been, and how many at each other sensitivity."""
    if not result.minutes:
        return ["no minutes to replay"]
    brands, episodes = len(result.sensitivities), result.episodes
    rate = f"{len(episodes) / result.weeks:.2f} per brand and week"
    of = f"of {quantity(brands, 'brand')} in {result.weeks:.1f} brand-weeks"
    lines = [
        f"episodes: {len(episodes)}, {of}: {rate}",
        f"expected where nothing happens: {advice(brands, result.sensitivities.values())}",
    ]
    for sensitivity, others in result.by_sensitivity.items():
        more, fewer = len(without_overlap(others, episodes)), len(without_overlap(episodes, others))
        rate = f"{len(others) / result.weeks:.2f} per brand and week"
        count = quantity(len(others), "episode")
        lines.append(f"at {sensitivity:g} for all: {count}, {rate}; {more} more, {fewer} fewer")
    if incidents:
        found = sum(_is_found(incident, episodes) for incident in incidents)
        right = sum(any(_is_in(one, incident) for incident in incidents) for one in episodes)
        lines.append(
            f"{found} of {quantity(len(incidents), 'incident')} {'was' if found == 1 else 'were'} found "
            f"({found / len(incidents):.1%}); {right} of {quantity(len(episodes), 'episode')} opened in one"
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
    days = [folder for folder in objects.folders("") if parse_day_folder(folder)]
    for name in (name for day in days for name in objects.names(day)):
        body = objects.read(name) if name.endswith(".parquet") else None
        if body is not None:
            yield pq.read_table(pa.BufferReader(body), columns=list(ARCHIVE_COLUMNS))


def without_overlap(
    some: Sequence[ReplayedEpisode], others: Sequence[ReplayedEpisode]
) -> list[ReplayedEpisode]:
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


def _ms(text: str) -> int:
    time = dt.datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("no zone")
    return int(time.timestamp() * 1000)

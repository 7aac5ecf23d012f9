"""What the detector and the episodes would have said of a brand's past, at every sensitivity at once.

Rules:
1. The detector is the worker's, step by step; so is the state machine of episodes. Nothing is approximated.
2. Scores do not depend on the sensitivity, so one pass serves all of them.
3. A minute that is not in the series is a hole; a minute with zeros is an observation of zero.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from stream_worker.core.detection.detector import Detector, Observation, Verdict
from stream_worker.core.detection.episodes import Episode, EvaluatedMinute, advance
from stream_worker.core.detection.sensitivity import OPEN_SCORES
from stream_worker.core.records.batch import Int64
from stream_worker.core.time import MINUTE_MS

MINUTES_PER_WEEK: Final = 7 * 24 * 60


class CountSeries(NamedTuple):
    """The minutes of one brand in rising order, each once: five columns of the same length."""

    minutes: Int64  # since 1970
    mentions: Int64
    negatives: Int64
    voices: Int64
    neg_voices: Int64


class ReplayedEpisode(NamedTuple):
    """One episode as people would have met it."""

    brand: str
    opened_ms: int
    ended_ms: int | None  # None: it goes on at the end of the series
    expired: bool
    peak_score: float
    escalated: bool
    notifications: int


class ReplayedBrand(NamedTuple):
    """What one brand's series came to."""

    minutes: int
    told: dict[float, list[ReplayedEpisode]]  # per sensitivity
    scores: list[float]  # one per minute when they were asked for, else empty


class _Machine:
    """The episodes of one brand at one sensitivity."""

    def __init__(self, brand: str, open_at: float) -> None:
        self.open_at, self.told = open_at, list[ReplayedEpisode]()
        self.episode: Episode | None = None
        self._brand, self._notifications = brand, 0

    def advance(self, minute_ms: int, verdict: Verdict) -> None:
        """Move by one judged minute."""
        evaluated = EvaluatedMinute(self._brand, minute_ms, verdict, "", None, complete=True)
        before, (self.episode, event) = self.episode, advance(self.episode, evaluated, self.open_at)
        if event is None:
            return
        self._notifications = 1 if event.kind == "opened" else self._notifications + 1
        if event.kind in ("resolved", "expired"):
            ended = self.episode or before
            assert ended is not None
            self.told.append(self._as_told(ended, minute_ms, expired=event.kind == "expired"))

    def finish(self) -> list[ReplayedEpisode]:
        """Return all episodes; the one that goes on is the last."""
        if self.episode is not None and self.episode.resolved_ms is None:
            self.told.append(self._as_told(self.episode, None, expired=False))
        return self.told

    def _as_told(self, episode: Episode, ended_ms: int | None, *, expired: bool) -> ReplayedEpisode:
        return ReplayedEpisode(
            self._brand,
            episode.opened_ms,
            ended_ms,
            expired,
            episode.peak_score,
            episode.escalated,
            self._notifications,
        )


def replay(
    brand: str,
    series: CountSeries,
    detector: Detector[Any],
    sensitivities: Sequence[float] = tuple(OPEN_SCORES),
    *,
    keep_scores: bool = False,
    artefacts: Mapping[int, str] = {},
) -> ReplayedBrand:
    """Feed a brand's series to the detector, and its scores to one state machine per sensitivity.

    `artefacts`: minute since 1970 -> what scored it, where that is known.
    """
    machines = {one: _Machine(brand, OPEN_SCORES[one]) for one in sensitivities}
    running: list[_Machine] = []  # those with a record
    lowest = min(machine.open_at for machine in machines.values())
    numbers, step, scores, last = detector.start(), detector.step, list[float](), -1
    columns, artefact = (column.tolist() for column in series), artefacts.get
    for minute, mentions, negatives, voices, neg_voices in zip(*columns, strict=True):
        gap = minute - last - 1 if last >= 0 else 0
        last = minute
        minute_ms = minute * MINUTE_MS
        numbers, verdict = step(
            numbers,
            Observation(minute_ms, voices, neg_voices, mentions, negatives, True, gap, artefact(minute, "")),
        )
        score = verdict.score
        if keep_scores:
            scores.append(score)
        if running or score >= lowest:
            for machine in machines.values():
                if machine.episode is not None or score >= machine.open_at:
                    machine.advance(minute_ms, verdict)
            running = [machine for machine in machines.values() if machine.episode is not None]
    return ReplayedBrand(len(series.minutes), {one: machines[one].finish() for one in machines}, scores)

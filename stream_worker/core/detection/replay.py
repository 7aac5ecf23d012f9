"""Replay: the episodes that a brand would have had in the past, at every sensitivity at once.

Rules:
1. The detector is the worker's, step by step; so is the state machine of episodes. Nothing is approximated.
2. Scores do not depend on the sensitivity, so one pass serves all of them.
3. A minute that is not in the series is a hole; a minute with zeros is an observation of zero.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from stream_worker.core.detection.detector import Detector, Observation, State, Verdict
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
    """The outcome of one brand's series."""

    minutes: int
    episodes: dict[float, list[ReplayedEpisode]]  # by sensitivity
    scores: list[float]  # one per minute if they are kept, else empty


class _EpisodeReplay:
    """The episodes of one brand at one sensitivity."""

    def __init__(self, brand: str, open_at: float) -> None:
        self.open_at = open_at
        self.episode: Episode | None = None
        self._brand, self._notifications = brand, 0
        self._replayed: list[ReplayedEpisode] = []

    def advance(self, minute_ms: int, verdict: Verdict) -> None:
        """Move by one evaluated minute."""
        evaluated = EvaluatedMinute(self._brand, minute_ms, verdict, "", None, complete=True)
        before, (self.episode, event) = self.episode, advance(self.episode, evaluated, self.open_at)
        if event is None:
            return
        self._notifications = 1 if event.kind == "opened" else self._notifications + 1
        if event.kind in ("resolved", "expired"):
            ended = self.episode or before
            assert ended is not None
            self._keep(ended, minute_ms, expired=event.kind == "expired")

    def finish(self) -> list[ReplayedEpisode]:
        """Return all episodes; one that goes on is the last."""
        if self.episode is not None and self.episode.resolved_ms is None:
            self._keep(self.episode, None, expired=False)
        return self._replayed

    def _keep(self, episode: Episode, ended_ms: int | None, *, expired: bool) -> None:
        self._replayed.append(
            ReplayedEpisode(
                brand=self._brand,
                opened_ms=episode.opened_ms,
                ended_ms=ended_ms,
                expired=expired,
                peak_score=episode.peak_score,
                escalated=episode.escalated,
                notifications=self._notifications,
            )
        )


def replay(
    brand: str,
    series: CountSeries,
    detector: Detector[State],
    sensitivities: Sequence[float] = tuple(OPEN_SCORES),
    *,
    keep_scores: bool = False,
    artefacts: Mapping[int, str] = {},
) -> ReplayedBrand:
    """Feed a brand's series to the detector, and its scores to one state machine per sensitivity.

    `artefacts`: minute since 1970 -> the artefact that scored it, where that is known.
    """
    machines = {sensitivity: _EpisodeReplay(brand, OPEN_SCORES[sensitivity]) for sensitivity in sensitivities}
    active: list[_EpisodeReplay] = []  # those with a record
    lowest = min(machine.open_at for machine in machines.values())
    state, scores, last = detector.start(), list[float](), -1
    columns = (column.tolist() for column in series)
    for minute, mentions, negatives, voices, neg_voices in zip(*columns, strict=True):
        observation = Observation(
            minute_ms=minute * MINUTE_MS,
            voices=voices,
            neg_voices=neg_voices,
            mentions=mentions,
            negatives=negatives,
            complete=True,
            gap_minutes=minute - last - 1 if last >= 0 else 0,
            model=artefacts.get(minute, ""),
        )
        last = minute
        state, verdict = detector.step(state, observation)
        score = verdict.score
        if keep_scores:
            scores.append(score)
        if active or score >= lowest:
            for machine in machines.values():
                if machine.episode is not None or score >= machine.open_at:
                    machine.advance(observation.minute_ms, verdict)
            active = [machine for machine in machines.values() if machine.episode is not None]
    episodes = {sensitivity: machine.finish() for sensitivity, machine in machines.items()}
    return ReplayedBrand(minutes=len(series.minutes), episodes=episodes, scores=scores)

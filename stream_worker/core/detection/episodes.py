"""Episodes: the time a spike lasts, and the events about it.

Rules:
1. quiet ──score ≥ open_at──► open ──┬─30 evaluated minutes in a row below the closing score──► resolved
                                     └─48 hours─────────────────────────────────────────────► expired
   The closing score is 3, or a third of the highest score where that is more (0.6 of one below 10): two
   thresholds, so that a score that wavers around one of them makes no second event.
2. An episode has exactly one `opened` and, once it is over, exactly one `resolved` or `expired`. Between
   them it has at most one `escalated`, when its score first reaches 20, and a `reminder` when six hours have
   passed since its last event and the spike goes on.
3. Cool-down: the next one opens 60 minutes after the last one opened at the earliest. For six hours after
   the end only a score above the highest of the last one opens, and above *once more*: 1.25 of that
   highest, at most 20. From then on the score that must be reached sinks to `open_at`, half of the way every
   twelve hours, for two days. After an episode that expired, the score must have been below 3 once.
4. Ages are event time. Minutes that were not evaluated (holes, two models) neither end nor prolong it.
5. The record is apart from the detector's state: a new detector goes on with the open episode.
6. An event has no text, author or link of a mention in it, and stays below 20 kB.
"""

import datetime as dt
from hashlib import sha256
from math import exp2
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from stream_worker.core.detection.detector import OPEN_AT, Verdict
from stream_worker.core.time import HOUR_MS, MINUTE_MS, rfc3339
from stream_worker.errors import Unreadable

FORMAT_VERSION = 1

ESCALATE_AT: Final = 20.0
"""Twice the score that opens at the default sensitivity."""

# The end. Two thresholds keep an episode from flapping; that they are a part of its own highest score was
# tuned on simulated brands (bench/spikes.py), for an end soon after the crisis and few repeats. An episode
# that never became high closes sooner, so that none stands open when a crisis begins.
CLOSE_BELOW: Final = 3.0
CLOSE_BELOW_PEAK: Final = 1 / 3
SMALL_PEAK: Final = OPEN_AT
CLOSE_BELOW_SMALL_PEAK: Final = 0.6
CLOSE_AFTER_MINUTES: Final = 30
EXPIRE_MS: Final = 48 * HOUR_MS  # the detector adopts a share that lasts as long (baseline.py)

# The next episode. For six hours a repeat must be higher than what people were alerted to
# (docs/decisions/0035-reopening-needs-a-higher-score.md); then that sinks, since one false alert is often
# followed by another of the same brand (docs/decisions/0039-the-reopening-score-sinks-slowly.md).
COOL_DOWN_MS: Final = 60 * MINUTE_MS
REOPEN_MS: Final = 6 * HOUR_MS
ONCE_MORE: Final = 1.25
ONCE_MORE_HALF_LIFE_MS: Final = 12 * HOUR_MS
FORGOTTEN_MS: Final = 48 * HOUR_MS

REMIND_MS: Final = 6 * HOUR_MS

# Format of ids and events
BRAND_HASH_DIGITS: Final = 16
SHARE_DIGITS: Final = 4
SCORE_DIGITS: Final = 2
HOURS_FROM_MINUTES: Final = 120  # a sentence counts in hours from here on

Kind = Literal["opened", "escalated", "reminder", "resolved", "expired"]


class Episode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of a brand's episode, from its opening until its cool-down is over."""

    v: int = FORMAT_VERSION
    id: str
    opened_ms: int  # start of the minute it opened in
    below: int = 0  # evaluated minutes in a row below the closing score
    peak_score: float
    escalated: bool = False
    reminders: int = 0
    last_event_ms: int | None = msgspec.field(default=None, name="told_ms")  # None: the opening
    resolved_ms: int | None = None  # the minute it ended in, resolved or expired
    expired: bool = False  # … and the score was not below CLOSE_BELOW since


class Window(msgspec.Struct, frozen=True):
    """The minutes and voices that a verdict rests on."""

    minutes: int
    voices: int
    negative_voices: int


class EpisodeChange(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an event in the outbox (docs/alerts.md#the-body)."""

    v: int = FORMAT_VERSION
    id: str
    kind: Kind
    episode: str
    brand: str
    opened: str
    minute: str
    window: Window
    share: float | None
    baseline: float
    score: float
    peak_score: float
    detector: str
    model: str | None
    complete: bool
    reason: str


class EvaluatedMinute(NamedTuple):
    """One evaluated minute of one brand."""

    brand: str
    minute_ms: int
    verdict: Verdict
    detector: str
    model: str | None  # None: nothing was scored in this minute
    complete: bool


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Episode)


def encode(episode: Episode) -> str:
    """Return the record as JSON."""
    return _encoder.encode(episode).decode()


def decode(text: str) -> Episode:
    """Return the record that was encoded. Raises Unreadable."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise Unreadable(
            f"the record of an episode is not readable ({error}); remove the field in Redis to go on"
        ) from error


def episode_id(brand: str, minute_ms: int) -> str:
    """Name an episode by its brand and the minute it opened in (docs/design.md#messages)."""
    opened = dt.datetime.fromtimestamp(minute_ms / 1000, dt.UTC)
    return f"{sha256(brand.encode()).hexdigest()[:BRAND_HASH_DIGITS]}-{opened:%Y%m%dT%H%M}"


def closing_score(peak_score: float) -> float:
    """Return the score below which an episode with this highest score ends."""
    part = CLOSE_BELOW_PEAK if peak_score >= SMALL_PEAK else CLOSE_BELOW_SMALL_PEAK
    return max(CLOSE_BELOW, part * peak_score)


def advance(
    episode: Episode | None, evaluated: EvaluatedMinute, open_at: float = OPEN_AT
) -> tuple[Episode | None, EpisodeChange | None]:
    """Move one brand's episode by one evaluated minute; None is a quiet brand without a cool-down.

    Minutes must come in rising order, each once. `open_at` is the score that opens (sensitivity.py).
    """
    score = evaluated.verdict.score
    if episode is None:
        return _open(evaluated) if score >= open_at else (None, None)
    if episode.resolved_ms is not None:
        return _cool_down(episode, episode.resolved_ms, evaluated, open_at)
    return _continue(episode, evaluated)


def _continue(episode: Episode, evaluated: EvaluatedMinute) -> tuple[Episode, EpisodeChange | None]:
    score, minute_ms = evaluated.verdict.score, evaluated.minute_ms
    peak_score = max(episode.peak_score, score)
    below = episode.below + 1 if score < closing_score(peak_score) else 0
    if below != episode.below or peak_score != episode.peak_score:
        episode = replace(episode, below=below, peak_score=peak_score)
    if below >= CLOSE_AFTER_MINUTES:
        episode = replace(episode, resolved_ms=minute_ms)
        return episode, _event("resolved", episode, evaluated)
    if minute_ms - episode.opened_ms >= EXPIRE_MS:
        episode = replace(episode, resolved_ms=minute_ms, expired=True)
        return episode, _event("expired", episode, evaluated)
    if score >= ESCALATE_AT and not episode.escalated:
        episode = replace(episode, escalated=True, last_event_ms=minute_ms)
        return episode, _event("escalated", episode, evaluated)
    last_event_ms = episode.opened_ms if episode.last_event_ms is None else episode.last_event_ms
    if minute_ms - last_event_ms >= REMIND_MS and below == 0:
        episode = replace(episode, reminders=episode.reminders + 1, last_event_ms=minute_ms)
        return episode, _event("reminder", episode, evaluated)
    return episode, None


def _cool_down(
    episode: Episode, ended_ms: int, evaluated: EvaluatedMinute, open_at: float
) -> tuple[Episode | None, EpisodeChange | None]:
    score, minute_ms = evaluated.verdict.score, evaluated.minute_ms
    if episode.expired:
        return (replace(episode, expired=False) if score < CLOSE_BELOW else episode), None
    age_ms = minute_ms - ended_ms
    if minute_ms < episode.opened_ms + COOL_DOWN_MS:
        return episode, None
    if score >= open_at and score > _reopening_score(episode.peak_score, age_ms, open_at):
        return _open(evaluated)
    return (episode if age_ms < FORGOTTEN_MS else None), None


def _reopening_score(peak_score: float, age_ms: int, open_at: float) -> float:
    """Return the score that must be exceeded `age_ms` after an episode: people got an alert lately."""
    once_more = min(ONCE_MORE * peak_score, ESCALATE_AT)
    if age_ms < REOPEN_MS:
        return max(peak_score, once_more)
    part = exp2((REOPEN_MS - age_ms) / ONCE_MORE_HALF_LIFE_MS)
    return open_at + max(0.0, once_more - open_at) * part


def _open(evaluated: EvaluatedMinute) -> tuple[Episode, EpisodeChange]:
    score = evaluated.verdict.score
    episode = Episode(
        id=episode_id(evaluated.brand, evaluated.minute_ms),
        opened_ms=evaluated.minute_ms,
        peak_score=score,
        escalated=score >= ESCALATE_AT,  # its opening shows the score; it does not escalate further
    )
    return episode, _event("opened", episode, evaluated)


def _event(kind: Kind, episode: Episode, evaluated: EvaluatedMinute) -> EpisodeChange:
    verdict = evaluated.verdict
    share = verdict.neg_voices / verdict.voices if verdict.voices else None
    count = f".{episode.reminders}" if kind == "reminder" else ""
    return EpisodeChange(
        id=f"{episode.id}.{kind}{count}",
        kind=kind,
        episode=episode.id,
        brand=evaluated.brand,
        opened=rfc3339(episode.opened_ms),
        minute=rfc3339(evaluated.minute_ms),
        window=Window(verdict.window_minutes, verdict.voices, verdict.neg_voices),
        share=None if share is None else round(share, SHARE_DIGITS),
        baseline=round(verdict.baseline, SHARE_DIGITS),
        score=round(verdict.score, SCORE_DIGITS),
        peak_score=round(episode.peak_score, SCORE_DIGITS),
        detector=evaluated.detector,
        model=evaluated.model,
        complete=evaluated.complete,
        reason=_reason(kind, episode, evaluated),
    )


def _reason(kind: Kind, episode: Episode, evaluated: EvaluatedMinute) -> str:
    verdict = evaluated.verdict
    age = _length((evaluated.minute_ms - episode.opened_ms) // MINUTE_MS + 1)
    if kind == "resolved":
        limit = closing_score(episode.peak_score)
        return (
            f"{CLOSE_AFTER_MINUTES} minutes in a row below a score of {limit:.1f}, {age} after it opened; "
            f"its highest score was {episode.peak_score:.1f}."
        )
    if kind == "expired":
        return f"It lasts for {age}, so it is taken as the new usual from now on; no end was seen."
    seen = _seen(verdict)
    if kind == "opened":
        return seen
    return (
        f"{'It became much stronger' if kind == 'escalated' else 'It goes on'}, {age} after it opened: {seen}"
    )


def _seen(verdict: Verdict) -> str:
    share = verdict.neg_voices / verdict.voices if verdict.voices else 0.0
    return (
        f"{verdict.neg_voices} of {verdict.voices} {'voice' if verdict.voices == 1 else 'voices'} "
        f"in {_length(verdict.window_minutes)} {'is' if verdict.neg_voices == 1 else 'are'} negative "
        f"({share:.0%}); usual for this brand is {verdict.baseline:.0%}."
    )


def _length(minutes: int) -> str:
    if minutes == 1:
        return "1 minute"
    return f"{minutes} minutes" if minutes < HOURS_FROM_MINUTES else f"{minutes // 60} hours"

"""Episodes: the time a spike lasts, and the two events that are told about it.

Rules:
1. quiet ──score ≥ 10──► open ──30 judged minutes in a row below 3──► resolved ──cool-down──► quiet.
   Two thresholds, so that a score that trembles about one of them tells nobody twice.
2. An episode has exactly one `opened` and, once it is over, exactly one `resolved`. The next one
   opens 60 minutes after the last one opened at the earliest.
3. Ages are event time. Minutes that were not judged (holes, two models) neither end nor prolong it.
4. The record is apart from the detector's numbers: a new detector goes on with the open episode.
5. An event has no text, author or link of a mention in it, and stays below 20 kB.
"""

import datetime as dt
from hashlib import sha256
from typing import Final, Literal, NamedTuple

import msgspec

from stream_worker.core.columns import DAY_MS, MINUTE_MS
from stream_worker.core.detector import OPEN_AT, Verdict
from stream_worker.errors import Unreadable

FORMAT_VERSION = 1
CLOSE_BELOW: Final = 3.0
CLOSE_AFTER_MINUTES: Final = 30
COOL_DOWN_MS: Final = 60 * MINUTE_MS
FREEZE_MS: Final = DAY_MS
"""The baseline is frozen this long at most; a state that lasts longer is learned as the new usual."""

Kind = Literal["opened", "resolved"]


class Episode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of a brand's episode, from its opening until its cool-down is over."""

    v: int = FORMAT_VERSION
    id: str
    opened_ms: int  # start of the minute it opened in
    below: int = 0  # judged minutes in a row below CLOSE_BELOW
    peak_score: float
    resolved_ms: int | None = None


class Window(msgspec.Struct, frozen=True):
    """What the detector looked at."""

    minutes: int
    voices: int
    negative_voices: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an event, as it stands in the outbox (docs/alerts.md)."""

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


class Judged(NamedTuple):
    """One judged minute of one brand."""

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
    """Name an episode by its brand and the minute it opened in (CONTRACTS §4)."""
    opened = dt.datetime.fromtimestamp(minute_ms / 1000, dt.UTC)
    return f"{sha256(brand.encode()).hexdigest()[:16]}-{opened:%Y%m%dT%H%M}"


def is_frozen(episode: Episode | None, minute_ms: int) -> bool:
    """Tell whether this minute must teach no baseline."""
    return episode is not None and 0 <= minute_ms - episode.opened_ms < FREEZE_MS


def advance(episode: Episode | None, judged: Judged) -> tuple[Episode | None, Event | None]:
    """Move one brand's episode by one judged minute; None is a quiet brand.

    Minutes must come in rising order, each once.
    """
    score, minute_ms = judged.verdict.score, judged.minute_ms
    if episode is not None and episode.resolved_ms is not None:
        if minute_ms < episode.opened_ms + COOL_DOWN_MS:
            return episode, None
        episode = None
    if episode is None:
        return _open(judged) if score >= OPEN_AT else (None, None)
    below = episode.below + 1 if score < CLOSE_BELOW else 0
    peak_score = max(episode.peak_score, score)
    if below < CLOSE_AFTER_MINUTES:
        if below == episode.below and peak_score == episode.peak_score:
            return episode, None
        return msgspec.structs.replace(episode, below=below, peak_score=peak_score), None
    resolved = msgspec.structs.replace(episode, below=below, resolved_ms=minute_ms)
    over = minute_ms + MINUTE_MS >= episode.opened_ms + COOL_DOWN_MS
    return (None if over else resolved), _event("resolved", resolved, judged)


def _open(judged: Judged) -> tuple[Episode, Event]:
    episode = Episode(
        id=episode_id(judged.brand, judged.minute_ms),
        opened_ms=judged.minute_ms,
        peak_score=judged.verdict.score,
    )
    return episode, _event("opened", episode, judged)


def _event(kind: Kind, episode: Episode, judged: Judged) -> Event:
    verdict = judged.verdict
    share = verdict.neg_voices / verdict.voices if verdict.voices else None
    return Event(
        id=f"{episode.id}.{kind}",
        kind=kind,
        episode=episode.id,
        brand=judged.brand,
        opened=_instant(episode.opened_ms),
        minute=_instant(judged.minute_ms),
        window=Window(verdict.window_minutes, verdict.voices, verdict.neg_voices),
        share=None if share is None else round(share, 4),
        baseline=round(verdict.baseline, 4),
        score=round(verdict.score, 2),
        peak_score=round(episode.peak_score, 2),
        detector=judged.detector,
        model=judged.model,
        complete=judged.complete,
        reason=_reason(kind, episode, judged),
    )


def _reason(kind: Kind, episode: Episode, judged: Judged) -> str:
    verdict = judged.verdict
    if kind == "opened":
        share = verdict.neg_voices / verdict.voices if verdict.voices else 0.0
        return (
            f"{verdict.neg_voices} of {verdict.voices} voices in {verdict.window_minutes} minutes "
            f"are negative ({share:.0%}); usual for this brand is {verdict.baseline:.0%}."
        )
    minutes = (judged.minute_ms - episode.opened_ms) // MINUTE_MS + 1
    return (
        f"{CLOSE_AFTER_MINUTES} minutes in a row below a score of {CLOSE_BELOW:g}, "
        f"{minutes} minutes after it opened; its highest score was {episode.peak_score:.1f}."
    )


def _instant(time_ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"

"""The replay feed: the mentions of a file, in order of time, with the gaps between them kept.

Rules:
1. Up to `MENTIONS_MAX` mentions are held and put in order of time. A longer file is played in its own
   order, a mention before its predecessor at once, and a line says so.
2. A gap of the file is waited for, divided by the speed and cut at `gap_max_ms`.
3. Not rebased, a mention keeps its time. Rebased to an instant, all times move by one amount. Rebased to
   now by its first mention, each carries the moment it is due: with a speed above 1 a mere shift would
   run ahead of the clock, and the worker rejects what lies more than five minutes ahead.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from producers.errors import Unusable
from producers.feeds.scheduled import INSTANT_MS_MAX, ScheduledRecord, instant
from stream_worker.core.records.mention import Mention

MENTIONS_MAX = 1_000_000
AHEAD_MS_MAX = 5 * 60_000
"""The worker rejects an event time further ahead of its record's (docs/design.md#verdicts)."""
BACK_MS_MAX = 5 * 60_000
"""A recording that ends longer ago than this gets a warning: nobody sees it live."""


class Recording(NamedTuple):
    """The mentions of a file, in the order in which they are played."""

    mentions: Iterable[Mention]
    """`event_time` in milliseconds."""
    total: int | None
    """None when the file is too long to be held."""
    first_ms: int
    last_ms: int | None
    reordered: bool
    """The file was not in order of time, and has been put in it."""


class Rebase(NamedTuple):
    """Which mention is moved to which instant."""

    to_ms: int | None
    """None means now."""
    anchor_last: bool


class Pace(NamedTuple):
    """How a recording is played."""

    speed: float = 1.0
    """Gaps are divided by it; infinity means without waiting."""
    gap_max_ms: float = math.inf
    rebase: Rebase | None = None


class PlaybackPlan(NamedTuple):
    """How long playing a recording takes, and which times its mentions get."""

    takes_ms: float
    ahead: int
    """So many mentions will lie more than `AHEAD_MS_MAX` ahead of the clock when they are sent."""
    first_ms: int
    last_ms: int


def record(
    mentions: Iterator[Mention], limit: int | None = None, mentions_max: int = MENTIONS_MAX
) -> Recording | None:
    """Return the mentions in order of time, `limit` of them at most; None when there are none (rule 1)."""
    in_memory = list(itertools.islice(mentions, mentions_max))
    if not in_memory:
        return None
    beyond = next(mentions, None)
    if beyond is not None:
        rest = itertools.chain(in_memory, [beyond], mentions)
        return Recording(itertools.islice(rest, limit), limit, _ms(in_memory[0]), None, reordered=False)
    ordered = all(_ms(one) <= _ms(two) for one, two in itertools.pairwise(in_memory))
    if not ordered:
        in_memory.sort(key=_ms)  # stable: mentions of one instant keep the file's order
    kept = in_memory[:limit]
    return Recording(kept, len(kept), _ms(kept[0]), _ms(kept[-1]), reordered=not ordered)


def between(mentions: Iterable[Mention], since_ms: int | None, until_ms: int | None) -> Iterator[Mention]:
    """Yield the mentions of `[since, until)`."""
    low = 0 if since_ms is None else since_ms
    high = INSTANT_MS_MAX + 1 if until_ms is None else until_ms
    return (mention for mention in mentions if low <= _ms(mention) < high)


def play(recording: Recording, start_ms: int, pace: Pace) -> Iterator[ScheduledRecord]:
    """Yield each mention when it is due (rules 2 and 3); `start_ms` is the clock's time at the beginning."""
    for at_ms, event_ms, mention in _schedule(recording, start_ms, pace):
        yield ScheduledRecord(at_ms, mention.brand, replace(mention, event_time=instant(event_ms)))


def outlook(recording: Recording, start_ms: int, pace: Pace) -> PlaybackPlan:
    """Return how playing a recording that is in memory will go, without playing it."""
    takes_ms, ahead, first_ms, last_ms = 0.0, 0, recording.first_ms, 0
    for number, (at_ms, event_ms, _) in enumerate(_schedule(recording, start_ms, pace)):
        takes_ms = at_ms
        first_ms = first_ms if number else event_ms
        last_ms = event_ms
        ahead += event_ms > start_ms + at_ms + AHEAD_MS_MAX
    return PlaybackPlan(takes_ms, ahead, first_ms, last_ms)


def _schedule(recording: Recording, start_ms: int, pace: Pace) -> Iterator[tuple[float, int, Mention]]:
    """Yield (when due, event time to publish, mention)."""
    rebase = pace.rebase
    as_due = rebase is not None and rebase.to_ms is None and not rebase.anchor_last
    shift_ms = 0 if rebase is None else _shift_ms(recording, start_ms, rebase)
    at_ms = 0.0
    before_ms = recording.first_ms
    for mention in recording.mentions:
        at_ms += min(max(0, _ms(mention) - before_ms) / pace.speed, pace.gap_max_ms)
        before_ms = _ms(mention)
        event_ms = start_ms + math.floor(at_ms) if as_due else before_ms + shift_ms
        if not 0 <= event_ms <= INSTANT_MS_MAX:
            raise Unusable("--rebase moves a mention before 1970 or after 9999")
        yield at_ms, event_ms, mention


def _shift_ms(recording: Recording, start_ms: int, rebase: Rebase) -> int:
    to_ms = start_ms if rebase.to_ms is None else rebase.to_ms
    if not rebase.anchor_last:
        return to_ms - recording.first_ms
    assert recording.last_ms is not None, "the command line refuses an anchor that is not in memory"
    return to_ms - recording.last_ms


def _ms(mention: Mention) -> int:
    assert isinstance(mention.event_time, int)
    return mention.event_time

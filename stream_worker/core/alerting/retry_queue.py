"""Sending: in which order messages go to channels, when one is tried again, and when it is given up.

Rules:
1. Per channel, the messages of an episode go out one after the other; another episode need not wait.
2. A message that failed is tried again after 1, 2, 4 … s, at most 5 minutes, or when the receiver asks for
   it (at most an hour), until it is given up. A channel that failed is left alone for 1, 2, 4 … s, at most
   10, so that neither a receiver that is away nor one bad message holds up the rest for long.
3. A channel that says that it is gone (`disabled`) gets nothing any more until the next start.
4. Times are seconds of the caller's clock; only their differences matter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from stream_worker.core.alerting.notification_log import Message

PAUSE_FIRST_S: Final = 1.0
PAUSE_MAX_S: Final = 300.0
CHANNEL_PAUSE_MAX_S: Final = 10.0
ASKED_MAX_S: Final = 3_600.0


class SendOutcome(NamedTuple):
    """What a channel answered. `after_s`: when the receiver wants to be asked again; `why` is for people."""

    kind: Literal["delivered", "failed", "disabled"]
    why: str = ""
    after_s: float | None = None


class FinishedDelivery(NamedTuple):
    """A link that every channel has, or gave up."""

    n: int
    message: Message
    outcomes: dict[str, str]


@dataclass(slots=True, eq=False)
class _Attempt:
    """One message on one channel."""

    attempts: int = 0
    first_s: float | None = None
    again_s: float = 0.0
    outcome: str | None = None


@dataclass(slots=True, eq=False)
class _Waiting:
    """One message on its way. `n` None: it has no link yet."""

    message: Message
    n: int | None
    posts: dict[str, _Attempt]


@dataclass(slots=True, eq=False)
class BrandQueue:
    """The messages of one brand that are on their way, in order."""

    waiting: list[_Waiting] = field(default_factory=list)

    def find(self, message: Message) -> _Waiting | None:
        """The place of a message in the line."""
        told = message.id, message.again_for
        return next((w for w in self.waiting if (w.message.id, w.message.again_for) == told), None)

    def unlinked(self) -> list[Message]:
        """Messages that are on their way without a link."""
        return [one.message for one in self.waiting if one.n is None]

    def linked(self, message: Message, n: int | None) -> None:
        """Say which link a message has; None: it has none yet."""
        if (one := self.find(message)) is not None:
            one.n = n

    def complete(self) -> FinishedDelivery | None:
        """The first link that every channel has, or gave up."""
        for one in self.waiting:
            outcomes = {name: post.outcome for name, post in one.posts.items() if post.outcome is not None}
            if one.n is not None and len(outcomes) == len(one.posts):
                return FinishedDelivery(one.n, one.message, outcomes)
        return None

    def receipted(self, numbers: Iterable[int]) -> None:
        """Links that have their receipts need nothing more."""
        done = set(numbers)
        self.waiting = [one for one in self.waiting if one.n not in done]


@dataclass(slots=True, eq=False)
class _Channel:
    failures: int = 0  # in a row
    again_s: float = 0.0
    disabled: bool = False


class RetryQueue:
    """What is known of the channels."""

    def __init__(self, channels: Sequence[str], *, give_up_s: float) -> None:
        self._channels = {name: _Channel() for name in channels}
        self._give_up_s = give_up_s

    def enqueue(self, line: BrandQueue, message: Message, n: int | None) -> bool:
        """Put a message into the line, or give the one that is there its link; True: it was not there."""
        known = line.find(message)
        if known is not None:
            known.n = known.n or n
            return False
        names = () if message.kind == "missed" else self._channels
        line.waiting.append(_Waiting(message, n, {name: _Attempt() for name in names}))
        return True

    def due(self, line: BrandQueue, now_s: float) -> tuple[str, Message, int] | None:
        """The channel, message and number of the attempt that is due now, if any."""
        behind = set()
        for one in line.waiting:
            for name, post in one.posts.items():
                channel, place = self._channels[name], (name, one.message.episode)
                if post.outcome is None and channel.disabled:
                    post.outcome = "disabled"
                if post.outcome is not None or place in behind:
                    continue
                if max(post.again_s, channel.again_s) <= now_s:
                    return name, one.message, post.attempts + 1
                behind.add(place)
        return None

    def take(self, line: BrandQueue, name: str, message: Message, outcome: SendOutcome, now_s: float) -> None:
        """Take what a channel answered."""
        channel, one = self._channels[name], line.find(message)
        if outcome.kind == "failed":
            channel.failures += 1
            pause_s = _pause_s(channel.failures, CHANNEL_PAUSE_MAX_S, outcome.after_s)
            channel.again_s = now_s + pause_s
        else:
            channel.failures, channel.again_s = 0, 0.0
            channel.disabled = outcome.kind == "disabled"
        if one is None:
            return
        post = one.posts[name]
        post.attempts += 1
        post.first_s = now_s if post.first_s is None else post.first_s
        if outcome.kind != "failed":
            post.outcome = outcome.kind
        elif now_s - post.first_s >= self._give_up_s:
            post.outcome = f"given up after {post.attempts} attempts: {outcome.why}"
        else:
            post.again_s = now_s + _pause_s(post.attempts, PAUSE_MAX_S, outcome.after_s)


def _pause_s(failures: int, most_s: float, asked_s: float | None) -> float:
    pause_s: float = min(most_s, PAUSE_FIRST_S * 2 ** min(failures - 1, 20))
    return pause_s if asked_s is None else max(pause_s, min(asked_s, ASKED_MAX_S))

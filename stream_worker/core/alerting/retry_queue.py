"""The retry queue: in which order messages go to channels, when one is sent again, and when it is given up.

Rules:
1. Per channel, the messages of an episode go out one after the other; another episode need not wait.
2. A message that failed is sent again after 1, 2, 4 … s, at most 5 minutes, or when the receiver asks for it
   (at most an hour), until it is given up. A channel that failed rests for 1, 2, 4 … s, at most 10, so that
   neither a receiver that is away nor one bad message holds up the rest for long.
3. A channel that answers that it is gone (`disabled`) gets nothing until the next start.
4. Times are seconds of the caller's clock; only their differences matter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from stream_worker.core.alerting.notification_log import Message

PAUSE_FIRST_S: Final = 1.0
PAUSE_MAX_S: Final = 300.0
CHANNEL_PAUSE_MAX_S: Final = 10.0
RETRY_AFTER_MAX_S: Final = 3_600.0


class SendOutcome(NamedTuple):
    """The result of one attempt. `after_s`: when the receiver asks for the next one; `why` is for people."""

    kind: Literal["delivered", "failed", "disabled"]
    why: str = ""
    after_s: float | None = None


class DueAttempt(NamedTuple):
    """An attempt that may be made now; the first one of a message on a channel is number 1."""

    channel: str
    message: Message
    attempt: int


class FinishedMessage(NamedTuple):
    """Message `n` of a notification log, with its outcome on each channel: sent, or given up."""

    n: int
    message: Message
    outcomes: dict[str, str]


@dataclass(slots=True, eq=False)
class _ChannelDelivery:
    """One message on one channel. `outcome` None: it is still to be sent."""

    attempts: int = 0
    first_s: float | None = None
    again_s: float = 0.0
    outcome: str | None = None


@dataclass(slots=True, eq=False)
class _QueuedMessage:
    """One message on its way. `n` None: it is not in the notification log yet."""

    message: Message
    n: int | None
    deliveries: dict[str, _ChannelDelivery]

    @property
    def outcomes(self) -> dict[str, str]:
        return {
            name: delivery.outcome
            for name, delivery in self.deliveries.items()
            if delivery.outcome is not None
        }


@dataclass(slots=True, eq=False)
class BrandQueue:
    """The messages of one brand that are on their way, in order."""

    queued: list[_QueuedMessage] = field(default_factory=list)

    def find(self, message: Message) -> _QueuedMessage | None:
        """Find the queued message with the same identity."""
        return next((one for one in self.queued if one.message.identity == message.identity), None)

    def unlogged(self) -> list[Message]:
        """Messages on their way that the notification log does not hold yet, as far as is known."""
        return [one.message for one in self.queued if one.n is None]

    def assign_number(self, message: Message, n: int | None) -> None:
        """Note where a message stands in the notification log; None: nowhere yet."""
        if (one := self.find(message)) is not None:
            one.n = n

    def finished(self) -> FinishedMessage | None:
        """The first message of the notification log that every channel has, or gave up."""
        for one in self.queued:
            if one.n is not None and len(one.outcomes) == len(one.deliveries):
                return FinishedMessage(one.n, one.message, one.outcomes)
        return None

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove messages that have their receipts, by their numbers in the notification log."""
        receipted = set(numbers)
        self.queued = [one for one in self.queued if one.n not in receipted]


@dataclass(slots=True, eq=False)
class _ChannelHealth:
    failures: int = 0  # in a row
    again_s: float = 0.0
    disabled: bool = False


class RetryQueue:
    """When each channel may be used again, and which message of a brand is due on it."""

    def __init__(self, channels: Sequence[str], *, give_up_s: float) -> None:
        self._channels = {name: _ChannelHealth() for name in channels}
        self._give_up_s = give_up_s

    def enqueue(self, queue: BrandQueue, message: Message, n: int | None) -> bool:
        """Queue a message, or give the queued one its number in the log; False: it was queued already."""
        known = queue.find(message)
        if known is not None:
            known.n = known.n or n
            return False
        names = () if message.kind == "missed" else self._channels
        queue.queued.append(_QueuedMessage(message, n, {name: _ChannelDelivery() for name in names}))
        return True

    def due(self, queue: BrandQueue, now_s: float) -> DueAttempt | None:
        """Return the first attempt that may be made now; messages for a disabled channel end here."""
        blocked = set()  # (channel, episode) with an earlier message that has to go out first
        for one in queue.queued:
            for name, delivery in one.deliveries.items():
                channel, order = self._channels[name], (name, one.message.episode)
                if delivery.outcome is None and channel.disabled:
                    delivery.outcome = "disabled"
                if delivery.outcome is not None or order in blocked:
                    continue
                if max(delivery.again_s, channel.again_s) <= now_s:
                    return DueAttempt(name, one.message, delivery.attempts + 1)
                blocked.add(order)
        return None

    def record_outcome(
        self, queue: BrandQueue, name: str, message: Message, outcome: SendOutcome, now_s: float
    ) -> None:
        """Note how an attempt ended, and when its channel and its message may be tried again."""
        self._rest(self._channels[name], outcome, now_s)
        one = queue.find(message)
        if one is None:
            return  # another notifier's receipt removed the message meanwhile
        delivery = one.deliveries[name]
        delivery.attempts += 1
        delivery.first_s = now_s if delivery.first_s is None else delivery.first_s
        if outcome.kind != "failed":
            delivery.outcome = outcome.kind
        elif now_s - delivery.first_s >= self._give_up_s:
            delivery.outcome = f"given up after {delivery.attempts} attempts: {outcome.why}"
        else:
            delivery.again_s = now_s + _pause_s(delivery.attempts, PAUSE_MAX_S, outcome.after_s)

    @staticmethod
    def _rest(channel: _ChannelHealth, outcome: SendOutcome, now_s: float) -> None:
        if outcome.kind == "failed":
            channel.failures += 1
            channel.again_s = now_s + _pause_s(channel.failures, CHANNEL_PAUSE_MAX_S, outcome.after_s)
        else:
            channel.failures, channel.again_s = 0, 0.0
            channel.disabled = outcome.kind == "disabled"


def _pause_s(failures: int, longest_s: float, requested_s: float | None) -> float:
    pause_s: float = min(longest_s, PAUSE_FIRST_S * 2 ** min(failures - 1, 20))
    return pause_s if requested_s is None else max(pause_s, min(requested_s, RETRY_AFTER_MAX_S))

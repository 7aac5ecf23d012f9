"""Inputs of the delivery machine: one class for each event of a turn and for each reply.

Rules:
1. An input is a plain, immutable value. `effects.py` names the reply of each effect.
2. `StoreUnavailable` and `RedisUnavailable` mean that the outcome is *unknown* (docs/design.md#r5): the
   effect may have happened, or may happen later.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stream_worker.core.aggregates.damage import Damage
from stream_worker.core.alerting.notification_log import Message, NotificationEntry
from stream_worker.core.alerting.policy import BrandSnapshot
from stream_worker.core.alerting.retry_queue import SendOutcome

# Events of a turn, for all brands


class OutboxSnapshot(NamedTuple):
    """Redis as one script saw it."""

    now_ms: int  # Redis TIME
    outbox: Mapping[str, str]  # id of an entry -> its body
    frozen: Mapping[str, Message]  # id of an entry -> the message that is frozen for it
    brands: Mapping[str, BrandSnapshot]  # those with entries, and those that were requested
    damaged: Sequence[Damage] = ()  # their brands are left out of `brands`: nothing is decided about them


@dataclass(slots=True, frozen=True)
class LeaseGained:
    """The lease is ours from now on; another notifier may have worked until now."""


@dataclass(slots=True, frozen=True)
class OutboxRead:
    """A turn begins with what Redis holds."""

    snapshot: OutboxSnapshot


@dataclass(slots=True, frozen=True)
class OutboxNotRead:
    """A turn begins without a snapshot: Redis is away, or another notifier has the lease.

    Nothing is decided then; messages that are on their way may go on.
    """


@dataclass(slots=True, frozen=True)
class NotificationLogsListed:
    """All logs in the store: the number of the last notification of each, and those that miss a receipt."""

    last_numbers: Mapping[str, int]
    without_receipt: Collection[str]


# Replies, for the brand whose effect is under way


@dataclass(slots=True, frozen=True)
class NotificationLogRead:
    """The notifications behind the last one that is known, and the numbers of those that have receipts."""

    key: str
    notifications: Sequence[NotificationEntry]
    receipted: Collection[int]


@dataclass(slots=True, frozen=True)
class NotificationCreated:
    """`created` False: the name was taken, so somebody else decided first."""

    key: str
    created: bool


@dataclass(slots=True, frozen=True)
class ReceiptWritten:
    """The receipt is in the store, by us or somebody else."""

    key: str


@dataclass(slots=True, frozen=True)
class MessageFrozen:
    """The message that is frozen for the entry now; None: the entry is not as it was read."""

    key: str
    message: Message | None


@dataclass(slots=True, frozen=True)
class OutboxEntryRemoved:
    """The entry is gone, or not as it was read; the next snapshot shows which."""

    key: str


@dataclass(slots=True, frozen=True)
class AlertPublished:
    """The message is in the list of alerts that people see."""

    key: str


@dataclass(slots=True, frozen=True)
class MessageSent:
    """An attempt ended at `at_s`, by the clock of the retry queue."""

    key: str
    outcome: SendOutcome
    at_s: float


@dataclass(slots=True, frozen=True)
class StoreUnavailable:
    """The store gave no answer, or one that cannot be read."""

    key: str


@dataclass(slots=True, frozen=True)
class RedisUnavailable:
    """Redis gave no answer."""

    key: str


TurnEvent = LeaseGained | OutboxRead | OutboxNotRead | NotificationLogsListed
Reply = (
    NotificationLogRead
    | NotificationCreated
    | ReceiptWritten
    | MessageFrozen
    | OutboxEntryRemoved
    | AlertPublished
    | MessageSent
    | StoreUnavailable
    | RedisUnavailable
)
Input = TurnEvent | Reply

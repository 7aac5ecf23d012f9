"""Effects of the delivery machine: one class for each thing that it requests, with the type of its reply.

Rules:
1. An effect is safe to repeat, to lose the answer of and to arrive late (docs/design.md#r1).
2. `reply` is the answer to an effect, `failure` the input that stands for *no answer*; an attempt to send
   always has an outcome.
"""

from dataclasses import dataclass
from typing import ClassVar

from stream_worker.core.alerting.inputs import (
    AlertPublished,
    MessageFrozen,
    MessageSent,
    NotificationCreated,
    NotificationLogRead,
    OutboxEntryRemoved,
    ReceiptWritten,
    RedisUnavailable,
    StoreUnavailable,
)
from stream_worker.core.alerting.notification_log import Message, NotificationEntry, OutboxEntry, Receipt


@dataclass(slots=True, frozen=True)
class ReadNotificationLog:
    """Read the notifications behind number `after`, and which notifications have receipts."""

    reply: ClassVar = NotificationLogRead
    failure: ClassVar = StoreUnavailable

    key: str
    after: int


@dataclass(slots=True, frozen=True)
class CreateNotification:
    """Create the next notification of a log."""

    reply: ClassVar = NotificationCreated
    failure: ClassVar = StoreUnavailable

    key: str
    notification: NotificationEntry


@dataclass(slots=True, frozen=True)
class WriteReceipt:
    """Create the receipt of notification `n`, unless there is one."""

    reply: ClassVar = ReceiptWritten
    failure: ClassVar = StoreUnavailable

    key: str
    n: int
    receipt: Receipt


@dataclass(slots=True, frozen=True)
class FreezeMessage:
    """Freeze the message of an entry that is as it was read, unless one is frozen."""

    reply: ClassVar = MessageFrozen
    failure: ClassVar = RedisUnavailable

    key: str
    entry: OutboxEntry
    message: Message


@dataclass(slots=True, frozen=True)
class RemoveOutboxEntry:
    """Remove an entry that is as it was read, while the episode record of its brand is, too."""

    reply: ClassVar = OutboxEntryRemoved
    failure: ClassVar = RedisUnavailable

    key: str
    entry: OutboxEntry
    episode_record: str | None


@dataclass(slots=True, frozen=True)
class PublishAlert:
    """Add a message to the list of alerts that people see, in Redis: a view."""

    reply: ClassVar = AlertPublished
    failure: ClassVar = RedisUnavailable

    key: str
    message: Message


@dataclass(slots=True, frozen=True)
class SendMessage:
    """Send a message to a channel; the first attempt is number 1."""

    reply: ClassVar = MessageSent

    key: str
    channel: str
    message: Message
    attempt: int


StoreEffect = ReadNotificationLog | CreateNotification | WriteReceipt
RedisEffect = FreezeMessage | RemoveOutboxEntry | PublishAlert
Effect = StoreEffect | RedisEffect | SendMessage

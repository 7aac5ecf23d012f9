"""What the step machine of delivery asks for (operations), and the look it is given.

Rules:
1. An operation is safe to repeat, to lose the answer of and to arrive late (docs/design.md#r1).
2. Which method of the machine takes its answer stands beside each operation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from stream_worker.core.alerting.notification_log import Message, NotificationEntry, OutboxEntry, Receipt
from stream_worker.core.alerting.policy import BrandSnapshot


class OutboxSnapshot(NamedTuple):
    """What one script saw. `fixed`: outbox id -> the message that was fixed for it."""

    now_ms: int
    outbox: Mapping[str, str]
    fixed: Mapping[str, Message]
    views: Mapping[str, BrandSnapshot]  # of the brands that were asked for


@dataclass(slots=True, frozen=True)
class ReadNotificationLog:
    """Read the links behind `after` and which links have receipts -> `chain_is`, or `store_is_away`."""

    key: str
    after: int


@dataclass(slots=True, frozen=True)
class CreateNotification:
    """Create the next link -> `link_created`, `link_refused`, or `store_is_away`."""

    key: str
    link: NotificationEntry


@dataclass(slots=True, frozen=True)
class WriteReceipt:
    """Create the receipt of a link, or find one -> `receipt_written`, or `store_is_away`."""

    key: str
    n: int
    receipt: Receipt


@dataclass(slots=True, frozen=True)
class FreezeMessage:
    """Fix a message for an entry that is as it was read -> `fixed_is` with the one that is fixed."""

    key: str
    event: OutboxEntry
    message: Message


@dataclass(slots=True, frozen=True)
class RemoveOutboxEntry:
    """Remove an entry that is as it was read, while the brand's record is, too -> `removed`."""

    key: str
    event: OutboxEntry
    record: str | None


@dataclass(slots=True, frozen=True)
class PublishAlert:
    """Show a message to people, in Redis -> `recorded`."""

    key: str
    message: Message


@dataclass(slots=True, frozen=True)
class SendMessage:
    """Send a message -> `sent`."""

    key: str
    channel: str
    message: Message
    attempt: int


Operation = (
    ReadNotificationLog
    | CreateNotification
    | WriteReceipt
    | FreezeMessage
    | RemoveOutboxEntry
    | PublishAlert
    | SendMessage
)

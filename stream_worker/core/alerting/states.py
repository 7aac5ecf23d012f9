"""The states of a brand that the notifier serves, and the one table of what may happen in each.

An input or effect that is not in the row of a state is refused there; so is a next state that is not in its
cell. The theory of operation is in delivery.py.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum, auto
from typing import Final

from stream_worker.core.alerting.effects import (
    CreateNotification,
    Effect,
    FreezeMessage,
    PublishAlert,
    ReadNotificationLog,
    RemoveOutboxEntry,
    SendMessage,
    WriteReceipt,
)
from stream_worker.core.alerting.inputs import (
    AlertPublished,
    Input,
    LeaseGained,
    MessageFrozen,
    MessageSent,
    NotificationCreated,
    NotificationLogRead,
    NotificationLogsListed,
    OutboxEntryRemoved,
    OutboxNotRead,
    OutboxRead,
    ReceiptWritten,
    RedisUnavailable,
    StoreUnavailable,
)
from stream_worker.errors import BrokenInvariant


class DeliveryState(Enum):
    """The state of one brand."""

    # No effect is under way.
    LOG_UNKNOWN = auto()  # not read yet, or another notifier may have extended it
    LOG_KNOWN = auto()
    STORE_AWAY_LOG_UNKNOWN = auto()  # the store failed this brand in this turn
    STORE_AWAY_LOG_KNOWN = auto()
    # One effect is under way.
    READING_LOG = auto()  # E1
    CREATING_NOTIFICATION = auto()  # E2
    SENDING_MESSAGE = auto()  # E3
    WRITING_RECEIPT = auto()  # E4
    REMOVING_ENTRY = auto()  # E5
    FREEZING_MESSAGE = auto()  # E6
    PUBLISHING_ALERT = auto()  # a view for people


Step = Input | Effect

_AWAY: Final = frozenset({DeliveryState.STORE_AWAY_LOG_UNKNOWN, DeliveryState.STORE_AWAY_LOG_KNOWN})
_DECIDED: Final = _AWAY | {DeliveryState.LOG_KNOWN}  # in these, messages may be on their way
STORE_RETRIED: Final = {
    DeliveryState.STORE_AWAY_LOG_UNKNOWN: DeliveryState.LOG_UNKNOWN,
    DeliveryState.STORE_AWAY_LOG_KNOWN: DeliveryState.LOG_KNOWN,
}

TRANSITIONS: Final[Mapping[DeliveryState, Mapping[type[Step], AbstractSet[DeliveryState]]]] = {
    DeliveryState.LOG_UNKNOWN: {
        LeaseGained: {DeliveryState.LOG_UNKNOWN},
        OutboxRead: {DeliveryState.LOG_UNKNOWN},
        OutboxNotRead: {DeliveryState.LOG_UNKNOWN},
        NotificationLogsListed: {DeliveryState.LOG_UNKNOWN},
        ReadNotificationLog: {DeliveryState.READING_LOG},
    },
    DeliveryState.LOG_KNOWN: {
        LeaseGained: {DeliveryState.LOG_UNKNOWN},
        OutboxRead: {DeliveryState.LOG_KNOWN},
        OutboxNotRead: {DeliveryState.LOG_KNOWN},
        NotificationLogsListed: {DeliveryState.LOG_KNOWN, DeliveryState.LOG_UNKNOWN},
        ReadNotificationLog: {DeliveryState.READING_LOG},  # for entries that came after it was read
        CreateNotification: {DeliveryState.CREATING_NOTIFICATION},
        SendMessage: {DeliveryState.SENDING_MESSAGE},
        WriteReceipt: {DeliveryState.WRITING_RECEIPT},
        RemoveOutboxEntry: {DeliveryState.REMOVING_ENTRY},
        PublishAlert: {DeliveryState.PUBLISHING_ALERT},
    },
    DeliveryState.STORE_AWAY_LOG_UNKNOWN: {
        OutboxRead: {DeliveryState.LOG_UNKNOWN},
        OutboxNotRead: {DeliveryState.LOG_UNKNOWN},
        FreezeMessage: {DeliveryState.FREEZING_MESSAGE},
        SendMessage: {DeliveryState.SENDING_MESSAGE},
        PublishAlert: {DeliveryState.PUBLISHING_ALERT},
    },
    DeliveryState.STORE_AWAY_LOG_KNOWN: {
        OutboxRead: {DeliveryState.LOG_KNOWN},
        OutboxNotRead: {DeliveryState.LOG_KNOWN},
        FreezeMessage: {DeliveryState.FREEZING_MESSAGE},
        SendMessage: {DeliveryState.SENDING_MESSAGE},
        PublishAlert: {DeliveryState.PUBLISHING_ALERT},
    },
    DeliveryState.READING_LOG: {
        NotificationLogRead: {DeliveryState.LOG_KNOWN},
        StoreUnavailable: _AWAY,
    },
    DeliveryState.CREATING_NOTIFICATION: {
        NotificationCreated: {DeliveryState.LOG_KNOWN, DeliveryState.LOG_UNKNOWN},
        StoreUnavailable: {DeliveryState.STORE_AWAY_LOG_KNOWN},
    },
    DeliveryState.SENDING_MESSAGE: {
        MessageSent: _DECIDED,
    },
    DeliveryState.WRITING_RECEIPT: {
        ReceiptWritten: {DeliveryState.LOG_KNOWN},
        StoreUnavailable: {DeliveryState.STORE_AWAY_LOG_KNOWN},
    },
    DeliveryState.REMOVING_ENTRY: {
        OutboxEntryRemoved: {DeliveryState.LOG_KNOWN},
        RedisUnavailable: {DeliveryState.LOG_KNOWN},
    },
    DeliveryState.FREEZING_MESSAGE: {
        MessageFrozen: _AWAY,
        RedisUnavailable: _AWAY,
    },
    DeliveryState.PUBLISHING_ALERT: {
        AlertPublished: _DECIDED,
        RedisUnavailable: _DECIDED,
    },
}
"""State → input or effect → the states that may follow. Anything else is refused."""


def check_transition(
    key: str, state: DeliveryState, step: Step, following: DeliveryState | None = None
) -> None:
    """Raise BrokenInvariant if `state` does not allow the step, or not with this state to follow."""
    allowed = TRANSITIONS[state].get(type(step), frozenset[DeliveryState]())
    if not allowed:
        raise BrokenInvariant(f"log {key}: {type(step).__name__} is not allowed in state {state.name}")
    if following is not None and following not in allowed:
        led = f"led from {state.name} to {following.name}"
        raise BrokenInvariant(f"log {key}: {type(step).__name__} {led}")

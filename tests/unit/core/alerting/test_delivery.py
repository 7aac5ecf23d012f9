"""The delivery machine, step by step: which effect follows which input, and what no state allows."""

import json
from itertools import product
from typing import get_args

import pytest

from stream_worker.core.alerting.delivery import STORE_AWAY_MS, DeliveryMachine
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
    OutboxSnapshot,
    ReceiptWritten,
    RedisUnavailable,
    StoreUnavailable,
)
from stream_worker.core.alerting.notification_log import key_of
from stream_worker.core.alerting.policy import BrandSnapshot
from stream_worker.core.alerting.retry_queue import SendOutcome
from stream_worker.core.alerting.states import TRANSITIONS, DeliveryState
from stream_worker.errors import BrokenInvariant

BRAND = "acme"
KEY = key_of(BRAND)
EPISODE = f"{KEY}-20251122T1200"
NOON = 1_763_812_800_000  # 2025-11-22 12:00 UTC
BODY = json.dumps(
    {
        "id": f"{EPISODE}.opened",
        "kind": "opened",
        "episode": EPISODE,
        "brand": BRAND,
        "opened": "2025-11-22T12:00:00Z",
        "minute": "2025-11-22T12:00:00Z",
    }
)
RECORD = json.dumps({"id": EPISODE})

EXAMPLES = {
    LeaseGained: LeaseGained(),
    OutboxRead: OutboxRead(OutboxSnapshot(NOON, {}, {}, {})),
    OutboxNotRead: OutboxNotRead(),
    NotificationLogsListed: NotificationLogsListed({KEY: 7}, {KEY}),
    NotificationLogRead: NotificationLogRead(KEY, [], []),
    NotificationCreated: NotificationCreated(KEY, created=True),
    ReceiptWritten: ReceiptWritten(KEY),
    MessageFrozen: MessageFrozen(KEY, None),
    OutboxEntryRemoved: OutboxEntryRemoved(KEY),
    AlertPublished: AlertPublished(KEY),
    MessageSent: MessageSent(KEY, SendOutcome("delivered"), 0.0),
    StoreUnavailable: StoreUnavailable(KEY),
    RedisUnavailable: RedisUnavailable(KEY),
}
"""One input of each class."""

AWAITS = {
    ReadNotificationLog: DeliveryState.READING_LOG,
    CreateNotification: DeliveryState.CREATING_NOTIFICATION,
    SendMessage: DeliveryState.SENDING_MESSAGE,
    WriteReceipt: DeliveryState.WRITING_RECEIPT,
    RemoveOutboxEntry: DeliveryState.REMOVING_ENTRY,
    FreezeMessage: DeliveryState.FREEZING_MESSAGE,
    PublishAlert: DeliveryState.PUBLISHING_ALERT,
}


def outbox_read(after_ms=0):
    """A snapshot with one open episode of one brand, so long after noon."""
    now_ms = NOON + after_ms
    return OutboxRead(
        OutboxSnapshot(now_ms, {f"{EPISODE}.opened": BODY}, {}, {BRAND: BrandSnapshot(now_ms, NOON, RECORD)})
    )


def machine():
    made = DeliveryMachine(["webhook"], give_up_s=60.0)
    made.handle(outbox_read())
    return made


def answer(made, effect):
    """Answer an effect as servers do that are well."""
    reply = EXAMPLES[effect.reply]
    made.handle(MessageFrozen(KEY, effect.message) if isinstance(effect, FreezeMessage) else reply)


def give(made, kind):
    """Answer effects until one of this class is under way."""
    while not isinstance(effect := made.next_effect(0.0), kind):
        assert effect is not None, f"no {kind.__name__} is given"
        answer(made, effect)
    return effect


def in_state(state):
    """Return a machine with one brand in this state."""
    made = machine()
    match state:
        case DeliveryState.LOG_UNKNOWN:
            pass
        case DeliveryState.LOG_KNOWN:
            answer(made, give(made, ReadNotificationLog))
        case DeliveryState.STORE_AWAY_LOG_UNKNOWN | DeliveryState.FREEZING_MESSAGE:
            give(made, ReadNotificationLog)
            made.handle(StoreUnavailable(KEY))
            made.handle(outbox_read(STORE_AWAY_MS))
            give(made, ReadNotificationLog)
            made.handle(StoreUnavailable(KEY))
            if state is DeliveryState.FREEZING_MESSAGE:
                give(made, FreezeMessage)
        case DeliveryState.STORE_AWAY_LOG_KNOWN:
            give(made, CreateNotification)
            made.handle(StoreUnavailable(KEY))
        case _:
            give(made, next(kind for kind, waiting in AWAITS.items() if waiting is state))
    return made


# The table


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (state, kind)
        for state, kind in product(DeliveryState, get_args(Input))
        if kind not in TRANSITIONS[state]
    ],
    ids=lambda part: part.name if isinstance(part, DeliveryState) else part.__name__,
)
def test_an_input_that_the_state_does_not_allow_is_refused_by_name(state, kind):
    # Given a brand in a state
    made = in_state(state)

    # When an input arrives that the table does not have for it, then the error names both
    with pytest.raises(
        BrokenInvariant, match=f"^log {KEY}: {kind.__name__} is not allowed in state {state.name}$"
    ):
        made.handle(EXAMPLES[kind])


@pytest.mark.parametrize("state", DeliveryState, ids=lambda state: state.name)
def test_an_input_that_the_state_allows_is_taken(state):
    for kind in set(TRANSITIONS[state]) & set(get_args(Input)):
        in_state(state).handle(EXAMPLES[kind])


@pytest.mark.parametrize("kind", AWAITS, ids=lambda kind: kind.__name__)
def test_a_state_that_waits_takes_the_reply_that_its_effect_declares_and_nothing_else(kind):
    failures = {kind.failure} if hasattr(kind, "failure") else set()

    assert set(TRANSITIONS[AWAITS[kind]]) == {kind.reply, *failures}


def test_the_table_has_every_state_every_input_and_every_effect():
    steps = {step for row in TRANSITIONS.values() for step in row}

    assert set(TRANSITIONS) == set(DeliveryState)
    assert steps == {*get_args(Input), *get_args(Effect)}
    assert set(AWAITS) == set(get_args(Effect))


def test_an_effect_leads_to_one_state_only():
    for row in TRANSITIONS.values():
        for kind in set(row) & set(AWAITS):
            assert row[kind] == {AWAITS[kind]}


@pytest.mark.parametrize("kind", AWAITS, ids=lambda kind: kind.__name__)
def test_no_second_effect_is_given_while_one_is_under_way(kind):
    made = in_state(AWAITS[kind])

    with pytest.raises(BrokenInvariant, match=AWAITS[kind].name):
        made.next_effect(0.0)


def test_a_reply_for_a_brand_that_is_not_tracked_is_refused():
    with pytest.raises(BrokenInvariant, match="log 0000: ReceiptWritten came"):
        machine().handle(ReceiptWritten("0000"))


def test_a_refused_input_changes_nothing():
    # Given an effect under way
    made = in_state(DeliveryState.SENDING_MESSAGE)

    # When another reply and a new turn are refused
    for wrong in (ReceiptWritten(KEY), outbox_read(), LeaseGained()):
        with pytest.raises(BrokenInvariant):
            made.handle(wrong)

    # Then its own reply is taken as if nothing had been
    made.handle(EXAMPLES[MessageSent])
    assert isinstance(made.next_effect(0.0), WriteReceipt)


# The steps


def effects_of(made):
    """Answer every effect of this turn; return their classes."""
    given = []
    while (effect := made.next_effect(0.0)) is not None:
        given.append(type(effect))
        answer(made, effect)
    return given


def test_an_entry_is_logged_published_sent_receipted_and_removed_in_this_order():
    made = machine()

    assert effects_of(made) == [
        ReadNotificationLog,
        CreateNotification,
        PublishAlert,
        SendMessage,
        WriteReceipt,
        RemoveOutboxEntry,
    ]
    assert made.pending == 0


def test_a_refused_notification_leads_to_another_read_of_the_log():
    # Given a notification whose number another notifier has taken
    made = machine()
    refused = give(made, CreateNotification)
    made.handle(NotificationCreated(KEY, created=False))

    # When the log is read again, then the same message needs nothing but its receipt and its delivery
    assert isinstance(made.next_effect(0.0), ReadNotificationLog)
    made.handle(NotificationLogRead(KEY, [refused.notification], []))
    assert effects_of(made) == [PublishAlert, SendMessage, WriteReceipt, RemoveOutboxEntry]


def test_with_the_store_away_for_a_minute_a_message_is_frozen_and_sent():
    # Given a store that fails for a first time
    made = machine()
    give(made, ReadNotificationLog)
    made.handle(StoreUnavailable(KEY))
    assert made.next_effect(0.0) is None

    # When a turn a moment less than a minute later meets the same
    made.handle(outbox_read(STORE_AWAY_MS - 1))
    give(made, ReadNotificationLog)
    made.handle(StoreUnavailable(KEY))
    assert made.next_effect(0.0) is None

    # Then the next one freezes the message, and people get it
    made.handle(outbox_read(STORE_AWAY_MS))
    give(made, ReadNotificationLog)
    made.handle(StoreUnavailable(KEY))
    assert effects_of(made) == [FreezeMessage, PublishAlert, SendMessage]
    assert made.pending == 1  # it has no receipt yet


def test_after_redis_gave_no_answer_the_turn_is_over():
    made = in_state(DeliveryState.PUBLISHING_ALERT)

    made.handle(RedisUnavailable(KEY))

    assert made.next_effect(0.0) is None
    made.handle(outbox_read())
    assert effects_of(made)[0] is PublishAlert


def test_without_a_snapshot_nothing_is_decided_and_messages_go_on():
    # Given a message that could not be sent
    made = in_state(DeliveryState.SENDING_MESSAGE)
    made.handle(MessageSent(KEY, SendOutcome("failed", "status 500"), 0.0))
    assert made.next_effect(0.0) is None

    # When a turn begins without Redis, a second later
    made.handle(OutboxNotRead())

    # Then the message is sent again
    assert isinstance(made.next_effect(1.0), SendMessage)
    made.handle(EXAMPLES[MessageSent])
    assert isinstance(made.next_effect(1.0), WriteReceipt)
    made.handle(EXAMPLES[ReceiptWritten])
    assert made.next_effect(1.0) is None


def test_a_gained_lease_and_a_longer_log_lead_to_another_read():
    # Given a brand whose episode is open for people and whose outbox is empty
    made = machine()
    effects_of(made)
    quiet = OutboxRead(OutboxSnapshot(NOON, {}, {}, {BRAND: BrandSnapshot(NOON, NOON, RECORD)}))
    made.handle(quiet)
    assert effects_of(made) == []

    # When the lease was elsewhere, then its log is read again
    made.handle(LeaseGained())
    made.handle(quiet)
    assert effects_of(made) == [ReadNotificationLog]

    # When the list shows the log as it is known, then it is not; when it is longer, then it is
    for last, expected in ((1, []), (2, [ReadNotificationLog])):
        made.handle(quiet)
        made.handle(NotificationLogsListed({KEY: last}, ()))
        assert effects_of(made) == expected


def test_a_brand_that_needs_nothing_is_forgotten_and_known_again_from_the_list():
    # Given a log with all its receipts and no open alert
    made = DeliveryMachine(["webhook"], give_up_s=60.0)
    empty = OutboxRead(OutboxSnapshot(NOON, {}, {}, {}))
    made.handle(empty)
    made.handle(NotificationLogsListed({KEY: 1}, ()))
    made.handle(empty)
    give(made, ReadNotificationLog)
    missed = notification_of_a_missed_episode()
    made.handle(NotificationLogRead(KEY, [missed], [1]))
    assert effects_of(made) == [PublishAlert]

    # When the same list comes, then nothing is read; when the log is longer, then it is
    for last, expected in ((1, []), (2, [ReadNotificationLog])):
        made.handle(empty)
        made.handle(NotificationLogsListed({KEY: last}, ()))
        made.handle(empty)
        assert effects_of(made) == expected


def notification_of_a_missed_episode():
    made = DeliveryMachine(["webhook"], give_up_s=60.0)
    hour_ms = 3_600_000
    late = BrandSnapshot(NOON + hour_ms, NOON + hour_ms, None)
    made.handle(OutboxRead(OutboxSnapshot(NOON + hour_ms, {f"{EPISODE}.opened": BODY}, {}, {BRAND: late})))
    notification = give(made, CreateNotification).notification
    assert notification.kind == "missed"
    return notification


def test_an_unreadable_entry_is_named_and_no_brand_waits_for_it():
    made = DeliveryMachine(["webhook"], give_up_s=60.0)

    made.handle(OutboxRead(OutboxSnapshot(NOON, {"x": "{"}, {}, {})))

    assert made.unreadable_entries == ("x",)
    assert made.brands_to_read() == []
    assert made.next_effect(0.0) is None

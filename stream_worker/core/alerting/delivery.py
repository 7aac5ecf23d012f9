"""The delivery machine: from the outbox through the notification log to the channels, one effect at a time.

Rules (E1…E5 as in docs/guarantees.md):
E1. Read. A turn begins with what one script saw in Redis. Decisions about a brand need its notification log,
    read after the entries that they concern; when another notifier may have extended it, it is read again.
E2. Write the entry. A notification is created before the first attempt to send it. Its number is taken: the
    log is unknown, read it and decide again.
E3. Send. Messages go out in order per channel and episode, at least once, as the log holds them.
E4. Receipt. It is written when each channel has the message or gave it up.
E5. Remove. An outbox entry goes when every message because of it has its receipt, and only as it was read.
E6. While the store has been away for a minute, a message is frozen in Redis instead and sent; its
    notification is created later.
E7. The machine remembers nothing that could not be read again: a successor begins without any knowledge.

Theory of operation
-------------------
There is one state machine for each brand, and `DeliveryMachine` runs them one after the other. It is pure:
`handle` takes an input, `next_effect` gives an effect, and at most one effect is under way in the whole
machine, so a reply always belongs to the effect that was given last.

A brand that has no effect under way is in one of four states, by two questions: is its notification log
known, and does the store answer? `_choose` gives its next effect by that state. An effect moves the brand to
the state that waits for its reply; the reply moves it on. A reply that teaches nothing about the log or the
store moves it back to where it came from (`_Brand.resume`).

A turn:
    LeaseGained?  (OutboxRead | OutboxNotRead)  NotificationLogsListed?  (effect, reply)*
The events at its beginning concern every brand, and are allowed only while no effect is under way. After
`RedisUnavailable` the turn has no more effects. A turn may also be left between a reply and the next effect.
A notifier without the lease takes turns of `OutboxNotRead` alone, so at least one comes before `LeaseGained`.

`StoreUnavailable` moves a brand to a STORE_AWAY state until the next turn; it then goes on without the store,
by E6. If its log is unknown it reports openings alone: another notifier may have reported everything else.

A new brand begins with LOG_UNKNOWN. A brand that needs nothing (no entry, no message under way, no open
alert) is forgotten; it has no state then.

Every step is checked against `TRANSITIONS` (states.py). A step that is not in the table is a bug of the
caller or of this module: `BrokenInvariant` names the state and the input.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    OutboxSnapshot,
    ReceiptWritten,
    RedisUnavailable,
    Reply,
    StoreUnavailable,
    TurnEvent,
)
from stream_worker.core.alerting.notification_log import (
    Message,
    NotificationLog,
    OutboxEntry,
    Receipt,
    key_of,
    notification_of,
    read_entries,
)
from stream_worker.core.alerting.policy import BrandSnapshot, next_message, withdrawal
from stream_worker.core.alerting.retry_queue import BrandQueue, RetryQueue
from stream_worker.core.alerting.states import (
    STORE_RETRIED,
    TRANSITIONS,
    DeliveryState,
    Step,
    check_transition,
)
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import BrokenInvariant

STORE_AWAY_MS: Final = MINUTE_MS


@dataclass(slots=True, eq=False)
class _Brand:
    """One brand: its state, and what was read and decided of it."""

    key: str  # name of its notification log
    state: DeliveryState = DeliveryState.LOG_UNKNOWN
    resume: DeliveryState = DeliveryState.LOG_UNKNOWN  # the state in which the effect under way was given
    awaited: Effect | None = None  # the effect under way
    log: NotificationLog = field(default_factory=NotificationLog)  # as far as it is known
    read_for: frozenset[tuple[str, str]] = frozenset()  # versions of the entries when the log was read
    entries: list[OutboxEntry] = field(default_factory=list)
    snapshot: BrandSnapshot | None = None  # None: Redis was not read in this turn
    frozen: dict[str, Message] = field(default_factory=dict)  # id of an entry -> its message
    unpublished: deque[Message] = field(default_factory=deque)
    queue: BrandQueue = field(default_factory=BrandQueue)
    store_away_since_ms: int | None = None

    @property
    def entry_versions(self) -> frozenset[tuple[str, str]]:
        return frozenset((entry.id, entry.body) for entry in self.entries)

    @property
    def urgent(self) -> bool:
        return bool(self.entries or self.queue.queued)

    @property
    def done(self) -> bool:
        """Whether nothing is to be done for the brand, and nothing will be before its next entry."""
        busy = self.urgent or self.unpublished or any(alert.end is None for alert in self.log.alerts)
        return self.state is DeliveryState.LOG_KNOWN and not busy

    def check(self, step: Step) -> None:
        """Raise BrokenInvariant for a step that the state does not allow."""
        check_transition(self.key, self.state, step)

    def move(self, step: Step, following: DeliveryState) -> None:
        """Take a step. Raises BrokenInvariant."""
        check_transition(self.key, self.state, step, following)
        self.state = following

    def drop_entry(self, entry: OutboxEntry) -> None:
        self.entries = [one for one in self.entries if one.id != entry.id]

    def unlogged(self, log: NotificationLog) -> list[Message]:
        """Messages that were decided without the store and are not in this log, in the order they happened.

        Those that this process has sent are among them even when Redis went back and has forgotten them.
        """
        frozen = (self.frozen[entry.id] for entry in self.entries if entry.id in self.frozen)
        messages = dict.fromkeys([*self.queue.unlogged(), *frozen])
        return [message for message in messages if message.identity not in log.reported]


class DeliveryMachine:
    """All brands of one notifier. `give_up_s`: how long a message is tried on a channel."""

    def __init__(self, channels: Sequence[str], *, give_up_s: float) -> None:
        self._retries = RetryQueue(channels, give_up_s=give_up_s)
        self._brands: dict[str, _Brand] = {}
        self._forgotten: dict[str, int] = {}  # key of a log -> n of its last notification
        self._agenda: deque[str] = deque()  # brands that have their turn yet
        self._now_ms = 0  # Redis TIME at the beginning of the turn
        self._unreadable_entries: tuple[str, ...] = ()
        self._redis_read = False  # in this turn

    @property
    def pending(self) -> int:
        """Messages that are not sent on every channel, or have no receipt yet."""
        return sum(len(brand.queue.queued) for brand in self._brands.values())

    @property
    def unreadable_entries(self) -> tuple[str, ...]:
        """Ids of the outbox entries that cannot be read, as of the last snapshot."""
        return self._unreadable_entries

    def brands_to_read(self) -> list[str]:
        """Names of the brands that the next snapshot must show: those with entries or with an open alert."""
        names = {entry.brand for brand in self._brands.values() for entry in brand.entries}
        for brand in self._brands.values():
            names |= {alert.opened.brand for alert in brand.log.alerts if alert.end is None}
        return sorted(names)

    # Inputs

    def handle(self, received: Input) -> None:
        """Take an input. Raises BrokenInvariant."""
        match received:
            case LeaseGained() | OutboxRead() | OutboxNotRead() | NotificationLogsListed():
                self._handle_event(received)
            case _:
                self._handle_reply(received)

    def _handle_event(self, event: TurnEvent) -> None:
        for brand in self._brands.values():
            brand.check(event)
        match event:
            case LeaseGained():
                for brand in self._brands.values():
                    brand.move(event, DeliveryState.LOG_UNKNOWN)
            case OutboxRead(snapshot):
                self._begin_turn(event)
                self._take_snapshot(snapshot)
                self._order_agenda()
            case OutboxNotRead():
                self._begin_turn(event)
                self._order_agenda()
            case NotificationLogsListed(last_numbers, without_receipt):
                self._compare_logs(event, last_numbers, without_receipt)

    def _begin_turn(self, event: OutboxRead | OutboxNotRead) -> None:
        """Forget what the last turn knew of Redis, and that the store was away."""
        self._redis_read, self._unreadable_entries = False, ()
        for brand in self._brands.values():
            brand.move(event, STORE_RETRIED.get(brand.state, brand.state))
            brand.entries, brand.snapshot, brand.frozen = [], None, {}

    def _take_snapshot(self, snapshot: OutboxSnapshot) -> None:
        self._redis_read, self._now_ms = True, snapshot.now_ms
        entries, unreadable = read_entries(snapshot.outbox)
        self._unreadable_entries = tuple(unreadable)
        for name, of_brand in entries.items():
            brand = self._brand(key_of(name))
            brand.entries = of_brand
            brand.frozen = {one.id: snapshot.frozen[one.id] for one in of_brand if one.id in snapshot.frozen}
        for name, brand_snapshot in snapshot.brands.items():
            self._brand(key_of(name)).snapshot = brand_snapshot

    def _order_agenda(self) -> None:
        urgent = [key for key, brand in self._brands.items() if brand.urgent]
        others = [key for key, brand in self._brands.items() if not brand.urgent]
        self._agenda = deque([*urgent, *others])

    def _compare_logs(
        self, event: NotificationLogsListed, last_numbers: Mapping[str, int], without_receipt: Iterable[str]
    ) -> None:
        """Find the logs that another notifier extended, and those with notifications that nobody finished."""
        extended = {key for key, last in last_numbers.items() if last > self._forgotten.get(key, 0)}
        for key in sorted(extended.union(without_receipt)):
            self._brand(key)
        for key, brand in self._brands.items():
            behind = brand.log.last < last_numbers.get(key, 0)
            brand.move(event, DeliveryState.LOG_UNKNOWN if behind else brand.state)

    def _handle_reply(self, reply: Reply) -> None:
        brand = self._brands.get(reply.key)
        if brand is None:
            raise BrokenInvariant(f"log {reply.key}: {type(reply).__name__} came, and no brand has this log")
        brand.check(reply)
        match reply:
            case StoreUnavailable():
                following = self._note_store_away(brand)
            case RedisUnavailable():
                self._agenda.clear()
                following = brand.resume
            case _:
                following = self._learn(brand, reply)
        brand.awaited = None
        brand.move(reply, following)

    def _note_store_away(self, brand: _Brand) -> DeliveryState:
        if brand.store_away_since_ms is None:
            brand.store_away_since_ms = self._now_ms
        unknown = brand.resume is DeliveryState.LOG_UNKNOWN
        return DeliveryState.STORE_AWAY_LOG_UNKNOWN if unknown else DeliveryState.STORE_AWAY_LOG_KNOWN

    def _learn(self, brand: _Brand, reply: Reply) -> DeliveryState:
        """Learn from the reply to the effect under way; return the state that follows."""
        match brand.awaited, reply:
            case ReadNotificationLog(), NotificationLogRead():
                self._extend_log(brand, reply)
                return DeliveryState.LOG_KNOWN
            case CreateNotification(), NotificationCreated(created=False):
                return DeliveryState.LOG_UNKNOWN
            case CreateNotification(notification=notification), NotificationCreated():
                brand.log.append(notification)
                brand.store_away_since_ms = None
                self._enqueue(brand, notification.message, notification.n)
            case SendMessage() as send, MessageSent(outcome=outcome, at_s=at_s):
                self._retries.record_outcome(brand.queue, send.channel, send.message, outcome, at_s)
            case WriteReceipt(n=n), ReceiptWritten():
                brand.queue.remove([n])
            case FreezeMessage(entry=entry), MessageFrozen(message=Message() as message):
                brand.frozen[entry.id] = message
            case (FreezeMessage(entry=entry), MessageFrozen(message=None)) | (
                RemoveOutboxEntry(entry=entry),
                OutboxEntryRemoved(),
            ):
                brand.drop_entry(entry)
            case PublishAlert(), AlertPublished():
                brand.unpublished.popleft()
            case awaited, _:
                raise BrokenInvariant(f"log {brand.key}: {type(reply).__name__} answers {awaited}")
        return brand.resume

    def _extend_log(self, brand: _Brand, read: NotificationLogRead) -> None:
        for notification in read.notifications:
            if notification.n > brand.log.last:
                brand.log.append(notification)
                self._enqueue(brand, notification.message, notification.n)
        for message in brand.queue.unlogged():
            brand.queue.assign_number(message, brand.log.reported.get(message.identity))
        brand.queue.remove(read.receipted)
        brand.store_away_since_ms = None
        brand.read_for = brand.entry_versions

    # Effects

    def next_effect(self, now_s: float) -> Effect | None:
        """Return the next effect of this turn; None: nothing is to be done before the next turn.

        `now_s` is a time of the retry queue's clock. Raises BrokenInvariant while an effect is under way.
        """
        while self._agenda:
            brand = self._brands[self._agenda[0]]
            effect = self._choose(brand, now_s)
            if effect is not None:
                self._await(brand, effect)
                return effect
            self._agenda.popleft()
            self._forget_if_done(brand)
        return None

    def _await(self, brand: _Brand, effect: Effect) -> None:
        brand.check(effect)
        (waiting,) = TRANSITIONS[brand.state][type(effect)]
        brand.resume, brand.awaited = brand.state, effect
        brand.move(effect, waiting)

    def _choose(self, brand: _Brand, now_s: float) -> Effect | None:
        match brand.state:
            case DeliveryState.LOG_UNKNOWN:
                return ReadNotificationLog(brand.key, brand.log.last)
            case DeliveryState.LOG_KNOWN:
                effect = self._choose_with_store(brand)
            case DeliveryState.STORE_AWAY_LOG_KNOWN:
                effect = self._choose_without_store(brand, brand.log)
            case DeliveryState.STORE_AWAY_LOG_UNKNOWN:
                effect = self._choose_without_store(brand, NotificationLog())
            case _:
                raise BrokenInvariant(f"log {brand.key}: no effect can be given in state {brand.state.name}")
        return effect or self._publish(brand) or self._send(brand, now_s)

    def _choose_with_store(self, brand: _Brand) -> Effect | None:
        """E1, E2, E4 and E5, with the notification log as it was read."""
        if not brand.entry_versions <= brand.read_for:
            return ReadNotificationLog(brand.key, brand.log.last)
        frozen = set(brand.frozen.values())
        for message in brand.unlogged(brand.log):
            # This process has sent it, and a Redis that went back has forgotten it.
            if message not in frozen and self._redis_read:
                return _create(brand, message)
        if (finished := brand.queue.finished()) is not None:
            receipt = Receipt(id=finished.message.id, at_ms=self._now_ms, channels=finished.outcomes)
            return WriteReceipt(brand.key, finished.n, receipt)
        return self._decide(brand, brand.log)

    def _decide(self, brand: _Brand, log: NotificationLog) -> Effect | None:
        """Decide on the first entry that is not done; on a withdrawal when all are."""
        snapshot = brand.snapshot
        if snapshot is None:
            return None
        for entry in brand.entries:
            message = brand.frozen.get(entry.id)
            if message is None or message.identity in log.reported:
                if not snapshot.caught_up:
                    return None
                message = next_message(log, entry, brand.entries, snapshot)
            if message is not None:
                return _create(brand, message)
            if not brand.queue.queued:
                return RemoveOutboxEntry(brand.key, entry, snapshot.episode_record)
        end = withdrawal(log, snapshot) if snapshot.caught_up else None
        return None if end is None else _create(brand, end)

    def _choose_without_store(self, brand: _Brand, known: NotificationLog) -> Effect | None:
        """E6: once the store has been away for long enough, go on with the part of the log that is known."""
        snapshot, since_ms = brand.snapshot, brand.store_away_since_ms
        if snapshot is None or not snapshot.caught_up or since_ms is None:
            return None
        if self._now_ms - since_ms < STORE_AWAY_MS:
            return None
        unlogged = brand.unlogged(known)
        for message in unlogged:
            self._enqueue(brand, message, None)
        log = known.with_messages(unlogged)
        for entry in brand.entries:
            if entry.id not in brand.frozen:
                decided = next_message(log, entry, brand.entries, snapshot)
                if decided is not None and decided.kind != "missed":
                    return FreezeMessage(brand.key, entry, decided)
        return None

    def _publish(self, brand: _Brand) -> Effect | None:
        if not brand.unpublished or not self._redis_read:
            return None
        return PublishAlert(brand.key, brand.unpublished[0])

    def _send(self, brand: _Brand, now_s: float) -> Effect | None:
        due = self._retries.due(brand.queue, now_s)
        return None if due is None else SendMessage(brand.key, *due)

    # Brands

    def _brand(self, key: str) -> _Brand:
        if key not in self._brands:
            self._brands[key] = _Brand(key)
        return self._brands[key]

    def _enqueue(self, brand: _Brand, message: Message, n: int | None) -> None:
        if self._retries.enqueue(brand.queue, message, n):
            brand.unpublished.append(message)

    def _forget_if_done(self, brand: _Brand) -> None:
        if brand.done:
            self._forgotten[brand.key] = brand.log.last
            del self._brands[brand.key]


def _create(brand: _Brand, message: Message) -> CreateNotification:
    return CreateNotification(brand.key, notification_of(message, brand.log.last + 1))

"""The step machine of delivery: what the notifier asks of Redis, the store and the channels, one by one.

Rules:
1. `looked` takes what one script saw; `next` then gives one operation after the other, each answered before
   the next. Every one of them may be repeated, lose its answer or arrive late (docs/design.md#r1).
2. A link is written before the first attempt to send it. A refused link means: read the chain, decide again.
3. An entry leaves the outbox when all that was told because of it has its receipts, and only as it was read.
4. With the store away for a minute a message is fixed in Redis instead, sent, and gets its link later.
5. Messages go out in order per channel and episode, at least once.
Nothing is remembered that could not be read again: whoever comes next begins with a look and a list.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stream_worker.core.alerting.effects import (
    CreateNotification,
    FreezeMessage,
    Operation,
    OutboxSnapshot,
    PublishAlert,
    ReadNotificationLog,
    RemoveOutboxEntry,
    SendMessage,
    WriteReceipt,
)
from stream_worker.core.alerting.notification_log import (
    Message,
    NotificationEntry,
    NotificationLog,
    OutboxEntry,
    Receipt,
    key_of,
    link_of,
    read_events,
)
from stream_worker.core.alerting.policy import BrandSnapshot, next_message, withdrawal
from stream_worker.core.alerting.retry_queue import BrandQueue, RetryQueue, SendOutcome
from stream_worker.core.time import MINUTE_MS

STORE_AWAY_MS: Final = MINUTE_MS


@dataclass(slots=True, eq=False)
class _Brand:
    """What is known of one brand."""

    key: str
    chain: NotificationLog | None = None  # None: not read yet
    must_read: bool = True
    read_for: frozenset[tuple[str, str]] = frozenset()  # entries that were there when it was read
    events: list[OutboxEntry] = field(default_factory=list)
    view: BrandSnapshot | None = None
    fixed: dict[str, Message] = field(default_factory=dict)
    unseen: deque[Message] = field(default_factory=deque)  # not shown to people yet
    line: BrandQueue = field(default_factory=BrandQueue)
    stuck_since_ms: int | None = None
    away: bool = False  # the store failed it in this turn

    @property
    def entries(self) -> frozenset[tuple[str, str]]:
        return frozenset((event.id, event.body) for event in self.events)


class DeliveryMachine:
    """Everything one notifier has under way."""

    def __init__(self, channels: Sequence[str], *, give_up_s: float) -> None:
        self.unreadable: list[str] = []  # ids of entries that cannot be read, for the log
        self._posts = RetryQueue(channels, give_up_s=give_up_s)
        self._brands: dict[str, _Brand] = {}
        self._lasts: dict[str, int] = {}  # chains that need nothing: key -> n of the last link
        self._agenda: deque[str] = deque()
        self._now_ms = 0
        self._blind = True

    @property
    def pending(self) -> int:
        """Messages that are not told on every channel, or have no receipt yet."""
        return sum(len(brand.line.waiting) for brand in self._brands.values())

    def brands(self) -> list[str]:
        """Brands to look at: those with events or with an open alert."""
        names = {event.brand for brand in self._brands.values() for event in brand.events}
        for brand in self._brands.values():
            if brand.chain is not None:
                names |= {alert.opened.brand for alert in brand.chain.alerts if alert.end is None}
        return sorted(names)

    # ------------------------------------------------------------ what Redis and the store say

    def looked(self, look: OutboxSnapshot | None) -> None:
        """Take what Redis holds; a turn begins. None: Redis is away, and only what was decided goes on."""
        self._blind = look is None
        look = look or OutboxSnapshot(self._now_ms, {}, {}, {})
        self._now_ms = look.now_ms
        events, self.unreadable = read_events(look.outbox)
        for brand in self._brands.values():
            brand.events, brand.view, brand.away, brand.fixed = [], None, False, {}
        for name, entries in events.items():
            brand = self._brand(key_of(name))
            brand.events = entries
            brand.fixed = {one.id: look.fixed[one.id] for one in entries if one.id in look.fixed}
        for name, view in look.views.items():
            self._brand(key_of(name)).view = view
        urgent = [key for key, brand in self._brands.items() if brand.events or brand.line.waiting]
        others = [key for key, brand in self._brands.items() if not (brand.events or brand.line.waiting)]
        self._agenda = deque([*urgent, *others])

    def chains_are(self, lasts: Mapping[str, int], unreceipted: Iterable[str]) -> None:
        """Take a list of all chains: n of the last link each, and which ones have links without receipt."""
        news = {key for key, last in lasts.items() if last > self._lasts.get(key, 0)}
        for key in sorted(news.union(unreceipted)):
            brand = self._brand(key)
            if brand.chain is not None and brand.chain.last < lasts.get(key, 0):
                brand.must_read = True

    def forget(self) -> None:
        """Somebody else may have worked meanwhile: read every chain again before deciding on it."""
        for brand in self._brands.values():
            brand.must_read = True

    def chain_is(self, key: str, links: Sequence[NotificationEntry], receipted: Iterable[int]) -> None:
        """Take the links behind the last known one."""
        brand = self._brands[key]
        chain = brand.chain = brand.chain or NotificationLog()
        for link in links:
            if link.n > chain.last:
                chain.take(link)
                self._enqueue(brand, link.message, link.n)
        for message in brand.line.unlinked():  # sent without knowing the chain
            brand.line.linked(message, chain.told.get((message.id, message.again_for)))
        brand.line.receipted(receipted)
        brand.must_read, brand.stuck_since_ms = False, None
        brand.read_for = brand.entries

    def link_created(self, key: str, link: NotificationEntry) -> None:
        """The link is in the chain: it may be sent now."""
        brand = self._brands[key]
        assert brand.chain is not None, "a link is made for a chain that was read"
        brand.chain.take(link)
        brand.stuck_since_ms = None
        self._enqueue(brand, link.message, link.n)

    def link_refused(self, key: str) -> None:
        """Somebody else decided first: read the chain, and decide again."""
        self._brands[key].must_read = True

    def receipt_written(self, key: str, n: int) -> None:
        """The link needs nothing more."""
        self._brands[key].line.receipted([n])

    def store_is_away(self, key: str) -> None:
        """The answer is unknown: this brand goes on without the store, or waits for the next turn."""
        brand = self._brands[key]
        brand.away = True
        if brand.stuck_since_ms is None:
            brand.stuck_since_ms = self._now_ms

    def fixed_is(self, key: str, event: OutboxEntry, message: Message | None) -> None:
        """Take the message that is fixed for an entry; None: the entry is not what was read."""
        brand = self._brands[key]
        if message is None:
            brand.events = [one for one in brand.events if one.id != event.id]
            return
        brand.fixed[event.id] = message

    def removed(self, key: str, event: OutboxEntry) -> None:
        """The entry is gone, or not what was read: the next look tells."""
        brand = self._brands[key]
        brand.events = [one for one in brand.events if one.id != event.id]

    def recorded(self, key: str) -> None:
        """People can see it."""
        self._brands[key].unseen.popleft()

    def sent(self, send: SendMessage, outcome: SendOutcome, now_s: float) -> None:
        """Take what a channel answered."""
        self._posts.take(self._brands[send.key].line, send.channel, send.message, outcome, now_s)

    # ------------------------------------------------------------ what to do

    def next(self, now_s: float) -> Operation | None:
        """Return the next operation of this turn; None: there is nothing to do before the next look."""
        while self._agenda:
            brand = self._brands.get(self._agenda[0])
            operation = None if brand is None else self._step(brand, now_s)
            if operation is not None:
                return operation
            self._agenda.popleft()
            if brand is not None:
                self._let_go(brand)
        return None

    def _step(self, brand: _Brand, now_s: float) -> Operation | None:
        return (
            (self._without_the_store(brand) if brand.away else self._with_the_store(brand))
            or (PublishAlert(brand.key, brand.unseen[0]) if brand.unseen and not self._blind else None)
            or self._send(brand, now_s)
        )

    def _with_the_store(self, brand: _Brand) -> Operation | None:
        if brand.must_read or brand.chain is None or not brand.entries <= brand.read_for:
            return ReadNotificationLog(brand.key, brand.chain.last if brand.chain else 0)
        chain = brand.chain
        fixed = set(brand.fixed.values())
        for message in _unlinked(brand, chain):
            # Sent by this process, and forgotten by a Redis that went back.
            if message not in fixed and not self._blind:
                return CreateNotification(brand.key, link_of(message, chain.last + 1))
        if (ready := brand.line.complete()) is not None:
            receipt = Receipt(id=ready.message.id, at_ms=self._now_ms, channels=ready.outcomes)
            return WriteReceipt(brand.key, ready.n, receipt)
        return self._decide(brand, chain)

    def _decide(self, brand: _Brand, chain: NotificationLog) -> Operation | None:
        view = brand.view
        if view is None:
            return None
        for event in brand.events:
            message = brand.fixed.get(event.id)
            if message is None or (message.id, message.again_for) in chain.told:
                if not view.caught_up:
                    return None
                message = next_message(chain, event, brand.events, view)
            if message is not None:
                return CreateNotification(brand.key, link_of(message, chain.last + 1))
            if not brand.line.waiting:
                return RemoveOutboxEntry(brand.key, event, view.record)
        message = withdrawal(chain, view) if view.caught_up else None
        return None if message is None else CreateNotification(brand.key, link_of(message, chain.last + 1))

    def _without_the_store(self, brand: _Brand) -> Operation | None:
        """Go on with what is known, once the store was away for long enough.

        A chain that somebody else may have gone on with is not known: then openings alone are told.
        """
        view, since_ms = brand.view, brand.stuck_since_ms
        if view is None or not view.caught_up or since_ms is None:
            return None
        if self._now_ms - since_ms < STORE_AWAY_MS:
            return None
        known = NotificationLog() if brand.chain is None or brand.must_read else brand.chain
        unlinked = _unlinked(brand, known)
        for message in unlinked:
            self._enqueue(brand, message, None)
        chain = known.with_messages(unlinked)
        for event in brand.events:
            if event.id not in brand.fixed:
                told = next_message(chain, event, brand.events, view)
                if told is not None and told.kind != "missed":
                    return FreezeMessage(brand.key, event, told)
        return None

    def _send(self, brand: _Brand, now_s: float) -> Operation | None:
        due = self._posts.due(brand.line, now_s)
        return None if due is None else SendMessage(brand.key, *due)

    # ------------------------------------------------------------ what is kept

    def _brand(self, key: str) -> _Brand:
        if key not in self._brands:
            self._brands[key] = _Brand(key)
        return self._brands[key]

    def _enqueue(self, brand: _Brand, message: Message, n: int | None) -> None:
        if self._posts.enqueue(brand.line, message, n):
            brand.unseen.append(message)

    def _let_go(self, brand: _Brand) -> None:
        """Forget a brand that needs nothing; its chain is read again when it does."""
        chain = brand.chain
        if chain is None or brand.must_read or brand.events or brand.line.waiting or brand.unseen:
            return
        if all(alert.end is not None for alert in chain.alerts):
            self._lasts[brand.key] = chain.last
            del self._brands[brand.key]


def _unlinked(brand: _Brand, chain: NotificationLog) -> list[Message]:
    """Messages that were fixed and have no link yet, in the order they happened.

    What this process has sent is among them even when Redis went back and has forgotten it.
    """
    fixed = (brand.fixed[event.id] for event in brand.events if event.id in brand.fixed)
    messages = dict.fromkeys([*brand.line.unlinked(), *fixed])
    return [message for message in messages if (message.id, message.again_for) not in chain.told]

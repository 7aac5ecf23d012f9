"""Links: the create-only chain of a brand's alerts in the store, and what it says (docs/design.md#messages).

Rules:
1. Link n of a brand is `_alerts/<key>/<n, 8 digits>.json`, n = 1, 2, 3 …, without holes. Its `body` is the
   text that is sent, byte for byte, whoever sends it and however often.
2. An *alert* is what people were told of one episode: its opening, and one end. A chain has at most one
   open alert, the latest, but for the case of rule 4.
3. An opening with `again_for` tells an alert again for another episode, which *adopts* it: Redis had gone
   back, and the episode opened in another minute this time. What ends that episode ends the alert.
4. Only what was paged while the store was away may stand behind an alert that was open.
5. A `receipt` beside a link says that every channel has it, or gave up.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from stream_worker.errors import Unreadable

FORMAT_VERSION = 1
ENDS: Final = ("resolved", "expired", "withdrawn")
KINDS: Final = ("opened", "missed", "escalated", "reminder", *ENDS)
"""In the order in which they follow each other within an episode."""
PREFIX: Final = "_alerts/"
RECEIPTS: Final = "_receipts/"


class OutboxEntry(NamedTuple):
    """An entry of the outbox: what the close of a minute wants to be told. `body` is its JSON."""

    id: str
    kind: str
    episode: str
    brand: str
    opened_ms: int  # start of the minute the episode opened in
    minute_ms: int  # start of the minute that led to the event
    body: str


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told: a link before it has its place in the chain."""

    id: str
    kind: str
    brand: str
    episode: str
    body: str
    again_for: str | None = None


class NotificationEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object of the chain. `omit_defaults` leaves out `again_for` alone: `v` has none."""

    v: int
    n: int
    id: str
    kind: str
    brand: str
    episode: str
    body: str
    again_for: str | None = None

    @property
    def message(self) -> Message:
        """What the link tells."""
        return Message(
            id=self.id,
            kind=self.kind,
            brand=self.brand,
            episode=self.episode,
            body=self.body,
            again_for=self.again_for,
        )


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a link: channel -> `delivered`, or why it was given up; and when, by Redis TIME."""

    v: int = FORMAT_VERSION
    id: str
    at_ms: int
    channels: dict[str, str]


class _Body(msgspec.Struct):
    """What the notifier reads of a body; everything else is passed on."""

    id: str
    kind: str
    episode: str
    brand: str
    opened: dt.datetime
    minute: dt.datetime


_bodies = msgspec.json.Decoder(_Body)
_links = msgspec.json.Decoder(NotificationEntry)


def key_of(brand: str) -> str:
    """Name of the brand's chain: the first 16 hex digits of SHA-256 of its UTF-8."""
    return sha256(brand.encode()).hexdigest()[:16]


def link_name(key: str, n: int) -> str:
    """Name of a link."""
    return f"{PREFIX}{key}/{n:08d}.json"


def receipt_name(key: str, n: int) -> str:
    """Name of the receipt of a link."""
    return f"{RECEIPTS}{key}/{n:08d}.json"


def link_of(message: Message, n: int) -> NotificationEntry:
    """Give a message its place."""
    return NotificationEntry(
        v=FORMAT_VERSION,
        n=n,
        id=message.id,
        kind=message.kind,
        brand=message.brand,
        episode=message.episode,
        body=message.body,
        again_for=message.again_for,
    )


def encode_link(link: NotificationEntry) -> bytes:
    """Return the bytes of a link."""
    return msgspec.json.encode(link)


def decode_link(name: str, body: bytes) -> NotificationEntry:
    """Read a link. Raises Unreadable."""
    try:
        link = _links.decode(body)
        _bodies.decode(link.body)
    except msgspec.MsgspecError as error:
        raise Unreadable(
            f"the link {name} is not readable ({error}); restore it from a copy, then restart the notifier"
        ) from error
    if link.v != FORMAT_VERSION:
        raise Unreadable(f"the link {name} has format version {link.v}, not {FORMAT_VERSION}")
    return link


def read_events(outbox: Mapping[str, str]) -> tuple[dict[str, list[OutboxEntry]], list[str]]:
    """Return the readable entries per brand, in the order they happened, and the ids of all others."""
    events: dict[str, list[OutboxEntry]] = {}
    unreadable = []
    for name, text in outbox.items():
        try:
            event = _event(text)
        except msgspec.MsgspecError:
            unreadable.append(name)
            continue
        if event.id != name or event.kind not in KINDS:
            unreadable.append(name)
            continue
        events.setdefault(event.brand, []).append(event)
    for entries in events.values():
        entries.sort(key=lambda event: (event.minute_ms, KINDS.index(event.kind)))
    return events, unreadable


def _event(text: str) -> OutboxEntry:
    body = _bodies.decode(text)
    return OutboxEntry(
        body.id, body.kind, body.episode, body.brand, _in_ms(body.opened), _in_ms(body.minute), text
    )


def _in_ms(instant: dt.datetime) -> int:
    return int(instant.timestamp() * 1000)


def minute_of(body: str) -> int:
    """Start of the minute that led to a body, ms."""
    return _in_ms(_bodies.decode(body).minute)


def opened_of(body: str) -> int:
    """Start of the minute in which the episode of a body opened, ms."""
    return _in_ms(_bodies.decode(body).opened)


def rewritten(body: str, **fields: str) -> str:
    """Return the body with other fields; the same fields give the same bytes."""
    return msgspec.json.encode({**msgspec.json.decode(body), **fields}).decode()


@dataclass(slots=True, eq=False)
class NotifiedEpisode:
    """What people were told of one episode."""

    opened: Message
    opened_ms: int
    episodes: set[str]  # its own, and those that adopted it
    end: str | None = None  # the kind of its end
    end_ms: int = 0  # start of the minute that ended it

    @property
    def episode(self) -> str:
        """The episode it is named by."""
        return self.opened.episode

    def adoptable(self, opened_ms: int) -> bool:
        """Tell whether an episode that opens in this minute is the same to people.

        It is not when the alert was taken back: then nothing was told of that episode.
        """
        return self.end is None or (self.end != "withdrawn" and self.end_ms >= opened_ms)


@dataclass(slots=True, eq=False)
class NotificationLog:
    """What the links of a brand say, folded in order."""

    last: int = 0  # n of the newest link
    alerts: list[NotifiedEpisode] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)  # episodes that ended before anybody was told
    told: dict[tuple[str, str | None], int] = field(default_factory=dict)  # (id, again_for) -> n

    @property
    def latest(self) -> NotifiedEpisode | None:
        """The newest alert."""
        return self.alerts[-1] if self.alerts else None

    def alert_of(self, episode: str) -> NotifiedEpisode | None:
        """The alert that an episode is told by, if any."""
        return next((alert for alert in reversed(self.alerts) if episode in alert.episodes), None)

    def take(self, link: NotificationEntry) -> None:
        """Add the next link."""
        assert link.n > self.last, "links are taken in order"
        self.last = link.n
        self.add(link.message)

    def add(self, message: Message) -> None:
        """Add what a link tells."""
        self.told.setdefault((message.id, message.again_for), self.last)
        if message.kind == "missed":
            self.missed.add(message.episode)
            return
        alert = next((one for one in reversed(self.alerts) if one.episode == message.episode), None)
        if alert is None:
            if message.kind != "opened":
                return  # its opening is older than what was read of the chain
            alert = NotifiedEpisode(message, opened_of(message.body), {message.episode})
            alert.end, alert.end_ms = self._end_before(message.episode), alert.opened_ms
            self.alerts.append(alert)
        if message.again_for is not None:
            alert.episodes.add(message.again_for)
        if message.kind in ENDS:
            alert.end, alert.end_ms = message.kind, minute_of(message.body)

    def _end_before(self, episode: str) -> str | None:
        """The end that stands before its opening: what was paged without the store is linked late."""
        return next((kind for kind in ENDS if (f"{episode}.{kind}", None) in self.told), None)

    def with_messages(self, messages: Iterable[Message]) -> "NotificationLog":
        """Return a chain as it will be when these have their links too."""
        alerts = [
            NotifiedEpisode(one.opened, one.opened_ms, set(one.episodes), one.end, one.end_ms)
            for one in self.alerts
        ]
        chain = NotificationLog(self.last, alerts, set(self.missed), dict(self.told))
        for message in messages:
            if (message.id, message.again_for) not in chain.told:
                chain.add(message)
        return chain

"""The notification log: all messages about one brand, create-only in the store (docs/design.md#messages).

Rules:
1. Notification n of a brand is `_alerts/<key>/<n, 8 digits>.json`, n = 1, 2, 3 …, without holes. Its `body`
   is the text that is sent, byte for byte, by every notifier and in every attempt.
2. An *alert* is the messages about one episode: its opening, and one end. A log has at most one open alert,
   the latest, but for the case of rule 4.
3. An opening with `again_for` repeats an alert for another episode, which *adopts* it: Redis had gone back,
   and the episode opened in another minute this time. The end of that episode ends the alert.
4. Only a page that was sent while the store was away may follow an alert that is still open.
5. A *receipt* beside a notification holds its outcome on each channel: delivered, or given up.
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


class OutboxEntry(NamedTuple):
    """An entry of the outbox: a change of an episode, put there by the close of a minute. `body` is JSON."""

    id: str
    kind: str
    episode: str
    brand: str
    opened_ms: int  # start of the minute the episode opened in
    minute_ms: int  # start of the minute that led to the entry
    body: str


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A notification before it has its number in the notification log."""

    id: str
    kind: str
    brand: str
    episode: str
    body: str
    again_for: str | None = None

    @property
    def identity(self) -> tuple[str, str | None]:
        """Messages with equal identities are the same message: a log holds one of them."""
        return self.id, self.again_for


class NotificationEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object of the log. `omit_defaults` leaves out `again_for` alone: `v` has no default."""

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
        """The message that the notification holds."""
        return Message(
            id=self.id,
            kind=self.kind,
            brand=self.brand,
            episode=self.episode,
            body=self.body,
            again_for=self.again_for,
        )


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a notification. `channels`: `delivered`, or why it was given up; `at_ms`: Redis TIME."""

    v: int = FORMAT_VERSION
    id: str
    at_ms: int
    channels: dict[str, str]


class _Body(msgspec.Struct):
    """The fields of a body that the notifier reads; all others are passed on."""

    id: str
    kind: str
    episode: str
    brand: str
    opened: dt.datetime
    minute: dt.datetime


_bodies = msgspec.json.Decoder(_Body)
_notifications = msgspec.json.Decoder(NotificationEntry)


def key_of(brand: str) -> str:
    """Name of the brand's notification log: the first 16 hex digits of SHA-256 of its UTF-8."""
    return sha256(brand.encode()).hexdigest()[:16]


def notification_of(message: Message, n: int) -> NotificationEntry:
    """Give a message its number in the notification log."""
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


def encode_notification(notification: NotificationEntry) -> bytes:
    """Return the bytes of a notification."""
    return msgspec.json.encode(notification)


def decode_notification(name: str, stored: bytes) -> NotificationEntry:
    """Read a notification. Raises Unreadable."""
    try:
        notification = _notifications.decode(stored)
        _bodies.decode(notification.body)
    except msgspec.MsgspecError as error:
        raise Unreadable(
            f"the notification {name} is not readable ({error}); "
            "restore it from a copy, then restart the notifier"
        ) from error
    if notification.v != FORMAT_VERSION:
        raise Unreadable(f"the notification {name} has format version {notification.v}, not {FORMAT_VERSION}")
    return notification


def read_entries(outbox: Mapping[str, str]) -> tuple[dict[str, list[OutboxEntry]], list[str]]:
    """Return the readable entries per brand, in the order they happened, and the ids of all others."""
    entries: dict[str, list[OutboxEntry]] = {}
    unreadable = []
    for name, text in outbox.items():
        try:
            entry = _entry(text)
        except msgspec.MsgspecError:
            unreadable.append(name)
            continue
        if entry.id != name or entry.kind not in KINDS:
            unreadable.append(name)
            continue
        entries.setdefault(entry.brand, []).append(entry)
    for of_brand in entries.values():
        of_brand.sort(key=lambda entry: (entry.minute_ms, KINDS.index(entry.kind)))
    return entries, unreadable


def _entry(text: str) -> OutboxEntry:
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
    """One alert: an episode that people were notified of."""

    opened: Message
    opened_ms: int
    episodes: set[str]  # its own, and those that adopted it
    end: str | None = None  # the kind of its end
    end_ms: int = 0  # start of the minute that ended it

    @property
    def episode(self) -> str:
        """The episode that the alert is named by."""
        return self.opened.episode

    def adoptable(self, opened_ms: int) -> bool:
        """Return whether an episode that opens in this minute is the same to people.

        A withdrawn alert is never adopted: to people, its episode did not happen.
        """
        return self.end is None or (self.end != "withdrawn" and self.end_ms >= opened_ms)


@dataclass(slots=True, eq=False)
class NotificationLog:
    """The state that the notifications of a brand lead to, folded in order."""

    last: int = 0  # n of the newest notification
    alerts: list[NotifiedEpisode] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)  # episodes that ended before people were notified
    reported: dict[tuple[str, str | None], int] = field(default_factory=dict)  # identity of a message -> n

    @property
    def latest(self) -> NotifiedEpisode | None:
        """The newest alert."""
        return self.alerts[-1] if self.alerts else None

    def alert_of(self, episode: str) -> NotifiedEpisode | None:
        """The alert that stands for an episode: its own, or the one that it adopted."""
        return next((alert for alert in reversed(self.alerts) if episode in alert.episodes), None)

    def append(self, notification: NotificationEntry) -> None:
        """Add the next notification."""
        assert notification.n > self.last, "notifications are added in order"
        self.last = notification.n
        self.add(notification.message)

    def add(self, message: Message) -> None:
        """Fold in one message."""
        self.reported.setdefault(message.identity, self.last)
        if message.kind == "missed":
            self.missed.add(message.episode)
            return
        alert = next((one for one in reversed(self.alerts) if one.episode == message.episode), None)
        if alert is None:
            if message.kind != "opened":
                return  # its opening is older than the part of the log that was read
            alert = NotifiedEpisode(message, opened_of(message.body), {message.episode})
            alert.end, alert.end_ms = self._end_before(message.episode), alert.opened_ms
            self.alerts.append(alert)
        if message.again_for is not None:
            alert.episodes.add(message.again_for)
        if message.kind in ENDS:
            alert.end, alert.end_ms = message.kind, minute_of(message.body)

    def _end_before(self, episode: str) -> str | None:
        """The end that precedes its opening: a page that went out without the store is logged late."""
        return next((kind for kind in ENDS if (f"{episode}.{kind}", None) in self.reported), None)

    def with_messages(self, messages: Iterable[Message]) -> "NotificationLog":
        """Return a copy that holds these messages too."""
        alerts = [
            NotifiedEpisode(one.opened, one.opened_ms, set(one.episodes), one.end, one.end_ms)
            for one in self.alerts
        ]
        log = NotificationLog(self.last, alerts, set(self.missed), dict(self.reported))
        for message in messages:
            if message.identity not in log.reported:
                log.add(message)
        return log

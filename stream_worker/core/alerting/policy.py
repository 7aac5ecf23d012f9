"""Notices: what is told next of a brand, from its outbox, its chain and how far minutes are closed.

Pure: the same chain, events and view give the same message. Rules (docs/design.md#deliver):
1. Nothing is decided before closes are within ten minutes of now: Redis may have gone back, and what it
   holds then is the past.
2. An episode is paged while it is open, or not older than ten minutes; one that ended before is *missed*.
3. It *adopts* the brand's latest alert that has no end, or one not before the episode's opening, and that
   did not open after the episode was over.
4. Of an alert at most one end is told; each message of it once.
5. An open alert of a brand that is quiet, with all of its outbox told and its opening closed, is *withdrawn*.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from stream_worker.core.alerting.notification_log import (
    ENDS,
    Message,
    NotificationLog,
    NotifiedEpisode,
    OutboxEntry,
    rewritten,
)
from stream_worker.core.time import MINUTE_MS

AGE_MAX_MS: Final = 10 * MINUTE_MS
WITHDRAWN: Final = (
    "Redis had gone back in time, and the minutes that were counted again show no spike: "
    "this alert is taken back."
)


class BrandSnapshot(NamedTuple):
    """One brand as one script saw it. `record` is its episode record as it stands in Redis, or None."""

    now_ms: int  # Redis TIME
    closed_ms: int  # minutes that start before this are closed; -1: none is
    record: str | None

    @property
    def caught_up(self) -> bool:
        """Whether what Redis says is of now."""
        return self.closed_ms >= self.now_ms - AGE_MAX_MS

    @property
    def open_episode(self) -> str | None:
        """The episode that is open; None: the brand is quiet. Empty: the record cannot be read."""
        if self.record is None:
            return None
        try:
            record = _records.decode(self.record)
        except msgspec.MsgspecError:
            return ""  # whoever judges stops at it and says so; nothing is withdrawn meanwhile
        return record.id if record.resolved_ms is None else None

    def worth_a_page(self, event: OutboxEntry) -> bool:
        """Whether people should still be told: it goes on, or has just happened."""
        young = event.minute_ms >= self.now_ms - AGE_MAX_MS
        return young or self.open_episode == event.episode


class _Record(msgspec.Struct):
    """What the notifier reads of an episode's record (core/detection/episodes.py)."""

    id: str
    resolved_ms: int | None = None


_records = msgspec.json.Decoder(_Record)


def next_message(
    chain: NotificationLog, event: OutboxEntry, events: Sequence[OutboxEntry], view: BrandSnapshot
) -> Message | None:
    """Return what must be written for one of the brand's events; None when nothing must, or no more."""
    alert = chain.alert_of(event.episode)
    if event.kind == "opened":
        return _opening(chain, event, events, view) if alert is None else None
    if alert is None or alert.end is not None:
        return None  # missed, or over for whoever was told
    if event.kind in ENDS or view.worth_a_page(event):
        told = _told_of(alert, event)
        return None if (told.id, None) in chain.told else told
    return None


def _opening(
    chain: NotificationLog, event: OutboxEntry, events: Sequence[OutboxEntry], view: BrandSnapshot
) -> Message | None:
    over_ms = [one.minute_ms for one in events if one.episode == event.episode and one.kind in ENDS]
    for alert in reversed(chain.alerts):
        if alert.adoptable(event.opened_ms) and not (over_ms and over_ms[0] < alert.opened_ms):
            return msgspec.structs.replace(alert.opened, again_for=event.episode)
    if view.worth_a_page(event):
        return _message(event)
    if event.episode in chain.missed:
        return None
    name = f"{event.episode}.missed"
    return Message(
        id=name,
        kind="missed",
        brand=event.brand,
        episode=event.episode,
        body=rewritten(event.body, id=name, kind="missed"),
    )


def _message(event: OutboxEntry) -> Message:
    return Message(id=event.id, kind=event.kind, brand=event.brand, episode=event.episode, body=event.body)


def _told_of(alert: NotifiedEpisode, event: OutboxEntry) -> Message:
    """Tell an event as one of the alert that its episode has adopted."""
    if event.episode == alert.episode:
        return _message(event)
    name = alert.episode + event.id.removeprefix(event.episode)
    body = rewritten(event.body, id=name, episode=alert.episode, opened=_instant(alert.opened_ms))
    return Message(id=name, kind=event.kind, brand=event.brand, episode=alert.episode, body=body)


def withdrawal(chain: NotificationLog, view: BrandSnapshot) -> Message | None:
    """Return the end of an open alert that nothing in Redis stands for any more; None: there is none.

    To be asked when every event of the brand is told.
    """
    for alert in chain.alerts:
        quiet = view.open_episode is None and alert.opened_ms < view.closed_ms
        if alert.end is None and (quiet or alert is not chain.latest):
            return _withdrawn(alert, view)
    return None


def _withdrawn(alert: NotifiedEpisode, view: BrandSnapshot) -> Message:
    name, opened = f"{alert.episode}.withdrawn", alert.opened
    minute = _instant(max(alert.opened_ms, view.closed_ms - MINUTE_MS))
    body = rewritten(opened.body, id=name, kind="withdrawn", minute=minute, reason=WITHDRAWN)
    return Message(id=name, kind="withdrawn", brand=opened.brand, episode=alert.episode, body=body)


def _instant(time_ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"

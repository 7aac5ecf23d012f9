"""The policy of notifications: the next message about a brand, from its outbox, its log and Redis.

Pure: the same log, entries and snapshot give the same message. Rules (docs/design.md#deliver):
1. Nothing is decided before closes are within ten minutes of now: Redis may have gone back, and then it
   describes the past.
2. An episode is paged while it is open, or not older than ten minutes; one that ended before is *missed*.
3. It *adopts* the brand's latest alert that has no end, or whose end is not before the episode's opening, and
   that did not open after the episode was over.
4. An alert gets at most one end, and each of its messages once.
5. An open alert is *withdrawn* when its brand is quiet, its opening is closed, and every outbox entry of the
   brand is reported.
"""

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
from stream_worker.core.time import MINUTE_MS, rfc3339

AGE_MAX_MS: Final = 10 * MINUTE_MS
WITHDRAWN: Final = (
    "Redis had gone back in time, and the minutes that were counted again show no spike: "
    "this alert is taken back."
)


class BrandSnapshot(NamedTuple):
    """One brand as one script saw it. `episode_record` is the text in Redis; None: there is none."""

    now_ms: int  # Redis TIME
    closed_ms: int  # minutes that start before this are closed; -1: none is
    episode_record: str | None

    @property
    def caught_up(self) -> bool:
        """Whether Redis describes the present."""
        return self.closed_ms >= self.now_ms - AGE_MAX_MS

    @property
    def open_episode(self) -> str | None:
        """The episode that is open; None: the brand is quiet. Empty: the record cannot be read."""
        if self.episode_record is None:
            return None
        try:
            record = _episode_records.decode(self.episode_record)
        except msgspec.MsgspecError:
            return ""  # the workers report it; nothing is withdrawn meanwhile
        return record.id if record.resolved_ms is None else None

    def worth_a_page(self, entry: OutboxEntry) -> bool:
        """Whether an entry should still reach people: its episode goes on, or the entry is recent."""
        recent = entry.minute_ms >= self.now_ms - AGE_MAX_MS
        return recent or self.open_episode == entry.episode


class _EpisodeRecord(msgspec.Struct):
    """The fields of an episode's record (core/detection/episodes.py) that the notifier reads."""

    id: str
    resolved_ms: int | None = None


_episode_records = msgspec.json.Decoder(_EpisodeRecord)


def next_message(
    log: NotificationLog, entry: OutboxEntry, entries: Sequence[OutboxEntry], brand: BrandSnapshot
) -> Message | None:
    """Return the message that one of the brand's outbox `entries` still needs; None: it needs none."""
    alert = log.alert_of(entry.episode)
    if entry.kind == "opened":
        return _opening(log, entry, entries, brand) if alert is None else None
    if alert is None or alert.end is not None:
        return None  # the episode was missed, or is over for people
    if entry.kind in ENDS or brand.worth_a_page(entry):
        message = _message_of_alert(alert, entry)
        return None if message.identity in log.reported else message
    return None


def _opening(
    log: NotificationLog, entry: OutboxEntry, entries: Sequence[OutboxEntry], brand: BrandSnapshot
) -> Message | None:
    ends_ms = [one.minute_ms for one in entries if one.episode == entry.episode and one.kind in ENDS]
    for alert in reversed(log.alerts):
        if alert.adoptable(entry.opened_ms) and not (ends_ms and ends_ms[0] < alert.opened_ms):
            return msgspec.structs.replace(alert.opened, again_for=entry.episode)
    if brand.worth_a_page(entry):
        return _message(entry)
    return None if entry.episode in log.missed else _missed(entry)


def _message(entry: OutboxEntry) -> Message:
    return Message(id=entry.id, kind=entry.kind, brand=entry.brand, episode=entry.episode, body=entry.body)


def _missed(entry: OutboxEntry) -> Message:
    name = f"{entry.episode}.missed"
    body = rewritten(entry.body, id=name, kind="missed")
    return Message(id=name, kind="missed", brand=entry.brand, episode=entry.episode, body=body)


def _message_of_alert(alert: NotifiedEpisode, entry: OutboxEntry) -> Message:
    """Return the message of an entry, under the name of the alert that its episode has adopted."""
    if entry.episode == alert.episode:
        return _message(entry)
    name = alert.episode + entry.id.removeprefix(entry.episode)
    body = rewritten(entry.body, id=name, episode=alert.episode, opened=rfc3339(alert.opened_ms))
    return Message(id=name, kind=entry.kind, brand=entry.brand, episode=alert.episode, body=body)


def withdrawal(log: NotificationLog, brand: BrandSnapshot) -> Message | None:
    """Return the end of an open alert that no episode in Redis stands behind any more; None: there is none.

    Call it when every outbox entry of the brand is reported.
    """
    for alert in log.alerts:
        quiet = brand.open_episode is None and alert.opened_ms < brand.closed_ms
        if alert.end is None and (quiet or alert is not log.latest):
            return _withdrawn(alert, brand)
    return None


def _withdrawn(alert: NotifiedEpisode, brand: BrandSnapshot) -> Message:
    name, opened = f"{alert.episode}.withdrawn", alert.opened
    minute = rfc3339(max(alert.opened_ms, brand.closed_ms - MINUTE_MS))
    body = rewritten(opened.body, id=name, kind="withdrawn", minute=minute, reason=WITHDRAWN)
    return Message(id=name, kind="withdrawn", brand=opened.brand, episode=alert.episode, body=body)

"""Notification logs as create-only objects (docs/design.md#messages): `ports.NotificationLogs`.

Rules:
1. A notification is created once and never changed; a second notifier reads the one that is there.
2. Only the newest notifications of a brand are read: an episode that may still be reported is among them.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
from obstore.store import ObjectStore

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.core.alerting.notification_log import (
    NotificationEntry,
    Receipt,
    decode_notification,
    encode_notification,
)
from stream_worker.core.archive.layout import (
    ALERTS,
    RECEIPTS,
    notification_name,
    parse_notification_name,
    parse_receipt_name,
    receipt_name,
)
from stream_worker.errors import Unavailable

NOTIFICATIONS_MAX: Final = 128
READS_AT_ONCE: Final = 16


class StoredNotificationLogs:
    """All notification logs in a store of `objects.open_store`."""

    def __init__(self, store: ObjectStore) -> None:
        self._objects = Objects(store)

    def list_logs(self) -> tuple[Mapping[str, int], Collection[str]]:
        """The last number of every log, and the logs that miss a receipt. Raises Unavailable."""
        last_numbers: dict[str, int] = {}
        notifications = set(filter(None, map(parse_notification_name, self._objects.names(ALERTS))))
        receipts = set(filter(None, map(parse_receipt_name, self._objects.names(RECEIPTS))))
        for key, n in notifications:
            last_numbers[key] = max(n, last_numbers.get(key, 0))
        return last_numbers, {key for key, _ in notifications - receipts}

    def read(self, key: str, after: int) -> tuple[Sequence[NotificationEntry], Collection[int]]:
        """The newest notifications behind `after`, and the numbers of those with receipts.

        Raises Unavailable and Unreadable.
        """
        behind = notification_name(key, after) if after else None
        names = filter(parse_notification_name, self._objects.names(f"{ALERTS}/{key}/", behind))
        receipts = map(parse_receipt_name, self._objects.names(f"{RECEIPTS}/{key}/"))
        numbers = [receipt.n for receipt in receipts if receipt is not None]
        return self._read_all(list(names)[-NOTIFICATIONS_MAX:]), numbers

    def _read_all(self, names: Sequence[str]) -> list[NotificationEntry]:
        if len(names) < 2:
            return [self._read(name) for name in names]
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="notifications") as pool:
            return list(pool.map(self._read, names))

    def _read(self, name: str) -> NotificationEntry:
        body = self._objects.read(name)
        if body is None:
            raise Unavailable(f"the notification {name} was listed and is not there; it is read again")
        return decode_notification(name, body)

    def create(self, key: str, notification: NotificationEntry) -> bool:
        """Create a notification; False: there is one. Raises Unavailable."""
        name = notification_name(key, notification.n)
        return self._objects.create(name, encode_notification(notification))

    def write_receipt(self, key: str, n: int, receipt: Receipt) -> None:
        """Create the receipt of a notification, unless there is one. Raises Unavailable."""
        self._objects.create(receipt_name(key, n), msgspec.json.encode(receipt))

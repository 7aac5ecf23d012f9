"""The chains of alerts and their receipts as create-only objects (docs/design.md#messages): `ports.Chains`.

Rules:
1. A link is created once and never changed; who comes second reads what is there.
2. Only the newest links of a brand are read: an episode that could still be told is among them.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
from obstore.store import ObjectStore

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.core.alerting.notification_log import (
    PREFIX,
    RECEIPTS,
    NotificationEntry,
    Receipt,
    decode_link,
    encode_link,
    link_name,
    receipt_name,
)
from stream_worker.errors import Unavailable

LINKS_MAX: Final = 128
READS_AT_ONCE: Final = 16


class StoredNotificationLogs:
    """All chains in a store of `objects.open_store`."""

    def __init__(self, store: ObjectStore) -> None:
        self._objects = Objects(store)

    def lists(self) -> tuple[Mapping[str, int], Iterable[str]]:
        """All chains with n of their last link, and those with links without receipt. Raises Unavailable."""
        lasts: dict[str, int] = {}
        links = {_place(name) for name in self._objects.names(PREFIX)}
        receipts = {_place(name) for name in self._objects.names(RECEIPTS)}
        for key, n in links:
            lasts[key] = max(n, lasts.get(key, 0))
        return lasts, {key for key, _ in links - receipts}

    def read(self, key: str, after: int) -> tuple[Sequence[NotificationEntry], Iterable[int]]:
        """The newest links behind `after`, and which links have receipts. Raises Unavailable, Unreadable."""
        behind = link_name(key, after) if after else None
        names = self._objects.names(f"{PREFIX}{key}/", behind)[-LINKS_MAX:]
        receipted = [_place(name)[1] for name in self._objects.names(f"{RECEIPTS}{key}/")]
        return self._read_all(names), receipted

    def _read_all(self, names: Sequence[str]) -> list[NotificationEntry]:
        if len(names) < 2:
            return [self._read(name) for name in names]
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="chains") as pool:
            return list(pool.map(self._read, names))

    def _read(self, name: str) -> NotificationEntry:
        body = self._objects.read(name)
        if body is None:
            raise Unavailable(f"the link {name} was listed, yet is not there; asking again")
        return decode_link(name, body)

    def create(self, key: str, link: NotificationEntry) -> bool:
        """Create a link; False: there is one. Raises Unavailable."""
        return self._objects.create(link_name(key, link.n), encode_link(link))

    def write_receipt(self, key: str, n: int, receipt: Receipt) -> None:
        """Create the receipt of a link, unless there is one. Raises Unavailable."""
        self._objects.create(receipt_name(key, n), msgspec.json.encode(receipt))


def _place(name: str) -> tuple[str, int]:
    key, _, file = name.partition("/")[2].partition("/")
    return key, int(file.removesuffix(".json"))

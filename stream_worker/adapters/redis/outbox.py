"""The notifier's side of Redis: `ports.Outbox` over Lua scripts (docs/redis.md).

Rules:
1. One script reads all that belongs together; whatever is written is compared with it inside a script.
2. Nothing of the workers is written, not even when a script ran last.
3. A damaged field stops the alerts of its brands: the snapshot names it, and leaves these brands out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stream_worker.adapters.redis.connection import address_of, connect, describe, translated
from stream_worker.adapters.redis.keys import AlertField, Key, Keys, ShardField
from stream_worker.adapters.redis.scripts import OUTBOX_NAMES, Scripts
from stream_worker.core.aggregates.damage import Damage
from stream_worker.core.aggregates.encoding import shard_of, to_json
from stream_worker.core.alerting.inputs import OutboxSnapshot
from stream_worker.core.alerting.notification_log import Message, OutboxEntry, read_entries
from stream_worker.core.alerting.policy import BrandSnapshot
from stream_worker.errors import Unreadable

_INTEGER: Final = re.compile(r"-?[0-9]{1,16}")


class RedisOutbox:
    """The outbox, frozen messages, and the alerts that people see, below one prefix."""

    def __init__(
        self, url: str, *, prefix: str = "{sw}", socket_timeout_s: float = 5.0, clock: str | None = None
    ) -> None:
        self._address = address_of(url)
        self._client = connect(url, socket_timeout_s)
        keys = Keys(prefix)
        self._scripts = Scripts(
            self._client, [keys.control], clock, names=OUTBOX_NAMES, prelude_name="notifier_prelude"
        )
        self._alerts = keys.alerts

    def read(self, brands: Sequence[str]) -> OutboxSnapshot:
        """Read the outbox, and the state of these brands and of those in the outbox. Raises Unavailable."""
        requested = sorted(set(brands))
        snapshot = self._read(requested)
        present = {*requested, *read_entries(snapshot.outbox)[0]}
        return snapshot if len(present) == len(requested) else self._read(sorted(present))

    def _read(self, brands: Sequence[str]) -> OutboxSnapshot:
        request = to_json([(brand, shard_of(brand)) for brand in brands])
        now_ms, entries, messages, views = self._call("read_outbox", request)
        return snapshot_of(now_ms, _pairs(entries), _pairs(messages), brands, _by_two(views))

    def freeze(self, entry: OutboxEntry, message: Message) -> Message | None:
        """Freeze a message for an entry that is as it was read; return the frozen one, or None."""
        text = msgspec.json.encode(message)
        frozen = self._call("freeze_message", entry.id, entry.body.encode(), text)
        return _message(entry.id, frozen) if frozen else None

    def remove(self, entry: OutboxEntry, episode_record: str | None) -> None:
        """Remove an entry that is as it was read, while its brand's episode record is, too."""
        brand = (shard_of(entry.brand), entry.brand.encode())
        record = (episode_record or "").encode()
        self._call("remove_outbox_entry", entry.id, entry.body.encode(), *brand, record)

    def publish(self, message: Message) -> None:
        """Show a message to people."""
        self._call("publish_alert", message.id, message.body.encode())

    def lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lease."""
        return bool(self._call("lease", name, owner, ttl_ms))

    def ping(self) -> str:
        """Name and version of the server, and what of its settings can lose counts."""
        with translated(self._address):
            return describe(self._client.info(), self._address)

    def shown(self, limit: int) -> list[tuple[str, str]]:
        """The newest messages that people can see, oldest first: id and body."""
        with translated(self._address):
            entries = self._client.xrevrange(self._alerts, count=limit)
        return [(fields[AlertField.ID], fields[AlertField.BODY]) for _, fields in reversed(entries)]

    def _call(self, name: str, *args: str | int | bytes) -> Any:
        with translated(self._address):
            return self._scripts.call(name, *args)


def snapshot_of(
    now_ms: int,
    outbox: Mapping[str, str],
    messages: Mapping[str, str],
    brands: Sequence[str],
    views: Sequence[tuple[str, str]],
) -> OutboxSnapshot:
    """Decode what was read: frozen messages by id of their entry, (closed, episode record or "") of brands.

    A brand of which a frozen message or its shard's `closed` is damaged is left out: nothing is decided
    about it until that is mended.
    """
    frozen: dict[str, Message] = {}
    damaged: list[Damage] = []
    unreadable: set[str] = set()
    for name, text in messages.items():
        try:
            frozen[name] = _message(name, text)
        except Unreadable:
            damaged.append(Damage("outbox", Key.FROZEN.removeprefix(":"), name))
            unreadable |= set(read_entries({name: outbox[name]})[0])
    snapshots: dict[str, BrandSnapshot] = {}
    for brand, (closed, record) in zip(brands, views, strict=True):
        if not _INTEGER.fullmatch(closed):
            shard = f"{Key.SHARD}{shard_of(brand)}".removeprefix(":")
            damaged.append(Damage("shard", shard, ShardField.CLOSED))
        elif brand not in unreadable:
            snapshots[brand] = BrandSnapshot(now_ms, int(closed), record or None)
    return OutboxSnapshot(now_ms, outbox, frozen, snapshots, tuple(dict.fromkeys(damaged)))


def _by_two(flat: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(_by_two(flat))


def _message(name: str, text: str) -> Message:
    try:
        return msgspec.json.decode(text, type=Message)
    except msgspec.MsgspecError as error:
        raise Unreadable(
            f"the message frozen for {name} is not readable ({error}); remove the field in Redis"
        ) from error

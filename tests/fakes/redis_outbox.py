"""The notifier's side of the rolling picture in memory: what its Lua scripts do, in plain Python.

Rules:
1. Method by method it equals `adapters/redis/outbox.py`; the contract suite compares whole states.
2. `now_ms` stands for Redis TIME. Notifiers share a Redis by sharing a `MemoryState`.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from stream_worker.adapters.redis.outbox import snapshot_of
from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.alerting.inputs import OutboxSnapshot
from stream_worker.core.alerting.notification_log import Message, OutboxEntry, read_entries
from tests.fakes.redis_state import MemoryState

ALERTS_MAX: Final = 1_000


class MemoryOutbox:
    """`ports.Outbox` over a `MemoryState`."""

    def __init__(self, now_ms: Callable[[], int], state: MemoryState) -> None:
        self._now_ms, self.state = now_ms, state

    def read(self, brands: Sequence[str]) -> OutboxSnapshot:
        """Read the outbox, and the state of these brands and of those in the outbox."""
        now_ms, state = self._now_ms(), self.state
        names = sorted({*brands, *read_entries(state.outbox)[0]})
        shards = [state.shards[shard_of(brand)] for brand in names]
        views = [
            (str(shard.closed_ms), shard.episodes.get(brand) or "")
            for brand, shard in zip(names, shards, strict=True)
        ]
        messages = {name: text for name, text in state.fixed.items() if name in state.outbox}
        return snapshot_of(now_ms, dict(state.outbox), messages, names, views)

    def freeze(self, entry: OutboxEntry, message: Message) -> Message | None:
        """Freeze a message for an entry that is as it was read; return the frozen one, or None."""
        if self.state.outbox.get(entry.id) != entry.body:
            return None
        text = self.state.fixed.setdefault(entry.id, msgspec.json.encode(message).decode())
        return msgspec.json.decode(text, type=Message)

    def remove(self, entry: OutboxEntry, episode_record: str | None) -> None:
        """Remove an entry that is as it was read, while its brand's episode record is, too."""
        shard = self.state.shards[shard_of(entry.brand)]
        unchanged = shard.episodes.get(entry.brand) == episode_record
        if self.state.outbox.get(entry.id) == entry.body and unchanged:
            del self.state.outbox[entry.id]
            self.state.fixed.pop(entry.id, None)

    def publish(self, message: Message) -> None:
        """Show a message to people."""
        self.state.alerts.append({"id": message.id, "body": message.body})
        del self.state.alerts[:-ALERTS_MAX]

    def lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lease."""
        now_ms = self._now_ms()
        holder, end_ms = self.state.leases.get(name, (owner, 0))
        if holder != owner and now_ms < end_ms:
            return False
        self.state.leases[name] = (owner, now_ms + ttl_ms)
        return True

"""Reading a `MemoryState` for the audit: the twin of `adapters/redis/snapshot.py`."""

from collections.abc import Callable, Sequence

from stream_worker.core.aggregates.encoding import encode_sums
from stream_worker.core.reconcile.redis_position import RedisPosition
from stream_worker.core.time import DAY_MS, HOUR_MS
from tests.fakes.redis_state import MemoryState, StoredMinute


class MemorySnapshots:
    """What the audit reads of a `MemoryState`; `now_ms` stands for Redis TIME."""

    def __init__(self, state: MemoryState, logs: Sequence[str], now_ms: Callable[[], int]) -> None:
        self._state, self._logs, self._now_ms = state, list(logs), now_ms

    def position(self) -> RedisPosition:
        """Return how far everything is, with the minutes that have a hash."""
        return self._position()._replace(minutes=tuple(sorted(self._state.minutes)))

    def minute(self, start_ms: int) -> tuple[RedisPosition, dict[str, str]]:
        """Read the hash of a minute."""
        minute = self._state.minutes.get(start_ms, StoredMinute())
        fields = {name: str(value) for name, value in minute.fields.items()}
        if minute.models or minute.seal_id is not None:
            fields["models"] = ",".join(minute.models)
        if minute.seal_id is not None:
            fields |= {"mark": minute.seal_id, "complete": str(int(minute.complete))}
            fields["sealed_ms_at"] = str(minute.sealed_at_ms)
        return self._position(), fields

    def history_of_minutes(self, hour_ms, brands):
        """Read the closed minutes of an hour for some brands."""
        return self._position(), _history(self._state.by_minute, hour_ms, hour_ms + HOUR_MS, brands)

    def history_of_hours(self, day_ms, brands):
        """Read the hours of a day for some brands."""
        return self._position(), _history(self._state.by_hour, day_ms, day_ms + DAY_MS, brands)

    def admitted_brands(self):
        """Return the admitted brands, in no order."""
        return list(self._state.brands)

    def admitted_networks(self):
        """Return the admitted networks, in no order."""
        return list(self._state.networks)

    def close(self) -> None:
        """Nothing is open."""

    def _position(self) -> RedisPosition:
        ctl = self._state.ctl
        rows = {log: self._state.cursors.get(log, {}) for log in self._logs}
        return RedisPosition(
            now_ms=self._now_ms(),
            sealed_ms=ctl.sealed or 0,
            complete_from_ms=ctl.floor or 0,
            trimmed_ms=ctl.trimmed,
            expired=ctl.expired,
            closed_ms=tuple(shard.closed_ms for shard in self._state.shards),
            minutes=(),
            cursors={
                log: {p: row.next for p, row in of_log.items() if row.next is not None}
                for log, of_log in rows.items()
            },
        )


def _history(history, start_ms, end_ms, brands):
    return [
        {
            str(start): encode_sums(sums)
            for start, sums in history.get(brand, {}).items()
            if start_ms <= start < end_ms
        }
        for brand in brands
    ]

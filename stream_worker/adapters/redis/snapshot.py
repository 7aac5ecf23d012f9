"""`ports.SnapshotReader` over Redis: each part in one transaction with the cursors that it belongs to.

Rules:
1. Nothing is written, not even that a script ran: an audit of a stopped system leaves it as it is.
2. A minute, or the history of some brands, is read together with the position of that very instant. Parts of
   different instants are never mixed: each is compared with the rows below its own cursors.
3. One transaction reads one minute, or about `FIELDS_MAX` fields of history: Redis serves nobody meanwhile.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from stream_worker.adapters.redis.connection import address_of, connect, translated
from stream_worker.adapters.redis.keys import ControlField, CursorField, Keys
from stream_worker.adapters.redis.scripts import Scripts
from stream_worker.core.aggregates.encoding import raw
from stream_worker.core.reconcile.redis_position import RedisPosition
from stream_worker.errors import Unreadable

FIELDS_MAX: Final = 12_000
BRANDS_AT_ONCE: Final = FIELDS_MAX // 60


class RedisSnapshots:
    """What the audit and the daily batch read below one prefix; `logs` are names `<topic>.<inc>`."""

    def __init__(
        self,
        url: str,
        logs: Sequence[str],
        *,
        prefix: str = "{sw}",
        socket_timeout_s: float = 5.0,
        clock: str | None = None,
    ) -> None:
        self._logs = list(logs)
        self._keys = Keys(prefix)
        self._address = address_of(url)
        self._client = connect(url, socket_timeout_s)
        self._scripts = Scripts(self._client, self._keys.roots(self._logs[0]), clock)

    def position(self) -> RedisPosition:
        """Return how far everything is, with the minutes that have a hash. Raises Unavailable."""
        return self._read([], list_minutes=True)[0]

    def minute(self, start_ms: int) -> tuple[RedisPosition, dict[str, str]]:
        """Read the hash of a minute; empty if there is none. Raises Unavailable."""
        position, (fields,) = self._read([self._keys.minute(start_ms)])
        return position, fields

    def history_of_minutes(
        self, hour_ms: int, brands: Sequence[str]
    ) -> tuple[RedisPosition, list[dict[str, str]]]:
        """Read the closed minutes of an hour for at most `BRANDS_AT_ONCE` brands. Raises Unavailable."""
        assert len(brands) <= BRANDS_AT_ONCE, "the caller reads brands in batches"
        return self._read([self._keys.history_of_minutes(hour_ms, brand) for brand in brands])

    def history_of_hours(
        self, day_ms: int, brands: Sequence[str]
    ) -> tuple[RedisPosition, list[dict[str, str]]]:
        """Read the hours of a day for at most `BRANDS_AT_ONCE` brands. Raises Unavailable."""
        assert len(brands) <= BRANDS_AT_ONCE, "the caller reads brands in batches"
        return self._read([self._keys.history_of_hours(day_ms, brand) for brand in brands])

    def admitted_brands(self) -> list[str]:
        """Return the admitted brands, in no order. Raises Unavailable."""
        return self._names(self._keys.brands)

    def admitted_networks(self) -> list[str]:
        """Return the admitted networks, in no order. Raises Unavailable."""
        return self._names(self._keys.networks)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _names(self, key: str) -> list[str]:
        with translated(self._address):
            return list(self._client.hkeys(key))

    def _read(
        self, keys: Sequence[str], *, list_minutes: bool = False
    ) -> tuple[RedisPosition, list[dict[str, str]]]:
        reads = [("HGETALL", raw(key)) for key in keys]
        with translated(self._address):
            reply, *hashes = self._scripts.call_with(
                "snapshot", ["1" if list_minutes else "", *self._logs], reads
            )
        now_ms, control, closed, listed, *cursors = reply
        by_log = dict(zip(self._logs, map(_hash, cursors), strict=True))
        try:
            return _position(now_ms, _hash(control), closed, listed, by_log), list(map(_hash, hashes))
        except ValueError as error:
            raise Unreadable(
                f"Redis at {self._address} has broken control or cursors: {error}; see docs/redis.md"
            ) from None


def _position(
    now_ms: int,
    control: dict[str, str],
    closed: list[str],
    minutes: list[str],
    cursors: dict[str, dict[str, str]],
) -> RedisPosition:
    """Decode the reply of `snapshot.lua`; `cursors` are whole hashes by log name. Raises ValueError."""
    return RedisPosition(
        now_ms=now_ms,
        sealed_ms=int(control.get(ControlField.SEALED, 0)),
        complete_from_ms=int(control.get(ControlField.COMPLETE_FROM, 0)),
        trimmed_ms=int(control.get(ControlField.TRIMMED, 0)),
        expired=int(control.get(ControlField.EXPIRED, 0)),
        closed_ms=tuple(map(int, closed)),
        minutes=tuple(sorted(map(int, minutes))),
        cursors={
            log: {
                int(name.removeprefix(CursorField.NEXT)): int(offset)
                for name, offset in fields.items()
                if name.startswith(CursorField.NEXT)
            }
            for log, fields in cursors.items()
        },
    )


def _hash(reply: Any) -> dict[str, str]:
    """Return a hash as a dict; scripts answer it flat."""
    return reply if isinstance(reply, dict) else dict(list(pairwise(reply))[::2])

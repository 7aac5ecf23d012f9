"""Counts and views in Redis: `ports.Aggregates` over Lua scripts (docs/design.md#redis; docs/redis.md).

Rules:
1. Every decision is made inside a script; here values are only encoded, sent and decoded.
2. Every call may be repeated, lose its answer or arrive late.
3. Every error leaves as one of ours (`connection.py`).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from stream_worker.adapters.redis.connection import (
    address_of,
    connect,
    describe,
    is_wrong_type,
    translated,
)
from stream_worker.adapters.redis.keys import ALL_BRANDS, CursorField, Keys, MinuteField, ShardField
from stream_worker.adapters.redis.scripts import Scripts
from stream_worker.adapters.redis.view import parse_head, refresh_view
from stream_worker.core.aggregates.aggregate import increments
from stream_worker.core.aggregates.damage import Damage, DamagedField, DamageKind
from stream_worker.core.aggregates.encoding import (
    INCREMENTS_LIMIT,
    NAMED_BRANDS_MAX,
    Sums,
    decode_sums,
    encode_delta,
    minute_at_or_after,
    raw,
    readable_tallies,
    shard_of,
    to_json,
)
from stream_worker.core.aggregates.seal import SealResult
from stream_worker.core.aggregates.shard import Close, SealedMinute, Shard
from stream_worker.core.archive.layout import Log
from stream_worker.core.partition.effects import Apply
from stream_worker.core.partition.inputs import Applied, Cursor
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import Misconfigured

_INTEGER: Final = re.compile(r"-?[0-9]{1,16}")


class RedisAggregates:
    """The counts, views and cursors of one log, below one prefix.

    `owner` stands beside the cursors for people. `clock` replaces the scripts' clock line in tests.
    `on_damage` gets each field that was left out because it cannot be read; all else was done.
    """

    def __init__(
        self,
        url: str,
        log: Log,
        *,
        prefix: str = "{sw}",
        max_brands: int = 10_000,
        owner: str = "",
        socket_timeout_s: float = 5.0,
        clock: str | None = None,
        on_damage: Callable[[Damage], None] = lambda _damage: None,
    ) -> None:
        if not prefix.partition("{")[2].partition("}")[0]:
            raise Misconfigured(f"redis.prefix is {prefix!r}: it must hold a hash tag, as in {{sw}}")
        self._log = log
        self._keys = Keys(prefix)
        self._max_brands = max_brands
        self._owner, self._on_damage = owner, on_damage
        self._address = address_of(url)
        self._client = connect(url, socket_timeout_s)
        self._scripts = Scripts(self._client, self._keys.roots(log.name), clock)

    # ------------------------------------------------------------ cursors

    def create_cursor(self, partition: int, start: int, watermark_ms: int, complete_from_ms: int) -> Cursor:
        """Create the cursor if there is none; return what is stored."""
        complete_from_ms = minute_at_or_after(complete_from_ms)
        reply = self._call("create_cursor", self._log.name, partition, start, watermark_ms, complete_from_ms)
        return self._stored_cursor(partition, *reply)

    def cursor(self, partition: int) -> Cursor | None:
        """Return the stored cursor; None when there is none."""
        with translated(self._address):
            fields = [CursorField.NEXT.of(partition), CursorField.WATERMARK.of(partition)]
            stored = self._client.hmget(self._keys.cursors(self._log.name), fields)
        return None if stored[0] is None else self._stored_cursor(partition, *stored)

    def advance_cursor(
        self, partition: int, expected: int, to: int, watermark_ms: int, complete_from_ms: int
    ) -> Cursor | None:
        """Compare-and-set the cursor forward over records that are gone; raise complete_from."""
        complete_from_ms = minute_at_or_after(complete_from_ms)
        stored = self._call("advance_cursor", partition, expected, to, watermark_ms, complete_from_ms)
        return None if stored[0] is None else self._stored_cursor(partition, *stored)

    def _stored_cursor(self, partition: int, following: str, watermark: str | None) -> Cursor:
        """Decode a cursor. Raises DamagedField."""
        for field, text in ((CursorField.NEXT, following), (CursorField.WATERMARK, watermark or "")):
            if not _INTEGER.fullmatch(text):
                raise self._damaged("cursor", self._keys.cursors(self._log.name), field.of(partition))
        return Cursor(int(following), int(watermark or 0))

    def _damaged(self, kind: DamageKind, key: str, field: str = "") -> DamagedField:
        return DamagedField(Damage(kind, self._keys.below_prefix(key), field), self._keys.prefix)

    # ------------------------------------------------------------ counting

    def apply(self, calls: Sequence[Apply]) -> list[Applied | DamagedField]:
        """Apply in order, in one round trip; a cursor that cannot be read is replied to by its error."""
        if not calls:
            return []
        with translated(self._address):
            replies = self._scripts.call_many("apply", [self._apply_args(call) for call in calls])
        return [self._applied(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def _applied(self, call: Apply, reply: Sequence[Any]) -> Applied | DamagedField:
        applied, following, watermark, now_ms, sealed_ms, *counts, damaged = reply
        self._note(damaged)
        refused_brands, refused_networks, expired = counts
        try:
            cursor = None if following == "" else self._stored_cursor(call.partition, following, watermark)
        except DamagedField as error:
            return error
        return Applied(
            applied=bool(applied),
            cursor=cursor,
            now_ms=now_ms,
            sealed_ms=sealed_ms,
            refused_brands=refused_brands,
            refused_networks=refused_networks,
            expired=expired,
        )

    def _apply_args(self, call: Apply) -> list[str | int | bytes]:
        delta = call.delta if call.delta is not None and len(call.delta) else None
        assert delta is None or increments(delta) <= INCREMENTS_LIMIT, (
            "the caller cuts a delta at 5,000 increments"
        )
        return [
            call.partition,
            call.expected,
            call.next,
            call.watermark_ms,
            call.log_end,
            int(call.paused),
            "" if call.proof_t0_ms is None else call.proof_t0_ms,
            self._owner,
            self._max_brands,
            b"" if delta is None else encode_delta(delta),
        ]

    # ------------------------------------------------------------ sealing and closing

    def seal(
        self, partition_count: int, lateness_ms: int, max_hold_ms: int, older_log: str = ""
    ) -> SealResult:
        """Seal what every partition has passed, at most `Limit.SEALS` minutes; trim what is closed."""
        args = (self._log.name, partition_count, lateness_ms, max_hold_ms, older_log)
        reply = self._call("seal", *args)
        sealed, complete_from, watermark, incomplete, now, excluded, stored, idle, *more = reply
        self._note(more[2])
        return SealResult(
            sealed_ms=sealed,
            complete_from_ms=complete_from,
            excluded=excluded,
            watermark_ms=watermark,
            stored_watermarks_ms={stored[i]: int(stored[i + 1]) for i in range(0, len(stored), 2)},
            incomplete=incomplete,
            now_ms=now,
            idle=idle,
            closed_ms=more[0],
            other_log=more[1],
        )

    def brands(self) -> Mapping[str, int | None]:
        """Admitted brands and the start of their first on-time minute; None: only late ones so far."""
        with translated(self._address):
            stored = self._client.hgetall(self._keys.brands)
        return {brand: self._first_minute(brand, first) for brand, first in stored.items()}

    def _first_minute(self, brand: str, text: str) -> int | None:
        try:
            return int(text) if text else None
        except ValueError:
            self._on_damage(Damage("brand", self._keys.below_prefix(self._keys.brands), brand))
            return None  # its next on-time mention writes it anew

    def shard(self, number: int) -> Shard:
        """Read the state of a shard. Raises DamagedField."""
        key = self._keys.shard(number)
        with translated(self._address):
            (stored,) = self._read(("HGETALL", key))
        closed_ms = self._closed_ms(key, None if stored is None else stored.get(ShardField.CLOSED, "-1"))
        return Shard(
            number=number,
            closed_ms=closed_ms,
            state_id=stored.get(ShardField.STATE_ID, ""),
            detector=stored.get(ShardField.DETECTOR, ""),
            states=_below(ShardField.STATE, stored),
            episodes=_below(ShardField.EPISODE, stored),
            key=self._keys.below_prefix(key),
            episode_prefix=ShardField.EPISODE,
        )

    def next_sealed(self, after_ms: int) -> SealedMinute | None:
        """The first sealed minute that starts at or after `after_ms`, with its frozen fields.

        A minute whose metadata is missing is incomplete, or without a model.
        """
        while True:
            start, now_ms = self._call("find_sealed", after_ms)
            if start == "":
                return None
            with translated(self._address):
                fields = self._client.hgetall(self._keys.minute(start))
            if MinuteField.SEAL_ID in fields:
                break  # else it was trimmed in between: read again
        tallies, unreadable = readable_tallies(fields)
        return SealedMinute(
            start_ms=int(start),
            seal_id=fields[MinuteField.SEAL_ID],
            complete=fields.get(MinuteField.COMPLETE) == "1",
            models=sorted(model for model in fields.get(MinuteField.MODELS, "").split(",") if model),
            tallies=tallies,
            now_ms=now_ms,
            unreadable=unreadable,
        )

    def close(self, *calls: Close) -> set[int]:
        """Write evaluated shards of a minute in one round trip; returns the numbers of those written."""
        with translated(self._address):
            replies = self._scripts.call_many("close", [_close_args(call) for call in calls])
        for _, damaged in replies:
            self._note(damaged)
        return {call.shard for call, (written, _) in zip(calls, replies, strict=True) if written}

    def history(self, brand: str, hours_ms: Sequence[int]) -> dict[int, Sums]:
        """Closed minutes of these hours: start -> ten sums, on-time and late together.

        Raises DamagedField.
        """
        if not hours_ms:
            return {}
        with translated(self._address):
            # What is closed is read first: a minute that closes in between is left out, never half there.
            keys = [self._keys.history_of_minutes(hour, brand) for hour in hours_ms]
            shard = self._keys.shard(shard_of(brand))
            closed, *hours = self._read(
                ("HGET", shard, ShardField.CLOSED), *(("HGETALL", key) for key in keys)
            )
        closed_ms = self._closed_ms(shard, closed or "-1")
        return {
            minute: sums
            for key, hour in zip(keys, hours, strict=True)
            for minute, sums in self._decode_history(key, hour)
            if minute < closed_ms
        }

    def _decode_history(self, key: str, fields: Mapping[str, str] | None) -> Iterator[tuple[int, Sums]]:
        if fields is None:
            raise self._damaged("history", key)
        for minute, value in sorted(fields.items()):
            try:
                yield int(minute), decode_sums(value)
            except ValueError:
                raise self._damaged("history", key, minute) from None

    def _closed_ms(self, shard: str, text: str | None) -> int:
        if text is None or not _INTEGER.fullmatch(text):
            raise self._damaged("shard", shard, "" if text is None else ShardField.CLOSED)
        return int(text)

    def _read(self, *commands: Sequence[str]) -> list[Any]:
        """Run commands on keys, in one round trip; None: the key is of another type."""
        pipe = self._client.pipeline(transaction=False)
        for name, key, *args in commands:
            pipe.execute_command(name, raw(key), *args)
        replies = pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and not is_wrong_type(reply):
                raise reply
        return [None if isinstance(reply, Exception) else reply for reply in replies]

    # ------------------------------------------------------------ for readers

    def lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lease: an efficiency, never needed for truth."""
        return bool(self._call("lease", name, owner, ttl_ms))

    def publish_change(self, kind: str, minutes_ms: Sequence[int], brands: Sequence[str]) -> None:
        """Append one change notice; at most 100 brands are named, more are `*`."""
        named = to_json(list(brands)) if len(brands) <= NAMED_BRANDS_MAX else ALL_BRANDS
        self._call("publish_change", kind, to_json(list(minutes_ms)), named)

    def refresh_view(self, brands: Sequence[str] | None) -> None:
        """Overwrite the rolling view of these brands (None: of all)."""
        head = parse_head(self._call("read_head"))
        if head is None:
            return
        if brands is None:
            admitted = list(self.brands())
            full = len(admitted) >= self._max_brands
            brands = [*admitted, ""] if full else admitted  # "": what came after the limit
        with translated(self._address):
            damaged = refresh_view(self._client, self._scripts, self._keys, head, brands)
        for damage in damaged:
            self._on_damage(damage)

    def ping(self) -> str:
        """Name and version of the server, and what of its settings can lose counts."""
        with translated(self._address):
            return describe(self._client.info(), self._address)

    def _note(self, damaged: Sequence[Any]) -> None:
        """Report the damaged fields that a script names."""
        for at in range(0, len(damaged), 3):
            self._on_damage(Damage(*damaged[at : at + 3]))

    def _call(self, name: str, *args: str | int | bytes) -> Any:
        with translated(self._address):
            return self._scripts.call(name, *args)


def _close_args(call: Close) -> list[str | int | bytes]:
    assert call.minute_ms % MINUTE_MS == 0, "a minute is named by its start"
    assert call.minute_ms >= call.expected_closed_ms, "minutes close in order"
    body = {
        "sums": list(call.sums.items()),
        "numbers": list(call.states.items()),
        "episodes": list(call.episodes.items()),
        "outbox": list(call.outbox.items()),
    }
    known = (call.expected_closed_ms, call.expected_state_id, call.seal_id)
    return [call.shard, call.minute_ms, *known, call.detector, to_json(body)]


def _below(prefix: str, fields: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}

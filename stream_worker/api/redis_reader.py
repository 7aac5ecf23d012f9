"""Reads Redis for the API: control, windows, minutes, messages (docs/redis.md).

Rules:
1. Nothing here writes. Values that belong together are read in one MULTI, so that no close lies in between.
2. Every request has a time-out and is sent once: no answer is Unavailable, and the client asks again.
3. Long lists are cut into many commands, so that Redis serves others meanwhile.
4. A damaged field belongs to its brand, minute or partition: that one is returned as far as it can be read,
   and a brand is named as damaged. Only damaged control keys fail an answer.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import redis
import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream_worker.adapters.redis.connection import is_wrong_type
from stream_worker.adapters.redis.keys import (
    FORMAT_VERSION,
    AlertField,
    ControlField,
    CursorField,
    Keys,
    Limit,
    MinuteField,
    ShardField,
    ViewField,
    cell_field,
    window_field,
)
from stream_worker.api.brand_minutes import BrandMinutes, decode_history, join_minutes, over_networks
from stream_worker.api.snapshot import (
    MinuteTotals,
    PageSnapshot,
    PartitionCursor,
    effective_ms,
    id_key,
    read_episodes,
)
from stream_worker.core.aggregates.encoding import SHARDS, Sums, raw, shard_of
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.time import HOUR_MS, MINUTE_MS
from stream_worker.errors import Misconfigured, StreamWorkerError, Unavailable, Unreadable

SNAPSHOT_AGE_MAX_S: Final = 0.25
"""A snapshot this young serves every request."""
BRANDS_AT_ONCE: Final = 20
T = TypeVar("T")
Default = TypeVar("Default", int, None)


class ChangeNotice(NamedTuple):
    """An entry of the stream of changes."""

    id: str
    fields: dict[str, str]


class RedisReader:
    """One connection pool to the Redis of one system. All methods raise Unavailable or Unreadable.

    `address` names the server for people, without its password. `lateness_ms` is that of the workers.
    """

    def __init__(
        self, url: str, address: str, *, prefix: str, lateness_ms: int, socket_timeout_s: float
    ) -> None:
        self.address = address
        self._keys, self._lateness_ms = Keys(prefix), lateness_ms
        self._client = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            encoding_errors="replace",
            socket_timeout=socket_timeout_s,
            socket_connect_timeout=socket_timeout_s,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        self._block_ms = max(10, int(socket_timeout_s * 400))  # well within the time-out
        self._snapshot: PageSnapshot | None = None
        self._snapshot_s = -SNAPSHOT_AGE_MAX_S
        self._snapshot_lock = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def snapshot(self, revision: str = "") -> PageSnapshot:
        """Read the values that every answer begins with, or return those of `SNAPSHOT_AGE_MAX_S` ago.

        `revision`: the id of a notice; what it announced is in the snapshot, however young the last one is.
        """
        async with self._snapshot_lock:
            kept = self._snapshot
            young = time.monotonic() - self._snapshot_s <= SNAPSHOT_AGE_MAX_S
            if kept is None or not young or id_key(kept.revision) < id_key(revision):
                with self._translated():
                    kept = self._snapshot = await self._read_snapshot()
                self._snapshot_s = time.monotonic()
            return kept

    async def _read_snapshot(self) -> PageSnapshot:
        pipe = self._client.pipeline(transaction=False)
        pipe.xrevrange(self._keys.changes, count=1)  # first: a later change is noticed again
        pipe.time()
        pipe.hgetall(self._keys.control)
        pipe.hgetall(self._keys.brands)
        pipe.hkeys(self._keys.networks)
        newest_change, (seconds, micros), control, brands, networks = await pipe.execute()
        version = control.get(ControlField.FORMAT_VERSION, FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise Misconfigured(
                f"Redis at {self.address} holds format {version}; this version reads {FORMAT_VERSION}"
            )
        log = control.get(ControlField.LOG, "")
        shards: dict[int, list[str]] = {number: [] for number in range(SHARDS)}
        for brand in brands:
            shards[shard_of(brand)].append(brand)
        pipe = self._client.pipeline(transaction=False)
        pipe.hgetall(self._keys.cursors(log))
        for number, names in shards.items():
            episodes = [raw(f"{ShardField.EPISODE}{brand}") for brand in names]
            pipe.hmget(self._keys.shard(number), [ShardField.CLOSED, *episodes])
        cursors, *replies = _readable(await pipe.execute(raise_on_error=False))
        stored = [values or [""] * (1 + len(shards[number])) for number, values in enumerate(replies)]
        of_brands, damaged = read_episodes(
            zip(shards.values(), (values[1:] for values in stored), strict=True)
        )
        return PageSnapshot(
            now_ms=int(seconds) * 1000 + int(micros) // 1000,
            revision=newest_change[0][0] if newest_change else "0-0",
            log=log,
            newest_ms=int(control[ControlField.NEWEST]) if ControlField.NEWEST in control else None,
            sealed_ms=int(control.get(ControlField.SEALED, 0)),
            complete_from_ms=int(control.get(ControlField.COMPLETE_FROM, 0)),
            expired=int(control.get(ControlField.EXPIRED, 0)),
            closed_ms=[_integer(values[0], -1) for values in stored],
            brands=list(brands),
            networks=networks,
            episodes=of_brands,
            damaged=damaged,
            partitions=self._partitions(cursors or {}, int(control.get(ControlField.PARTITIONS, 0))),
        )

    def _partitions(self, cursors: Mapping[str, str], count: int) -> list[PartitionCursor]:
        return [
            PartitionCursor(
                number=p,
                next=_integer(cursors.get(CursorField.NEXT.of(p)), None),
                end=_integer(cursors.get(CursorField.END.of(p)), None),
                watermark_ms=_integer(cursors.get(CursorField.WATERMARK.of(p)), None),
                effective_ms=effective_ms(cursors, p, self._lateness_ms),
                reported_ms=_integer(cursors.get(CursorField.REPORTED.of(p)), 0),
                alive_ms=_integer(cursors.get(CursorField.ALIVE.of(p)), 0),
                owner=cursors.get(CursorField.OWNER.of(p), ""),
            )
            for p in range(count)
        ]

    async def views(self, brands: Sequence[str]) -> dict[str, dict[str, str]]:
        """Read the rolling views of brands; a brand without one is left out."""
        found = await self._many(
            brands, lambda pipe, brand: pipe.hgetall(raw(self._keys.view(brand))), BRANDS_AT_ONCE * 10
        )
        return {
            brand: view for brand, view in zip(brands, found, strict=True) if ViewField.NEWEST in (view or ())
        }

    async def received(self, brands: Sequence[str]) -> tuple[int, int]:
        """Return mentions, and unscored ones, of the last 15 minutes, over these brands."""
        fields = [window_field("15m", measure) for measure in ("n", "unscored")]
        counts = await self._many(
            brands, lambda pipe, brand: pipe.hmget(raw(self._keys.view(brand)), fields), 500
        )
        known = [pair for pair in counts if pair]
        return sum(_integer(n, 0) for n, _ in known), sum(_integer(unscored, 0) for _, unscored in known)

    async def hours(self, brand: str, hours_ms: Iterable[int]) -> dict[int, Sums]:
        """Read the minutes of whole hours from history: start → ten sums. For views, not for sums."""
        found = await self._many(
            list(hours_ms),
            lambda pipe, hour: pipe.hgetall(raw(self._keys.history_of_minutes(hour, brand))),
            50,
        )
        return {start: sums for hour in found for start, sums in decode_history(hour).tallies.items()}

    async def minutes(
        self, brands: Sequence[str], first_ms: int, end_ms: int, snapshot: PageSnapshot
    ) -> dict[str, BrandMinutes]:
        """Read the minutes [first, end) of brands, on-time and late together.

        A minute that nobody mentioned the brand in may be left out; one that cannot be read is.
        """
        found: dict[str, BrandMinutes] = {}
        for at in range(0, len(brands), BRANDS_AT_ONCE):
            with self._translated():
                found |= await self._minutes(brands[at : at + BRANDS_AT_ONCE], first_ms, end_ms, snapshot)
        return found

    async def _minutes(
        self, brands: Sequence[str], first_ms: int, end_ms: int, snapshot: PageSnapshot
    ) -> dict[str, BrandMinutes]:
        hours = range(first_ms - first_ms % HOUR_MS, end_ms, HOUR_MS)
        newest_ms = -1 if snapshot.newest_ms is None else snapshot.newest_ms
        unclosed_ms = max(first_ms, min(snapshot.closed_ms[shard_of(brand)] for brand in brands))
        unclosed = range(-(-unclosed_ms // MINUTE_MS) * MINUTE_MS, min(end_ms, newest_ms + 1), MINUTE_MS)
        networks = [*snapshot.networks, ""]
        pipe = self._client.pipeline(transaction=True)
        for brand in brands:
            fields = [
                raw(cell_field(measure, network, brand)) for network in networks for measure in MEASURES
            ]
            pipe.hget(self._keys.shard(shard_of(brand)), ShardField.CLOSED)
            for hour in hours:
                pipe.hgetall(raw(self._keys.history_of_minutes(hour, brand)))
            for minute in unclosed:
                pipe.hmget(self._keys.minute(minute), fields)
        answers = iter(_readable(await pipe.execute(raise_on_error=False)))
        found = {}
        for brand in brands:
            closed_ms = _integer(next(answers), -1)
            history = [decode_history(next(answers)) for _ in hours]
            on_time = {minute: next(answers) for minute in unclosed}
            of_brand = join_minutes(
                history,
                {minute: row for minute, row in on_time.items() if minute >= closed_ms},  # else in history
            )
            found[brand] = of_brand.between(first_ms, end_ms)
        return found

    async def networks(
        self, brand: str, first_ms: int, end_ms: int, snapshot: PageSnapshot
    ) -> dict[str, Sums]:
        """Read a brand by network over minutes [first, end) that still have their hash; at most an hour."""
        networks = [*snapshot.networks, ""]
        fields = [
            raw(cell_field(measure, network, brand, late=late))
            for network in networks
            for late in (False, True)
            for measure in MEASURES
        ]
        starts = range(max(first_ms, end_ms - HOUR_MS), end_ms, MINUTE_MS)
        found = await self._many(starts, lambda pipe, at: pipe.hmget(self._keys.minute(at), fields), 20)
        width = 2 * len(MEASURES)
        return {
            network: over_networks(
                [value for row in found for value in (row or [])[i * width : (i + 1) * width]]
            )
            for i, network in enumerate(networks)
        }

    async def minute_totals(self, first_ms: int, end_ms: int) -> dict[int, MinuteTotals]:
        """Read the minutes [first, end) over all brands; those without a hash are left out."""
        starts = range(first_ms, end_ms, MINUTE_MS)
        fields = [
            MinuteField.MENTIONS,
            MinuteField.LATE_MENTIONS,
            MinuteField.SEAL_ID,
            MinuteField.COMPLETE,
            MinuteField.MODELS,
            MinuteField.SEALED_AT_MS,
        ]
        found = await self._many(
            starts, lambda pipe, start: pipe.hmget(self._keys.minute(start), fields), 500
        )
        return {
            start: MinuteTotals(
                mentions=_integer(values[0], 0),
                late=_integer(values[1], 0),
                sealed=values[2] is not None,
                complete=values[3] != "0",
                models=values[4] or "",
                sealed_at_ms=_integer(values[5], None),
            )
            for start, values in zip(starts, found, strict=True)
            if values and any(value is not None for value in values)
        }

    async def models(self) -> dict[int, str]:
        """Read from which minutes on which models scored: start → models, comma-separated."""
        (models,) = await self._many([self._keys.model_changes], lambda pipe, key: pipe.hgetall(key), 1)
        with self._translated():
            return {int(start): names for start, names in (models or {}).items() if start.isdecimal()}

    async def late_of(self, brand: str, starts: Sequence[int], snapshot: PageSnapshot) -> dict[int, int]:
        """Count the late mentions of a brand in minutes that still have their hash."""
        fields = [raw(cell_field("n", network, brand, late=True)) for network in (*snapshot.networks, "")]
        found = await self._many(
            starts, lambda pipe, start: pipe.hmget(self._keys.minute(start), fields), 200
        )
        return {
            start: sum(_integer(n, 0) for n in counts or ())
            for start, counts in zip(starts, found, strict=True)
        }

    async def messages(self) -> dict[str, str]:
        """Read the messages about episodes: id → body, as it was sent or waits to be sent."""
        with self._translated():
            pipe = self._client.pipeline(transaction=False)
            pipe.hgetall(self._keys.outbox)
            pipe.xrevrange(self._keys.alerts, count=Limit.ALERTS)
            outbox, alerts = await pipe.execute()
        readable = [fields for _, fields in reversed(alerts) if set(AlertField) <= set(fields)]
        return {**outbox, **{fields[AlertField.ID]: fields[AlertField.BODY] for fields in readable}}

    async def changes(self, after: str, *, wait: bool) -> list[ChangeNotice]:
        """Read the notices after an id; with `wait`, wait a while for the first one if there is none."""
        block_ms = self._block_ms if wait else None
        (streams,) = await self._many(
            [self._keys.changes],
            lambda pipe, key: pipe.xread({key: after}, count=Limit.CHANGES, block=block_ms),
            1,
        )
        if streams is None:
            raise self._foreign()
        return [ChangeNotice(*entry) for _, entries in streams for entry in entries]

    async def oldest_change(self) -> str | None:
        """Return the id of the oldest notice that is kept."""
        (oldest,) = await self._many([self._keys.changes], lambda pipe, key: pipe.xrange(key, count=1), 1)
        if oldest is None:
            raise self._foreign()
        return str(oldest[0][0]) if oldest else None

    async def _many(
        self, items: Sequence[T], queue: Callable[[Pipeline, T], object], at_once: int
    ) -> list[Any]:
        """Send one command for each item, `at_once` in one pipeline; returns the replies in order."""
        replies: list[Any] = []
        for at in range(0, len(items), at_once):
            pipe = self._client.pipeline(transaction=False)
            for item in items[at : at + at_once]:
                queue(pipe, item)
            with self._translated():
                replies += _readable(await pipe.execute(raise_on_error=False))
        return replies

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except StreamWorkerError:
            raise
        except (redis.RedisError, OSError, TimeoutError) as error:
            if "WRONGTYPE" in str(error):
                raise self._foreign() from error
            raise Unavailable(
                f"Redis at {self.address} (setting redis.url) does not answer: {type(error).__name__}"
            ) from error
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise self._foreign() from error

    def _foreign(self) -> Unreadable:
        return Unreadable(f"Redis at {self.address} holds what is not ours: see docs/redis.md")


def _readable(replies: Sequence[Any]) -> list[Any]:
    """Return replies, None for a key of another type. Raises the first other error."""
    for reply in replies:
        if isinstance(reply, Exception) and not is_wrong_type(reply):
            raise reply
    return [None if isinstance(reply, Exception) else reply for reply in replies]


def _integer(text: str | None, default: Default) -> int | Default:
    """Return the integer that a text stands for; `default` for any other text."""
    try:
        return default if text is None else int(text)
    except ValueError:
        return default

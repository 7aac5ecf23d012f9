"""Reading the rolling picture from Redis: control, windows, minutes, messages (docs/redis.md).

Rules:
1. Nothing here writes. What belongs together is read in one MULTI, so that no close lies in between.
2. Every question has a time-out and is asked once: no answer is Unavailable, and the reader asks again.
3. Long lists are cut into many commands, so that Redis serves others meanwhile.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

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
from stream_worker.api.snapshot import (
    MinuteTotals,
    PageSnapshot,
    PartitionCursor,
    effective_ms,
    read_episodes,
)
from stream_worker.core.aggregates.encoding import SHARDS, ZEROS, Sums, add_sums, decode_sums, raw, shard_of
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.time import HOUR_MS, MINUTE_MS
from stream_worker.errors import Misconfigured, StreamWorkerError, Unavailable, Unreadable

LOOK_S: Final = 0.25
"""A look this young serves everybody who asks."""
BRANDS_AT_ONCE: Final = 20


class RedisReader:
    """One connection pool to the Redis of one system. All methods raise Unavailable or Unreadable.

    `address` names the server for people, without its password. `lateness_ms` is that of the workers.
    """

    def __init__(
        self, url: str, address: str, *, prefix: str, lateness_ms: int, socket_timeout_s: float
    ) -> None:
        self.address = address
        self._keys, self._lateness_ms = Keys(prefix), lateness_ms
        self._client: Any = redis.asyncio.Redis.from_url(
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
        self._looked: PageSnapshot | None = None
        self._looked_s = -LOOK_S
        self._looking = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def look(self) -> PageSnapshot:
        """Read what all answers need to know first; the same for all who ask within `LOOK_S`."""
        async with self._looking:
            if self._looked is None or time.monotonic() - self._looked_s > LOOK_S:
                with self._translated():
                    self._looked = await self._look()
                self._looked_s = time.monotonic()
            return self._looked

    async def _look(self) -> PageSnapshot:
        pipe = self._client.pipeline(transaction=False)
        pipe.xrevrange(self._keys.changes, count=1)  # first: what changes later is told again
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
        for number, of in shards.items():
            episodes = [raw(f"{ShardField.EPISODE}{brand}") for brand in of]
            pipe.hmget(self._keys.shard(number), [ShardField.CLOSED, *episodes])
        cursors, *stored = await pipe.execute()
        return PageSnapshot(
            now_ms=int(seconds) * 1000 + int(micros) // 1000,
            revision=newest_change[0][0] if newest_change else "0-0",
            log=log,
            newest_ms=int(control[ControlField.NEWEST]) if ControlField.NEWEST in control else None,
            sealed_ms=int(control.get(ControlField.SEALED, 0)),
            complete_from_ms=int(control.get(ControlField.COMPLETE_FROM, 0)),
            expired=int(control.get(ControlField.EXPIRED, 0)),
            closed_ms=[int(of[0] or -1) for of in stored],
            brands=list(brands),
            networks=networks,
            episodes=read_episodes(zip(shards.values(), (of[1:] for of in stored), strict=True)),
            partitions=self._partitions(cursors, int(control.get(ControlField.PARTITIONS, 0))),
        )

    def _partitions(self, cursors: Mapping[str, str], count: int) -> list[PartitionCursor]:
        return [
            PartitionCursor(
                number=p,
                next=_integer(cursors.get(CursorField.NEXT.of(p))),
                end=_integer(cursors.get(CursorField.END.of(p))),
                watermark_ms=_integer(cursors.get(CursorField.WATERMARK.of(p))),
                effective_ms=effective_ms(cursors, p, self._lateness_ms),
                reported_ms=int(cursors.get(CursorField.REPORTED.of(p), 0)),
                alive_ms=int(cursors.get(CursorField.ALIVE.of(p), 0)),
                owner=cursors.get(CursorField.OWNER.of(p), ""),
            )
            for p in range(count)
        ]

    async def views(self, brands: Sequence[str]) -> dict[str, dict[str, str]]:
        """Read the rolling view of brands; one that was never drawn is left out."""
        found = await self._many(
            brands, lambda pipe, brand: pipe.hgetall(raw(self._keys.view(brand))), BRANDS_AT_ONCE * 10
        )
        return {brand: view for brand, view in zip(brands, found, strict=True) if ViewField.NEWEST in view}

    async def received(self, brands: Sequence[str]) -> tuple[int, int]:
        """Mentions and unscored ones of the last 15 minutes, over these brands."""
        fields = [window_field("15m", measure) for measure in ("n", "unscored")]
        found = await self._many(
            brands, lambda pipe, brand: pipe.hmget(raw(self._keys.view(brand)), fields), 500
        )
        with self._translated():
            return sum(int(of[0] or 0) for of in found), sum(int(of[1] or 0) for of in found)

    async def hours(self, brand: str, hours_ms: Iterable[int]) -> dict[int, Sums]:
        """Read the minutes of whole hours as history has them: start → ten sums. For views, not for sums."""
        found = await self._many(
            list(hours_ms),
            lambda pipe, hour: pipe.hgetall(raw(self._keys.history_of_minutes(hour, brand))),
            50,
        )
        with self._translated():
            return {int(start): decode_sums(value) for hour in found for start, value in hour.items()}

    async def minutes(
        self, brands: Sequence[str], first_ms: int, end_ms: int, look: PageSnapshot
    ) -> dict[str, dict[int, Sums]]:
        """Read the minutes [first, end) of brands, on-time and late together: brand → start → ten sums.

        A minute that nobody mentioned the brand in may be left out.
        """
        found: dict[str, dict[int, Sums]] = {}
        for at in range(0, len(brands), BRANDS_AT_ONCE):
            with self._translated():
                found |= await self._minutes(brands[at : at + BRANDS_AT_ONCE], first_ms, end_ms, look)
        return found

    async def _minutes(
        self, brands: Sequence[str], first_ms: int, end_ms: int, look: PageSnapshot
    ) -> dict[str, dict[int, Sums]]:
        hours = range(first_ms - first_ms % HOUR_MS, end_ms, HOUR_MS)
        newest_ms = -1 if look.newest_ms is None else look.newest_ms
        unclosed_ms = max(first_ms, min(look.closed_ms[shard_of(brand)] for brand in brands))
        unclosed = range(-(-unclosed_ms // MINUTE_MS) * MINUTE_MS, min(end_ms, newest_ms + 1), MINUTE_MS)
        networks = [*look.networks, ""]
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
        answers = iter(await pipe.execute())
        found = {}
        for brand in brands:
            closed_ms = int(next(answers) or -1)
            sums = {
                int(start): decode_sums(value)
                for _ in hours
                for start, value in next(answers).items()
                if first_ms <= int(start) < end_ms
            }
            for minute in unclosed:
                on_time = _over_networks(next(answers))
                if minute >= closed_ms:  # else history has it already
                    sums[minute] = add_sums(sums.get(minute, ZEROS), on_time)
            found[brand] = sums
        return found

    async def networks(self, brand: str, first_ms: int, end_ms: int, look: PageSnapshot) -> dict[str, Sums]:
        """Read a brand by network over minutes [first, end) that still have their hash; at most an hour."""
        networks = [*look.networks, ""]
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
            network: _over_networks([value for row in found for value in row[i * width : (i + 1) * width]])
            for i, network in enumerate(networks)
        }

    async def heads(self, first_ms: int, end_ms: int) -> dict[int, MinuteTotals]:
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
                mentions=int(of[0] or 0),
                late=int(of[1] or 0),
                sealed=of[2] is not None,
                complete=of[3] != "0",
                models=of[4] or "",
                sealed_at_ms=int(of[5]) if of[5] else None,
            )
            for start, of in zip(starts, found, strict=True)
            if any(value is not None for value in of)
        }

    async def models(self) -> dict[int, str]:
        """Read from which minutes on which models scored: start → models, comma-separated."""
        with self._translated():
            found = await self._client.hgetall(self._keys.model_changes)
            return {int(start): models for start, models in found.items()}

    async def late_of(self, brand: str, starts: Sequence[int], look: PageSnapshot) -> dict[int, int]:
        """Late mentions of a brand in minutes that still have their hash."""
        fields = [raw(cell_field("n", network, brand, late=True)) for network in (*look.networks, "")]
        found = await self._many(
            starts, lambda pipe, start: pipe.hmget(self._keys.minute(start), fields), 200
        )
        return {start: sum(int(n or 0) for n in of) for start, of in zip(starts, found, strict=True)}

    async def messages(self) -> dict[str, str]:
        """Read what was told of episodes: message id → body, as it was sent or waits to be."""
        with self._translated():
            pipe = self._client.pipeline(transaction=False)
            pipe.hgetall(self._keys.outbox)
            pipe.xrevrange(self._keys.alerts, count=Limit.ALERTS)
            outbox, sent = await pipe.execute()
        readable = [fields for _, fields in reversed(sent) if set(AlertField) <= set(fields)]
        return {**outbox, **{fields[AlertField.ID]: fields[AlertField.BODY] for fields in readable}}

    async def changes(self, after: str, *, wait: bool) -> list[tuple[str, dict[str, str]]]:
        """Read the notices after an id; with `wait` a while for the first one, if there is none."""
        with self._translated():
            found = await self._client.xread(
                {self._keys.changes: after}, count=Limit.CHANGES, block=self._block_ms if wait else None
            )
        return list(found[0][1]) if found else []

    async def oldest_change(self) -> str | None:
        """Return the id of the oldest notice that is kept."""
        with self._translated():
            found = await self._client.xrange(self._keys.changes, count=1)
        return str(found[0][0]) if found else None

    async def _many(self, items: Sequence[Any], ask: Callable[[Any, Any], object], at_once: int) -> list[Any]:
        found: list[Any] = []
        for at in range(0, len(items), at_once):
            pipe = self._client.pipeline(transaction=False)
            for item in items[at : at + at_once]:
                ask(pipe, item)
            with self._translated():
                found += await pipe.execute()
        return found

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


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)


def _over_networks(values: Sequence[str | None]) -> Sums:
    """Add rows of ten measures up."""
    width = len(MEASURES)
    return tuple(sum(int(value) for value in values[i::width] if value) for i in range(width))

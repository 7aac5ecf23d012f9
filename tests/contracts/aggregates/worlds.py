"""The worlds the contract of the rolling picture is tried in: memory and real servers, with a clock we move.

`dump()` gives everything that is stored in one form, so that whole states can be compared.
"""

import secrets

import numpy as np
import redis

from stream_worker.adapters.redis.aggregates import RedisAggregates
from stream_worker.adapters.redis.snapshot import RedisSnapshots
from stream_worker.core.aggregates.encoding import SHARDS, encode_sums, shard_of
from stream_worker.core.aggregates.measures import MEASURES, Delta
from stream_worker.core.aggregates.shard import Close
from stream_worker.core.archive.layout import Log
from stream_worker.core.partition.effects import Apply
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from tests.fakes import redis_damage
from tests.fakes.redis_aggregates import MemoryAggregates
from tests.fakes.redis_snapshot import MemorySnapshots
from tests.fakes.redis_state import MemoryState

LOG = Log("mentions", "0a1b2c3d")
NOON = 1_763_812_800_000  # 2025-11-22 12:00 UTC, a whole hour: the first minute of most tests
LATENESS = 30_000
HOLD = 120_000

# The shared line of every script, with the clock in a key beside the picture.
CLOCK = "local now_us = tonumber(redis.call('GET', string.sub(KEYS[1], 1, -5) .. ':clock')) * 1000"


class MemoryWorld:
    """A Redis that is a `MemoryState`."""

    def __init__(self):
        self.now_ms = NOON
        self.state = MemoryState()

    def aggregates(self, log=LOG, **options):
        return MemoryAggregates(log, lambda: self.now_ms, self.state, **options)

    def snapshots(self, logs):
        return MemorySnapshots(self.state, logs, lambda: self.now_ms)

    def damage(self, key, field="", text="rubbish"):
        redis_damage.damage(self.state, key, field, text)

    def remove(self, damaged):
        redis_damage.remove(self.state, damaged)

    def advance(self, ms):
        self.now_ms += ms

    def snapshot(self):
        return self.state.copy()

    def restore(self, snapshot):
        self.state.restore(snapshot)

    def empty(self):
        self.state.clear()

    def dump(self):
        return dump_memory(self.state)

    def close(self):
        pass


class RedisWorld:
    """A prefix of its own on a real server."""

    def __init__(self, url):
        self.url = url
        self.prefix = f"{{t{secrets.token_hex(6)}}}"
        self.client = redis.Redis.from_url(url)
        self._opened = []
        self._set_clock(NOON)

    def aggregates(self, log=LOG, **options):
        self._opened.append(RedisAggregates(self.url, log, prefix=self.prefix, clock=CLOCK, **options))
        return self._opened[-1]

    def snapshots(self, logs):
        self._opened.append(RedisSnapshots(self.url, logs, prefix=self.prefix, clock=CLOCK))
        return self._opened[-1]

    def damage(self, key, field="", text="rubbish"):
        name = f"{self.prefix}:{key}"
        if field:
            self.client.hset(name, field, text)
        else:
            self.client.set(name, text)

    def remove(self, damaged):
        name = f"{self.prefix}:{damaged.key}"
        if damaged.field:
            self.client.hdel(name, damaged.field)
        else:
            self.client.delete(name)

    def _set_clock(self, now_ms):
        self.now_ms = now_ms
        self.client.set(f"{self.prefix}:clock", now_ms)

    def advance(self, ms):
        self._set_clock(self.now_ms + ms)

    def snapshot(self):
        return {key: self.client.dump(key) for key in self._keys()}

    def restore(self, snapshot):
        self.empty()
        for key, value in snapshot.items():
            self.client.restore(key, 0, value)

    def empty(self):
        _all(self.client, self._keys(), lambda pipe, key: pipe.delete(key))

    def _keys(self):
        clock = f"{self.prefix}:clock".encode()
        return [key for key in self.client.scan_iter(f"{self.prefix}:*", count=1_000) if key != clock]

    def dump(self):
        return dump_redis(self.client, self.prefix)

    def close(self):
        self.empty()
        self.client.delete(f"{self.prefix}:clock")
        for aggregates in self._opened:
            aggregates._client.close()
        self.client.close()


def dump_redis(client, prefix):
    """Everything below a prefix: key without the prefix -> hash as dict, or list."""
    found = {}
    keys = list(client.scan_iter(f"{prefix}:*", count=1_000))
    types = _all(client, keys, lambda pipe, key: pipe.type(key))
    hashes = [key for key, kind in zip(keys, types, strict=True) if kind == b"hash"]
    for key, fields in zip(hashes, _all(client, hashes, lambda pipe, key: pipe.hgetall(key)), strict=True):
        found[_text(key).removeprefix(f"{prefix}:")] = {_text(k): _text(v) for k, v in fields.items()}
    found["minutes"] = [_text(member) for member in client.zrange(f"{prefix}:minutes", 0, -1)]
    for stream in ("changes", "alerts"):
        entries = client.xrange(f"{prefix}:{stream}")
        found[stream] = [{_text(k): _text(v) for k, v in fields.items()} for _, fields in entries]
    return _without_zeros(found)


def _all(client, keys, ask):
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            ask(pipe, key)
        return pipe.execute()


def _text(stored):
    return stored.decode("utf-8", "surrogatepass")


def _without_zeros(found):
    """An absent count and a zero mean the same, and so do an absent key and an empty one."""
    for name in ("trimmed", "expired"):
        if found.get("ctl", {}).get(name) == "0":
            del found["ctl"][name]
    return {key: value for key, value in found.items() if value}


def dump_memory(state):
    """The same of a `MemoryState`."""
    ctl = state.ctl
    found = {"ctl": {name: getattr(ctl, name) for name in ctl.__slots__}}
    found["ctl"]["v"] = None if ctl.last_script_ms is None else 1
    if ctl.incarnation is None:
        found["ctl"]["partitions"] = None
    for log, rows in state.cursors.items():
        found[f"cursors:{log}"] = {
            f"{name}:{partition}": value
            for partition, row in rows.items()
            for name, value in {
                "next": row.next,
                "wm": None if row.next is None else row.watermark,
                "end": row.log_end,
                "rep": row.reported_ms,
                "alive": row.alive_ms,
                "proof": None if row.proof is None else f"{row.proof[0]},{row.proof[1]}",
                "seen": row.seen_ms,
                "owner": row.owner,
            }.items()
        }
    for start, minute in state.minutes.items():
        sealed = minute.seal_id is not None
        found[f"m:{start}"] = {
            **minute.fields,
            "models": ",".join(minute.models) if minute.models or sealed else None,
            "mark": minute.seal_id,
            "complete": int(minute.complete) if sealed else None,
            "sealed_ms_at": minute.sealed_at_ms,
        }
    found["minutes"] = [str(start) for start in sorted(state.minutes)]
    found["models"] = {str(start): models for start, models in state.models.items()}
    for kind, unit, history in (("hm", HOUR_MS, state.by_minute), ("hd", DAY_MS, state.by_hour)):
        for brand, values in history.items():
            for start, sums in values.items():
                key = f"{kind}:{start - start % unit}:{brand}"
                text = sums if isinstance(sums, str) else encode_sums(sums)
                found.setdefault(key, {})[str(start)] = text
    for shard in state.shards:
        if shard.closed_ms != -1:
            found[f"shard:{shard.number}"] = {
                "closed": shard.closed_ms,
                "version": shard.state_id,
                "detector": shard.detector,
                **{f"numbers:{brand}": value for brand, value in shard.states.items()},
                **{f"episode:{brand}": value for brand, value in shard.episodes.items()},
            }
    for name in ("brands", "networks"):
        found[name] = {key: "" if first is None else first for key, first in getattr(state, name).items()}
    found["outbox"], found["fixed"] = dict(state.outbox), dict(state.fixed)
    found |= {f"now:{brand}": fields for brand, fields in state.now.items()}
    texts = {
        key: {name: str(value) for name, value in fields.items() if value is not None}
        for key, fields in found.items()
        if isinstance(fields, dict)
    }
    lists = {"minutes": found["minutes"], "changes": state.changes, "alerts": state.alerts}
    return _without_zeros({**texts, **lists})


def cells(*rows, model="m1:sk"):
    """A delta of cells (minute, brand, n) with more by name: `network`, `late`, any measure."""
    minutes, late, networks, brands, measures = [], [], [], [], []
    for minute, brand, n, *more in rows:
        said = dict(more[0]) if more else {}
        minutes.append(minute)
        brands.append(brand)
        late.append(said.pop("late", False))
        networks.append(said.pop("network", "x"))
        measures.append([{"n": n, **said}.get(measure, 0) for measure in MEASURES])
    return Delta(
        np.array(minutes, np.int64),
        np.array(late, bool),
        networks,
        brands,
        np.array(measures, np.int64),
        model,
    )


class Feeder:
    """One worker's side of partitions: it remembers cursors, so that a test says only what it is about."""

    def __init__(self, aggregates, partitions=1, *, complete_from_ms=NOON):
        self.aggregates = aggregates
        self.next = dict.fromkeys(range(partitions), 0)
        for partition in range(partitions):
            aggregates.create_cursor(partition, 0, 0, complete_from_ms)

    def apply(self, *rows, partition=0, wm=0, model="m1:sk", **more):
        """Count cells and move the cursor by one; `wm` is the watermark."""
        start = self.next[partition]
        delta = cells(*rows, model=model) if rows else None
        answer = self.aggregates.apply([Apply(partition, start, start + 1, wm, start + 1, delta, **more)])[0]
        assert answer.applied
        self.next[partition] = answer.cursor.next
        return answer

    def report(self, partition=0, wm=0, **more):
        """Report without progress."""
        at = self.next[partition]
        return self.aggregates.apply([Apply(partition, at, at, wm, at, None, **more)])[0]

    def seal(self, partitions=None):
        return self.aggregates.seal(partitions or len(self.next), LATENESS, HOLD)


def minute(number):
    """Start of the minute `number` after noon."""
    return NOON + number * MINUTE_MS


def sums(**measures):
    """Ten sums by name."""
    return tuple(measures.get(measure, 0) for measure in MEASURES)


def close_call(shard, sealed, **more):
    """A close of `sealed` for the shard as it was read; every tally of the shard goes to history."""
    return Close(
        **{
            "shard": shard.number,
            "minute_ms": sealed.start_ms,
            "expected_closed_ms": shard.closed_ms,
            "expected_state_id": shard.state_id,
            "seal_id": sealed.seal_id,
            "detector": "d/1",
            "sums": {},
            "states": {},
            "episodes": {},
            "outbox": {},
            **more,
        }
    )


def close_up_to(aggregates, start):
    """Close the sealed minute `start` of every shard and nothing before it, as one whose past was empty."""
    for number in range(SHARDS):
        assert aggregates.close(close_call(aggregates.shard(number), aggregates.next_sealed(start)))


def close_everything(aggregates, judged=lambda sealed: sealed.tallies):
    """Close every sealed minute of every shard; `judged` gives the sums of a minute per brand."""
    for number in range(SHARDS):
        while (sealed := aggregates.next_sealed((shard := aggregates.shard(number)).closed_ms)) is not None:
            own = {brand: tally for brand, tally in judged(sealed).items() if shard_of(brand) == number}
            assert aggregates.close(close_call(shard, sealed, sums=own))


def marked(world):
    """The sealed minutes that have a mark, as numbers after noon, and whether each is complete."""
    return {
        (int(key[2:]) - NOON) // MINUTE_MS: fields["complete"] == "1"
        for key, fields in world.dump().items()
        if key.startswith("m:") and "mark" in fields
    }

"""All workers in one, for the notifier's world: minutes are closed, spikes come and go, the outbox fills.

Rules:
1. Redis holds the values that the workers' scripts would write, in a `MemoryState`.
2. In another *life* (Redis went back) the same spikes are counted a little differently, or not at all.
"""

import json
from datetime import UTC, datetime
from hashlib import sha256
from random import Random

from stream_worker.core.aggregates.encoding import shard_of

MINUTE_MS = 60_000
BEGIN_MS = 1_763_812_800_000  # 2025-11-22 12:00 UTC
BRANDS = ("acme", "Ölwerk")  # of two shards


class Closer:
    """All workers in one: closes minutes, and puts changes of episodes into the outbox."""

    QUIET, COOL_DOWN, EXPIRES, ESCALATES, REMINDS = 3, 8, 40, 4, 15  # minutes

    def __init__(self, world):
        self._world = world
        self.life = 0
        self.spikes = {brand: [] for brand in BRANDS}  # [start, end) in minutes since the beginning
        self._spikes_until = dict.fromkeys(BRANDS, 0)
        self.away = False
        self._seen_spikes = {}

    def close(self, minutes_max):
        """Close the next minutes of every shard that has a brand."""
        world = self._world
        for brand in BRANDS:
            shard = world.redis.shards[shard_of(brand)]
            if shard.closed_ms < 0:  # Redis was emptied: counting begins anew, some time back
                back = world.rng.randint(2, 45)
                shard.closed_ms = world.now_ms - world.now_ms % MINUTE_MS - back * MINUTE_MS
            due = (world.now_ms - 5_000 - shard.closed_ms) // MINUTE_MS
            for _ in range(min(due, minutes_max)):
                self._close(shard, brand, (shard.closed_ms - BEGIN_MS) // MINUTE_MS)
                shard.closed_ms += MINUTE_MS

    def _spiking(self, brand, minute):
        rng = self._world.rng
        while self._world.profile.spikes and self._world.hostile and self._spikes_until[brand] <= minute:
            start = self._spikes_until[brand] + rng.choice((3, 10, 25, 60))
            self.spikes[brand].append((start, start + rng.choice((1, 5, 12, 30, 70))))
            self._spikes_until[brand] = self.spikes[brand][-1][1]
        return any(
            start <= minute < end
            for number, spike in enumerate(self.spikes[brand])
            if abs(spike[0] - minute) < 120
            for start, end in (self.seen_as(brand, number, spike),)
        )

    def seen_as(self, brand, number, spike):
        """A spike as this life counts it."""
        if self.life == 0:
            return spike
        if (brand, number, self.life) not in self._seen_spikes:
            self._seen_spikes[brand, number, self.life] = self._see(brand, number, spike)
        return self._seen_spikes[brand, number, self.life]

    def _see(self, brand, number, spike):
        rng = Random(f"{brand} {number} {self.life}")
        chance, (start, end) = rng.random(), spike
        if chance < 0.25:
            return (start, start)  # nothing, this time
        shift = rng.choice((-3, -1, 1, 2, 6)) if chance < 0.75 else 0
        return (start + shift, end + rng.choice((0, 0, -4, 5)))

    def _close(self, shard, brand, minute):
        record = json.loads(shard.episodes.get(brand, "null"))
        spiking = self._spiking(brand, minute)
        if record and record.get("resolved_ms") is not None:
            if minute < record["at"] + self.COOL_DOWN:
                return
            record = shard.episodes.pop(brand) and None
        if record is None:
            if spiking:
                record = {"id": episode_id(brand, minute), "at": minute, "quiet": 0}
                self._put(brand, record, "opened", minute)
                shard.episodes[brand] = json.dumps(record)
            return
        record["quiet"] = 0 if spiking else record["quiet"] + 1
        age = minute - record["at"]
        if record["quiet"] >= self.QUIET or age >= self.EXPIRES:
            record["resolved_ms"] = BEGIN_MS + minute * MINUTE_MS
            self._put(brand, record, "resolved" if age < self.EXPIRES else "expired", minute)
        elif age == self.ESCALATES:
            self._put(brand, record, "escalated", minute)
        elif age % self.REMINDS == 0:
            self._put(brand, record, "reminder", minute, f".{age // self.REMINDS}")
        shard.episodes[brand] = json.dumps(record)

    def _put(self, brand, record, kind, minute, count=""):
        """Put an entry into the outbox, unless it is there; another life finds other words."""
        name = f"{record['id']}.{kind}{count}"
        body = {
            "id": name,
            "kind": kind,
            "episode": record["id"],
            "brand": brand,
            "opened": instant(record["at"]),
            "minute": instant(minute),
            "score": 10 + self.life,
        }
        state = self._world.redis
        if name not in state.outbox:
            state.outbox[name] = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
            self._world.oracle.entry_put(state.outbox[name])
            self._world.bites[f"entry {kind}"] += 1


def episode_id(brand, minute):
    opened = datetime.fromtimestamp(BEGIN_MS / 1000 + minute * 60, UTC)
    return f"{sha256(brand.encode()).hexdigest()[:16]}-{opened:%Y%m%dT%H%M}"


def instant(minute):
    return f"{datetime.fromtimestamp(BEGIN_MS / 1000 + minute * 60, UTC):%Y-%m-%dT%H:%M:%SZ}"

"""Random histories on memory and on Redis: the same answers, and the same state after every step.

This makes `MemoryAggregates` the description of the scripts that can be executed.
"""

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from stream_worker.core.aggregates.encoding import SHARDS
from stream_worker.core.archive.layout import Log
from stream_worker.core.partition.effects import Apply
from stream_worker.core.time import DAY_MS, HOUR_MS
from tests.contracts.aggregates.worlds import (
    HOLD,
    LATENESS,
    NOON,
    MemoryWorld,
    RedisWorld,
    cells,
    close_call,
    minute,
)

LOGS = [Log("mentions", "00000001"), Log("mentions", "00000002")]
STARTS = [minute(i) for i in range(6)] + [
    NOON + age
    for age in (HOUR_MS, 5 * HOUR_MS, DAY_MS, DAY_MS + 60_000, 2 * DAY_MS, 2 * DAY_MS + HOUR_MS, 40 * DAY_MS)
]

logs = st.sampled_from([0, 0, 0, 1])
partitions = st.sampled_from([0, 0, 1])
starts = st.sampled_from(STARTS)
watermarks = st.one_of(starts, st.sampled_from([0, NOON + 59_999, NOON + 41 * DAY_MS]))
brands = st.one_of(st.sampled_from(["a", "b:c", "💥", ""]), st.text(max_size=3))
measures = st.fixed_dictionaries(
    {"late": st.booleans(), "network": st.sampled_from(["x", "y", ""])},
    optional={"sum": st.integers(-(10**14), 10**14), "neg": st.integers(1, 9), "voices": st.integers(1, 9)},
)
rows = st.lists(st.tuples(starts, brands, st.integers(1, 9), measures), max_size=6)


def step(name, *arguments):
    return st.tuples(st.just(name), *arguments)


steps = st.one_of(
    step("create", logs, partitions, st.integers(0, 3), watermarks, st.sampled_from([0, NOON, minute(2)])),
    step(
        "apply",
        logs,
        partitions,
        st.sampled_from([0, 0, 0, 0, 1, -1]),
        rows,
        watermarks,
        st.booleans(),
        st.none() | starts,
        st.sampled_from(["m1", "m2"]),
    ),
    step("count", partitions, rows, watermarks),
    step("advance_cursor", logs, partitions, st.sampled_from([0, 0, 1]), watermarks, starts),
    step("seal", logs, st.sampled_from([1, 2, 1, 2, 3]), st.sampled_from(["", *(log.name for log in LOGS)])),
    step("close", brands, st.sampled_from([0, 0, 0, 0, 60_000, HOUR_MS]), st.booleans(), st.booleans()),
    step("close_all", st.booleans()),
    step("refresh_view", st.none() | st.lists(brands, max_size=3)),
    step("publish_change", st.lists(starts, max_size=2), st.lists(brands, max_size=2)),
    step("advance", st.sampled_from([1, 10_000, 29_999, 31_000, HOLD, HOLD + 1, DAY_MS])),
    st.tuples(st.sampled_from(["snapshot", "restore", "empty"])),
)


class Player:
    """One world and the workers in it; every step gives what it answered."""

    def __init__(self, world):
        self.world = world
        self.workers = [world.aggregates(log, max_brands=3, owner="me") for log in LOGS]
        self.kept = None

    def play(self, taken):
        name, *args = taken
        return getattr(self, name)(*args)

    def create(self, log, partition, start, watermark, floor):
        return self.workers[log].create_cursor(partition, start, watermark, floor)

    def apply(self, log, partition, off, rows, watermark, paused, t0, model):
        cursor = self.workers[log].cursor(partition)
        at = (0 if cursor is None else cursor.next) + off
        delta = cells(*rows, model=model) if rows else None
        call = Apply(partition, at, at + len(rows), watermark, at + 9, delta, paused, t0)
        return self.workers[log].apply([call, call])

    def count(self, partition, rows, watermark):
        return self.apply(0, partition, 0, rows, watermark, paused=False, t0=None, model="m1")

    def advance_cursor(self, log, partition, off, watermark, floor):
        cursor = self.workers[log].cursor(partition)
        at = (0 if cursor is None else cursor.next) + off
        return self.workers[log].advance_cursor(partition, at, at + 5, watermark, floor)

    def seal(self, log, count, older_log):
        answer = self.workers[log].seal(count, LATENESS, HOLD, older_log)
        return {name: getattr(answer, name) for name in answer.__slots__}

    def close(self, brand, skip, wrong, ends):
        aggregates = self.workers[0]
        shard = aggregates.shard(sum(brand.encode()) % SHARDS)
        sealed = aggregates.next_sealed(shard.closed_ms + skip)
        if sealed is None:
            return None
        call = close_call(
            shard,
            sealed,
            sums={**sealed.tallies, brand: (0,) * 10},
            detector="d/1" if skip else "d/2",
            states={brand: str(skip)},
            episodes={brand: None if ends else "open"},
            outbox={f"{brand}.opened": str(sealed.start_ms)},
        )
        call.seal_id += "?" if wrong else ""
        return (
            aggregates.close(call),
            sealed.tallies,
            sealed.seal_id,
            sealed.complete,
            sealed.models,
            aggregates.history(brand, [sealed.start_ms - sealed.start_ms % HOUR_MS]),
        )

    def close_all(self, newest):
        """Close the oldest or the newest sealed minute of every shard: what makes trimming possible."""
        aggregates, closed = self.workers[0], []
        for number in range(SHARDS):
            shard = aggregates.shard(number)
            after = shard.closed_ms
            if newest:
                after = max(after, int(self.world.dump().get("ctl", {}).get("sealed", 0)) - 60_000)
            sealed = aggregates.next_sealed(after)
            closed.append(
                sealed is not None and aggregates.close(close_call(shard, sealed, sums=sealed.tallies))
            )
        return closed

    def refresh_view(self, some):
        self.workers[0].refresh_view(some)

    def publish_change(self, minutes, some):
        self.workers[0].publish_change("counted", minutes, some)

    def advance(self, ms):
        self.world.advance(ms)

    def snapshot(self):
        self.kept = self.world.snapshot()

    def restore(self):
        if self.kept is not None:
            self.world.restore(self.kept)

    def empty(self):
        self.world.empty()


BEGIN = [("create", 0, 0, 0, 0, NOON), ("create", 0, 1, 0, 0, NOON)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.lists(steps, min_size=5, max_size=40))
def test_memory_and_redis_agree_on_every_history(redis_server, history):
    # Given both worlds
    memory, real = Player(MemoryWorld()), Player(RedisWorld(redis_server.url))
    try:
        for taken in [*BEGIN, *history]:
            # When the same step is taken in both
            note(str(taken))
            answers = memory.play(taken), real.play(taken)

            # Then they answer the same and hold the same
            assert answers[0] == answers[1], taken
            assert memory.world.dump() == real.world.dump(), taken
    finally:
        real.world.close()

"""Damaged fields in a real Redis: workers go on, name each once, and count all else exactly."""

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from stream_worker.adapters.redis.aggregates import RedisAggregates
from stream_worker.core.aggregates.encoding import SHARDS, shard_of
from stream_worker.core.time import MINUTE_MS
from tests.builders import LOG, NOON_MS
from tests.contracts.aggregates.worlds import CLOCK, RedisWorld
from tests.integration.loops.rig import Clock, Rig

pytestmark = pytest.mark.timeout(120)

BRANDS = ["episode", "history", "count", "fine"]
SENT = 60  # records of each brand in each of two batches, five seconds apart


class RedisClock(Clock):
    """The rig's clock, which is Redis TIME too."""

    def __init__(self, world):
        self._world = world
        super().__init__()

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "now_s":
            self._world._set_clock(self.now_ms())


class RedisRig(Rig):
    """A rig whose Redis is a real one, below a prefix of its own."""

    def __init__(self, monkeypatch, world, **options):
        super().__init__(monkeypatch, **options)
        self.world, self.clock = world, RedisClock(world)
        monkeypatch.setattr("stream_worker.worker.loop.time", self.clock)

    def aggregates(self, on_damage=lambda _: None):
        opened = RedisAggregates(
            self.world.url, LOG, prefix=self.world.prefix, clock=CLOCK, on_damage=on_damage
        )
        self.world._opened.append(opened)
        return opened

    def send_brands(self):
        for partition, brand in enumerate(BRANDS):
            self.send(SENT, partition, brand=brand, bad_every=10**6)


@pytest.fixture
def world(redis_server):
    made = RedisWorld(redis_server.url)
    yield made
    made.close()


@pytest.fixture
def rig(monkeypatch, world):
    made = RedisRig(monkeypatch, world, partitions=len(BRANDS))
    yield made
    made.close()


def counted(dump, brand):
    """All that Redis holds of a brand, but for its view, which is dated."""
    return {
        (key, field): value
        for key, fields in dump.items()
        if isinstance(fields, dict) and not key.startswith(("now:", "changes", "ctl"))
        for field, value in fields.items()
        if brand in (field.rpartition(":")[2], key.rpartition(":")[2])
    }


def live(rig, then=lambda: None):
    """Count five minutes, let `then` happen, and let the next worker count five more.

    Returns that worker, and what is stored.
    """
    worker = rig.worker(*range(len(BRANDS)))
    rig.send_brands()
    worker.finish()
    worker.turn(8)
    then()
    rig.world.client.delete(f"{rig.world.prefix}:lease:minutes")  # the first one is never heard of again
    heir = rig.worker(*range(len(BRANDS)))
    rig.send_brands()
    heir.finish()
    heir.turn(8)
    return heir, rig.world.dump()


def closes(dump):
    return {int(dump[f"shard:{number}"]["closed"]) for number in range(SHARDS)}


def lines(logs, event="field damaged"):
    return [(line["kind"], line["key"], line["field"]) for line in logs if line["event"] == event]


def test_damaged_fields_stop_their_brands_and_the_others_are_exact(monkeypatch, world, rig):
    # Given what is counted in peace, …
    peace = RedisWorld(world.url)
    quiet = RedisRig(monkeypatch, peace, partitions=len(BRANDS))
    _, in_peace = live(quiet)
    quiet.close()
    peace.close()

    # … and a world in which an episode, a minute of history and a count become rubbish
    shard, minute = f"shard:{shard_of('episode')}", NOON_MS + 4 * MINUTE_MS
    key, count = f"hm:{NOON_MS}:history", f"m:{minute}"
    monkeypatch.setattr("stream_worker.worker.loop.time", rig.clock)

    def damage():
        world.damage(shard, "episode:episode")
        world.damage(key, str(minute), "1,2,3")
        world.damage(count, "n:x:count")

    # When the worker goes on
    with capture_logs() as logs:
        worker, damaged = live(rig, damage)

    # Then it names each once, and evaluates and counts all others as in peace
    assert sorted(lines(logs)) == [
        ("count", f"{{sw}}:{count}", "n:x:count"),
        ("episode", f"{{sw}}:{shard}", "episode:episode"),
        ("history", f"{{sw}}:{key}", str(minute)),
    ]
    assert not lines(logs, "partition stopped")
    assert counted(damaged, "fine") == counted(in_peace, "fine")
    assert closes(damaged) == closes(in_peace)
    assert damaged[shard]["episode:episode"] == "rubbish"
    assert damaged[key][str(minute)] == "1,2,3"
    assert damaged[count]["n:x:count"] == "rubbish"
    assert without(counted(damaged, "history"), key, str(minute)) == without(
        counted(in_peace, "history"), key, str(minute)
    )
    exposed = generate_latest(worker.metrics.registry).decode()
    assert all(
        f'damaged_fields_total{{kind="{kind}"}}' in exposed for kind in ("count", "episode", "history")
    )

    # And when they are mended as their lines say, nothing is damaged any more
    for line in [line for line in logs if line["event"] == "field damaged"]:
        command, name, field = line["mend"].split(" (")[0].split(" ")
        assert command == "HDEL"
        assert world.client.hdel(name.replace("{sw}", world.prefix), field) == 1
    before_ms = min(closes(damaged))
    with capture_logs() as logs:
        rig.send_brands()
        worker.finish()
        worker.turn(8)
    after = world.dump()
    assert not lines(logs)
    assert closes(after) == {before_ms + 5 * MINUTE_MS}
    for brand in BRANDS:
        state = after[f"shard:{shard_of(brand)}"][f"numbers:{brand}"]
        assert str(before_ms + 4 * MINUTE_MS) in state, "its last minute was fed"


def without(stored, key, field):
    return {at: value for at, value in stored.items() if at != (key, field)}


def test_a_damaged_cursor_stops_its_partition_with_one_line_that_knows_the_cursor(rig, world):
    cursors = f"cursors:{LOG.name}"

    with capture_logs() as logs:
        worker = rig.worker(*range(len(BRANDS)))
        rig.send_brands()
        worker.finish()
        world.damage(cursors, "next:1", "abc")
        rig.send_brands()
        worker.turn(20)

    stopped = [line for line in logs if line["event"] == "partition stopped"]
    assert [(line["partition"], line["cursor"]) for line in stopped] == [(1, SENT)]
    assert f"{cursors} field next:1 cannot be read" in stopped[0]["error"]
    assert lines(logs) == [("cursor", f"{{sw}}:{cursors}", "next:1")]
    stored = world.dump()[cursors]
    assert [stored[f"next:{partition}"] for partition in range(4)] == ["120", "abc", "120", "120"]
    assert worker.effect_runner.owned[1].stopped

    # And when it is set to what the line says, its next owner goes on exactly
    world.client.hset(f"{world.prefix}:{cursors}", "next:1", stopped[0]["cursor"])
    heir = rig.worker(1)
    heir.finish()
    assert world.dump()[cursors]["next:1"] == "120"


def test_a_shard_that_cannot_be_read_waits_until_it_is_mended(rig, world):
    number, kept = shard_of("history"), []

    def damage():
        kept.append(world.dump()[f"shard:{number}"]["closed"])
        world.damage(f"shard:{number}", "closed", "soon")

    with capture_logs() as logs:
        worker, stored = live(rig, damage)

    others = {int(stored[f"shard:{k}"]["closed"]) for k in range(SHARDS) if k != number}
    assert len(others) == 1
    assert lines(logs) == [("shard", f"{{sw}}:shard:{number}", "closed")]

    world.damage(f"shard:{number}", "closed", kept[0])
    worker.turn(12)
    assert closes(world.dump()) == others


@pytest.mark.parametrize("key", ["brands", "minutes", "ctl", f"cursors:{LOG.name}", "outbox"])
def test_a_damaged_control_key_is_waited_for_and_the_worker_goes_on_when_it_is_mended(rig, world, key):
    # Given a worker at work, and a control key that somebody replaced
    worker = rig.worker(*range(len(BRANDS)))
    rig.send_brands()
    worker.finish()
    worker.turn(8)
    name = f"{world.prefix}:{key}"
    kept = world.client.dump(name)
    world.client.set(name, "foreign")

    # When the worker turns for ten seconds
    rig.send_brands()
    with capture_logs() as logs:
        worker.turn(40)

    # Then it waits, says so, and is not well
    said = [line for line in logs if line["event"] == "field damaged"]
    assert said
    assert all((line["kind"], "WRONGTYPE" in line["error"]) == ("control", True) for line in said)
    assert worker.health.ready()[1]["status"] != "ready"
    assert worker.health.ready()[1]["parts"]["redis"]["ok"] is False
    assert not [one for one in worker.effect_runner.owned.values() if one.stopped]

    # And when the key is back, everything is counted
    world.client.delete(name)
    if kept is not None:
        world.client.restore(name, 0, kept)
    worker.finish()
    worker.turn(8)
    stored = world.dump()
    assert {stored[f"cursors:{LOG.name}"][f"next:{p}"] for p in range(4)} == {"120"}
    assert worker.health.ready()[1]["parts"]["redis"]["ok"] is True
    assert min(closes(stored)) == NOON_MS + 9 * MINUTE_MS

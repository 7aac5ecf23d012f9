"""What only a real Redis shows: scripts, keys of a wrong type, times to live, and two workers at once."""

import re
import threading
from importlib import resources

import pytest

from stream_worker.adapters.redis.aggregates import RedisAggregates
from stream_worker.adapters.redis.keys import as_lua
from stream_worker.adapters.redis.scripts import NAMES, OUTBOX_NAMES
from stream_worker.core.aggregates.encoding import ZEROS, decode_sums, shard_of
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.partition.effects import Apply
from stream_worker.core.partition.inputs import Cursor
from stream_worker.errors import Misconfigured, Unreadable
from tests.contracts.aggregates.worlds import LOG, NOON, Feeder, RedisWorld, cells, close_call, minute

SCRIPTS = resources.files("stream_worker.adapters.redis") / "lua"


@pytest.fixture
def world(redis_server):
    made = RedisWorld(redis_server.url)
    yield made
    made.close()


def state(world):
    """All that is stored, byte by byte, but for the time of the last script."""
    kept = {key: value for key, value in world.snapshot().items() if not key.endswith(b":ctl")}
    return kept, {k: v for k, v in world.dump().get("ctl", {}).items() if k != "last_script_ms"}


def test_the_scripts_know_the_measures_in_our_order():
    found = re.search(r"MEASURES, ZEROS = \{(.*?)\}, '(.*)'", as_lua())
    assert found[1].replace("'", "").split(", ") == list(MEASURES)
    assert decode_sums(found[2]) == ZEROS


def test_every_script_is_loaded_and_only_preludes_ask_for_the_time():
    preludes = {"prelude.lua", "notifier_prelude.lua"}
    files = {path.name for path in SCRIPTS.iterdir()}

    for name in preludes:
        assert "redis.call('TIME')" in SCRIPTS.joinpath(name).read_text().splitlines()[0]
    assert files == preludes | {f"{name}.lua" for name in (*NAMES, *OUTBOX_NAMES)}
    for name in files - preludes:
        assert "'TIME'" not in SCRIPTS.joinpath(name).read_text()


LATE = (minute(-1), "late", 1, {"late": True})


@pytest.mark.parametrize(
    "key",
    ["minutes", "brands", "networks"],
)
def test_a_control_key_of_a_wrong_type_leaves_everything_unchanged(world, key):
    # Given a foreign key where one of ours must be
    feeder = Feeder(world.aggregates(), complete_from_ms=minute(-5))
    world.client.delete(f"{world.prefix}:{key}")
    world.client.set(f"{world.prefix}:{key}", "foreign")
    before = world.snapshot()

    # When a delta would touch it after others
    rows = [(minute(i), f"brand {i}", 1) for i in range(4)]
    with pytest.raises(Unreadable, match="WRONGTYPE") as caught:
        feeder.apply(*rows, LATE)

    # Then the error names it, and not one field was written
    after = world.snapshot()
    ctl = f"{world.prefix}:ctl".encode()
    assert f"{world.prefix}:{key}" in str(caught.value)
    assert {k: v for k, v in after.items() if k != ctl} == {k: v for k, v in before.items() if k != ctl}
    assert feeder.aggregates.cursor(0) == Cursor(0, 0)


def test_a_close_over_an_outbox_of_a_wrong_type_leaves_everything_unchanged(world):
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 1), wm=minute(1))
    feeder.seal()
    world.client.set(f"{world.prefix}:outbox", "foreign")
    call = close_call(feeder.aggregates.shard(0), feeder.aggregates.next_sealed(-1), sums={"acme": (1,) * 10})
    before = state(world)

    with pytest.raises(Unreadable, match="WRONGTYPE"):
        feeder.aggregates.close(call)

    assert state(world) == before


@pytest.mark.parametrize("field", ["sealed", "floor", "trimmed", "newest", "expired"])
def test_damaged_control_leaves_everything_unchanged_and_is_named(world, field):
    feeder = Feeder(world.aggregates(), complete_from_ms=minute(-5))
    world.client.hset(f"{world.prefix}:ctl", field, "rubbish")
    before = state(world)

    with pytest.raises(Unreadable, match=f":ctl field {field} is no integer"):
        feeder.apply((minute(0), "acme", 1), LATE, (minute(-9), "old", 1))

    assert state(world) == before


def test_another_format_version_is_refused_by_every_script(world):
    # Given data of a later version
    aggregates = world.aggregates()
    world.client.hset(f"{world.prefix}:ctl", "v", "2")
    before = world.snapshot()

    # When anything is asked, then it says what to do and writes nothing
    for ask in (
        lambda: aggregates.create_cursor(0, 0, 0, NOON),
        lambda: aggregates.apply([Apply(0, 0, 1, 0, 1, cells((NOON, "acme", 1)))]),
        lambda: aggregates.seal(1, 0, 0),
        lambda: aggregates.next_sealed(-1),
        lambda: aggregates.refresh_view(None),
        lambda: aggregates.publish_change("counted", [], []),
        lambda: aggregates.lease("minutes", "me", 1_000),
    ):
        with pytest.raises(Misconfigured, match=r"format version 2.*redis\.prefix"):
            ask()
    assert world.snapshot() == before


def test_scripts_are_loaded_again_when_the_server_forgot_them(world):
    # Given a server that was restarted, in the eyes of its script cache
    aggregates = world.aggregates()
    aggregates.create_cursor(0, 0, 0, NOON)
    world.client.script_flush()

    # When three calls go out in one trip
    calls = [Apply(0, at, at + 1, 0, 3, cells((NOON, "acme", 1))) for at in range(3)]
    answers = aggregates.apply(calls)

    # Then all are applied, once
    assert [a.applied for a in answers] == [True, True, True]
    assert world.dump()[f"m:{NOON}"]["n:x:acme"] == "3"


def test_everything_but_cursors_and_control_has_a_time_to_live(world):
    # Given a picture with everything in it
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 1), LATE, wm=minute(1))
    feeder.apply((minute(3), "acme", 1), (NOON, "acme", 1, {"late": True}))
    feeder.seal()
    feeder.aggregates.refresh_view(None)
    feeder.aggregates.publish_change("counted", [NOON], ["acme"])
    feeder.aggregates.lease("minutes", "me", 60_000)
    shard, sealed = feeder.aggregates.shard(shard_of("acme")), feeder.aggregates.next_sealed(-1)
    assert feeder.aggregates.close(close_call(shard, sealed, sums={"acme": (1,) * 10}, outbox={"m": "x"}))

    # When we look at what each key has left
    left = {}
    for key in world.client.scan_iter(f"{world.prefix}:*"):
        name = key.decode().removeprefix(f"{world.prefix}:")
        left.setdefault(name.split(":")[0], set()).add(world.client.ttl(key))

    # Then a day is 86,400 s, and -1 is for ever
    day = 86_400
    forever = {"ctl", "cursors", "minutes", "brands", "networks", "shard", "outbox", "clock"}
    assert {name for name, ttls in left.items() if ttls == {-1}} == forever
    for name, most in {
        "m": 7 * day,
        "hm": 8 * day,
        "hd": 70 * day,
        "models": 70 * day,
        "now": 2 * day,
        "changes": 2 * day,
    }.items():
        assert all(most - 60 <= ttl <= most for ttl in left[name]), name
    assert all(0 < ttl <= 60 for ttl in left["lease"])


def test_names_of_expired_hashes_are_trimmed_though_nothing_was_closed(world):
    # Given hashes whose time to live has ended, in the order of their minutes
    feeder = Feeder(world.aggregates())
    feeder.apply(*((minute(i), "acme", 1) for i in range(4)), wm=minute(4))
    feeder.seal()
    world.client.delete(*(f"{world.prefix}:m:{minute(i)}" for i in (0, 1, 3)))

    # When it is sealed again
    feeder.seal()

    # Then the names before the first one that is there are gone
    assert world.dump()["minutes"] == [str(minute(2)), str(minute(3))]
    assert world.dump()["ctl"]["trimmed"] == str(minute(2))
    assert feeder.aggregates.next_sealed(-1).start_ms == minute(2)
    assert feeder.aggregates.next_sealed(minute(3)) is None


def test_many_workers_that_send_the_same_count_it_once(world):
    # Given four workers with the same hundred calls
    world.aggregates().create_cursor(0, 0, 0, NOON)
    applied = []

    def work(aggregates):
        for at in range(100):
            answer = aggregates.apply([Apply(0, at, at + 1, 0, 100, cells((NOON, "acme", 1)))])[0]
            applied.append(answer.applied)

    # When they run at once
    threads = [threading.Thread(target=work, args=(world.aggregates(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Then each call was applied by one of them
    assert applied.count(True) == 100
    assert len(applied) == 400
    assert world.dump()[f"m:{NOON}"]["n:x:acme"] == "100"


def test_the_real_clock_is_that_of_the_server(redis_server, redis_prefix):
    aggregates = RedisAggregates(redis_server.url, LOG, prefix=redis_prefix)
    aggregates.create_cursor(0, 0, 0, 0)
    answer = aggregates.apply([Apply(0, 0, 1, 0, 1, None)])[0]

    with redis_server.client() as client:
        seconds, _ = client.time()
    assert abs(answer.now_ms - seconds * 1_000) < 5_000


def test_a_prefix_needs_a_hash_tag():
    for prefix in ("sw", "{}", "sw}"):
        with pytest.raises(Misconfigured, match=r"redis\.prefix"):
            RedisAggregates("redis://127.0.0.1:1/0", LOG, prefix=prefix)


def test_a_draw_in_small_transactions_draws_the_same(world, monkeypatch):
    # Given many brands
    feeder = Feeder(world.aggregates())
    feeder.apply(*((minute(i % 3), f"brand {i}", i + 1) for i in range(40)))
    feeder.aggregates.refresh_view(None)
    at_once = world.dump()

    # When a transaction takes only a few of them
    monkeypatch.setattr("stream_worker.adapters.redis.view.FIELDS_MAX", 1_000)
    feeder.aggregates.refresh_view(None)

    assert len([key for key in at_once if key.startswith("now:")]) == 40
    assert world.dump() == at_once

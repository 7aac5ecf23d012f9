"""What readers get: the rolling hash, change notices, leases."""

import json
import random
import time

import pytest

from stream_worker.core.aggregates.encoding import WINDOWS, shard_of
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from tests.contracts.aggregates.worlds import NOON, Feeder, MemoryWorld, close_call, close_everything, minute


def drawn(world, brand):
    """The rolling hash of a brand: window -> ten numbers, and what else it says."""
    fields = world.dump()[f"now:{brand}"]
    windows = {window: tuple(int(fields.pop(f"{window}:{m}")) for m in MEASURES) for window in WINDOWS}
    return windows, fields


def test_windows_end_with_the_newest_minute_that_one_included(world):
    # Given mentions now, 4, 14 and 59 minutes and almost a day before, and one too old by a minute each
    feeder = Feeder(world.aggregates())
    ages = {
        0: 1,
        1: 10,
        4: 100,
        5: 1_000,
        14: 10_000,
        15: 100_000,
        59: 10**6,
        60: 10**7,
        1439: 10**8,
        1440: 10**9,
    }
    newest = NOON + 2 * DAY_MS
    feeder.apply(*((newest - age * MINUTE_MS, "acme", n) for age, n in ages.items()))

    # When it is drawn
    feeder.aggregates.refresh_view(["acme"])

    # Then each window begins where it says
    windows, said = drawn(world, "acme")
    assert {window: found[0] for window, found in windows.items()} == {
        "1m": 1,
        "5m": 111,
        "15m": 11_111,
        "1h": 1_111_111,
        "24h": 111_111_111,
    }
    assert said == {
        "newest": str(newest),
        "as_of_ms": str(NOON),
        "sealed": str(NOON),
        "closed": "-1",
        "models": "m1:sk",
    }


def test_nothing_is_drawn_before_the_first_mention(world):
    feeder = Feeder(world.aggregates())
    feeder.aggregates.refresh_view(None)
    feeder.aggregates.refresh_view(["acme"])
    assert not [key for key in world.dump() if key.startswith("now:")]


def test_all_brands_are_drawn_with_the_reserved_one_when_there_is_no_room_left(world):
    feeder = Feeder(world.aggregates(max_brands=2))
    feeder.apply((NOON, "a", 1))
    feeder.aggregates.refresh_view(None)
    with_room = {key for key in world.dump() if key.startswith("now:")}
    feeder.apply((NOON, "b", 1), (NOON, "c", 5))
    feeder.aggregates.refresh_view(None)

    assert with_room == {"now:a"}
    assert {key for key in world.dump() if key.startswith("now:")} == {"now:a", "now:b", "now:"}
    assert drawn(world, "")[0]["1m"][0] == 5


def test_a_close_changes_nothing_that_is_shown(world):
    # Given mentions on time and late in minutes open, sealed and closed
    feeder = Feeder(world.aggregates())
    feeder.apply(*((minute(i), "acme", i + 1, {"sum": -i}) for i in range(10)), wm=minute(5))
    feeder.apply((minute(2), "acme", 100, {"late": True}), (minute(8), "acme", 1_000, {"late": True}))
    feeder.aggregates.refresh_view(["acme"])
    open_all = drawn(world, "acme")[0]

    # When five of them are sealed, and closed
    feeder.seal()
    feeder.aggregates.refresh_view(["acme"])
    sealed = drawn(world, "acme")
    close_everything(feeder.aggregates)
    feeder.aggregates.refresh_view(["acme"])
    closed = drawn(world, "acme")

    # Then the sums stay; what is said about them moves
    assert open_all == sealed[0] == closed[0]
    assert open_all["15m"][0] == 1_155
    assert (sealed[1]["closed"], closed[1]["closed"]) == ("-1", str(minute(5)))
    assert closed[1]["sealed"] == str(minute(5))


def test_shards_that_are_closed_to_different_minutes_are_drawn_together(world):
    # Given two brands of two shards, of which one has closed the minute
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 2), (NOON, "beta", 3), wm=minute(1))
    feeder.seal()
    assert shard_of("acme") != shard_of("beta")
    shard, sealed = feeder.aggregates.shard(shard_of("acme")), feeder.aggregates.next_sealed(-1)
    assert feeder.aggregates.close(close_call(shard, sealed, sums={"acme": sealed.tallies["acme"]}))

    # When both are drawn in one go
    feeder.aggregates.refresh_view(["acme", "beta"])

    # Then neither is counted twice or left out
    assert [drawn(world, brand)[0]["5m"][0] for brand in ("acme", "beta")] == [2, 3]


@pytest.mark.parametrize("seed", range(2))
def test_windows_equal_a_plain_sum_over_everything_that_was_counted(world, seed):
    # Given two days of mentions at random, late and not, sealed and closed by and by
    rng = random.Random(seed)
    feeder = Feeder(world.aggregates())
    counted = []
    now = NOON
    for _ in range(25):
        now += rng.randrange(0, 4 * HOUR_MS, MINUTE_MS)
        rows = []
        for _ in range(20):
            age = rng.choice([0, 0, 1, 3, 30, 70, 600, 1_500])
            start = max(NOON, now - age * MINUTE_MS)
            brand, network = rng.choice("abc"), rng.choice("xyz")
            more = {m: rng.randrange(-9 if m == "sum" else 0, 10) for m in MEASURES[1:]}
            rows.append((start, brand, rng.randrange(1, 5), more | {"network": network}))
        answer = feeder.apply(*rows, wm=now - 5 * MINUTE_MS)
        counted += [(start, brand, n, more, start >= answer.sealed_ms) for start, brand, n, more in rows]
        if rng.random() < 0.7:
            while feeder.seal().sealed_ms < now - 6 * MINUTE_MS:
                pass
        if rng.random() < 0.3:
            close_counted(feeder.aggregates, sorted({start for start, *_, on_time in counted if on_time}))

    # When it is drawn
    feeder.aggregates.refresh_view(None)

    # Then every window is the sum by hand
    newest = max(start for start, *_, on_time in counted if on_time)
    end = newest + MINUTE_MS
    for brand in "abc":
        for window, minutes in WINDOWS.items():
            inside = [
                {"n": n, **more}
                for start, whose, n, more, _ in counted
                if whose == brand and end - minutes * MINUTE_MS <= start < end
            ]
            by_hand = tuple(sum(row[m] for row in inside) for m in MEASURES)
            assert drawn(world, brand)[0][window] == by_hand, (brand, window)


def close_counted(aggregates, starts):
    """Close these minutes for the shards of the three brands, as far as they are sealed."""
    for brand in "abc":
        for start in starts:
            shard, sealed = aggregates.shard(shard_of(brand)), aggregates.next_sealed(start)
            if shard.closed_ms <= start and sealed is not None:
                assert sealed.start_ms == start
                own = {b: tally for b, tally in sealed.tallies.items() if shard_of(b) == shard.number}
                assert aggregates.close(close_call(shard, sealed, sums=own))


def test_a_notice_says_what_when_and_for_which_brands(world):
    # Given few brands and many
    aggregates = world.aggregates()
    many = [f"brand {i}" for i in range(101)]

    # When notices are given
    aggregates.publish_change("counted", [NOON, minute(1)], ["acme", "💥"])
    aggregates.publish_change("sealed", [NOON], many[:100])
    aggregates.publish_change("counted", [], many)

    # Then more than a hundred brands are all brands
    told = world.dump()["changes"]
    assert [notice["kind"] for notice in told] == ["counted", "sealed", "counted"]
    assert [json.loads(notice["minutes"]) for notice in told] == [[NOON, minute(1)], [NOON], []]
    assert json.loads(told[0]["brands"]) == ["acme", "💥"]
    assert json.loads(told[1]["brands"]) == many[:100]
    assert told[2]["brands"] == "*"
    assert {notice["at"] for notice in told} == {str(NOON)}


def test_a_lease_is_taken_renewed_by_its_owner_and_free_after_its_time(world):
    # Given two workers that want the same lease
    aggregates = world.aggregates()

    def later(ms):
        world.advance(ms)
        if not isinstance(world, MemoryWorld):
            time.sleep(ms / 1_000)  # the server's own clock ends a lease

    # When one takes it, renews it half way, and then stops
    assert aggregates.lease("minutes", "one", 300)
    assert not aggregates.lease("minutes", "two", 300)
    later(200)
    assert aggregates.lease("minutes", "one", 300)
    later(200)
    assert not aggregates.lease("minutes", "two", 300)
    assert aggregates.lease("other", "two", 300)
    later(150)

    # Then the other gets it
    assert aggregates.lease("minutes", "two", 300)
    assert not aggregates.lease("minutes", "one", 300)


def test_ping_names_the_server(world):
    assert world.aggregates().ping().split()[0] in {"memory", "redis", "valkey"}

"""Damaged fields: each is left as it is and named, and everything else is as if it were not there."""

import pytest

from stream_worker.core.aggregates.damage import Damage, DamagedField
from stream_worker.core.aggregates.encoding import SHARDS, shard_of
from stream_worker.core.partition.effects import Apply
from stream_worker.core.time import DAY_MS, HOUR_MS
from tests.contracts.aggregates.worlds import (
    HOLD,
    LOG,
    NOON,
    Feeder,
    cells,
    close_call,
    close_everything,
    minute,
    sums,
)

DAY = NOON - NOON % DAY_MS
LATE = (minute(-1), "acme", 2, {"late": True})
LATE_HM = f"hm:{NOON - HOUR_MS}:acme"
LATE_HD = f"hd:{DAY}:acme"
OF_NOON = f"m:{NOON}"


@pytest.fixture
def found():
    """The damage that was reported."""
    return []


@pytest.fixture
def aggregates(world, found):
    return world.aggregates(on_damage=found.append)


def counts(world):
    """What is counted: minutes, history and cursors, by key and field."""
    kept = ("m:", "hm:", "hd:", "cursors:")
    return {
        (key, field): value
        for key, fields in world.dump().items()
        if key.startswith(kept)
        for field, value in fields.items()
    }


def without(counted, key, field=""):
    return {at: value for at, value in counted.items() if at[0] != key or (field and at[1] != field)}


# Counting


@pytest.mark.parametrize(
    ("key", "field", "kind"),
    [
        (OF_NOON, "n:x:acme", "count"),
        (OF_NOON, "neg:x:acme", "count"),
        (OF_NOON, "mentions", "count"),
        (OF_NOON, "model:m1:sk", "count"),
        (LATE_HM, str(minute(-1)), "history"),
        (LATE_HD, str(NOON - HOUR_MS), "history"),
        (OF_NOON, "", "minute"),
        (LATE_HM, "", "history"),
        (LATE_HD, "", "history"),
    ],
)
@pytest.mark.parametrize("text", ["rubbish", "", "1.5", "1,2,3"])
def test_nothing_is_added_to_a_damaged_field_and_all_else_is_counted(
    world, found, aggregates, key, field, kind, text
):
    # Given the same counts twice: in peace, and with a damaged field
    rows = [(NOON, "acme", 1, {"neg": 1}), (NOON, "beta", 3), (minute(1), "acme", 1), LATE]
    untouched = world.snapshot()
    feeder = Feeder(aggregates, complete_from_ms=minute(-90))
    feeder.apply(*rows, wm=minute(1))
    in_peace = counts(world)
    world.restore(untouched)
    feeder = Feeder(aggregates, complete_from_ms=minute(-90))
    world.damage(key, field, text)
    before = counts(world)

    # When they are counted
    feeder.apply(*rows, wm=minute(1))

    # Then the field is as it was, and named; the rest and the cursor are exact
    after = counts(world)
    assert found == [Damage(kind, key, field)]
    assert {at: value for at, value in after.items() if at[0] == key and at[1] == field} == {
        at: value for at, value in before.items() if at[0] == key and at[1] == field
    }
    assert without(after, key, field) == without(in_peace, key, field)


def test_a_mended_field_is_counted_in_again(world, found, aggregates):
    feeder = Feeder(aggregates)
    world.damage(OF_NOON, "n:x:acme")
    feeder.apply((NOON, "acme", 1))

    world.remove(found[0])
    feeder.apply((NOON, "acme", 2))

    assert world.dump()[OF_NOON]["n:x:acme"] == "2"
    assert len(found) == 1


def test_a_first_minute_that_is_damaged_is_unknown_until_the_next_mention(world, found, aggregates):
    feeder = Feeder(aggregates)
    world.damage("brands", "acme")
    assert aggregates.brands() == {"acme": None}
    assert found == [Damage("brand", "brands", "acme")]

    feeder.apply((minute(3), "acme", 1))

    assert aggregates.brands() == {"acme": minute(3)}


# Cursors


@pytest.mark.parametrize("name", ["next", "wm"])
def test_a_damaged_cursor_is_named_and_the_other_partitions_go_on(world, aggregates, name):
    # Given two partitions, one with a damaged cursor
    Feeder(aggregates, 2)
    world.damage(f"cursors:{LOG.name}", f"{name}:0", "abc")
    damage = Damage("cursor", f"cursors:{LOG.name}", f"{name}:0")
    before = world.dump()[f"cursors:{LOG.name}"]

    # When both are applied in one round trip
    calls = [Apply(p, 0, 1, NOON, 1, cells((NOON, "acme", 1))) for p in (0, 1, 0)]
    first, second, third = aggregates.apply(calls)

    # Then one is counted, and the other is as it was
    assert [first.damage, third.damage] == [damage, damage]
    assert (second.applied, second.cursor.next) == (True, 1)
    assert world.dump()[OF_NOON]["n:x:acme"] == "1"
    after = world.dump()[f"cursors:{LOG.name}"]
    assert {k: v for k, v in after.items() if k.endswith(":0")} == {
        k: v for k, v in before.items() if k.endswith(":0")
    }
    for ask in (
        lambda: aggregates.cursor(0),
        lambda: aggregates.create_cursor(0, 5, 0, NOON),
        lambda: aggregates.advance_cursor(0, 0, 5, NOON, NOON),
    ):
        with pytest.raises(DamagedField, match=f"{name}:0") as caught:
            ask()
        assert caught.value.damage == damage


def test_a_partition_with_a_damaged_watermark_is_held_and_the_others_are_sealed(world, aggregates):
    # Given two partitions past noon; the watermark of one is rubbish
    feeder = Feeder(aggregates, 2)
    for partition in (0, 1):
        feeder.apply((NOON, "acme", 1), partition=partition, wm=minute(2))
    feeder.seal()
    world.damage(f"cursors:{LOG.name}", "wm:0")

    # When it has been silent for long
    assert feeder.seal().stored_watermarks_ms == {1: minute(2)}
    for _ in range(7):
        world.advance(HOLD // 6)  # without a gap that nobody could be blamed for
        feeder.report(1)
    feeder.apply((minute(4), "acme", 1), partition=1, wm=minute(5))

    # Then the group goes on without it
    sealed = feeder.seal()
    assert (sealed.excluded, sealed.sealed_ms) == ([0], minute(5))


# Sealing and reading minutes


def test_a_brand_with_a_damaged_count_has_no_tally_in_that_minute_and_the_others_do(world, aggregates):
    feeder = Feeder(aggregates)
    feeder.apply((NOON, "acme", 1), (NOON, "beta", 2), (minute(1), "acme", 3), wm=minute(2))
    feeder.seal()
    world.damage(OF_NOON, "neg:x:acme")

    sealed = aggregates.next_sealed(NOON)

    assert sealed.tallies == {"beta": sums(n=2)}
    assert sealed.unreadable == {"acme": "neg:x:acme"}
    assert aggregates.next_sealed(minute(1)).tallies == {"acme": sums(n=3)}


def test_damaged_late_counts_and_totals_leave_the_tallies_alone(world, aggregates):
    feeder = Feeder(aggregates)
    feeder.apply((NOON, "acme", 1), wm=minute(1))
    feeder.seal()
    for field in ("late_n:x:acme", "late_mentions", "mentions", "model:m1:sk"):
        world.damage(OF_NOON, field)

    sealed = aggregates.next_sealed(NOON)

    assert (sealed.tallies, sealed.unreadable) == ({"acme": sums(n=1)}, {})


def test_a_minute_of_another_type_is_passed_and_named_and_the_next_ones_are_sealed(world, found, aggregates):
    # Given three minutes, of which the second becomes a key of another type
    feeder = Feeder(aggregates)
    feeder.apply(*((minute(i), "acme", 1) for i in range(3)), wm=minute(3))
    world.damage(f"m:{minute(1)}")

    # When they are sealed
    sealed = feeder.seal()

    # Then nobody evaluates it
    assert (sealed.sealed_ms, sealed.incomplete) == (minute(3), 1)
    assert set(found) == {Damage("minute", f"m:{minute(1)}")}
    assert aggregates.next_sealed(minute(1)).start_ms == minute(2)


def test_a_shard_that_cannot_be_read_waits_and_the_others_close(world, found, aggregates):
    # Given a sealed minute, and a shard whose `closed` is rubbish
    feeder = Feeder(aggregates)
    feeder.apply((NOON, "acme", 1), (minute(1), "acme", 1), wm=minute(2))
    feeder.seal()
    sealed = aggregates.next_sealed(NOON)
    for number in range(SHARDS):
        assert aggregates.close(close_call(aggregates.shard(number), sealed))
    kept = aggregates.shard(3)
    world.damage("shard:3", "closed", "soon")

    # When the group seals and closes
    assert feeder.seal().closed_ms == minute(1)
    for number in set(range(SHARDS)) - {3}:
        shard = aggregates.shard(number)
        assert aggregates.close(close_call(shard, aggregates.next_sealed(shard.closed_ms)))

    # Then it is named, and a close of what was read before is refused
    assert set(found) == {Damage("shard", "shard:3", "closed")}
    with pytest.raises(DamagedField, match="shard:3 field closed"):
        aggregates.shard(3)
    assert not aggregates.close(close_call(kept, aggregates.next_sealed(minute(1))))
    assert feeder.seal().closed_ms == minute(2)


# Closing and history


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (f"hm:{NOON}:acme", str(NOON)),
        (f"hd:{DAY}:acme", str(NOON)),
        (f"hm:{NOON}:acme", ""),
        (f"hd:{DAY}:acme", ""),
    ],
)
@pytest.mark.parametrize("text", ["rubbish", "1,2", "a,b,c,d,e,f,g,h,i,j", "1,2,3,4,5,6,7,8,9,1.5"])
def test_a_close_adds_nothing_to_damaged_history_and_writes_all_else(
    world, found, aggregates, key, field, text
):
    # Given two brands of one shard with counts
    other = next(f"b{i}" for i in range(1_000) if shard_of(f"b{i}") == shard_of("acme"))
    feeder = Feeder(aggregates)
    feeder.apply((NOON, "acme", 3), (NOON, other, 5), wm=minute(1))
    feeder.seal()
    world.damage(key, field, text)
    shard, sealed = aggregates.shard(shard_of("acme")), aggregates.next_sealed(NOON)

    # When their minute is closed
    call = close_call(shard, sealed, sums=sealed.tallies, states={"acme": "1"}, outbox={"e.opened": "{}"})
    assert aggregates.close(call) == {shard.number}

    # Then all is there but what was damaged, which is as it was
    stored, damage = world.dump(), Damage("history", key, field)
    assert found == [damage]
    assert aggregates.shard(shard.number).closed_ms == minute(1)
    assert stored["outbox"] == {"e.opened": "{}"}
    expected = {f"hm:{NOON}:acme": 3, f"hd:{DAY}:acme": 3, f"hm:{NOON}:{other}": 5, f"hd:{DAY}:{other}": 5}
    for name, n in expected.items():
        if name != key:
            assert stored[name] == {str(NOON): f"{n},0,0,0,0,0,0,0,0,0"}
        elif field:
            assert stored[name] == {field: text}


@pytest.mark.parametrize("field", [str(NOON), ""])
def test_history_that_is_damaged_is_named_and_that_of_others_is_read(world, aggregates, field):
    feeder = Feeder(aggregates)
    feeder.apply((NOON, "acme", 1), (NOON, "beta", 1), (minute(1), "acme", 1), wm=minute(2))
    feeder.seal()
    close_everything(aggregates)
    world.damage(f"hm:{NOON}:acme", field, "1,2")

    with pytest.raises(DamagedField, match="cannot be read") as caught:
        aggregates.history("acme", [NOON])

    assert caught.value.damage == Damage("history", f"hm:{NOON}:acme", field)
    assert aggregates.history("beta", [NOON]) == {NOON: sums(n=1)}
    world.remove(caught.value.damage)
    assert aggregates.history("acme", [NOON]) == ({minute(1): sums(n=1)} if field else {})


# The view


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (f"hm:{NOON}:acme", str(NOON)),
        (f"hm:{NOON}:acme", ""),
        (f"hd:{DAY}:acme", str(NOON - 5 * HOUR_MS)),
        (f"hd:{DAY}:acme", ""),
        (f"m:{minute(2)}", "n:x:acme"),
    ],
)
def test_the_view_of_a_damaged_brand_stays_and_the_others_are_refreshed(world, found, aggregates, key, field):
    # Given closed minutes, open ones, and the views of two brands
    feeder = Feeder(aggregates)
    feeder.apply((NOON, "acme", 1), (NOON, "beta", 1), wm=minute(1))
    feeder.seal()
    close_everything(aggregates)
    aggregates.refresh_view(None)
    kept = world.dump()["now:acme"]

    # When one of them is damaged, and more is counted
    feeder.apply((minute(2), "acme", 1), (minute(2), "beta", 1), wm=minute(1))
    world.damage(key, field)
    world.advance(1_000)
    aggregates.refresh_view(None)

    # Then its view is the dated one of before
    assert found == [Damage("count" if key.startswith("m:") else "history", key, field)]
    after = world.dump()
    assert after["now:acme"] == kept
    assert (after["now:beta"]["5m:n"], after["now:beta"]["newest"]) == ("2", str(minute(2)))


def test_the_views_of_a_damaged_shard_stay(world, found, aggregates):
    feeder = Feeder(aggregates)
    feeder.apply((NOON, "acme", 1), (NOON, "beta", 1), wm=minute(1))
    feeder.seal()
    close_everything(aggregates)
    world.damage(f"shard:{shard_of('acme')}", "closed")

    aggregates.refresh_view(None)

    assert found == [Damage("shard", f"shard:{shard_of('acme')}", "closed")]
    assert [key for key in world.dump() if key.startswith("now:")] == ["now:beta"]

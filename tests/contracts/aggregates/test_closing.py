"""Closing: a judged minute of a shard is written once, and only over what was read."""

import pytest

from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.time import DAY_MS, HOUR_MS
from tests.contracts.aggregates.worlds import NOON, Feeder, close_call, close_everything, minute, sums

ACME = shard_of("acme")


@pytest.fixture
def feeder(world):
    """One brand with three mentions at noon and one at 12:01, both sealed."""
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 3, {"neg": 1}), (minute(1), "acme", 1), wm=minute(2))
    feeder.seal()
    return feeder


def read(aggregates, after=-1):
    return aggregates.shard(ACME), aggregates.next_sealed(after)


def test_a_shard_nobody_closed_is_empty(world):
    shard = world.aggregates().shard(5)
    assert (shard.number, shard.closed_ms, shard.state_id, shard.detector) == (5, -1, "", "")
    assert (shard.states, shard.episodes) == ({}, {})


def test_a_close_writes_state_history_and_outbox_together(feeder):
    # Given a judged minute
    shard, sealed = read(feeder.aggregates)
    call = close_call(
        shard,
        sealed,
        sums={"acme": sums(n=3, neg=1), "quiet": sums()},
        states={"acme": "1.5", "quiet": "0"},
        episodes={"acme": '{"since":1}'},
        outbox={"e.opened": '{"kind":"opened"}'},
    )

    # When it is closed
    assert feeder.aggregates.close(call)

    # Then the next reader finds all of it
    after = feeder.aggregates.shard(ACME)
    assert (after.closed_ms, after.state_id, after.detector) == (minute(1), sealed.seal_id, "d/1")
    assert after.states == {"acme": "1.5", "quiet": "0"}
    assert after.episodes == {"acme": '{"since":1}'}
    assert feeder.aggregates.history("acme", [NOON]) == {NOON: sums(n=3, neg=1)}
    assert feeder.aggregates.history("quiet", []) == {}


def test_the_outbox_keeps_the_first_body(world, feeder):
    for body in ("first", "second"):
        shard = feeder.aggregates.shard(ACME)
        sealed = feeder.aggregates.next_sealed(shard.closed_ms)
        feeder.aggregates.close(close_call(shard, sealed, outbox={"e.opened": body}))

    assert world.dump()["outbox"] == {"e.opened": "first"}


def test_a_close_that_is_repeated_writes_nothing(world, feeder):
    shard, sealed = read(feeder.aggregates)
    call = close_call(shard, sealed, sums={"acme": sums(n=3)}, outbox={"m": "x"})
    assert feeder.aggregates.close(call)
    before = world.dump()

    assert not feeder.aggregates.close(call)
    assert world.dump() == before


@pytest.mark.parametrize("other", ["expected_closed_ms", "expected_state_id", "seal_id"])
def test_a_close_compares_all_that_was_read(world, feeder, other):
    # Given a close of which one thing is not what is stored
    shard, sealed = read(feeder.aggregates)
    wrong = {"expected_closed_ms": 0, "expected_state_id": "another", "seal_id": sealed.seal_id + "0"}[other]
    before = world.dump()

    # When it arrives
    call = close_call(shard, sealed, sums={"acme": sums(n=3)}, outbox={"m": "x"}, **{other: wrong})

    # Then it changes nothing
    assert not feeder.aggregates.close(call)
    assert world.dump() == before


def test_a_minute_that_is_not_sealed_cannot_be_closed(world, feeder):
    shard, sealed = read(feeder.aggregates)
    feeder.apply((minute(5), "acme", 1))
    before = world.dump()

    assert not feeder.aggregates.close(close_call(shard, sealed, minute_ms=minute(5)))
    assert world.dump() == before


def test_a_closed_episode_is_removed_and_old_numbers_go_with_their_detector(feeder):
    # Given states and an episode of one detector
    shard, sealed = read(feeder.aggregates)
    states = {"states": {"acme": "1", "gone": "2"}, "episodes": {"acme": "open", "other": "open"}}
    feeder.aggregates.close(close_call(shard, sealed, **states))

    # When another detector closes the next minute
    shard, sealed = read(feeder.aggregates, minute(1))
    feeder.aggregates.close(
        close_call(shard, sealed, detector="d/2", states={"acme": "9"}, episodes={"acme": None, "none": None})
    )

    # Then only its own states are there; the other episode stays open
    after = feeder.aggregates.shard(ACME)
    assert (after.detector, after.states, after.episodes) == ("d/2", {"acme": "9"}, {"other": "open"})


@pytest.mark.parametrize("late_first", [True, False])
def test_history_is_the_same_whether_the_late_ones_or_the_close_came_first(world, feeder, late_first):
    # Given late mentions of a sealed minute, and its close
    def late():
        feeder.apply((NOON, "acme", 2, {"late": True, "sum": -7}))

    def close():
        shard, sealed = read(feeder.aggregates)
        assert feeder.aggregates.close(close_call(shard, sealed, sums=sealed.tallies))

    # When they come in either order
    for step in (late, close) if late_first else (close, late):
        step()

    # Then minute and hour hold both
    expected = "5,1,0,0,0,0,-7,0,0,0"
    dump = world.dump()
    assert dump[f"hm:{NOON}:acme"] == {str(NOON): expected}
    assert dump[f"hd:{NOON - NOON % DAY_MS}:acme"] == {str(NOON): expected}
    assert feeder.aggregates.next_sealed(-1).tallies == {"acme": sums(n=3, neg=1)}


def test_hours_sum_their_minutes(world, feeder):
    close_everything(feeder.aggregates)

    day = world.dump()[f"hd:{NOON - NOON % DAY_MS}:acme"]
    assert day == {str(NOON): "4,1,0,0,0,0,0,0,0,0"}


def test_history_shows_closed_minutes_only(feeder):
    # Given two sealed minutes, of which the first is closed, and late ones of both
    shard, sealed = read(feeder.aggregates)
    feeder.apply((NOON, "acme", 1), (minute(1), "acme", 5))
    feeder.aggregates.close(close_call(shard, sealed, sums=sealed.tallies))

    # When
    seen = feeder.aggregates.history("acme", [NOON - HOUR_MS, NOON, NOON + HOUR_MS])

    # Then the second, with its late ones only, is not shown
    assert seen == {NOON: sums(n=4, neg=1)}


def test_a_close_that_lands_after_a_rollback_and_a_second_seal_writes_nothing(world):
    """The directed history of docs/design.md#clauses: all that was compared before it had come back alike."""
    # Given a worker that has read a sealed minute of two mentions, and then sleeps
    feeder = Feeder(world.aggregates())
    before = world.snapshot()
    feeder.apply((NOON, "acme", 2), wm=minute(1))
    feeder.seal()
    shard, sealed = read(feeder.aggregates)
    asleep = close_call(shard, sealed, sums=sealed.tallies, states={"acme": "of two"})

    # When Redis goes back, more of that minute is counted in another order, and it is sealed again
    world.restore(before)
    world.advance(1)
    again = Feeder(world.aggregates())
    again.apply((NOON, "acme", 2), (NOON, "beta", 1), wm=minute(1))
    again.seal()
    state = world.dump()

    # Then the sleeper's close is refused, though shard and minute look as they did, and the right one is not
    assert again.aggregates.shard(ACME).state_id == shard.state_id
    assert not feeder.aggregates.close(asleep)
    assert world.dump() == state
    shard, sealed = read(again.aggregates)
    assert again.aggregates.close(close_call(shard, sealed, sums=sealed.tallies))


def test_a_close_after_redis_was_emptied_writes_nothing(world, feeder):
    shard, sealed = read(feeder.aggregates)
    world.empty()

    assert not feeder.aggregates.close(close_call(shard, sealed, sums={"acme": sums(n=3)}))
    assert not [key for key in world.dump() if key != "ctl"]


def test_history_of_minutes_is_kept_for_48_hours_and_of_hours_for_35_days(world):
    # Given a shard that closes one minute every six hours for two days, and two after five weeks
    feeder = Feeder(world.aggregates())
    starts = [NOON + hours * HOUR_MS for hours in (*range(0, 54, 6), 35 * 24 - 20, 36 * 24)]
    kept = {}
    for start in starts:
        feeder.apply((start, "acme", 1), wm=start + 60_000)
        while feeder.seal().sealed_ms <= start:
            pass
        shard = feeder.aggregates.shard(ACME)
        assert feeder.aggregates.close(
            close_call(shard, feeder.aggregates.next_sealed(start), sums={"acme": sums(n=1)})
        )
        kept[start] = sorted(key for key in world.dump() if key.startswith(("hm:", "hd:")))

    # Then after each close just the younger keys are there
    for last, keys in kept.items():
        known = [start for start in starts if start <= last]
        hours = {start for start in known if start + 48 * HOUR_MS > last}
        days = {day for start in known if (day := start - start % DAY_MS) + 35 * DAY_MS > last}
        assert keys == sorted([f"hm:{hour}:acme" for hour in hours] + [f"hd:{day}:acme" for day in days])
    assert len(kept[starts[7]]) == 8 + 3  # the ninth hour is the first that makes another one go
    assert len(kept[starts[-1]]) == 2 + 3


def test_old_minutes_are_forgotten_over_a_hole_too(world):
    # Given minutes at noon, and after a hole of three days
    feeder = Feeder(world.aggregates())
    later = NOON + 3 * DAY_MS
    feeder.apply((NOON, "acme", 1), (NOON + HOUR_MS, "acme", 1), (later, "acme", 1), wm=later + 60_000)
    while feeder.seal().sealed_ms < later:
        pass

    # When the minute after the hole is closed after those before it
    for start in (NOON, NOON + HOUR_MS, later):
        shard, sealed = read(feeder.aggregates, start)
        assert feeder.aggregates.close(close_call(shard, sealed, sums={"acme": sums(n=1)}))

    # Then the hours before it are gone
    assert [key for key in world.dump() if key.startswith("hm:")] == [f"hm:{later}:acme"]


def test_brands_of_any_spelling_can_be_closed(world):
    feeder = Feeder(world.aggregates())
    brands = ["", "a:b", 'q"\\', "💥", "a\nb", "\ud83d"]
    feeder.apply(*((NOON, brand, 1) for brand in brands), wm=minute(1))
    feeder.seal()

    close_everything(feeder.aggregates)

    assert [feeder.aggregates.history(brand, [NOON]) for brand in brands] == [{NOON: sums(n=1)}] * len(brands)


def test_an_hour_that_was_forgotten_does_not_come_back_in_part(world):
    # Given an hour of minutes that went when the first minute 48 h later was closed
    feeder = Feeder(world.aggregates())
    later = NOON + 48 * HOUR_MS
    feeder.apply((minute(30), "acme", 1), (later, "acme", 1), wm=later + 60_000)
    while feeder.seal().sealed_ms <= later:
        pass
    for start in (minute(30), later):
        shard, sealed = read(feeder.aggregates, start)
        assert feeder.aggregates.close(close_call(shard, sealed, sums={"acme": sums(n=1)}))

    # When a late mention of its last half comes, less than 48 h old
    feeder.apply((minute(30), "acme", 4))

    # Then the hour has it, the minutes do not
    dump = world.dump()
    assert f"hm:{NOON}:acme" not in dump
    assert dump[f"hd:{NOON - NOON % DAY_MS}:acme"] == {str(NOON): "5,0,0,0,0,0,0,0,0,0"}

"""Sealing: when a minute is frozen, and who is waited for.

Partitions are read as time lines; `^` is a watermark.
"""

import pytest

from stream_worker.core.aggregates.encoding import SHARDS
from stream_worker.core.archive.layout import Log
from stream_worker.core.time import HOUR_MS
from tests.contracts.aggregates.worlds import (
    HOLD,
    LATENESS,
    NOON,
    Feeder,
    close_call,
    marked,
    minute,
    sums,
)


def test_a_minute_is_sealed_when_the_slowest_partition_has_passed_its_end(world):
    #        12:00        12:01        12:02
    #  p0    |------------)|-----------)|---^
    #  p1    |------------)^
    feeder = Feeder(world.aggregates(), partitions=2)
    feeder.apply((NOON, "acme", 2), (minute(1), "acme", 1), wm=minute(2) + 100)

    # When p1 stands before the end of the first minute, then at it
    feeder.apply((NOON, "acme", 1, {"network": "y"}), partition=1, wm=minute(1) - 1)
    before = feeder.seal()
    feeder.apply(partition=1, wm=minute(1))
    after = feeder.seal()

    # Then one minute is sealed, with what was counted of it
    assert (before.sealed_ms, before.watermark_ms) == (NOON, minute(1) - 1)
    assert (after.sealed_ms, after.watermark_ms, after.incomplete) == (minute(1), minute(1), 0)
    assert after.stored_watermarks_ms == {0: minute(2) + 100, 1: minute(1)}
    sealed = feeder.aggregates.next_sealed(-1)
    assert (sealed.start_ms, sealed.complete, sealed.models) == (NOON, True, ["m1:sk"])
    assert sealed.tallies == {"acme": sums(n=3)}
    assert feeder.aggregates.next_sealed(minute(1)) is None


def test_a_seal_that_is_repeated_changes_nothing(world):
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 2), wm=minute(2))
    feeder.seal()
    before = world.dump()

    assert feeder.seal().sealed_ms == minute(2)
    assert world.dump() == before


def test_an_empty_minute_between_others_is_sealed_with_a_mark(world):
    #        12:00        12:01        12:02        12:03
    #        |- acme -----)|-----------)|- acme ----)^
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 2), (minute(2), "acme", 2), wm=minute(3))
    feeder.seal()

    empty = feeder.aggregates.next_sealed(minute(1))
    assert (empty.start_ms, empty.complete, empty.models, empty.tallies) == (minute(1), True, [], {})


def test_two_models_in_a_minute_are_both_named(world):
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 2), model="m2:sk")
    feeder.apply((NOON, "acme", 2), wm=minute(1), model="m1:sk")
    feeder.apply((NOON, "acme", 2, {"late": True}), wm=minute(1), model="m3:sk")
    feeder.seal()

    assert feeder.aggregates.next_sealed(-1).models == ["m1:sk", "m2:sk"]


def test_nobody_goes_on_before_a_partition_without_a_cursor(world):
    # Given one of two partitions whose owner has not come yet
    feeder = Feeder(world.aggregates(), partitions=1)
    feeder.apply((NOON, "acme", 2), wm=minute(9))

    # When it is sealed for two
    answer = feeder.seal(partitions=2)

    # Then nothing moves, and the missing one is no reason to pause the other
    assert (answer.sealed_ms, answer.watermark_ms, answer.excluded) == (NOON, 0, [])
    assert answer.stored_watermarks_ms == {0: minute(9)}


def test_a_partition_that_never_comes_is_held_after_a_while_and_minutes_say_so(world):
    # Given a partition without a cursor, first seen now
    feeder = Feeder(world.aggregates(), partitions=1)
    feeder.apply((NOON, "acme", 2), wm=minute(9))
    feeder.seal(partitions=2)

    # When max_hold has passed, to the millisecond and past it, while p0 lives
    stays_alive(world, feeder, HOLD)
    at_the_end = feeder.seal(partitions=2)
    stays_alive(world, feeder, 1)
    after = feeder.seal(partitions=2)

    # Then it is left out, and what is sealed without it is incomplete
    assert (at_the_end.excluded, at_the_end.sealed_ms) == ([], NOON)
    assert (after.excluded, after.sealed_ms, after.incomplete) == ([1], minute(9), 9)
    assert set(marked(world).values()) == {False}


def stays_alive(world, feeder, ms, partition=0, wm=0):
    """Let time pass while one partition progresses often enough for the group to be there."""
    while ms > 0:
        world.advance(min(ms, 10_000))
        feeder.apply(partition=partition, wm=wm)
        ms -= 10_000


def test_a_held_partition_that_had_passed_the_minute_leaves_it_complete(world):
    #        12:00        12:01        12:02
    #  p0    |------------)|-----------)^
    #  p1    |------------)|----^  dies here
    feeder = Feeder(world.aggregates(), partitions=2)
    feeder.apply((NOON, "acme", 2), wm=minute(2))
    feeder.apply(partition=1, wm=minute(1) + 30_000)
    feeder.seal()
    stays_alive(world, feeder, HOLD + 1)

    answer = feeder.seal()

    assert (answer.excluded, answer.sealed_ms, answer.incomplete) == ([1], minute(2), 1)
    assert answer.stored_watermarks_ms == {0: minute(2)}
    assert marked(world) == {0: True, 1: False}


@pytest.mark.parametrize("sign", ["progress", "proof", "paused"])
def test_a_sign_of_life_is_progress_a_proof_or_the_pause(world, sign):
    # Given two partitions, of which p1 stands far back
    feeder = Feeder(world.aggregates(), partitions=2)
    feeder.seal()
    stays_alive(world, feeder, HOLD)

    # When p1 gives one sign just before it would be held
    if sign == "progress":
        feeder.apply(partition=1)
    else:
        feeder.report(1, **{"proof": {"proof_t0_ms": 0}, "paused": {"paused": True}}[sign])
    stays_alive(world, feeder, HOLD)
    still = feeder.seal().excluded
    stays_alive(world, feeder, 1)

    # Then it counts from there
    assert still == []
    assert feeder.seal().excluded == [1]


def test_a_mere_report_is_no_sign_of_life(world):
    feeder = Feeder(world.aggregates(), partitions=2)
    feeder.seal()
    for _ in range(13):
        stays_alive(world, feeder, 10_000)
        feeder.report(1)

    assert feeder.seal().excluded == [1]


def test_when_all_are_held_nothing_moves(world):
    # Given partitions that only report, in a group that is there
    feeder = Feeder(world.aggregates(), partitions=2)
    for partition in (0, 1):
        feeder.apply((NOON, "acme", 1), partition=partition, wm=minute(3) if partition else 0)
    feeder.seal()
    for _ in range(13):
        world.advance(10_000)
        feeder.report(0)

    answer = feeder.seal()

    assert (answer.excluded, answer.sealed_ms, answer.watermark_ms) == ([0, 1], NOON, 0)
    assert answer.stored_watermarks_ms == {}


def test_after_the_group_was_away_nobody_is_held_until_it_had_its_time(world):
    # Given a group that was gone for an hour
    feeder = Feeder(world.aggregates(), partitions=2)
    feeder.apply((NOON, "acme", 1), wm=minute(3))
    feeder.seal()
    world.advance(HOUR_MS)

    # When p0 comes back first
    feeder.apply(wm=minute(3))
    at_once = feeder.seal()
    stays_alive(world, feeder, HOLD)
    later = feeder.seal()
    stays_alive(world, feeder, 1)

    # Then p1 has max_hold from the return
    assert world.dump()["ctl"]["returned_ms"] == str(NOON + HOUR_MS)
    assert (at_once.excluded, later.excluded, feeder.seal().excluded) == ([], [], [1])


def test_thirty_seconds_without_a_script_are_no_absence(world):
    feeder = Feeder(world.aggregates())
    world.advance(30_000)
    feeder.report()
    assert "returned_ms" not in world.dump()["ctl"]

    world.advance(30_001)
    feeder.report()
    assert world.dump()["ctl"]["returned_ms"] == str(world.now_ms)


def test_a_proof_of_idleness_takes_the_watermark_to_its_time(world):
    # Given a quiet partition beside a busy one
    #  p0    |------------)|-----------)|----------)^
    #  p1    ^ 0            proof of the end, asked at 12:02 + lateness
    feeder = Feeder(world.aggregates(), partitions=2)
    feeder.apply((NOON, "acme", 1), wm=minute(3))

    # When p1 is proved to be at its end
    feeder.report(1, proof_t0_ms=minute(2) + LATENESS)
    answer = feeder.seal()

    # Then its effective watermark is that time less the lateness; stored is what it was
    assert (answer.sealed_ms, answer.watermark_ms, answer.incomplete) == (minute(2), minute(2), 0)
    assert answer.idle == [1]
    assert answer.stored_watermarks_ms == {0: minute(3), 1: 0}


def test_a_proof_ends_with_the_next_record(world):
    # Given a proof at cursor 0
    feeder = Feeder(world.aggregates())
    feeder.report(proof_t0_ms=minute(5) + LATENESS)

    # When a record came behind it
    feeder.apply((NOON, "acme", 1), wm=minute(1))
    answer = feeder.seal()

    # Then it proves nothing any more
    assert (answer.sealed_ms, answer.idle) == (minute(1), [])


def test_a_quiet_world_goes_on_by_proofs_alone(world):
    feeder = Feeder(world.aggregates(), partitions=2)
    feeder.apply((NOON, "acme", 1), wm=NOON)
    for partition in (0, 1):
        feeder.report(partition, proof_t0_ms=minute(3) + LATENESS)

    assert feeder.seal().sealed_ms == minute(3)
    assert marked(world) == {0: True, 1: True, 2: True}


def test_a_seal_says_how_far_the_slowest_shard_is_closed(world):
    # Given two sealed minutes, of which all shards but one have closed the first
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 1), wm=minute(2))
    before = feeder.seal().closed_ms
    for number in range(SHARDS - 1):
        assert feeder.aggregates.close(
            close_call(feeder.aggregates.shard(number), feeder.aggregates.next_sealed(NOON))
        )
    almost = feeder.seal().closed_ms

    # When the last one follows
    last = feeder.aggregates.shard(SHARDS - 1)
    assert feeder.aggregates.close(close_call(last, feeder.aggregates.next_sealed(NOON)))

    # Then the minute is closed, for whoever asks, of whichever log
    assert (before, almost, feeder.seal().closed_ms) == (-1, -1, minute(1))
    assert Feeder(world.aggregates(Log("mentions", "ffffffff"))).seal().closed_ms == minute(1)

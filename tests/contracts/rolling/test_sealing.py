"""Sealing: which minutes are frozen when, who is waited for, and that the answer is a function of the log.

Partitions are read as time lines; `^` is a watermark.
"""

import pytest

from stream_worker.core.columns import DAY_MS, HOUR_MS, MINUTE_MS
from stream_worker.core.layout import Log
from tests.contracts.rolling.worlds import (
    HOLD,
    LATENESS,
    LOG,
    NOON,
    Feeder,
    close_up_to,
    minute,
    sums,
)


def marked(world):
    """The sealed minutes that have a mark, as numbers after noon, and whether each is complete."""
    return {
        (int(key[2:]) - NOON) // MINUTE_MS: fields["complete"] == "1"
        for key, fields in world.dump().items()
        if key.startswith("m:") and "mark" in fields
    }


def test_a_minute_is_sealed_when_the_slowest_partition_has_passed_its_end(world):
    #        12:00        12:01        12:02
    #  p0    |------------)|-----------)|---^
    #  p1    |------------)^
    feeder = Feeder(world.rolling(), partitions=2)
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
    sealed = feeder.rolling.next_sealed(-1)
    assert (sealed.start_ms, sealed.complete, sealed.models) == (NOON, True, ["m1:sk"])
    assert sealed.tallies == {"acme": sums(n=3)}
    assert feeder.rolling.next_sealed(minute(1)) is None


def test_a_seal_that_is_repeated_changes_nothing(world):
    feeder = Feeder(world.rolling())
    feeder.apply((NOON, "acme", 2), wm=minute(2))
    feeder.seal()
    before = world.dump()

    assert feeder.seal().sealed_ms == minute(2)
    assert world.dump() == before


def test_an_empty_minute_between_others_is_sealed_with_a_mark(world):
    #        12:00        12:01        12:02        12:03
    #        |- acme -----)|-----------)|- acme ----)^
    feeder = Feeder(world.rolling())
    feeder.apply((NOON, "acme", 2), (minute(2), "acme", 2), wm=minute(3))
    feeder.seal()

    empty = feeder.rolling.next_sealed(minute(1))
    assert (empty.start_ms, empty.complete, empty.models, empty.tallies) == (minute(1), True, [], {})


def test_two_models_in_a_minute_are_both_named(world):
    feeder = Feeder(world.rolling())
    feeder.apply((NOON, "acme", 2), model="m2:sk")
    feeder.apply((NOON, "acme", 2), wm=minute(1), model="m1:sk")
    feeder.apply((NOON, "acme", 2, {"late": True}), wm=minute(1), model="m3:sk")
    feeder.seal()

    assert feeder.rolling.next_sealed(-1).models == ["m1:sk", "m2:sk"]


def test_nobody_goes_on_before_a_partition_without_a_cursor(world):
    # Given one of two partitions whose owner has not come yet
    feeder = Feeder(world.rolling(), partitions=1)
    feeder.apply((NOON, "acme", 2), wm=minute(9))

    # When it is sealed for two
    answer = feeder.seal(partitions=2)

    # Then nothing moves, and the missing one is no reason to pause the other
    assert (answer.sealed_ms, answer.watermark_ms, answer.held) == (NOON, 0, [])
    assert answer.stored_watermarks_ms == {0: minute(9)}


def test_a_partition_that_never_comes_is_held_after_a_while_and_minutes_say_so(world):
    # Given a partition without a cursor, first seen now
    feeder = Feeder(world.rolling(), partitions=1)
    feeder.apply((NOON, "acme", 2), wm=minute(9))
    feeder.seal(partitions=2)

    # When max_hold has passed, to the millisecond and past it, while p0 lives
    stays_alive(world, feeder, HOLD)
    at_the_end = feeder.seal(partitions=2)
    stays_alive(world, feeder, 1)
    after = feeder.seal(partitions=2)

    # Then it is left out, and what is sealed without it is incomplete
    assert (at_the_end.held, at_the_end.sealed_ms) == ([], NOON)
    assert (after.held, after.sealed_ms, after.incomplete) == ([1], minute(9), 9)
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
    feeder = Feeder(world.rolling(), partitions=2)
    feeder.apply((NOON, "acme", 2), wm=minute(2))
    feeder.apply(partition=1, wm=minute(1) + 30_000)
    feeder.seal()
    stays_alive(world, feeder, HOLD + 1)

    answer = feeder.seal()

    assert (answer.held, answer.sealed_ms, answer.incomplete) == ([1], minute(2), 1)
    assert answer.stored_watermarks_ms == {0: minute(2)}
    assert marked(world) == {0: True, 1: False}


@pytest.mark.parametrize("sign", ["progress", "proof", "paused"])
def test_a_sign_of_life_is_progress_a_proof_or_the_pause(world, sign):
    # Given two partitions, of which p1 stands far back
    feeder = Feeder(world.rolling(), partitions=2)
    feeder.seal()
    stays_alive(world, feeder, HOLD)

    # When p1 gives one sign just before it would be held
    if sign == "progress":
        feeder.apply(partition=1)
    else:
        feeder.report(1, **{"proof": {"proof_t0_ms": 0}, "paused": {"paused": True}}[sign])
    stays_alive(world, feeder, HOLD)
    still = feeder.seal().held
    stays_alive(world, feeder, 1)

    # Then it counts from there
    assert still == []
    assert feeder.seal().held == [1]


def test_a_mere_report_is_no_sign_of_life(world):
    feeder = Feeder(world.rolling(), partitions=2)
    feeder.seal()
    for _ in range(13):
        stays_alive(world, feeder, 10_000)
        feeder.report(1)

    assert feeder.seal().held == [1]


def test_when_all_are_held_nothing_moves(world):
    # Given partitions that only report, in a group that is there
    feeder = Feeder(world.rolling(), partitions=2)
    for partition in (0, 1):
        feeder.apply((NOON, "acme", 1), partition=partition, wm=minute(3) if partition else 0)
    feeder.seal()
    for _ in range(13):
        world.advance(10_000)
        feeder.report(0)

    answer = feeder.seal()

    assert (answer.held, answer.sealed_ms, answer.watermark_ms) == ([0, 1], NOON, 0)
    assert answer.stored_watermarks_ms == {}


def test_after_the_group_was_away_nobody_is_held_until_it_had_its_time(world):
    # Given a group that was gone for an hour
    feeder = Feeder(world.rolling(), partitions=2)
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
    assert (at_once.held, later.held, feeder.seal().held) == ([], [], [1])


def test_thirty_seconds_without_a_script_are_no_absence(world):
    feeder = Feeder(world.rolling())
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
    feeder = Feeder(world.rolling(), partitions=2)
    feeder.apply((NOON, "acme", 1), wm=minute(3))

    # When p1 is proved to be at its end
    feeder.report(1, proof_t0_ms=minute(2) + LATENESS)
    answer = feeder.seal()

    # Then its effective watermark is that time less the lateness; stored is what it was
    assert (answer.sealed_ms, answer.incomplete) == (minute(2), 0)
    assert answer.idle == [1]
    assert answer.stored_watermarks_ms == {0: minute(3), 1: 0}


def test_a_proof_ends_with_the_next_record(world):
    # Given a proof at cursor 0
    feeder = Feeder(world.rolling())
    feeder.report(proof_t0_ms=minute(5) + LATENESS)

    # When a record came behind it
    feeder.apply((NOON, "acme", 1), wm=minute(1))
    answer = feeder.seal()

    # Then it proves nothing any more
    assert (answer.sealed_ms, answer.idle) == (minute(1), [])


def test_a_quiet_world_goes_on_by_proofs_alone(world):
    feeder = Feeder(world.rolling(), partitions=2)
    feeder.apply((NOON, "acme", 1), wm=NOON)
    for partition in (0, 1):
        feeder.report(partition, proof_t0_ms=minute(3) + LATENESS)

    assert feeder.seal().sealed_ms == minute(3)
    assert marked(world) == {0: True, 1: True, 2: True}


def test_a_day_without_mentions_is_sealed_minute_by_minute_and_then_a_hole(world):
    # Given one mention at noon, and one 30 h later
    feeder = Feeder(world.rolling())
    next_day = 30 * 60
    feeder.apply((NOON, "acme", 1), (minute(next_day), "acme", 1), wm=minute(next_day + 1))

    # When all is sealed
    calls = seal_up_to(feeder, minute(next_day + 1))

    # Then 24 h after the last mention have a mark each, and the rest was one step
    assert set(marked(world)) == {*range(24 * 60 + 1), next_day}
    assert calls == 7  # 1,442 marks and one step, at most 240 a call


def seal_up_to(feeder, end_ms):
    for calls in range(1, 100):
        if feeder.seal().sealed_ms >= end_ms:
            return calls
    raise AssertionError("sealing does not come to its end")


def test_before_the_first_mention_ever_all_is_a_hole(world):
    feeder = Feeder(world.rolling(), floor_ms=0)
    feeder.apply(wm=NOON)

    assert feeder.seal().sealed_ms == NOON
    feeder.apply((minute(5), "acme", 1), wm=minute(6))
    assert feeder.seal().sealed_ms == minute(6)
    assert marked(world) == {5: True}


def test_a_late_mention_alone_does_not_end_a_hole(world):
    feeder = Feeder(world.rolling())
    feeder.apply((minute(3), "acme", 1, {"late": True}), (minute(5), "acme", 1), wm=minute(6))
    feeder.seal()

    assert marked(world) == {5: True}


def test_the_marked_minutes_are_the_same_however_the_log_was_read(world):
    # Given mentions with gaps below and above a day, and a watermark that follows them
    day = 24 * 60
    starts = [0, 1, 7, day + 7, 3 * day, 3 * day + 1]

    # When they are read live, sealing after each, or at once
    live = Feeder(world.rolling())
    for start in starts:
        for wm in (start - 30, start + 1):
            live.apply(wm=minute(wm))
            for _ in range(10):
                live.seal()
            if wm < start:
                live.apply((minute(start), "acme", 1))
    by_and_by = marked(world)
    world.empty()
    at_once = Feeder(world.rolling())
    at_once.apply(*((minute(start), "acme", 1) for start in starts), wm=minute(starts[-1] + 1))
    seal_up_to(at_once, minute(starts[-1] + 1))

    # Then the same minutes have a mark
    assert marked(world) == by_and_by
    assert set(by_and_by) == {*range(7 + day + 1 + day), *range(3 * day, 3 * day + 2)}


def test_minutes_below_the_floor_are_incomplete(world):
    # Given mentions, and then a jump over records that retention ate
    feeder = Feeder(world.rolling())
    feeder.apply((NOON, "acme", 1))
    feeder.rolling.jump(0, 1, 9, minute(4), minute(2))

    # When it is sealed past the floor
    feeder.seal()

    # Then what Redis does not hold wholly says so
    assert marked(world) == {0: False, 1: False, 2: True, 3: True}


def test_the_partition_count_never_falls(world):
    # Given three partitions, of which the third stands at 12:01
    feeder = Feeder(world.rolling(), partitions=3)
    for partition, wm in enumerate((minute(5), minute(5), minute(1))):
        feeder.apply((NOON, "acme", 1), partition=partition, wm=wm)
    feeder.seal()

    # When a caller with old metadata knows of two
    answer = feeder.seal(partitions=2)

    # Then the third is waited for all the same
    assert answer.sealed_ms == minute(1)
    assert world.dump()["ctl"]["partitions"] == "3"


def test_an_old_incarnation_cannot_move_anything(world):
    # Given a topic that was recreated with fewer partitions, and a worker that has not heard of it
    old = Feeder(world.rolling(), partitions=3)
    old.apply((NOON, "acme", 1), wm=minute(9))
    old.seal()
    new = Feeder(world.rolling(Log("mentions", "ffffffff")), partitions=1)
    new.apply((NOON, "acme", 1), wm=minute(1))
    before = world.dump()

    # When the old one creates a cursor and seals
    old.rolling.create_cursor(7, 0, 0, NOON)
    answer = old.seal()

    # Then the group stays on the new one
    ctl = world.dump()["ctl"]
    assert (answer.sealed_ms, answer.watermark_ms, answer.held) == (NOON, 0, [])
    assert ctl == before["ctl"]
    assert (ctl["incarnation"], ctl["partitions"]) == ("mentions.ffffffff", "0")
    assert new.seal().sealed_ms == minute(1)
    assert world.dump()["ctl"]["partitions"] == "1"


def test_hashes_are_trimmed_two_hours_behind_the_slowest_close(world):
    # Given three hours of minutes, all sealed
    feeder = Feeder(world.rolling())
    feeder.apply(*((minute(i), "acme", 1) for i in range(0, 181, 20)), wm=minute(181))
    feeder.seal()

    # When nothing is closed, and then all of it
    feeder.seal()
    before = world.dump()["minutes"]
    close_up_to(feeder.rolling, minute(180))
    feeder.seal()

    # Then what is older than two hours before the close goes, hash and name
    dump = world.dump()
    kept = [str(minute(i)) for i in range(61, 181)]
    assert len(before) == 181
    assert dump["minutes"] == kept
    assert sorted(key for key in dump if key.startswith("m:")) == [f"m:{start}" for start in kept]
    assert dump["ctl"]["trimmed"] == str(minute(61))


def test_the_floor_follows_the_seal_by_thirty_five_days(world):
    feeder = Feeder(world.rolling())
    feeder.apply(wm=NOON + 40 * DAY_MS)

    assert feeder.seal().floor_ms == NOON + 5 * DAY_MS
    assert world.dump()["ctl"]["floor"] == str(NOON + 5 * DAY_MS)


def test_each_seal_of_a_minute_has_a_mark_of_its_own(world):
    # Given a sealed minute, and a Redis that went back to before it
    feeder = Feeder(world.rolling())
    feeder.apply((NOON, "acme", 1), wm=minute(1))
    before = world.snapshot()
    feeder.seal()
    first = feeder.rolling.next_sealed(-1)
    world.restore(before)

    # When it is sealed again
    world.advance(1)
    feeder.seal()

    # Then the marks differ
    assert feeder.rolling.next_sealed(-1).mark != first.mark


def test_seals_of_no_partitions_move_nothing(world):
    rolling = world.rolling()
    assert rolling.seal(0, LATENESS, HOLD).sealed_ms == 0
    rolling.create_cursor(0, 0, minute(5), NOON)
    assert rolling.seal(0, LATENESS, HOLD).sealed_ms == NOON
    assert f"cursors:{LOG.name}" in world.dump()

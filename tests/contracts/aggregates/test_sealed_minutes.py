"""What is sealed: minutes and holes, as a function of the log; and what goes when it is closed."""

import pytest

from stream_worker.core.aggregates.encoding import SHARDS
from stream_worker.core.time import DAY_MS
from tests.contracts.aggregates.worlds import (
    HOLD,
    LATENESS,
    LOG,
    NOON,
    Feeder,
    close_call,
    close_up_to,
    marked,
    minute,
)


def test_a_day_without_mentions_is_sealed_minute_by_minute_and_then_a_hole(world):
    # Given one mention at noon, and one 30 h later
    feeder = Feeder(world.aggregates())
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
    feeder = Feeder(world.aggregates(), complete_from_ms=0)
    feeder.apply(wm=NOON)

    assert feeder.seal().sealed_ms == NOON
    feeder.apply((minute(5), "acme", 1), wm=minute(6))
    assert feeder.seal().sealed_ms == minute(6)
    assert marked(world) == {5: True}


def test_a_late_mention_alone_does_not_end_a_hole(world):
    feeder = Feeder(world.aggregates())
    feeder.apply((minute(3), "acme", 1, {"late": True}), (minute(5), "acme", 1), wm=minute(6))
    feeder.seal()

    assert marked(world) == {5: True}


def test_the_marked_minutes_are_the_same_however_the_log_was_read(world):
    # Given mentions with gaps below and above a day, and a watermark that follows them
    day = 24 * 60
    starts = [0, 1, 7, day + 7, 3 * day, 3 * day + 1]

    # When they are read live, sealing after each, or at once
    live = Feeder(world.aggregates())
    for start in starts:
        for wm in (start - 30, start + 1):
            live.apply(wm=minute(wm))
            for _ in range(10):
                live.seal()
            if wm < start:
                live.apply((minute(start), "acme", 1))
    by_and_by = marked(world)
    world.empty()
    at_once = Feeder(world.aggregates())
    at_once.apply(*((minute(start), "acme", 1) for start in starts), wm=minute(starts[-1] + 1))
    seal_up_to(at_once, minute(starts[-1] + 1))

    # Then the same minutes have a mark
    assert marked(world) == by_and_by
    assert set(by_and_by) == {*range(7 + day + 1 + day), *range(3 * day, 3 * day + 2)}


def test_minutes_below_the_floor_are_incomplete(world):
    # Given mentions, and then a jump over records that retention ate
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 1))
    feeder.aggregates.advance_cursor(0, 1, 9, minute(4), minute(2))

    # When it is sealed past the floor
    feeder.seal()

    # Then what Redis does not hold wholly says so
    assert marked(world) == {0: False, 1: False, 2: True, 3: True}


def test_the_partition_count_never_falls(world):
    # Given three partitions, of which the third stands at 12:01
    feeder = Feeder(world.aggregates(), partitions=3)
    for partition, wm in enumerate((minute(5), minute(5), minute(1))):
        feeder.apply((NOON, "acme", 1), partition=partition, wm=wm)
    feeder.seal()

    # When a caller with old metadata knows of two
    answer = feeder.seal(partitions=2)

    # Then the third is waited for all the same
    assert answer.sealed_ms == minute(1)
    assert world.dump()["ctl"]["partitions"] == "3"


def test_hashes_are_trimmed_two_hours_behind_the_slowest_close(world):
    # Given three hours of minutes, all sealed
    feeder = Feeder(world.aggregates())
    feeder.apply(*((minute(i), "acme", 1) for i in range(0, 181, 20)), wm=minute(181))
    feeder.seal()

    # When nothing is closed, and then all of it
    feeder.seal()
    before = world.dump()["minutes"]
    close_up_to(feeder.aggregates, minute(180))
    feeder.seal()

    # Then what is older than two hours before the close goes, hash and name
    dump = world.dump()
    kept = [str(minute(i)) for i in range(61, 181)]
    assert len(before) == 181
    assert dump["minutes"] == kept
    assert sorted(key for key in dump if key.startswith("m:")) == [f"m:{start}" for start in kept]
    assert dump["ctl"]["trimmed"] == str(minute(61))


def test_the_floor_follows_the_seal_by_thirty_five_days(world):
    feeder = Feeder(world.aggregates())
    feeder.apply(wm=NOON + 40 * DAY_MS)

    assert feeder.seal().complete_from_ms == NOON + 5 * DAY_MS
    assert world.dump()["ctl"]["floor"] == str(NOON + 5 * DAY_MS)


def test_each_seal_of_a_minute_has_a_mark_of_its_own(world):
    # Given a sealed minute, and a Redis that went back to before it
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 1), wm=minute(1))
    before = world.snapshot()
    feeder.seal()
    first = feeder.aggregates.next_sealed(-1)
    world.restore(before)

    # When it is sealed again
    world.advance(1)
    feeder.seal()

    # Then the marks differ
    assert feeder.aggregates.next_sealed(-1).seal_id != first.seal_id


def test_seals_of_no_partitions_move_nothing(world):
    aggregates = world.aggregates()
    assert aggregates.seal(0, LATENESS, HOLD).sealed_ms == 0
    aggregates.create_cursor(0, 0, minute(5), NOON)
    assert aggregates.seal(0, LATENESS, HOLD).sealed_ms == NOON
    assert f"cursors:{LOG.name}" in world.dump()


@pytest.mark.parametrize("slowest", [0, 7, 15])
def test_one_shard_that_is_not_closed_keeps_all_minutes(world, slowest):
    # Given three hours of sealed minutes that every shard but one has closed
    feeder = Feeder(world.aggregates())
    feeder.apply(*((minute(i), "acme", 1) for i in range(0, 181, 20)), wm=minute(181))
    feeder.seal()
    last = feeder.aggregates.next_sealed(minute(180))
    for number in range(SHARDS):
        if number != slowest:
            assert feeder.aggregates.close(close_call(feeder.aggregates.shard(number), last))

    # When it is sealed again, and once more after the last one closed
    feeder.seal()
    before = len(world.dump()["minutes"])
    assert feeder.aggregates.close(close_call(feeder.aggregates.shard(slowest), last))
    feeder.seal()

    # Then the slowest one decides
    assert (before, len(world.dump()["minutes"])) == (181, 120)


def test_the_seal_notes_from_which_minute_on_which_models_scored(world):
    # minute    0    1         2       3     4           5
    # model     old  new, old  none    new   late: old   new
    feeder = Feeder(world.aggregates())
    feeder.apply((minute(0), "acme", 1), model="old")
    for start, model in ((1, "new"), (1, "old"), (3, "new"), (4, "new"), (5, "new")):
        feeder.apply((minute(start), "acme", 1), model=model)
    feeder.apply((minute(4), "acme", 1, {"late": True}), model="old", wm=minute(6))

    feeder.seal()

    # Then only changes are kept, whatever order the models came in
    assert world.dump()["models"] == {
        str(minute(0)): "old",
        str(minute(1)): "new,old",
        str(minute(3)): "new",
    }
    assert world.dump()["ctl"]["models"] == "new"


def test_a_thousand_changes_of_model_are_kept(world):
    # Given two models that take turns
    feeder = Feeder(world.aggregates())
    for start in range(1_010):
        feeder.apply((minute(start), "acme", 1), model=f"m{start % 2}", wm=minute(start + 1))
        if start % 100 == 99:
            feeder.seal()

    # When all is sealed
    feeder.seal()

    # Then the newest ones are there
    found = world.dump()["models"]
    assert len(found) == 1_000
    assert min(map(int, found)) == minute(10)
    assert found[str(minute(1_009))] == "m1"

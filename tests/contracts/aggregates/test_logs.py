"""Which log the group is on: a topic that was deleted and made again is another log; one of them seals."""

import pytest

from stream_worker.core.archive.layout import Log
from tests.contracts.aggregates.worlds import HOLD, LATENESS, LOG, NOON, Feeder, minute

NEW = Log("mentions", "ffffffff")
NEWEST = Log("mentions", "00000003")


def group(world):
    """The log that the group is on, and its partition count."""
    ctl = world.dump()["ctl"]
    return ctl["incarnation"], ctl["partitions"]


@pytest.fixture
def old(world):
    """A log with three partitions that stand at 12:01."""
    feeder = Feeder(world.aggregates(), partitions=3)
    for partition in range(3):
        feeder.apply((NOON, "acme", 1), partition=partition, wm=minute(1))
    return feeder


@pytest.fixture
def new(world, old):
    """The log that came after it, with one partition at 12:02."""
    feeder = Feeder(world.aggregates(NEW), partitions=1)
    feeder.apply((minute(1), "acme", 1), wm=minute(2))
    return feeder


def test_a_seal_of_another_log_is_refused_and_says_which_one_the_group_is_on(world, old, new):
    old.seal()
    before = world.dump()

    # When a worker of the new log seals that knows of no older one
    answer = new.seal()

    # Then nothing moved
    assert (answer.other_log, answer.sealed_ms, answer.watermark_ms) == (LOG.name, minute(1), 0)
    assert (answer.excluded, answer.idle, answer.stored_watermarks_ms) == ([], [], {})
    assert world.dump() == before


def test_a_worker_that_knows_the_stored_log_to_be_older_takes_the_group_from_it(world, old, new):
    # Given a group of three partitions
    old.seal()
    assert group(world) == (LOG.name, "3")

    # When a worker of the new log seals, with the name it was told
    answer = new.aggregates.seal(1, LATENESS, HOLD, LOG.name)

    # Then the group is on its log, with the partitions of that one, and minutes are sealed
    assert (answer.other_log, answer.sealed_ms) == ("", minute(2))
    assert group(world) == (NEW.name, "1")


def test_from_then_on_nobody_of_the_old_log_seals_or_takes_the_group_back(world, old, new):
    # Given a group that is on the new log
    new.aggregates.seal(1, LATENESS, HOLD, LOG.name)

    # When the old one creates a cursor and seals, and the request that took the group comes once more
    old.aggregates.create_cursor(7, 0, 0, NOON)
    answer = old.seal()
    new.aggregates.seal(1, LATENESS, HOLD, LOG.name)

    # Then the group stays on the new one
    assert answer.other_log == NEW.name
    assert group(world) == (NEW.name, "1")


def test_a_group_is_taken_from_the_log_that_was_named_and_from_no_other(world, old, new):
    # Given two logs that came after the first; the second of them was faster
    newest = Feeder(world.aggregates(NEWEST), partitions=2)
    newest.aggregates.seal(2, LATENESS, HOLD, LOG.name)

    # When the request of the one in between comes late
    answer = new.aggregates.seal(1, LATENESS, HOLD, LOG.name)

    # Then it changes nothing
    assert answer.other_log == NEWEST.name
    assert group(world) == (NEWEST.name, "2")


def test_a_late_cursor_of_a_log_that_was_never_seen_does_not_move_the_group(world):
    # Given a group that began on the new log
    new = Feeder(world.aggregates(NEW), partitions=1)
    new.apply((NOON, "acme", 1), wm=minute(1))

    # When the first request of the deleted one arrives
    world.aggregates().create_cursor(0, 0, 0, NOON)

    # Then the new one seals as before
    assert new.seal().sealed_ms == minute(1)
    assert group(world) == (NEW.name, "1")


def test_the_partition_count_of_a_log_does_not_count_for_the_next_one(world, old, new):
    # Given an old log that knew of three partitions
    old.seal()

    # When the new one has one
    new.aggregates.seal(1, LATENESS, HOLD, LOG.name)
    answer = new.seal()

    # Then nobody waits for the others
    assert (answer.watermark_ms, answer.excluded) == (minute(2), [])


def test_without_any_cursor_no_log_has_the_group(world):
    answer = world.aggregates().seal(1, LATENESS, HOLD, "")

    assert (answer.other_log, answer.sealed_ms) == ("", 0)
    assert "incarnation" not in world.dump()["ctl"]

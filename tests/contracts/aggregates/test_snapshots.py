"""Snapshots: what the audit reads comes with the cursors of its instant, and leaves no trace."""

import pytest

from stream_worker.core.time import DAY_MS
from tests.contracts.aggregates.worlds import LOG, NOON, Feeder, close_everything, minute


@pytest.fixture
def feeder(world):
    """Two partitions; two brands at noon, of which one is late too; noon is sealed and closed."""
    feeder = Feeder(world.aggregates(), partitions=2)
    feeder.apply((NOON, "acme", 3, {"neg": 1}), (NOON, "b:c", 1), (minute(1), "acme", 1), wm=minute(1))
    feeder.apply((NOON, "b:c", 1, {"network": "y"}), wm=minute(1), partition=1)
    feeder.seal()
    close_everything(feeder.aggregates)
    feeder.apply((NOON, "acme", 2, {"late": True}), wm=minute(1))
    return feeder


def test_a_look_names_cursors_control_and_minutes(world, feeder):
    position = world.snapshots([LOG.name, "mentions.00000000"]).position()

    assert position.cursors == {LOG.name: {0: 2, 1: 1}, "mentions.00000000": {}}
    assert (position.sealed_ms, position.complete_from_ms, position.trimmed_ms) == (minute(1), NOON, 0)
    assert position.closed_ms == (minute(1),) * 16
    assert position.minutes == (NOON, minute(1))
    assert (position.expired, position.now_ms) == (0, world.now_ms)


def test_a_minute_comes_with_its_cursors(world, feeder):
    # Given a reader that has looked
    snapshots = world.snapshots([LOG.name])
    before = snapshots.position()

    # When something is counted and then the minute is read
    feeder.apply((minute(1), "acme", 4))
    position, fields = snapshots.minute(minute(1))

    # Then both are of the same instant
    assert (before.cursors[LOG.name][0], position.cursors[LOG.name][0]) == (2, 3)
    assert fields["n:x:acme"] == fields["mentions"] == "5"
    assert fields == world.dump()[f"m:{minute(1)}"]


def test_a_minute_that_is_not_there_is_empty(world, feeder):
    assert world.snapshots([LOG.name]).minute(minute(9))[1] == {}


@pytest.mark.parametrize(
    ("read", "kind", "start"),
    [("history_of_minutes", "hm", NOON), ("history_of_hours", "hd", NOON - NOON % DAY_MS)],
)
def test_history_comes_brand_by_brand(world, feeder, read, kind, start):
    snapshots = world.snapshots([LOG.name])

    position, found = getattr(snapshots, read)(start, ["b:c", "nobody", "acme"])

    assert position.cursors[LOG.name] == {0: 2, 1: 1}
    first = f"{kind}:{start}"
    assert found == [world.dump()[f"{first}:b:c"], {}, world.dump()[f"{first}:acme"]]
    assert sorted(snapshots.admitted_brands()) == ["acme", "b:c"]
    assert sorted(snapshots.admitted_networks()) == ["x", "y"]


def test_reading_leaves_no_trace_not_even_in_an_empty_redis(world):
    """A script that notes its time would look as if the group had come back (docs/design.md#minutes)."""
    # Given nothing at all
    snapshots = world.snapshots([LOG.name])

    # When everything is read
    empty = snapshots.position()
    snapshots.minute(NOON)
    snapshots.history_of_minutes(NOON, ["acme"])

    # Then there is still nothing
    assert (empty.cursors, empty.minutes, empty.closed_ms) == ({LOG.name: {}}, (), (-1,) * 16)
    assert world.dump() == {}


def test_reading_does_not_note_the_time(world, feeder):
    # Given a group that has been away for long
    before = world.dump()
    world.advance(DAY_MS)

    # When an audit reads
    world.snapshots([LOG.name]).position()

    # Then the next script of a worker still finds the gap
    assert world.dump() == before
    feeder.report()
    assert world.dump()["ctl"]["returned_ms"] == str(world.now_ms)

"""Days in the store: what a day has, how far chains are, and its marker; on every kind of store."""

import pytest

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.days import StoredDays
from stream_worker.core.archive.days import Day, MarkedPartition, marker_of, open_partitions
from stream_worker.core.archive.layout import Log, LogOrigin
from stream_worker.core.time import DAY_MS, HOUR_MS
from stream_worker.errors import Unreadable
from tests.contracts.rows import LOG, NOON_MS, manifest, part, plan

DAY = Day(NOON_MS - NOON_MS % DAY_MS)


def write(archive, partition, start, end, *, done=True, **fields):
    """A chunk of rows, with its manifest if it is done."""
    written = plan(start, end)
    archive.create_plan(partition, written)
    objects = archive.write_rows(partition, written, [part(range(start, end), **fields)])
    if done:
        archive.create_manifest(partition, written, manifest(objects, counted=end - start))
    return objects


@pytest.fixture
def days(store, archive):
    """Two partitions: one with two chunks and a third that is not done, one without any."""
    archive.create_log_origin(LogOrigin(policy="earliest", starts=[0, 7]))
    write(archive, 0, 0, 3)
    write(archive, 0, 3, 6, at_ms=[NOON_MS, NOON_MS + HOUR_MS, NOON_MS + DAY_MS])
    write(archive, 0, 6, 8, done=False)
    other = ObjectArchive(store, Log("others", "11111111"))
    other.create_log_origin(LogOrigin(policy="earliest", starts=[0]))
    return StoredDays(store, LOG.topic)


def test_a_day_has_the_objects_of_finished_chunks_hour_by_hour(days):
    assert days.logs() == [LOG]
    ends = days.ends([LOG], DAY)
    assert [(one.partition, one.end, one.watermark_ms) for one in ends] == [(0, 6, NOON_MS), (1, 7, 0)]

    listing = days.listing(DAY, ends)

    assert [(one.hour_ms, one.partition, one.stored.rows) for one in listing.objects] == [
        (NOON_MS, 0, 3),
        (NOON_MS, 0, 1),
        (NOON_MS + HOUR_MS, 0, 1),
    ]
    assert (listing.unfinished, listing.missing) == (1, [])
    assert days.listing(Day(DAY.start_ms - DAY_MS), ends).objects == []


def test_the_marker_of_a_day_is_created_once(days):
    ends = days.ends([LOG], DAY)
    assert days.marker(DAY) is None

    first = days.mark(DAY, marker_of(DAY, ends, rows=5, duplicates=1, objects=3))
    second = days.mark(DAY, marker_of(DAY, ends, rows=99, duplicates=1, objects=3))

    assert first == second == days.marker(DAY)
    assert first.logs == {LOG.name: {"0": MarkedPartition(6, NOON_MS), "1": MarkedPartition(7, 0)}}
    assert (first.date, first.counted) == ("2026-09-22", 4)


def test_a_manifest_that_cannot_be_read_is_named(days, store, archive):
    write(archive, 1, 7, 9, done=False)
    archive.create_plan(1, plan(9, 10))  # cannot be: the chunk before has no manifest
    archive.create_manifest(1, plan(9, 10), manifest(absent=1))

    with pytest.raises(Unreadable, match="a later chunk is done, yet it is not there"):
        days.listing(DAY, days.ends([LOG], DAY))


def test_only_the_partitions_of_the_newest_log_keep_a_day_open(days):
    # Given an older incarnation that nobody writes to any more
    ends = days.ends([LOG], DAY)
    older = [one._replace(log=Log(LOG.topic, "00000000"), watermark_ms=1) for one in ends]

    # Then without Redis two partitions are not far enough
    assert len(open_partitions(DAY, ends + older, 0, {})) == 2

    # With a Redis that has sealed the day one is, whose chain has passed the cursor
    cursors = {(LOG.name, 0): 8, (LOG.name, 1): 7}
    (why,) = open_partitions(DAY, ends + older, DAY.end_ms, cursors)
    assert "is archived up to offset 6, Redis has counted up to 8" in why

    # And one without a cursor is not known
    assert "has no cursor" in open_partitions(DAY, ends, DAY.end_ms, {(LOG.name, 0): 6})[0]

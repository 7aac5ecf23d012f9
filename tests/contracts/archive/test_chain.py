"""The contract of `ports.Archive`: head, plans, manifests, over memory, a folder and an S3 API."""

import io
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pyarrow.parquet as pq
import pytest

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.core.archive.layout import Log, LogOrigin, dead_value_name, manifest_name, plans_prefix
from tests.contracts.archive.objects import chunk, put, written
from tests.contracts.rows import LOG, manifest, part, plan

pytestmark = pytest.mark.timeout(90)
HOUR_MS = 3_600_000


def test_an_empty_store_has_no_chain(archive):
    assert archive.find_plan_log(0, -1) == (None, None, False)
    assert archive.find_plan_log(0, 5_000_000) == (None, None, False)
    assert archive.plans(0) == []


def test_the_first_head_stays(archive):
    first = LogOrigin(policy="earliest", starts=[0, 17])

    assert archive.create_log_origin(first) == first
    assert archive.create_log_origin(LogOrigin(policy="latest", starts=[99])) == first
    assert archive.find_plan_log(0, -1).origin == first


def test_the_first_plan_of_a_start_stays(archive):
    first = plan(10, 20)

    assert archive.create_plan(0, first) == first
    assert archive.create_plan(0, plan(10, 99)) == first
    assert archive.create_plan(1, plan(10, 99)) == plan(10, 99)


def test_of_workers_that_race_one_decides_and_all_learn_what(archive):
    ends = range(11, 19)

    with ThreadPoolExecutor(len(ends)) as pool:
        answers = list(pool.map(lambda end: archive.create_plan(0, plan(10, end)), ends))

    assert len({answer.end for answer in answers}) == 1
    assert archive.plans(0) == answers[:1]


def test_a_plan_is_done_when_its_own_manifest_is_there(archive):
    chunk(archive, 0, 10)
    second = archive.create_plan(0, plan(10, 20))
    assert archive.find_plan_log(0, 10) == (None, second, False)

    archive.create_manifest(0, second, manifest(absent=10))

    assert archive.find_plan_log(0, 10) == (None, second, True)


def test_the_newest_plan_is_found_wherever_the_committed_offset_points(archive):
    # Given sparse offsets, and starts with different numbers of digits
    starts = [7, 90, 1_000, 95_000, 180_000, 1_234_567]
    for start, end in zip(starts, [*starts[1:], 1_234_600], strict=True):
        chunk(archive, start, end)

    # When the hint is absent, too low, right, in the middle of a chunk, or far above
    hints = [-1, 0, 7, 99_999, 100_000, 1_234_567, 1_234_600, 1_334_567, 1_334_568, 10**15]
    found = [archive.find_plan_log(0, hint) for hint in hints]

    # Then it never matters
    assert {(chain.last.start, chain.last.end, chain.finished) for chain in found} == {
        (1_234_567, 1_234_600, True)
    }


def test_a_plan_one_span_below_the_committed_offset_is_seen_by_the_short_list(store):
    archive = ObjectArchive(store, LOG, max_span=100)
    chunk(archive, 1000, 1100)
    asked = []
    archive._objects.names, names = lambda *at: asked.append(at) or names(*at), archive._objects.names

    assert archive.find_plan_log(0, 1100).last.start == 1000
    assert len(asked) == 1

    assert archive.find_plan_log(0, 1101).last.start == 1000
    assert len(asked) == 3  # the short list was empty, so all of it


def test_partitions_and_incarnations_have_chains_of_their_own(store):
    one, other = ObjectArchive(store, LOG), ObjectArchive(store, Log("mentions", "ffffffff"))
    chunk(one, 0, 5, partition=1)
    chunk(one, 0, 6, partition=11)
    chunk(other, 0, 7, partition=1)

    assert [made.end for made in one.plans(1)] == [5]
    assert [made.end for made in one.plans(11)] == [6]
    assert [made.end for made in other.plans(1)] == [7]
    assert one.find_plan_log(0, -1).last is None


def test_all_plans_come_oldest_first_and_a_skip_is_one_of_them(archive):
    chain = [plan(0, 9), plan(9, 1000, kind="skipped", why="asked for"), plan(1000, 1001)]
    for made in reversed(chain):
        archive.create_plan(3, made)

    assert archive.plans(3) == chain


def test_other_objects_beside_the_plans_are_none(store, archive):
    chunk(archive, 0, 5)
    for name in ("zzz.json", "00000000000000000009.json.bak", "note"):
        put(store, plans_prefix(LOG, 0) + name, b"?")

    assert archive.find_plan_log(0, 0).last.end == 5
    assert len(archive.plans(0)) == 1


def test_names_of_an_odd_topic_come_back_as_they_were_written(store):
    log = Log("Größe 100% +a b#1&c=?", "00000001")
    archive = ObjectArchive(store, log)
    made = chunk(archive, 0, 5)
    rows = archive.write_rows(0, made, [part([1])])

    assert archive.find_plan_log(0, 3) == (None, made, True)
    assert archive.plans(0) == [made]
    assert pq.read_table(io.BytesIO(written(store, rows[0].name)))["topic"].to_pylist() == [log.topic]


def test_the_first_manifest_stays(store, archive):
    made = archive.create_plan(0, plan(0, 10))
    archive.create_manifest(0, made, manifest(counted=10))
    before = written(store, manifest_name(LOG, 0, made))

    archive.create_manifest(0, made, manifest(lost=10))

    assert written(store, manifest_name(LOG, 0, made)) == before
    assert msgspec.json.decode(before)["outcomes"] == {
        "counted": 10,
        "duplicate": 0,
        "rejected": 0,
        "absent": 0,
        "lost": 0,
    }


def test_a_dead_value_is_kept_byte_by_byte_and_once(store, archive):
    value = bytes(range(256)) * 10

    names = {archive.keep_dead_value(2, 77, value), archive.keep_dead_value(2, 77, value)}

    assert names == {dead_value_name(LOG, 2, 77)}
    assert written(store, names.pop()) == value


def test_the_probe_proves_it_the_first_time_and_every_time(archive):
    first = archive.probe()

    assert "create-only PUT works" in first
    assert archive.probe() == first

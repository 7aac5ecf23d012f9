"""The contract of `ports.Archive`, over memory, a folder and an S3 API."""

import datetime as dt
import io
import secrets
from concurrent.futures import ThreadPoolExecutor

import msgspec
import obstore
import pyarrow.parquet as pq
import pytest

from stream_worker.core.layout import (
    Head,
    Log,
    dead_value_name,
    head_name,
    manifest_name,
    plan_name,
    plans_prefix,
    rows_name,
)
from stream_worker.errors import Unreadable
from stream_worker.sinks.archive import ObjectArchive
from stream_worker.sinks.objects import open_store
from stream_worker.sinks.parquet import SCHEMA
from tests.contracts.rows import LOG, MODEL, NOON_MS, manifest, part, plan

pytestmark = pytest.mark.timeout(90)
HOUR_MS = 3_600_000


@pytest.fixture(params=["memory", "folder", "s3"])
def store(request, tmp_path):
    """An empty store of each kind."""
    if request.param == "memory":
        return open_store("memory:///")
    if request.param == "folder":
        return open_store((tmp_path / "odd %41 name").as_uri())
    return s3_store(request.getfixturevalue("s3"))


def s3_store(s3, **options):
    keys = {"access_key_id": s3.access_key, "secret_access_key": s3.secret_key, "region": s3.region}
    url = f"s3://{s3.new_bucket()}/some/prefix-{secrets.token_hex(3)}"
    return open_store(url, endpoint=s3.endpoint, allow_http=True, **(keys | options))


@pytest.fixture
def archive(store):
    return ObjectArchive(store, LOG)


def written(store, name):
    return obstore.get(store, name).bytes().to_bytes()


def put(store, name, body):
    obstore.put(store, name, body, mode="create")


def chunk(archive, start, end, partition=0):
    """A finished chunk without rows."""
    made = archive.create_plan(partition, plan(start, end))
    archive.create_manifest(partition, made, manifest(absent=end - start))
    return made


# ---------------------------------------------------------------- the chain


def test_an_empty_store_has_no_chain(archive):
    assert archive.find_chain(0, -1) == (None, None, False)
    assert archive.find_chain(0, 5_000_000) == (None, None, False)
    assert archive.plans(0) == []


def test_the_first_head_stays(archive):
    first = Head(policy="earliest", starts=[0, 17])

    assert archive.create_head(first) == first
    assert archive.create_head(Head(policy="latest", starts=[99])) == first
    assert archive.find_chain(0, -1).head == first


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
    assert archive.find_chain(0, 10) == (None, second, False)

    archive.create_manifest(0, second, manifest(absent=10))

    assert archive.find_chain(0, 10) == (None, second, True)


def test_the_newest_plan_is_found_wherever_the_committed_offset_points(archive):
    # Given sparse offsets, and starts with different numbers of digits
    starts = [7, 90, 1_000, 95_000, 180_000, 1_234_567]
    for start, end in zip(starts, [*starts[1:], 1_234_600], strict=True):
        chunk(archive, start, end)

    # When the hint is absent, too low, right, in the middle of a chunk, or far above
    hints = [-1, 0, 7, 99_999, 100_000, 1_234_567, 1_234_600, 1_334_567, 1_334_568, 10**15]
    found = [archive.find_chain(0, hint) for hint in hints]

    # Then it never matters
    assert {(chain.last.start, chain.last.end, chain.done) for chain in found} == {
        (1_234_567, 1_234_600, True)
    }


def test_a_plan_one_span_below_the_committed_offset_is_seen_by_the_short_list(store):
    archive = ObjectArchive(store, LOG, max_span=100)
    chunk(archive, 1000, 1100)
    asked = []
    archive._objects.names, names = lambda *at: asked.append(at) or names(*at), archive._objects.names

    assert archive.find_chain(0, 1100).last.start == 1000
    assert len(asked) == 1

    assert archive.find_chain(0, 1101).last.start == 1000
    assert len(asked) == 3  # the short list was empty, so all of it


def test_partitions_and_incarnations_have_chains_of_their_own(store):
    one, other = ObjectArchive(store, LOG), ObjectArchive(store, Log("mentions", "ffffffff"))
    chunk(one, 0, 5, partition=1)
    chunk(one, 0, 6, partition=11)
    chunk(other, 0, 7, partition=1)

    assert [made.end for made in one.plans(1)] == [5]
    assert [made.end for made in one.plans(11)] == [6]
    assert [made.end for made in other.plans(1)] == [7]
    assert one.find_chain(0, -1).last is None


def test_all_plans_come_oldest_first_and_a_skip_is_one_of_them(archive):
    chain = [plan(0, 9), plan(9, 1000, kind="skipped", why="asked for"), plan(1000, 1001)]
    for made in reversed(chain):
        archive.create_plan(3, made)

    assert archive.plans(3) == chain


def test_other_objects_beside_the_plans_are_none(store, archive):
    chunk(archive, 0, 5)
    for name in ("zzz.json", "00000000000000000009.json.bak", "note"):
        put(store, plans_prefix(LOG, 0) + name, b"?")

    assert archive.find_chain(0, 0).last.end == 5
    assert len(archive.plans(0)) == 1


def test_names_of_an_odd_topic_come_back_as_they_were_written(store):
    log = Log("Größe 100% +a b#1&c=?", "00000001")
    archive = ObjectArchive(store, log)
    made = chunk(archive, 0, 5)
    rows = archive.write_rows(0, made, [part([1])])

    assert archive.find_chain(0, 3) == (None, made, True)
    assert archive.plans(0) == [made]
    assert pq.read_table(io.BytesIO(written(store, rows[0].name)))["topic"].to_pylist() == [log.topic]


# ---------------------------------------------------------------- documents that cannot be read


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "object"),
        (msgspec.json.encode(plan(11, 20)), "starts at 11"),
        (msgspec.json.encode(plan(10, 10)), "not after its start"),
        (msgspec.json.encode(plan(10, 20)).replace(b'"v":1', b'"v":2'), "format version 2"),
        (msgspec.json.encode(plan(10, 20)).replace(b"data", b"maybe"), "maybe"),
        (msgspec.json.encode(plan(10, 20)).replace(b'"end"', b'"End"'), "end"),
    ],
)
def test_a_plan_that_cannot_be_read_says_which_why_and_what_to_do(body, why):
    # Given
    store = open_store("memory:///")
    archive = ObjectArchive(store, LOG)
    name = plan_name(LOG, 0, 10)
    put(store, name, body)

    # When it is met by each of the ways
    for meet in (
        lambda: archive.find_chain(0, -1),
        lambda: archive.create_plan(0, plan(10, 30)),
        lambda: archive.plans(0),
    ):
        with pytest.raises(Unreadable) as caught:
            meet()

        # Then
        assert name in str(caught.value)
        assert why in str(caught.value)
        assert "restore it" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_head_or_a_manifest_that_cannot_be_read_stops_too():
    store = open_store("memory:///")
    archive = ObjectArchive(store, LOG)
    made = archive.create_plan(0, plan(0, 5))
    put(store, manifest_name(LOG, 0, made), b"{}")
    with pytest.raises(Unreadable, match=r"_manifests/.*missing required field"):
        archive.find_chain(0, -1)

    put(store, head_name(LOG), b"null")
    with pytest.raises(Unreadable, match=r"head\.json"):
        archive.create_head(Head(policy="earliest", starts=[0]))
    with pytest.raises(Unreadable, match=r"head\.json"):
        archive.find_chain(1, -1)


def test_fields_of_a_later_release_are_no_error():
    store = open_store("memory:///")
    put(store, plan_name(LOG, 0, 0), msgspec.json.encode(plan(0, 5))[:-1] + b',"later":[1]}')

    assert ObjectArchive(store, LOG).find_chain(0, -1).last == plan(0, 5)


def test_an_empty_plan_is_never_written(store, archive):
    with pytest.raises(ValueError, match="must cover offsets"):
        archive.create_plan(0, plan(5, 5))

    assert archive.plans(0) == []


# ---------------------------------------------------------------- rows


def test_no_rows_make_no_objects(store, archive):
    assert archive.write_rows(0, plan(0, 10), []) == []
    assert archive.write_rows(0, plan(0, 10), [part([])]) == []
    assert list(obstore.list(store)) == []


def test_rows_lie_in_the_hour_of_their_event_in_the_order_of_offsets(store, archive):
    # Given rows of three hours in two parts, out of the order of time
    made = plan(0, 100)
    early, late = NOON_MS - 1, NOON_MS + HOUR_MS
    parts = [
        part([1, 2, 5], at_ms=[NOON_MS, early, late]),
        part([7, 8, 9], at_ms=[late + 1, NOON_MS + HOUR_MS - 1, early]),
    ]

    # When
    objects = archive.write_rows(0, made, parts)

    # Then
    hours = (NOON_MS - HOUR_MS, NOON_MS, NOON_MS + HOUR_MS)
    assert [stored.name for stored in objects] == [rows_name(LOG, 0, made, hour) for hour in hours]
    assert objects[0].name.startswith("dt=2026-09-22/hour=11/mentions.0a1b2c3d+0+0000")
    tables = [pq.read_table(io.BytesIO(written(store, stored.name))) for stored in objects]
    assert [table["offset"].to_pylist() for table in tables] == [[2, 9], [1, 8], [5, 7]]
    assert [stored.rows for stored in objects] == [2, 2, 2]
    assert [stored.bytes for stored in objects] == [len(written(store, stored.name)) for stored in objects]


def test_a_row_holds_all_that_was_known(store, archive):
    rows = part([6], brands=["☂ & Söhne/=,%\x7f\x00"], texts=["a\nb\u2028c"], extras=['{"likes":3}'])

    (stored,) = archive.write_rows(4, plan(0, 10), [rows])

    table = pq.read_table(io.BytesIO(written(store, stored.name)))
    assert table.schema.equals(SCHEMA)
    moment = dt.datetime(2026, 9, 22, 12, 0, 6, tzinfo=dt.UTC)
    [row] = table.to_pylist()
    assert [round(row.pop(name), 6) for name in ("p_neg", "p_neu", "p_pos")] == [0.1, 0.2, 0.7]
    assert row == {
        "topic": "mentions",
        "partition": 4,
        "offset": 6,
        "record_time": moment + dt.timedelta(milliseconds=1500),
        "event_time": moment,
        "id": "id-6",
        "brand": "☂ & Söhne/=,%\x7f\x00",
        "network": "reddit",
        "author": "author 6",
        "text": "a\nb\u2028c",
        "url": None,
        "lang": "en",
        "reach": 6,
        "reply_to": None,
        "extra": '{"likes":3}',
        "duplicate": True,
        "repeat": True,
        "voice": False,
        "late": False,
        "label": 2,
        "sentiment_micro": 600_000,
        "model": MODEL,
        "schema": 1,
    }


def test_an_unscored_row_has_no_sentiment_and_keeps_its_label(store, archive):
    (stored,) = archive.write_rows(0, plan(0, 10), [part([1, 2, 3], unscored=[2])])

    table = pq.read_table(io.BytesIO(written(store, stored.name)))
    assert table["label"].to_pylist() == [2, 4, 2]
    for name in ("p_neg", "p_neu", "p_pos", "sentiment_micro"):
        assert [value is None for value in table[name].to_pylist()] == [False, True, False]


def test_columns_without_a_value_are_there_with_the_same_types(store, archive):
    nothing = [None] * 2
    empty = dict.fromkeys(("authors", "urls", "langs", "reaches", "reply_tos", "extras"), nothing)

    (stored,) = archive.write_rows(0, plan(0, 10), [part([1, 2], unscored=[1, 2], **empty)])

    table = pq.read_table(io.BytesIO(written(store, stored.name)))
    assert table.schema.equals(SCHEMA)
    assert table["author"].null_count == 2


def test_an_object_of_two_models_names_both(archive):
    parts = [part([1], model="b-model"), part([2], model="a-model"), part([3], model="b-model")]

    (stored,) = archive.write_rows(0, plan(0, 10), parts)

    assert stored.model == "a-model,b-model"


def test_writing_again_changes_nothing_and_describes_the_same(store, archive):
    # Given a chunk written by one worker
    made = plan(0, 10)
    first = archive.write_rows(0, made, [part([1, 2, 3, 4])])
    body = written(store, first[0].name)

    # When another one, whose micro-batches were cut elsewhere, writes it too
    second = ObjectArchive(store, LOG).write_rows(0, made, [part([1]), part([2, 3]), part([]), part([4])])

    # Then the manifest is the same whoever writes it
    assert second == first
    assert written(store, first[0].name) == body


def test_rows_that_were_there_first_are_the_ones_described(archive):
    # Given rows of the same chunk by a release with another model
    made = plan(0, 10)
    first = archive.write_rows(0, made, [part([1, 2], model="old-model")])

    # When
    again = archive.write_rows(0, made, [part([1, 2], model="new-model")])

    # Then
    assert again == first
    assert again[0].model == "old-model"


def test_of_workers_that_race_for_the_rows_all_describe_the_same(archive):
    made = plan(0, 10)
    models = [f"model-{k}" for k in range(6)]

    with ThreadPoolExecutor(len(models)) as pool:
        answers = list(pool.map(lambda it: archive.write_rows(0, made, [part([1, 2], model=it)]), models))

    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped"])
def test_a_damaged_object_is_named_and_not_counted(store, archive, damage):
    # Given
    made = plan(0, 2000)
    other = ObjectArchive(open_store("memory:///"), LOG)
    (good,) = other.write_rows(0, made, [part(range(1500))])
    body = bytearray(written(other._objects._store, good.name))
    body[len(body) // 2] ^= 0xFF
    bodies = {"empty": b"", "text": b"not Parquet", "cut": bytes(body[:-200]), "flipped": bytes(body)}
    put(store, good.name, bodies[damage])

    # When, Then
    with pytest.raises(Unreadable, match=r"dt=2026-09-22/hour=12/.*damaged") as caught:
        archive.write_rows(0, made, [part(range(1499))])
    assert "\n" not in str(caught.value)


def test_rows_outside_their_plan_are_a_bug(archive):
    for offsets in ([9, 10], [20], [15, 25]):
        with pytest.raises(ValueError, match="outside"):
            archive.write_rows(0, plan(10, 20), [part(offsets)])


# ---------------------------------------------------------------- manifests, dead values, probe


def test_the_first_manifest_stays(store, archive):
    made = archive.create_plan(0, plan(0, 10))
    archive.create_manifest(0, made, manifest(counted=10))
    before = written(store, manifest_name(LOG, 0, made))

    archive.create_manifest(0, made, manifest(lost=10))

    assert written(store, manifest_name(LOG, 0, made)) == before
    assert msgspec.json.decode(before)["outcomes"] == {
        "counted": 10, "duplicate": 0, "rejected": 0, "absent": 0, "lost": 0,
    }  # fmt: skip


def test_a_dead_value_is_kept_byte_by_byte_and_once(store, archive):
    value = bytes(range(256)) * 10

    names = {archive.keep_dead_value(2, 77, value), archive.keep_dead_value(2, 77, value)}

    assert names == {dead_value_name(LOG, 2, 77)}
    assert written(store, names.pop()) == value


def test_the_probe_proves_it_the_first_time_and_every_time(archive):
    first = archive.probe()

    assert "create-only PUT works" in first
    assert archive.probe() == first

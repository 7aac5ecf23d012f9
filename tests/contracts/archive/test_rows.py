"""The contract of `ports.Archive`: rows, over memory, a folder and an S3 API."""

import datetime as dt
import io
from concurrent.futures import ThreadPoolExecutor

import obstore
import pyarrow.parquet as pq
import pytest

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.objects import open_store
from stream_worker.adapters.object_store.parquet import SCHEMA
from stream_worker.core.archive.layout import (
    rows_name,
)
from stream_worker.errors import Unreadable
from tests.contracts.archive.objects import put, written
from tests.contracts.rows import LOG, MODEL, NOON_MS, part, plan

pytestmark = pytest.mark.timeout(90)
HOUR_MS = 3_600_000


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

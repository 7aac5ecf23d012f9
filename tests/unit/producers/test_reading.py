"""Rows become mentions that keep the contract, or are skipped and counted."""

import datetime as dt
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.feeds.files import FileRow
from producers.feeds.row_mapping import SHOWN_MAX, RowMapper
from stream_worker.core.records.mention import (
    ID_CHARS_MAX,
    INT64_MAX,
    NETWORK_PATTERN,
    TEXT_CHARS_MAX,
    Mention,
    encode,
)

GOOD = {"id": "1", "brand": "Acme", "network": "x", "text": "hello", "time": "2026-01-01T00:00:00Z"}
CELLS = st.one_of(
    st.none(),
    st.text(max_size=40),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.binary(max_size=10),
    st.datetimes(),
    st.lists(st.integers(), max_size=2),
)


def row(number=1, **values):
    return FileRow(number, tuple((GOOD | values).values()))


def reader(*more, **options):
    return RowMapper(roles=[*GOOD, *more], fixed={}, **options)


def test_a_row_becomes_a_mention_with_its_time_in_milliseconds():
    found = list(reader("author", "reach").mentions([row(author="ann", reach="12.0")]))
    assert found == [
        Mention(
            id="1",
            brand="Acme",
            network="x",
            text="hello",
            event_time=1_767_225_600_000,
            author="ann",
            reach=12,
        )
    ]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"id": ""}, "no id"),
        ({"id": None}, "no id"),
        ({"id": float("nan")}, "no id"),
        ({"id": "1" * (ID_CHARS_MAX + 1)}, "id longer than 512 characters"),
        ({"brand": "  "}, "no brand"),
        ({"network": ""}, "no network"),
        ({"network": "***"}, "network has no letter or digit"),
        ({"text": " \n "}, "no text"),
        ({"text": ["a"]}, "text is not a text"),
        ({"text": "a\ud800"}, "text is not UTF-8"),
        ({"text": b"\xff"}, "text is not UTF-8"),
        ({"text": "a" * (TEXT_CHARS_MAX + 1)}, "text longer than 1,000,000 characters"),
        ({"time": "soon"}, "no readable time"),
        ({"time": None}, "no readable time"),
        ({"reach": "many"}, "reach is not a whole number"),
        ({"reach": INT64_MAX + 1}, "reach is not a whole number"),
        ({"reach": -1}, "reach is not a whole number"),
        ({"author": "a" * 513}, "author longer than 512 characters"),
    ],
)
def test_a_row_that_cannot_be_used_is_counted_with_its_reason(values, reason):
    # Given a good row on either side
    reading = reader(*(set(values) - set(GOOD)))
    rows = [row(1, **dict.fromkeys(values.keys() - GOOD.keys())), row(2, **values)]

    # When
    found = list(reading.mentions(rows))

    # Then
    assert len(found) == 1
    assert reading.skipped.reasons == {reason: 1}
    assert reading.skipped.first == [(2, reason)]


def test_of_many_skipped_rows_the_first_are_told_and_all_are_counted():
    reading = reader()
    assert list(reading.mentions(row(number, text="") for number in range(1, 101))) == []
    assert reading.skipped.rows == 100
    assert len(reading.skipped.first) == SHOWN_MAX
    assert reading.skipped.lines()[0] == "skipped 100 unusable rows (no text: 100)"
    assert reading.skipped.lines()[-1] == "  … and 95 more"


def test_what_is_skipped_is_told_without_its_text():
    reading = reader("reach")
    list(reading.mentions([row(text="my secret", reach="x"), FileRow(2, (), "damaged")]))
    assert "secret" not in "\n".join(reading.skipped.lines())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x", "x"),
        ("Twitter", "twitter"),
        ("Twitter Web App", "twitter_web_app"),
        ("Frage & Antwort!", "frage_antwort"),
    ],
)
def test_networks_are_made_to_fit_the_contract(name, expected):
    reading = reader()
    (mention,) = reading.mentions([row(network=name)])
    assert mention.network == expected
    assert reading.renamed == ({} if name == expected else {name: expected})


def test_values_for_all_rows_stand_in_for_columns():
    reading = RowMapper(
        roles=["text", "time"], fixed={"brand": "Acme", "network": "x"}, id_of_row="f-{}".format
    )
    found = list(reading.mentions([FileRow(7, ("hi", 1_767_225_600))]))
    assert [(one.id, one.brand, one.network) for one in found] == [("f-7", "Acme", "x")]


def test_a_prefix_makes_ids_of_their_own_for_a_second_replay():
    (mention,) = reader(id_prefix="again-").mentions([row()])
    assert mention.id == "again-1"


@pytest.mark.parametrize(("time", "expected"), [("2026-01-01 10:00", True), (dt.datetime.now(dt.UTC), False)])
def test_times_without_an_offset_are_noticed(time, expected):
    reading = reader()
    assert len(list(reading.mentions([row(time=time)]))) == 1
    assert reading.no_offset is expected


@given(st.lists(st.tuples(*[CELLS] * 10), max_size=5))
def test_whatever_a_row_holds_it_is_counted_or_keeps_the_contract(cells):
    # Given
    roles = ["id", "brand", "network", "text", "time", "author", "url", "lang", "reach", "reply_to"]
    reading = RowMapper(roles=roles, fixed={})

    # When
    found = list(reading.mentions(FileRow(number, values) for number, values in enumerate(cells, 1)))

    # Then
    assert len(found) + reading.skipped.rows == len(cells)
    for mention in found:
        assert msgspec.json.decode(encode(mention), type=Mention) == mention
        assert re.fullmatch(NETWORK_PATTERN, mention.network)

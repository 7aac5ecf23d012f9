"""Text and numbers of the rolling picture: what is written is read back, and windows cover what they say."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.aggregates.encoding import (
    SHARDS,
    WINDOWS,
    add_sums,
    decode_many,
    decode_sums,
    encode_delta,
    encode_sums,
    frozen_tallies,
    history_range,
    minute_at_or_after,
    shard_of,
    to_json,
    window_sums,
)
from stream_worker.core.aggregates.measures import MEASURES, Delta
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS

NOON = 1_763_812_800_000

integers = st.integers(-(2**53) + 1, 2**53 - 1)
tens = st.lists(integers, min_size=10, max_size=10).map(tuple)


def test_a_brand_has_the_shard_of_its_crc_32():
    assert shard_of("acme") == zlib.crc32(b"acme") % 16
    assert shard_of("") == 0
    assert {shard_of(f"brand {i}") for i in range(500)} == set(range(SHARDS))
    assert 0 <= shard_of("\ud83d") < SHARDS


@pytest.mark.parametrize(
    ("time_ms", "start"), [(0, 0), (1, 60_000), (60_000, 60_000), (60_001, 120_000), (-1, 0), (-90_000, 0)]
)
def test_the_first_minute_at_or_after_a_time(time_ms, start):
    assert minute_at_or_after(time_ms) == start


@given(tens)
def test_sums_are_read_as_they_were_written(sums):
    assert decode_sums(encode_sums(sums)) == sums


@pytest.mark.parametrize(
    "broken", ["", "1,2", "1,2,3,4,5,6,7,8,9,10,11", "a,2,3,4,5,6,7,8,9,10", "1e+14" + ",0" * 9]
)
def test_what_is_not_ten_integers_is_refused(broken):
    with pytest.raises(ValueError, match=r"must have 10 integers|invalid literal"):
        decode_sums(broken)


@given(st.lists(tens, min_size=1, max_size=5))
def test_many_values_are_read_at_once(values):
    texts = [encode_sums(sums) for sums in values]

    assert decode_many(texts).tolist() == [list(sums) for sums in values]
    assert decode_many([",".join(texts)]).tolist() == [list(sums) for sums in values]


def test_many_values_with_a_broken_one_are_refused():
    with pytest.raises(ValueError, match=r"string|reshape"):
        decode_many(["1,2,3,4,5,6,7,8,9,10", "1,2,3,4,5,6,7,8,9,x"])


@given(tens, tens)
def test_sums_add_measure_by_measure(left, right):
    assert add_sums(left, right) == tuple(a + b for a, b in zip(left, right, strict=True))


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_any_text_survives_json(text):
    """Lone surrogates too: they are no UTF-8 and must not end a batch."""
    encoded = to_json([text])
    assert json.loads(encoded.decode("utf-8", "surrogatepass")) == [text]


def test_a_delta_travels_as_columns_of_plain_integers():
    # Given a delta with a sum beyond 32 bits
    measures = np.array([[1, 0, 0, 0, 0, 0, -(10**14), 0, 0, 0], [2] * 10], np.int64)
    delta = Delta(np.array([NOON, NOON]), np.array([False, True]), ["x", "y"], ["a:b", "💥"], measures, "m1")

    # When it is encoded, then it is this JSON
    assert json.loads(encode_delta(delta)) == {
        "model": "m1",
        "minutes": [NOON, NOON],
        "late": [0, 1],
        "networks": ["x", "y"],
        "brands": ["a:b", "💥"],
        "measures": [1, 0, 0, 0, 0, 0, -(10**14), 0, 0, 0] + [2] * 10,
    }
    assert b"e+" not in encode_delta(delta)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(MEASURES), st.sampled_from(["x", "y", ""]), st.text(max_size=4)),
        st.integers(-9, 9),
        max_size=8,
    )
)
def test_frozen_tallies_sum_the_on_time_fields_over_networks(fields):
    # Given the fields of a minute among late ones and metadata
    stored = {
        f"{measure}:{network}:{brand}": str(value) for (measure, network, brand), value in fields.items()
    }
    noise = {
        "late_n:x:a": "9",
        "mentions": "1",
        "model:m:1": "7",
        "models": "m",
        "mark": "1-2",
        "complete": "1",
    }

    # When they are read
    tallies = frozen_tallies({**noise, **stored})

    # Then each is a plain sum, and nothing else is there
    assert set(tallies) == {brand for _, _, brand in fields}
    for brand, sums in tallies.items():
        for measure, value in zip(MEASURES, sums, strict=True):
            assert value == sum(v for (m, _, b), v in fields.items() if (m, b) == (measure, brand))


@given(st.integers(0, 2_880))
def test_a_draw_reads_each_minute_of_a_day_once(number):
    # Given the newest minute anywhere in a day
    newest = NOON + number * MINUTE_MS
    needs = history_range(newest)

    # When whole hours are spelled out in their minutes
    covered = [*needs.minutes, *(hour + i * MINUTE_MS for hour in needs.hours for i in range(60))]

    # Then they are just the minutes of the day that ends with it, and the last hour comes by minutes
    end = newest + MINUTE_MS
    assert sorted(covered) == list(range(end - DAY_MS, end, MINUTE_MS))
    assert set(range(end - HOUR_MS, end, MINUTE_MS)) <= set(needs.minutes)
    assert len(needs.minutes) < 180


@given(st.integers(0, 2_880), st.dictionaries(st.integers(0, 3_000), st.integers(1, 100), max_size=30))
def test_windows_are_sums_of_the_minutes_they_cover(number, counts):
    # Given counts in minutes of two days, and what a draw reads of them
    newest = NOON + number * MINUTE_MS
    of = {NOON + at * MINUTE_MS: n for at, n in counts.items()}
    needs = history_range(newest)
    worth = [of.get(start, 0) for start in needs.minutes]
    worth += [sum(n for start, n in of.items() if hour <= start < hour + HOUR_MS) for hour in needs.hours]

    # When the windows are summed
    sums = np.array([[[n] * 10 for n in worth]], np.int64)
    found = window_sums(newest, [*needs.minutes, *needs.hours], sums)

    # Then each equals the sum by hand
    end = newest + MINUTE_MS
    for window, minutes in WINDOWS.items():
        by_hand = sum(n for start, n in of.items() if end - minutes * MINUTE_MS <= start < end)
        assert found[window].tolist() == [[by_hand] * 10]

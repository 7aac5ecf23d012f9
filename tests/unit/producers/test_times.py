"""Times as files write them."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.feeds.scheduled import INSTANT_MS_MAX, epoch_ms, instant
from producers.feeds.times import has_no_offset, read_time

NEW_YEAR_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01 00:00:00",
        "2026-01-01T01:00:00+01:00",
        " 2026-01-01T00:00:00.000000Z ",
        "2026-01-01",
        "20260101",
        "Thu Jan 01 00:00:00 +0000 2026",
        1_767_225_600,
        "1767225600",
        1_767_225_600.0,
        "1767225600.0",
        1_767_225_600_000,
        1_767_225_600_000_000,
        1_767_225_600_000_000_000,
        dt.datetime(2026, 1, 1),  # noqa: DTZ001
        dt.datetime(2026, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        dt.date(2026, 1, 1),
    ],
)
def test_the_ways_in_which_files_write_one_moment_all_mean_it(value):
    assert read_time(value) == NEW_YEAR_MS


def test_a_format_of_ones_own_is_followed():
    assert read_time("01.01.2026 00h00", "%d.%m.%Y %Hh%M") == NEW_YEAR_MS


@pytest.mark.parametrize(
    "value", ["", "yesterday", None, True, float("nan"), float("inf"), "-1", -1, [1], "1e400"]
)
def test_what_is_no_time_is_refused(value):
    with pytest.raises(ValueError):
        read_time(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-01 00:00:00", True),
        ("2026-01-01T00:00:00Z", False),
        ("1767225600", False),
        (1_767_225_600, False),
        (dt.datetime(2026, 1, 1), True),  # noqa: DTZ001
        ("Thu Jan 01 00:00:00 +0000 2026", False),
    ],
)
def test_a_time_that_leaves_its_offset_to_the_reader_is_noticed(value, expected):
    assert has_no_offset(value) is expected


@given(st.integers(0, INSTANT_MS_MAX))
def test_a_moment_survives_being_written_for_people(ms):
    assert epoch_ms(instant(ms)) == ms
    assert read_time(instant(ms).isoformat()) == ms

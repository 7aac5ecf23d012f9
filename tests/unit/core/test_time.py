"""Times as people and programs read them: RFC 3339, the same bytes wherever one is stored or served."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.time import DAY_MS, day_start_ms, rfc3339

TIMES = st.integers(-62_135_596_800_000, 253_402_300_799_999)  # the years 1 to 9999


@pytest.mark.parametrize(
    ("time_ms", "written"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_790_078_400_000, "2026-09-22T12:00:00Z"),
        (1_790_078_400_250, "2026-09-22T12:00:00.250Z"),
        (1_790_078_400_001, "2026-09-22T12:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_a_whole_second_has_no_fraction_and_anything_else_has_milliseconds(time_ms, written):
    assert rfc3339(time_ms) == written


def test_a_fraction_and_another_spelling_of_utc_can_be_asked_for():
    assert rfc3339(0, fraction="always") == "1970-01-01T00:00:00.000Z"
    assert rfc3339(0, fraction="always", zone="+00:00") == "1970-01-01T00:00:00.000+00:00"


@given(TIMES)
def test_what_was_written_reads_as_the_same_time(time_ms):
    read = dt.datetime.fromisoformat(rfc3339(time_ms))

    assert (read - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1) == time_ms


def test_a_year_that_rfc_3339_cannot_write_is_refused():
    with pytest.raises(OverflowError):
        rfc3339(253_402_300_800_000)


@given(st.dates())
def test_a_day_starts_at_midnight_utc(date):
    start_ms = day_start_ms(date)

    assert start_ms % DAY_MS == 0
    assert rfc3339(start_ms) == f"{date}T00:00:00Z"

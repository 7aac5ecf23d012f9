"""The baseline of a brand: the hours of its day are learned together, within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.detection.baseline import (
    HOUR_OFFSET_MAX,
    QUARTERS_PER_DAY,
    Baseline,
    QuarterSummary,
    learn,
)


def days(count, share_of, voices=60):
    """Learn `count` days of quarters with `voices` each; `share_of` gives the share of an hour of the day."""
    baseline = Baseline(quarter=0)
    for quarter in range(count * QUARTERS_PER_DAY):
        share = 1 / (1 + 2.718281828459045 ** -baseline.logit(quarter))
        negatives = round(voices * share_of(quarter // 4 % 24))
        seen = QuarterSummary(15, voices, negatives, share, voices * share / 15, spiking=False)
        baseline = learn(baseline, seen, quarter + 1)
    return baseline


def test_a_day_with_an_angry_evening_is_learned_and_its_nights_stay_what_they_are():
    # Given two weeks of 10 %, and 30 % from 18 to 22 h
    baseline = days(14, lambda hour: 0.3 if 18 <= hour < 22 else 0.1)

    # Then the evening is above the morning, by about as much
    evening, morning = baseline.logit(20 * 4), baseline.logit(6 * 4)
    assert 0.6 < evening - morning < 1.35


def test_what_one_hour_shows_the_hours_about_it_know_as_well():
    # Given days on which only noon is angry
    hours = days(5, lambda hour: 0.4 if hour == 12 else 0.15).share_hours

    # Then the nearer an hour is to noon the more of it is expected there, and midnight knows nothing of it
    assert hours[12] > hours[11] > hours[9]
    assert hours[12] > hours[13] > hours[15]
    assert hours[0] <= hours[15]


@given(st.integers(0, 23), st.floats(0, 1))
def test_an_offset_never_leaves_its_bounds(hour, share):
    hours = days(3, lambda at: share if at == hour else 0.15, voices=10_000).share_hours

    assert all(abs(offset) <= HOUR_OFFSET_MAX for offset in hours)

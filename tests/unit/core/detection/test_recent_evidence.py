"""Recent evidence: the last half hour beside the last half day, and how they weigh the evidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.detection.recent_evidence import (
    EVIDENCE_GAIN_MAX,
    RecentEvidence,
    add_minute,
    restart_excess,
    weighted_score,
)

SHARE = 0.15


def feed(recent, voices, negatives, *, volume=10.0, gap=0):
    return add_minute(recent, voices=voices, negatives=negatives, share=SHARE, volume=volume, gap_minutes=gap)


def after(minutes, voices, share, *, since=None, complete=True):
    """Feed minutes of one kind; ten voices are expected of each."""
    recent = since or RecentEvidence()
    for _ in range(minutes):
        recent = feed(recent, voices, voices * share, volume=10.0 if complete else None)
    return recent


def score(recent, evidence=10.0, spread=0.2, *, volume_known=True):
    return weighted_score(recent, evidence, 1.5, spread, volume_known=volume_known)


CALM = after(1_440, 10, SHARE)


def test_evidence_of_which_recent_minutes_show_nothing_is_worth_less():
    assert score(CALM) < 10 / 2


def test_a_share_that_jumped_makes_more_of_the_evidence():
    # share   15 % x a day | 40 % x 30
    assert score(after(30, 10, 0.4, since=CALM)) > score(after(10, 10, 0.4, since=CALM)) > score(CALM) + 2


def test_what_has_been_so_for_half_a_day_is_worth_less_than_what_is_new():
    # share   15 % x a day | 25 % x 60, or x 1,440
    assert score(after(60, 10, 0.25, since=CALM)) > score(after(1_440, 10, 0.25, since=CALM))


def test_a_share_below_the_usual_for_half_a_day_does_not_help():
    # Given half a day of praise, and another half hour as usual
    relieved = after(120, 10, SHARE, since=after(720, 10, 0.02, since=CALM))

    # Then nothing comes of the negative excess of the half day
    assert relieved.long_excess < -100
    assert score(relieved) <= score(CALM)


def test_more_voices_than_in_the_last_half_day_make_more_of_the_evidence_once_the_volume_is_known():
    louder = after(60, 30, SHARE, since=CALM)

    assert score(louder) > score(CALM) + 0.5
    assert score(louder, volume_known=False) == pytest.approx(score(CALM, volume_known=False), abs=0.01)


def test_a_brand_that_always_has_three_times_the_usual_voices_is_not_louder():
    assert score(after(5_000, 30, SHARE)) == pytest.approx(score(CALM), abs=0.1)


def test_an_incomplete_minute_adds_no_volume():
    short = after(100, 10, 0.4, since=CALM, complete=False)

    assert short.medium_voices == pytest.approx(short.medium_expected)
    assert short.medium_voices < CALM.medium_voices
    assert short.short_excess > CALM.short_excess


@given(st.floats(0.5, 60), st.integers(0, 500), st.floats(0, 1))
def test_recent_minutes_support_evidence_and_never_replace_it(evidence, voices, share):
    assert score(after(20, voices, share), evidence) <= EVIDENCE_GAIN_MAX * evidence


@given(st.integers(1, 5_000))
def test_a_hole_fades_like_as_many_minutes_without_a_voice(minutes):
    # Given the same sums after a hole, and after a whole number of empty minutes nobody expected voices in
    spiked = after(60, 20, 0.5)
    hole = feed(spiked, 0, 0, volume=0.0, gap=minutes)
    empty = spiked
    for _ in range(minutes + 1):
        empty = feed(empty, 0, 0, volume=0.0)

    for one, two in zip(
        (hole.short_excess, hole.long_variance, hole.medium_voices),
        (empty.short_excess, empty.long_variance, empty.medium_voices),
        strict=True,
    ):
        assert one == pytest.approx(two, rel=1e-9)


def test_another_model_forgets_the_excess_and_keeps_the_volume():
    changed = restart_excess(after(60, 10, 0.5, since=CALM))

    assert changed.short_excess == changed.long_excess == 0
    assert changed.short_variance == changed.long_variance == 0
    assert changed.medium_voices > 0
    assert changed.long_expected > 0

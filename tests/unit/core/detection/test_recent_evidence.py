"""Windows: the last half hour beside the last half day, and what they make of evidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.detection.recent_evidence import SUMS_MAX, RecentEvidence, begun_anew, fed, picture

SHARE = 0.15


def after(minutes, voices, share, *, since=None, usual=10.0, complete=True):
    """Feed minutes of one kind; `usual` voices are expected of each."""
    windows = since or RecentEvidence()
    for _ in range(minutes):
        windows = fed(windows, voices, voices * share, SHARE, usual if complete else None, 0)
    return windows


def seen(windows, sums=10.0, spread=0.2, *, volume_known=True):
    return picture(windows, sums, 1.5, spread, volume_known=volume_known)


CALM = after(1_440, 10, SHARE)


def test_evidence_of_which_the_windows_show_nothing_is_worth_less():
    assert seen(CALM) < 10 / 2


def test_a_share_that_jumped_makes_more_of_the_evidence():
    # share   15 % x a day | 40 % x 30
    assert seen(after(30, 10, 0.4, since=CALM)) > seen(after(10, 10, 0.4, since=CALM)) > seen(CALM) + 2


def test_what_has_been_so_for_half_a_day_is_worth_less_than_what_is_new():
    # share   15 % x a day | 25 % x 60, or x 1,440
    assert seen(after(60, 10, 0.25, since=CALM)) > seen(after(1_440, 10, 0.25, since=CALM))


def test_a_share_below_the_usual_for_half_a_day_does_not_help():
    # Given half a day of praise, and another half hour as usual
    relieved = after(120, 10, SHARE, since=after(720, 10, 0.02, since=CALM))

    # Then nothing comes of the negative excess of the long window
    assert relieved.long_excess < -100
    assert seen(relieved) <= seen(CALM)


def test_more_voices_than_in_the_last_half_day_make_more_of_the_evidence_once_the_volume_is_known():
    louder = after(60, 30, SHARE, since=CALM)

    assert seen(louder) > seen(CALM) + 0.5
    assert seen(louder, volume_known=False) == pytest.approx(seen(CALM, volume_known=False), abs=0.01)


def test_a_brand_that_always_has_three_times_the_usual_voices_is_not_louder():
    assert seen(after(5_000, 30, SHARE)) == pytest.approx(seen(CALM), abs=0.1)


def test_an_incomplete_minute_adds_no_volume():
    short = after(100, 10, 0.4, since=CALM, complete=False)

    assert short.loud_voices == pytest.approx(short.loud_usual)
    assert short.loud_voices < CALM.loud_voices
    assert short.short_excess > CALM.short_excess


@given(st.floats(0.5, 60), st.integers(0, 500), st.floats(0, 1))
def test_windows_support_evidence_and_never_replace_it(sums, voices, share):
    assert seen(after(20, voices, share), sums) <= SUMS_MAX * sums


@given(st.integers(1, 5_000))
def test_a_hole_fades_like_as_many_minutes_without_a_voice(minutes):
    # Given the same windows after a hole, and after a whole number of empty minutes nobody expected voices in
    spiked = after(60, 20, 0.5)
    hole = fed(spiked, 0, 0, SHARE, 0.0, minutes)
    empty = spiked
    for _ in range(minutes + 1):
        empty = fed(empty, 0, 0, SHARE, 0.0, 0)

    for one, two in zip(
        (hole.short_excess, hole.long_variance, hole.loud_voices),
        (empty.short_excess, empty.long_variance, empty.loud_voices),
        strict=True,
    ):
        assert one == pytest.approx(two, rel=1e-9)


def test_another_model_forgets_the_excess_and_keeps_the_volume():
    changed = begun_anew(after(60, 10, 0.5, since=CALM))

    assert changed.short_excess == changed.long_excess == 0
    assert changed.short_variance == changed.long_variance == 0
    assert changed.loud_voices > 0
    assert changed.long_usual > 0

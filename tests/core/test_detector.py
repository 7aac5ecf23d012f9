"""The share detector: quiet stays quiet, a jump is seen, and numbers survive a process as text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.columns import MINUTE_MS
from stream_worker.core.detector import OPEN_AT, Observation, Share, ShareNumbers, Verdict

DETECTOR = Share()
DAY = 1_440


def observe(minute, voices=0, negative=0, *, complete=True, gap=0, frozen=False):
    return Observation(minute * MINUTE_MS, voices, negative, voices, negative, complete, gap, frozen)


def feed(observations, numbers=None) -> tuple[ShareNumbers, list[Verdict]]:
    numbers = numbers or DETECTOR.start()
    verdicts = []
    for observation in observations:
        numbers, verdict = DETECTOR.step(numbers, observation)
        verdicts.append(verdict)
    return numbers, verdicts


def noise(rate, share, minutes, seed, first=0):
    rng = np.random.default_rng(seed)
    voices = rng.poisson(rate, minutes)
    negative = rng.binomial(voices, share)
    return [observe(first + i, int(voices[i]), int(negative[i])) for i in range(minutes)]


@pytest.mark.parametrize("rate", [0.1, 3, 30, 300])
@pytest.mark.parametrize("share", [0.02, 0.15, 0.4])
def test_a_quiet_brand_with_binomial_noise_does_not_open_in_a_week(rate, share):
    # When a brand without any change is judged for a week, its very first minutes included
    _, verdicts = feed(noise(rate, share, 7 * DAY, seed=7))

    # Then no minute is worth an episode
    assert max(verdict.score for verdict in verdicts) < OPEN_AT


@pytest.mark.parametrize("seed", range(5))
def test_a_jump_to_sixty_per_cent_at_thirty_mentions_a_minute_opens_within_five_minutes(seed):
    # Given two days of 15 %
    numbers, _ = feed(noise(30, 0.15, 2 * DAY, seed))

    # When the share jumps
    _, verdicts = feed(noise(30, 0.6, 5, seed, first=2 * DAY), numbers)

    # Then it opens
    assert any(verdict.score >= OPEN_AT for verdict in verdicts)


def test_the_window_holds_five_minutes_and_no_more():
    # minute      0    1    2    3    4    5    6
    # voices     10    .    .    .    .    .    1
    # window     |------- 10 in it ------|
    #                                     |-- 0 or 1
    _, verdicts = feed([observe(0, 10, 9)] + [observe(i) for i in range(1, 6)] + [observe(6, 1, 0)])

    assert [verdict.voices for verdict in verdicts] == [10, 10, 10, 10, 10, 0, 1]
    assert [verdict.neg_voices for verdict in verdicts] == [9, 9, 9, 9, 9, 0, 0]


def test_a_hole_moves_the_window_and_keeps_the_share_that_is_usual():
    # minute      0 … 99 (40 %)   | hole of 600 minutes |   700
    # window                                             only 700
    numbers, _ = feed([observe(i, 10, 4) for i in range(100)])

    after, (verdict,) = feed([observe(700, 3, 1, gap=600)], numbers)

    assert verdict.voices == 3
    kept = after.usual_negatives - 1, after.usual_voices - 3
    assert kept[0] / kept[1] == pytest.approx(numbers.usual_negatives / numbers.usual_voices)
    assert kept[1] == pytest.approx(numbers.usual_voices * 2 ** (-601 / DAY))


def test_a_hole_is_not_a_row_of_zeros_but_forgets_as_long():
    # Given the same past
    numbers, _ = feed([observe(i, 10, 4) for i in range(100)])

    # When ten minutes are a hole for one and zeros for the other
    hole, _ = feed([observe(110, 5, 1, gap=10)], numbers)
    zeros, _ = feed([observe(i) for i in range(100, 110)] + [observe(110, 5, 1)], numbers)

    # Then both know as much about what is usual
    assert hole.usual_voices == pytest.approx(zeros.usual_voices)


@pytest.mark.parametrize("how", [{"complete": False}, {"frozen": True}])
def test_an_incomplete_or_frozen_minute_is_judged_and_teaches_nothing(how):
    # Given a brand with a past
    numbers, _ = feed([observe(i, 30, 4) for i in range(600)])

    # When a spike comes in minutes that may not teach
    after, verdicts = feed([observe(i, 30, 25, **how) for i in range(600, 605)], numbers)

    # Then it is seen, and what is usual has not moved
    assert verdicts[-1].score >= OPEN_AT
    assert (after.usual_voices, after.usual_negatives) == (numbers.usual_voices, numbers.usual_negatives)


def test_a_handful_of_angry_voices_is_not_enough():
    # Given a brand that is never criticised
    numbers, _ = feed([observe(i, 5, 0) for i in range(DAY)])

    # When nine of nine are negative, or four of forty
    _, few = feed([observe(DAY, 9, 9)], feed([observe(DAY + i) for i in range(9)], numbers)[0])
    _, rare = feed([observe(DAY + 9, 40, 4)], numbers)

    # Then nothing is said
    assert few[0].score == 0
    assert rare[0].score == 0


def test_a_share_of_one_hundred_per_cent_has_a_finite_score():
    _, verdicts = feed([observe(i, 100, 100) for i in range(30)])

    assert all(np.isfinite(verdict.score) for verdict in verdicts)


minutes = st.tuples(
    st.integers(0, 400), st.integers(0, 400), st.booleans(), st.integers(0, 2_000), st.booleans()
)


@settings(max_examples=200, deadline=None)
@given(st.lists(minutes, max_size=40), st.data())
def test_a_series_fed_in_one_go_or_across_restarts_is_identical(series, data):
    # Given any series, with holes, incomplete and frozen minutes
    observations, minute = [], 0
    for voices, negative, complete, gap, frozen in series:
        minute += 1 + gap
        observations.append(
            observe(minute, voices, min(voices, negative), complete=complete, gap=gap, frozen=frozen)
        )

    # When it is fed once in one go, and once with the numbers put to text at any points
    whole, verdicts = feed(observations)
    numbers, again = DETECTOR.start(), []
    for observation in observations:
        if data.draw(st.booleans()):
            numbers = DETECTOR.decode(DETECTOR.encode(numbers))
        numbers, verdict = DETECTOR.step(numbers, observation)
        again.append(verdict)

    # Then every verdict and the last text are the same
    assert again == verdicts
    assert DETECTOR.encode(numbers) == DETECTOR.encode(whole)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[1,2,3,"x"]', "nonsense"])
def test_text_that_is_no_numbers_is_refused(text):
    with pytest.raises(ValueError):
        DETECTOR.decode(text)

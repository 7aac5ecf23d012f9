"""The share detector: quiet stays quiet, a jump is seen, a storm at once, and states survive as text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.detection.detector import OPEN_AT, Observation, Verdict
from stream_worker.core.detection.sensitivity import OPEN_SCORES
from stream_worker.core.detection.share_detector import STORM_SCORE, QuarterCounts, ShareDetector, ShareState
from stream_worker.core.time import MINUTE_MS

DETECTOR = ShareDetector()
DAY = 1_440


def observe(minute, voices=0, negative=0, *, mentions=None, complete=True, gap=0, model=""):
    mentions = voices if mentions is None else mentions
    return Observation(minute * MINUTE_MS, voices, negative, mentions, negative, complete, gap, model)


def feed(observations, state=None) -> tuple[ShareState, list[Verdict]]:
    state = state or DETECTOR.start()
    verdicts = []
    for observation in observations:
        state, verdict = DETECTOR.step(state, observation)
        verdicts.append(verdict)
    return state, verdicts


def noise(rate, share, minutes, seed, first=0, model=""):
    rng = np.random.default_rng(seed)
    voices = rng.poisson(rate, minutes)
    negative = rng.binomial(voices, share)
    return [observe(first + i, int(voices[i]), int(negative[i]), model=model) for i in range(minutes)]


def highest(verdicts):
    return max(verdict.score for verdict in verdicts)


@pytest.fixture(scope="module")
def known():
    """A brand with 15 % of 30 voices a minute, known for two days."""
    return feed(noise(30, 0.15, 2 * DAY, seed=1))[0]


@pytest.mark.parametrize("rate", [0.1, 300])
@pytest.mark.parametrize("share", [0.02, 0.15, 0.4])
def test_a_quiet_brand_does_not_open_in_its_first_days(rate, share):
    # When a brand without any change is evaluated from its very first minute on
    _, verdicts = feed(noise(rate, share, 2 * DAY, seed=7))

    # Then no minute is worth an episode
    assert highest(verdicts) < OPEN_AT


@pytest.mark.parametrize("seed", range(5))
def test_a_jump_to_sixty_per_cent_at_thirty_mentions_a_minute_opens_within_ten_minutes(known, seed):
    _, verdicts = feed(noise(30, 0.6, 10, seed, first=2 * DAY), known)

    assert highest(verdicts) >= OPEN_AT


def test_a_share_that_doubles_slowly_opens_in_the_end(known):
    # Given thirty minutes each of 17, 19 … 35 per cent
    parts = [noise(30, 0.15 + 0.02 * i, 30, i, first=2 * DAY + 30 * i) for i in range(1, 11)]

    _, verdicts = feed([observation for part in parts for observation in part], known)

    assert highest(verdicts) >= OPEN_AT


@pytest.mark.parametrize(("voices", "negative"), [(200, 100), (1_000, 600), (100, 100)])
def test_a_storm_scores_enough_for_every_sensitivity_in_its_first_minute(known, voices, negative):
    _, (verdict,) = feed([observe(2 * DAY, voices, negative)], known)

    assert verdict.score >= STORM_SCORE > max(OPEN_SCORES.values())
    assert (verdict.voices, verdict.neg_voices) >= (voices, negative)


@pytest.mark.parametrize(
    ("voices", "negative", "mentions"),
    [
        (400, 99, 400),  # one voice too few
        (1_000, 400, 1_000),  # many, but less than three times the usual share
        (130, 110, 3_000),  # what leaks from a flood of copies
        (190, 125, 2_030),  # … to a louder brand, and more of it than usual
    ],
)
def test_what_is_no_storm_does_not_open_in_one_minute(known, voices, negative, mentions):
    _, (verdict,) = feed([observe(2 * DAY, voices, negative, mentions=mentions)], known)

    assert verdict.score < OPEN_AT


@pytest.mark.parametrize("mentions", [200, 400, 600])
def test_a_storm_that_people_pass_on_is_one(known, mentions):
    _, (verdict,) = feed([observe(2 * DAY, 200, 120, mentions=mentions)], known)

    assert verdict.score >= STORM_SCORE


def test_one_bad_minute_of_a_crowd_that_is_glad_is_no_storm(known):
    # share   15 % of 30 | 5 % of 400 x 60 | 50 % of 400 x 1
    glad = noise(400, 0.05, 60, 3, first=2 * DAY)
    state, _ = feed(glad, known)

    _, (amid, *_) = feed([observe(2 * DAY + 60, 400, 200)], state)
    _, (alone, *_) = feed([observe(2 * DAY, 400, 200)], known)

    assert amid.score < min(OPEN_SCORES.values())
    assert alone.score >= STORM_SCORE


def test_a_crowd_that_turns_opens_within_minutes_of_good_news(known):
    state, _ = feed(noise(400, 0.05, 60, 3, first=2 * DAY), known)

    _, verdicts = feed(noise(400, 0.5, 8, 4, first=2 * DAY + 60), state)

    assert highest(verdicts) >= OPEN_AT


def test_no_storm_is_seen_of_a_brand_that_nobody_knows():
    _, (verdict,) = feed([observe(0, 500, 400)])

    assert verdict.score < OPEN_AT


def test_a_flood_of_copies_opens_nothing_but_a_crisis_with_some_copies_does(known):
    # minute     0 … 9: each voice stands for 24 copies         each voice stands for one copy
    flood = [observe(2 * DAY + i, 30 + 24, 5 + 24, mentions=30 + 24 * 25) for i in range(10)]
    crisis = [observe(2 * DAY + i, 30 + 24, 5 + 24, mentions=2 * 54) for i in range(10)]

    assert highest(feed(flood, known)[1]) < OPEN_AT
    assert highest(feed(crisis, known)[1]) >= OPEN_AT


def test_good_news_opens_nothing_however_many_negative_voices_come_with_it(known):
    # Given thirty times the usual volume for two hours, at half of the usual share
    _, verdicts = feed(noise(900, 0.075, 120, 3, first=2 * DAY), known)

    assert highest(verdicts) < OPEN_AT


def test_a_handful_of_angry_voices_is_not_enough():
    # Given a brand that is criticised once a day
    state, _ = feed([observe(i, 1, int(i % DAY == 0)) for i in range(3 * DAY)])

    # When four of four are negative
    _, verdicts = feed([observe(3 * DAY + i, 1, 1) for i in range(4)], state)

    assert highest(verdicts) < OPEN_AT


def test_a_hole_is_not_a_row_of_zeros_and_fades_what_was_suspected(known):
    # Given some evidence
    suspected, verdicts = feed([observe(2 * DAY + i, 30, 15) for i in range(5)], known)
    assert verdicts[-1].score > 3

    # When two hours are a hole for one and zeros for the other
    hole, _ = feed([observe(2 * DAY + 125, gap=120)], suspected)
    zeros, _ = feed([observe(2 * DAY + i) for i in range(5, 126)], suspected)

    # Then the hole taught nothing about volume, and little of the suspicion is left after it
    assert hole.baseline.hours < zeros.baseline.hours
    assert hole.fast < suspected.fast / 10 < zeros.fast


def test_an_incomplete_minute_is_evaluated_by_share_alone_and_teaches_nothing(known):
    # When a spike comes in minutes in which partitions are missing
    after, verdicts = feed([observe(2 * DAY + i, 30, 25, complete=False) for i in range(14)], known)

    # Then it is seen, no count supports it, and nothing was learned
    assert verdicts[-1].score >= OPEN_AT
    assert after.low <= known.low
    assert after.quarter == QuarterCounts()


def test_a_spike_is_not_learned_until_it_has_lasted_for_two_days(known):
    # Given a share that jumps for good
    state, _ = feed([observe(2 * DAY + i, 30, 15) for i in range(DAY)], known)
    assert state.expected.share < 0.2

    # Then after two days it is the new usual
    state, verdicts = feed([observe(3 * DAY + i, 30, 15) for i in range(DAY + 720)], state)
    assert state.expected.share > 0.45
    assert verdicts[-1].score < 3


@pytest.fixture(scope="module")
def by_old_model():
    """Brands with 15 % of 0.5, 30 and 300 voices a minute, known for two days under one model."""
    return {rate: feed(noise(rate, 0.15, 2 * DAY, seed=1, model="old"))[0] for rate in (0.5, 30, 300)}


@pytest.mark.parametrize("rate", [0.5, 30, 300])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_another_model_with_another_share_opens_nothing(by_old_model, rate, share):
    # When a model that calls fewer, twice or three times as many texts negative goes on
    later = noise(rate, share, DAY, 5, first=2 * DAY, model="new")
    _, verdicts = feed(later, by_old_model[rate])

    # Then no minute is worth an episode, at any sensitivity
    assert highest(verdicts) < min(OPEN_SCORES.values())


def test_without_a_change_of_model_the_same_voices_would_page(by_old_model):
    _, verdicts = feed(noise(30, 0.3, DAY, 5, first=2 * DAY, model="old"), by_old_model[30])

    assert highest(verdicts) >= OPEN_AT


@pytest.mark.parametrize("rate", [30, 300])
def test_a_crisis_an_hour_after_a_change_of_model_is_found(by_old_model, rate):
    # Given another model that sees 30 % for an hour
    state, _ = feed(noise(rate, 0.3, 60, 2, first=2 * DAY, model="new"), by_old_model[rate])

    # When the share doubles
    _, verdicts = feed(noise(rate, 0.6, 60, 3, first=2 * DAY + 60, model="new"), state)

    assert highest(verdicts) >= OPEN_AT


def test_a_storm_is_seen_five_minutes_after_a_change_of_model(by_old_model):
    state, _ = feed(noise(300, 0.2, 5, 2, first=2 * DAY, model="new"), by_old_model[300])

    _, (verdict,) = feed([observe(2 * DAY + 5, 400, 300, model="new")], state)

    assert verdict.score >= STORM_SCORE


def test_a_change_of_model_waits_for_the_end_of_a_spike_and_for_six_hours_at_most(by_old_model):
    # Given a spike that is known to be one
    spike, _ = feed([observe(2 * DAY + i, 30, 20, model="old") for i in range(30)], by_old_model[30])
    first = 2 * DAY + 30

    # When another model goes on in it
    lasting, verdicts = feed([observe(first + i, 30, 20, model="new") for i in range(360)], spike)
    over, _ = feed(noise(30, 0.2, 400, 4, first=first, model="new"), spike)

    # Then the old share stays as long as it lasts, and goes with it
    assert lasting.expected.share < 0.2
    assert min(verdict.score for verdict in verdicts) >= OPEN_AT
    assert over.model == "new"
    # … and no spike keeps the old share for more than six hours
    assert feed([observe(first + 360, 30, 20, model="new")], lasting)[0].model == "new"


def test_models_that_take_turns_open_nothing_and_teach_no_tremble(by_old_model):
    # Given two models that score every other minute, one with twice the share of the other
    low, high = (noise(300, share, 600, 7, first=2 * DAY, model=str(share)) for share in (0.15, 0.3))
    state, _ = feed(low[:1], by_old_model[300])

    after, verdicts = feed([(low, high)[i % 2][i] for i in range(1, 600)], state)

    assert highest(verdicts) < min(OPEN_SCORES.values())
    assert (after.baseline.dispersion, after.baseline.wander) == (
        state.baseline.dispersion,
        state.baseline.wander,
    )
    assert after.baseline.hours > state.baseline.hours


def test_states_are_below_two_kilobytes_and_do_not_grow():
    sizes = []
    state = None
    for day in range(3):
        state, _ = feed(noise(300, 0.3, DAY, day, first=day * DAY), state)
        sizes.append(len(DETECTOR.encode(state)))

    assert max(sizes) < 1_500


minutes = st.tuples(
    st.integers(0, 400),
    st.integers(0, 400),
    st.booleans(),
    st.integers(0, 2_000),
    st.sampled_from(["", "a", "b"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(minutes, max_size=40), st.data())
def test_a_series_fed_in_one_go_or_across_restarts_is_identical(series, data):
    # Given any series, with holes and incomplete minutes
    observations, minute = [], 0
    for voices, negative, complete, gap, model in series:
        minute += 1 + gap
        observations.append(
            observe(
                minute,
                voices,
                min(voices, negative),
                mentions=voices * 3,
                complete=complete,
                gap=gap,
                model=model,
            )
        )

    # When it is fed once in one go, and once with the state put to text at any points
    whole, verdicts = feed(observations)
    state, again = DETECTOR.start(), []
    for observation in observations:
        if data.draw(st.booleans()):
            state = DETECTOR.decode(DETECTOR.encode(state))
        state, verdict = DETECTOR.step(state, observation)
        again.append(verdict)

    # Then every verdict and the last text are the same, and every score is a number
    assert again == verdicts
    assert DETECTOR.encode(state) == DETECTOR.encode(whole)
    assert all(np.isfinite(verdict.score) and verdict.score >= 0 for verdict in verdicts)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[1,2,3,"x"]', "nonsense"])
def test_text_that_is_no_state_is_refused(text):
    with pytest.raises(ValueError):
        DETECTOR.decode(text)

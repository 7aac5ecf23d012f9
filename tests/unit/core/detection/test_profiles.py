"""Profiles: fourteen archived days spare a brand its warm-up."""

import datetime as dt
from itertools import groupby

import numpy as np
import pytest

from stream_worker.core.archive.layout import profiles_name
from stream_worker.core.detection import profiles
from stream_worker.core.detection.detector import OPEN_AT, Observation
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.reconcile.cells import MINUTE_SHIFT, Cells, Names
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from stream_worker.daily.learning import ProfileLearner
from stream_worker.errors import Unreadable

DETECTOR = ShareDetector()
FIRST_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
DAYS = 14


def a_day(number):
    """A quiet brand with a daily season and a share of 35 %: a voice every two minutes, two at noon."""
    rng = np.random.default_rng(number)
    minutes = np.arange(1_440)
    voices = rng.poisson(0.75 - 0.25 * np.cos(2 * np.pi * minutes / 1_440))
    negative = rng.binomial(voices, 0.35)
    return [
        (FIRST_MS + number * DAY_MS + int(minute) * MINUTE_MS, (v, n, v - n, 0, 0, 0, 0, 0, v, n))
        for minute, v, n in zip(minutes, voices.tolist(), negative.tolist(), strict=True)
    ]


def learn(before, minutes):
    """Feed minutes as `daily` does, hour by hour."""
    learner, names = ProfileLearner(DETECTOR, {} if before is None else {"acme": before}), Names()
    code = names.add("acme")
    for hour_ms, group in groupby(minutes, lambda minute: minute[0] - minute[0] % HOUR_MS):
        some = [(start_ms, sums) for start_ms, sums in group if any(sums)]
        keys = [((start_ms - hour_ms) // MINUTE_MS) << MINUTE_SHIFT | code for start_ms, _ in some]
        sums = np.array([sums for _, sums in some], np.int64).reshape(-1, 10)
        learner.take(hour_ms, Cells(np.array(keys, np.int64), sums, sums), names)
    return learner.result()["acme"]


@pytest.fixture(scope="module")
def learned():
    text = None
    for number in range(DAYS):
        text = learn(text, a_day(number))
    return text


def minutes_until_it_opens(state):
    """From midnight on, eight in ten of one voice a minute are negative."""
    for number in range(600):
        minute_ms = FIRST_MS + DAYS * DAY_MS + number * MINUTE_MS
        seen = Observation(minute_ms, 1, int(number % 5 > 0), 1, int(number % 5 > 0), True, 0)
        state, verdict = DETECTOR.step(state, seen)
        if verdict.score >= OPEN_AT:
            return number + 1
    return 600


def test_day_by_day_is_the_same_as_all_days_at_once(learned):
    once = learn(None, [minute for number in range(DAYS) for minute in a_day(number)])

    assert once == learned


def test_a_minute_that_was_fed_already_is_passed_over(learned):
    assert learn(learned, a_day(DAYS - 1)) == learned


def test_fourteen_archived_days_spare_the_warm_up(learned):
    state = DETECTOR.decode(learned)

    # It knows share, volume, hours and weekdays, as a brand that was watched all the time
    assert state.baseline.hours > 24 * 13
    assert state.expected.share == pytest.approx(0.35, abs=0.06)
    # … and finds a crisis much sooner than a brand that begins without it
    assert 2 * minutes_until_it_opens(state) < minutes_until_it_opens(DETECTOR.start())


def test_the_object_of_a_day_names_its_detector_and_is_worthless_to_another(learned):
    class Other(ShareDetector):
        version = 99

    data = profiles.encode("2027-01-28", DETECTOR, {"b": learned, "a": learned})

    assert profiles_name(dt.date(2027, 1, 28)) == "_profiles/2027-01-28.json"
    assert profiles.decode(data, DETECTOR) == {"a": learned, "b": learned}
    assert profiles.decode(data, Other()) == {}
    assert data == profiles.encode("2027-01-28", DETECTOR, {"a": learned, "b": learned})


def test_an_object_that_is_no_profiles_is_named(learned):
    for read in (profiles.decode, profiles.readable):
        with pytest.raises(Unreadable, match="profiles of the archive"):
            read(b"{}", DETECTOR)


def test_a_damaged_profile_is_left_out_and_the_others_are_read(learned):
    data = profiles.encode("2027-01-28", DETECTOR, {"a": learned, "b": "rubbish", "c": learned})
    data = data.replace(b'"c":', b'"c":7,"d":')

    assert profiles.readable(data, DETECTOR) == ({"a": learned, "d": learned}, ["b", "c"])
    assert profiles.readable(data.replace(b"share/", b"other/"), DETECTOR) == ({}, [])


def test_quiet_minutes_are_zeros_and_half_an_hour_without_anybody_is_a_hole():
    # minute  0       10      …      50
    # acme    2 of 2   zeros            1 of 2      after a hole of 39 minutes, or with another brand in it
    def learned(other_at):
        names, learner = Names(), ProfileLearner(DETECTOR, {})
        seen = [(0, "acme", 2, 2), *((minute, "zeta", 1, 0) for minute in other_at), (50, "acme", 2, 1)]
        keys = [minute << MINUTE_SHIFT | names.add(brand) for minute, brand, _, _ in seen]
        sums = np.array([(n, neg, 0, 0, 0, 0, 0, 0, n, neg) for _, _, n, neg in seen], np.int64)
        learner.take(FIRST_MS, Cells(np.array(keys, np.int64), sums, sums), names)
        return DETECTOR.decode(learner.result()["acme"])

    def plainly(fed):
        state = DETECTOR.start()
        for minute in fed:
            voices, negative = {0: (2, 2), 50: (2, 1)}.get(minute, (0, 0))
            gap = minute - 1 - (state.minute_ms - FIRST_MS) // MINUTE_MS if state.minute_ms >= 0 else 0
            at_ms = FIRST_MS + minute * MINUTE_MS
            state, _ = DETECTOR.step(state, Observation(at_ms, voices, negative, voices, negative, True, gap))
        return state

    assert learned(other_at=[]) == plainly([0, *range(50, 60)])
    assert learned(other_at=[10, 25]) == plainly(range(60))


def test_states_that_are_unreadable_are_named():
    with pytest.raises(Unreadable, match="_profiles"):
        ProfileLearner(DETECTOR, {"acme": "no state"})


def test_what_was_late_and_the_reserved_brand_teach_nothing():
    names, learner = Names(), ProfileLearner(DETECTOR, {})
    keys = np.array([names.add("acme"), 1 << MINUTE_SHIFT], np.int64)
    sums = np.full((2, 10), 3, np.int64)

    learner.take(FIRST_MS, Cells(keys, sums, np.array([[0] * 10, [3] * 10])), names)

    assert learner.result() == {}


def test_what_is_learned_knows_its_model_and_a_minute_of_two_teaches_nothing():
    # hour      0     1 (minute 30: both)    2
    # model     a     a, b                   b, of another path
    names, learner = Names(), ProfileLearner(DETECTOR, {})
    code = names.add("acme")

    def feed(hour, models):
        keys = np.array([minute << MINUTE_SHIFT | code for minute in range(60)], np.int64)
        sums = np.tile(np.array([20, 3, 17, 0, 0, 0, 0, 0, 20, 3], np.int64), (60, 1))
        learner.take(FIRST_MS + hour * HOUR_MS, Cells(keys, sums, sums), names, models)
        return DETECTOR.decode(learner.result()["acme"])

    assert feed(0, [{"a-k1"}] * 60).model == "a"
    both = feed(1, [{"a-k1"}] * 30 + [{"a-k1", "b-k1"}] + [{"b-k1"}] * 29)
    assert both.model == "b"
    assert both.settled_ms > FIRST_MS + HOUR_MS + 31 * MINUTE_MS
    after = feed(2, [{"b-sk"}] * 60)
    assert (after.model, after.settled_ms) == ("b", both.settled_ms)

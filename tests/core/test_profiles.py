"""Profiles: fourteen archived days spare a brand its warm-up."""

import numpy as np
import pytest

from stream_worker.core import profiles
from stream_worker.core.columns import DAY_MS, MINUTE_MS
from stream_worker.core.detector import OPEN_AT, Observation, Share
from stream_worker.errors import Unreadable

DETECTOR = Share()
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


@pytest.fixture(scope="module")
def learned():
    text = None
    for number in range(DAYS):
        text = profiles.learn(DETECTOR, text, a_day(number))
    return text


def minutes_until_it_opens(numbers):
    """From midnight on, eight in ten of one voice a minute are negative."""
    for number in range(600):
        minute_ms = FIRST_MS + DAYS * DAY_MS + number * MINUTE_MS
        seen = Observation(minute_ms, 1, int(number % 5 > 0), 1, int(number % 5 > 0), True, 0)
        numbers, verdict = DETECTOR.step(numbers, seen)
        if verdict.score >= OPEN_AT:
            return number + 1
    return 600


def test_day_by_day_is_the_same_as_all_days_at_once(learned):
    once = profiles.learn(DETECTOR, None, [minute for number in range(DAYS) for minute in a_day(number)])

    assert once == learned


def test_a_minute_that_was_fed_already_is_passed_over(learned):
    assert profiles.learn(DETECTOR, learned, a_day(DAYS - 1)) == learned


def test_fourteen_archived_days_spare_the_warm_up(learned):
    numbers = DETECTOR.decode(learned)

    # It knows share, volume, hours and weekdays, as a brand that was watched all the time
    assert numbers.usual.hours > 24 * 13
    assert numbers.against.share == pytest.approx(0.35, abs=0.06)
    # … and finds a crisis much sooner than a brand that begins without it
    assert 2 * minutes_until_it_opens(numbers) < minutes_until_it_opens(DETECTOR.start())


def test_the_object_of_a_day_names_its_detector_and_is_worthless_to_another(learned):
    class Other(Share):
        version = 99

    data = profiles.encode("2027-01-28", DETECTOR, {"b": learned, "a": learned})

    assert profiles.name_of("2027-01-28") == "_profiles/2027-01-28.json"
    assert profiles.decode(data, DETECTOR) == {"a": learned, "b": learned}
    assert profiles.decode(data, Other()) == {}
    assert data == profiles.encode("2027-01-28", DETECTOR, {"a": learned, "b": learned})


def test_an_object_that_is_no_profiles_is_named(learned):
    with pytest.raises(Unreadable, match="profiles of the archive"):
        profiles.decode(b"{}", DETECTOR)

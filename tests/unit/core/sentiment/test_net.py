"""Net sentiment with its margin, and the typical range."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.sentiment.correction import ConfusionMatrix
from stream_worker.core.sentiment.estimate import BOTH, SAMPLING
from stream_worker.core.sentiment.net import coverage, negative_share, net_sentiment
from stream_worker.core.sentiment.typical_range import WINDOWS_MIN, bins_of, typical_range
from stream_worker.core.time import MINUTE_MS

NOON = 1_763_812_800_000


def sums(**measures):
    return tuple(measures.get(measure, 0) for measure in MEASURES)


def test_net_is_the_sum_over_what_was_scored():
    # Given ten mentions, two of them unscored, whose sentiments sum to -4
    tally = sums(n=10, neg=6, pos=1, neu=1, unscored=2, sum=-4_000_000)

    # Then only eight carry it
    assert net_sentiment(tally).value == -0.5
    assert coverage(tally) == 0.8
    assert negative_share(tally) == 0.75


def test_nothing_scored_has_no_net_and_nothing_received_no_coverage():
    assert net_sentiment(sums(n=3, unscored=3)) is None
    assert negative_share(sums(n=3, unscored=3)) is None
    assert coverage(sums(n=3, unscored=3)) == 0
    assert coverage(sums()) is None


def test_the_margin_narrows_with_mentions_but_not_with_copies():
    few = net_sentiment(sums(n=40, neg=20, pos=20))
    many = net_sentiment(sums(n=4000, neg=2000, pos=2000))
    copied = net_sentiment(sums(n=4000, neg=2000, pos=2000, repeats=3960))

    assert many.margin < few.margin / 9
    assert copied.margin == pytest.approx(few.margin)


def test_a_handful_of_equal_mentions_is_not_certain():
    assert net_sentiment(sums(n=3, neg=3, sum=-3_000_000)).margin > 0.5


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.floats(-1, 1),
)
def test_the_interval_always_holds_the_value_and_stays_on_the_scale(neg, pos, neu, unscored, mean):
    scored = neg + pos + neu
    found = net_sentiment(
        sums(n=scored + unscored, neg=neg, pos=pos, neu=neu, unscored=unscored, sum=int(mean * scored * 1e6))
    )

    assert (found is None) == (scored == 0)
    if found is not None:
        assert -1 <= found.low <= found.value <= found.high <= 1
        assert found.margin > 0


@pytest.mark.parametrize("n", [30, 40, 100, 500, 2_000])
def test_the_interval_is_not_too_narrow(n):
    # Given every number of positive mentions among n that are all -1 or +1, and the interval of each
    nets = [net_sentiment(sums(n=n, pos=p, neg=n - p, sum=(2 * p - n) * 10**6)) for p in range(n + 1)]
    ways = [math.lgamma(n + 1) - math.lgamma(p + 1) - math.lgamma(n - p + 1) for p in range(n + 1)]

    # When the true share is anything from 5 to 95 of 100
    holds = []
    for share in np.linspace(0.05, 0.95, 91).tolist():
        held = [p for p in range(n + 1) if nets[p].low <= 2 * share - 1 <= nets[p].high]
        log_chances = [ways[p] + p * math.log(share) + (n - p) * math.log1p(-share) for p in held]
        holds.append(sum(map(math.exp, log_chances)))

    # Then the interval holds it in 95 of 100 cases on the whole, and in 87 at the worst
    assert min(holds) > 0.87
    assert np.mean(holds) > 0.94


def history(minutes, *, before=NOON, per_minute=None):
    """`minutes` closed minutes before noon, each with the same tally unless `per_minute` says otherwise."""
    made = per_minute or (lambda _: sums(n=10, neg=2, pos=4, sum=2_000_000, repeats=1))
    return {before - i * MINUTE_MS: made(i) for i in range(1, minutes + 1)}


def test_the_typical_range_is_the_middle_of_ones_own_windows():
    found = typical_range(*bins_of(history(48 * 60), NOON), NOON, 15)

    assert found.windows == 576 - 2 - 3  # one begins every five minutes; three would touch the one to compare
    assert found.mentions == 150
    assert found.net == found.low == found.high == pytest.approx(0.2)
    assert found.negative_share == pytest.approx(0.2)
    assert found.copies_share == pytest.approx(0.1)


def test_a_typical_range_is_on_the_scale_of_the_estimate_that_is_compared_with_it():
    # Given windows of 200 mentions, as a model that misses half of the poles labels them
    errors = ConfusionMatrix([[124, 135, 25, 28, 0], [92, 640, 73, 64, 0], [44, 341, 377, 56, 0]])
    minutes = history(300, per_minute=lambda _: sums(n=20, neg=2, neu=12, pos=5, uncertain=1, sum=2_000_000))

    found = typical_range(*bins_of(minutes, NOON), NOON, 15, errors=errors)

    assert found.on_scale(SAMPLING) == found.on_scale(None) == found
    assert found.net == pytest.approx(0.1)
    expected = errors.levels(np.array([sums(n=20, neg=2, neu=12, pos=5, uncertain=1)]))[0]
    assert found.on_scale(BOTH).net == found.on_scale(BOTH).low == pytest.approx(expected)
    assert expected > 0.3
    # … which is about where the estimate of such a window lies
    window = errors.intervals([sums(n=6_000, neg=600, neu=3_600, pos=1_500, uncertain=300)])[0]
    assert window.estimate == pytest.approx(expected, abs=0.05)


def test_too_little_history_has_no_typical_range():
    enough = 15 + 15 + (WINDOWS_MIN - 1) * 5

    assert typical_range(*bins_of(history(enough), NOON), NOON, 15) is not None
    assert typical_range(*bins_of(history(enough - 5), NOON), NOON, 15) is None
    assert typical_range(*bins_of({}, NOON), NOON, 15) is None


def test_an_episode_does_not_become_typical():
    # Given three hours, of which the last is a crisis
    def crisis(i):
        return sums(n=100, neg=90, sum=-80_000_000) if i <= 60 else sums(n=10, neg=1, pos=3, sum=2_000_000)

    bins = bins_of(history(180, per_minute=crisis), NOON)

    # Then without it the range is that of the time before
    episode = (NOON - 60 * MINUTE_MS, NOON)
    assert typical_range(*bins, NOON, 15).low < -0.5  # with it the crisis is typical by now
    assert typical_range(*bins, NOON, 15, [episode]).low == pytest.approx(0.2)
    assert typical_range(*bins, NOON, 15, [episode]).mentions == 150


def test_a_quiet_brand_has_typical_mentions_but_no_typical_net():
    found = typical_range(*bins_of(history(300, per_minute=lambda _: sums()), NOON), NOON, 15)

    assert (found.mentions, found.net, found.low) == (0, None, None)

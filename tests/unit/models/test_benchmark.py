"""The speed table: turns, best pass, and a slow scorer that gets fewer texts."""

import itertools
from collections import Counter

import numpy as np

from models.benchmark import SLOW_TEXTS_MAX, as_table, measure
from models.benchmark_texts import made_texts
from models.scorers.unscored import unscored_scorer


class Counting:
    """A scorer that notes how many texts it was given."""

    reason = None

    def __init__(self, version):
        self.version = version
        self.batches = []

    def score(self, texts):
        self.batches.append(len(texts))
        return unscored_scorer().score(texts)


def test_the_best_pass_counts_and_a_slow_scorer_gets_the_first_texts_only():
    # Given a compiled scorer and one that is not, and a clock that ticks a second at each look
    compiled, slow = Counting("0123456789ab-k1"), Counting("0123456789ab-sk")
    ticks = itertools.chain([0, 1, 1, 2, 2, 4, 4, 5], itertools.count(6))
    texts = ["abcd"] * (SLOW_TEXTS_MAX + 500)

    speeds = measure({"slow": slow, "fast": compiled}, texts, passes=2, clock=lambda: next(ticks))

    # Then each has warmed up once, in batches of at most 1,000, and the faster one stands first
    assert compiled.batches == [1000] + [1000, 1000, 500] * 2
    assert slow.batches == [1000] + [1000, 1000] * 2
    assert [speed.name for speed in speeds] == ["fast", "slow"]
    assert [speed.texts for speed in speeds] == [SLOW_TEXTS_MAX + 500, SLOW_TEXTS_MAX]
    assert speeds[0].passes == [SLOW_TEXTS_MAX + 500] * 2
    assert speeds[1].passes == [SLOW_TEXTS_MAX, SLOW_TEXTS_MAX / 2]
    assert np.isclose(speeds[1].texts_per_cpu_second, SLOW_TEXTS_MAX)


def test_the_table_says_how_many_times_faster():
    speeds = measure({"a": Counting("x-k1"), "b": Counting("y-sk")}, ["ab"], 1, iter(range(9)).__next__)

    head, *rows = as_table(speeds).splitlines()

    assert head.split() == ["scorer", "version", "texts", "chars", "texts/CPU-s", "times"]
    assert [row.split()[:2] for row in rows] == [["a", "x-k1"], ["b", "y-sk"]]


def test_made_up_texts_are_as_long_as_posts_and_all_different():
    texts = made_texts(2_000, seed=1)

    assert texts == made_texts(2_000, seed=1)
    assert len(set(texts)) == 2_000
    assert 80 < sum(map(len, texts)) / len(texts) < 110
    assert any("https://" in text for text in texts)
    words = Counter(word for text in texts for word in text.split())
    assert words.most_common(1)[0][1] > 1_000  # as unequal as the words of a language
    assert sum(count == 1 for count in words.values()) > 1_000

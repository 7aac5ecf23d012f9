"""Sensitivity: fewer false alerts need a higher score, and the total over all brands is what is shown."""

import itertools

from stream_worker.core.detection.detector import OPEN_AT
from stream_worker.core.detection.sensitivity import DEFAULT, OPEN_SCORES, advice
from stream_worker.core.detection.share_detector import STORM_SCORE


def test_fewer_false_alerts_need_a_higher_score_and_a_storm_passes_all():
    rising = [OPEN_SCORES[one] for one in sorted(OPEN_SCORES, reverse=True)]

    assert all(low < high for low, high in itertools.pairwise(rising))
    assert OPEN_SCORES[DEFAULT] == OPEN_AT
    assert max(rising) < STORM_SCORE


def test_a_few_brands_need_no_advice():
    assert advice(1, [0.25]) == "about 0.25 false alerts a week over 1 brand"
    assert advice(2, [0.5, 0.5]) == "about 1 false alert a week over 2 brands"


def test_many_brands_are_advised_to_be_told_less():
    said = advice(1_000, [0.25] * 1_000)

    assert "about 250 false alerts a week over 1000 brands" in said
    assert "set alerts.sensitivity to 0.1 (100 a week)" in said


def test_very_many_brands_at_the_least_sensitivity_are_advised_to_be_shared_out():
    assert "route the brands to the teams" in advice(1_000, [0.1] * 1_000)

"""The figures of a model, worked out by hand on a few rows."""

import numpy as np
import pytest

from models.evaluate import BATCH_ROWS, calibration_error, evaluate, judge
from models.scorers.scores import TextScores, to_scores
from models.scorers.unscored import unscored_scorer

NEG, NEU, POS = np.eye(3)
UNSCORED_ROW = np.full(3, np.nan)


def scores_of(*rows, uncertain_below=0.0):
    return to_scores(np.array(rows), uncertain_below)


def test_a_perfect_scorer_gets_ones():
    # Given an answer for each class that is certain and right
    quality = judge(scores_of(NEG, NEU, POS), np.array([0, 1, 2]), texts_per_cpu_second=10.0)
    # Then every figure is perfect, as a fraction
    assert (quality.macro_recall, quality.accuracy, quality.macro_f1) == (1.0, 1.0, 1.0)
    assert (quality.ece, quality.coverage, quality.uncertain) == (0.0, 1.0, 0.0)
    assert quality.confusion == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_the_figures_of_a_scorer_that_errs_are_those_by_hand():
    # Given 4 negatives of which 3 are found, 2 neutrals of which 1, 1 positive that is found
    truth = np.array([0, 0, 0, 0, 1, 1, 2])
    quality = judge(scores_of(NEG, NEG, NEG, POS, NEU, NEG, POS), truth, texts_per_cpu_second=10.0)
    # Then recall is the mean of 3/4, 1/2, 1; F1 of 6/8, 2/3, 2/3
    assert quality.confusion == [[3, 0, 1], [1, 1, 0], [0, 0, 1]]
    assert quality.macro_recall == pytest.approx(0.75)
    assert quality.accuracy == pytest.approx(5 / 7, abs=1e-4)
    assert quality.macro_f1 == pytest.approx((6 / 8 + 2 / 3 + 2 / 3) / 3, abs=1e-4)


def test_an_unscored_row_is_a_wrong_row():
    # Given two negatives, one of them unscored
    quality = judge(scores_of(NEG, UNSCORED_ROW), np.array([0, 0]), texts_per_cpu_second=10.0)
    # Then silence gains nothing: half is covered, and half is right
    assert (quality.coverage, quality.accuracy, quality.macro_recall) == (0.5, 0.5, 0.5)
    assert quality.macro_f1 == pytest.approx(2 / 3, abs=1e-4)
    assert quality.confusion == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_an_uncertain_row_is_judged_by_its_most_probable_class_and_counted_apart():
    # Given a right answer that is labelled uncertain
    doubtful = scores_of([0.4, 0.3, 0.3], POS, uncertain_below=0.5)
    # When it is judged
    quality = judge(doubtful, np.array([0, 2]), texts_per_cpu_second=10.0)
    # Then it is right, and said to be uncertain
    assert (quality.accuracy, quality.uncertain, quality.coverage) == (1.0, 0.5, 1.0)


def test_calibration_error_is_the_gap_of_confidence_and_accuracy():
    # Given ten answers with 0.8 confidence of which six are right
    probability = np.tile([0.8, 0.1, 0.1], (10, 1))
    truth = np.array([0] * 6 + [1] * 4)
    # When the error is taken, then it is 0.2; and nothing scored has none
    assert calibration_error(probability, truth) == pytest.approx(0.2)
    assert calibration_error(np.empty((0, 3)), np.empty(0, int)) == 0.0


def test_rows_are_scored_in_batches_and_stay_in_order():
    # Given a scorer that notes its batches and answers by the text
    seen = []

    class Noting:
        version = "noting"

        def score(self, texts) -> TextScores:
            seen.append(len(texts))
            return scores_of(*(np.eye(3)[int(text)] for text in texts))

    truth = np.arange(2 * BATCH_ROWS + 5) % 3
    # When more than two batches are evaluated
    quality = evaluate(Noting(), [str(label) for label in truth], truth)
    # Then, after one batch to warm up, each row is scored once and all are right
    assert seen == [BATCH_ROWS, BATCH_ROWS, BATCH_ROWS, 5]
    assert (quality.rows, quality.accuracy) == (2 * BATCH_ROWS + 5, 1.0)
    assert quality.texts_per_cpu_second > 0


def test_a_scorer_that_scores_nothing_has_no_quality():
    # Given the scorer that scores nothing, when it is evaluated, then all figures are 0 and none is NaN
    quality = evaluate(unscored_scorer(), ["a", "b", "c"], np.array([0, 1, 2]))
    assert (quality.coverage, quality.macro_recall, quality.accuracy, quality.macro_f1) == (0.0,) * 4

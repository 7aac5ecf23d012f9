"""Net sentiment with an interval that holds sampling and the errors of the model."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.intervals import (
    SEED,
    SIZES,
    counted_model,
    evaluated,
    measure,
    read_counts,
    read_half,
    windows,
)
from models.registry import read_manifest
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.sentiment.correction import ConfusionMatrix
from stream_worker.core.sentiment.estimate import BOTH, SAMPLING, MeasuredModel, estimates, is_by
from stream_worker.core.sentiment.net import net_sentiment
from stream_worker.inference.confusion import SHIPPED

WEAK = [[124, 135, 25, 28, 0], [92, 640, 73, 64, 0], [44, 341, 377, 56, 0]]
BLIND = [[50, 60, 40, 20, 0]] * 3
PERFECT = [[500, 0, 0, 0, 0], [0, 500, 0, 0, 0], [0, 0, 500, 0, 0]]

counts = st.integers(0, 3_000)
labels = st.tuples(counts, counts, counts, counts).filter(any)
matrices = st.lists(st.lists(st.integers(0, 900), min_size=5, max_size=5), min_size=3, max_size=3)


def tally(neg=0, neu=0, pos=0, uncertain=0, *, unscored=0, repeats=0):
    scored = neg + neu + pos + uncertain
    found = dict.fromkeys(MEASURES, 0) | {"n": scored + unscored, "neg": neg, "neu": neu, "pos": pos}
    found |= {"uncertain": uncertain, "unscored": unscored, "repeats": repeats, "sum": (pos - neg) * 10**6}
    return tuple(found.values())


def interval(errors, *given, **more):
    return errors.intervals([tally(*given, **more)])[0]


def width(found):
    return found.high - found.low


@given(matrices, labels)
@settings(max_examples=60, deadline=None)
def test_the_estimate_lies_in_its_interval_and_that_on_the_scale(matrix, given_labels):
    found = interval(ConfusionMatrix(matrix), *given_labels)

    assert -1 <= found.low <= found.estimate <= found.high <= 1
    assert found.low < found.high


@given(matrices, labels)
@settings(max_examples=60, deadline=None)
def test_with_negative_and_positive_changed_places_it_is_its_mirror_image(matrix, given_labels):
    # Given a model and a window, and both with the two poles changed
    neg, neu, pos, uncertain = given_labels
    swapped = [[row[2], row[1], row[0], row[3], row[4]] for row in reversed(matrix)]

    found, mirrored = (
        interval(ConfusionMatrix(matrix), *given_labels),
        interval(ConfusionMatrix(swapped), pos, neu, neg, uncertain),
    )

    # Then all is the same with the other sign, but for an end that rounding took to the next mention
    step = 1 / sum(given_labels) + 1e-3
    assert mirrored.estimate == pytest.approx(-found.estimate, abs=1e-3)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=step)


@given(labels, st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_more_mentions_of_the_same_kind_are_never_less_certain(given_labels, times):
    errors = ConfusionMatrix(WEAK)
    few, many = interval(errors, *given_labels), interval(errors, *(times * n for n in given_labels))

    assert width(many) <= width(few) + 0.01


def test_more_held_out_texts_make_it_narrower_and_no_number_of_mentions_does_instead():
    window = (2_000, 5_000, 3_000, 600)
    some, more = ConfusionMatrix(WEAK), ConfusionMatrix([[20 * n for n in row] for row in WEAK])

    assert width(interval(more, *window)) < 0.6 * width(interval(some, *window))
    assert width(interval(some, *(100 * n for n in window))) > 0.9 * width(interval(some, *window))


def test_labels_that_do_not_tell_the_classes_apart_say_nothing():
    found = interval(ConfusionMatrix(BLIND), 9_000, 500, 400, 100)

    assert found.estimate == pytest.approx(0, abs=0.01)
    assert width(found) > 1.5


def test_a_model_of_which_nothing_is_known_says_nothing():
    assert width(interval(ConfusionMatrix([[0] * 5] * 3), 5_000, 0, 0, 0)) > 1.5


def test_a_model_that_never_errs_is_believed():
    found = interval(ConfusionMatrix(PERFECT), 2_000, 1_000, 5_000)

    assert found.estimate == pytest.approx(3 / 8, abs=0.01)
    assert width(found) < 0.12


def test_what_the_model_misses_is_put_back():
    # Given a mix of 30, 30 and 40 %, as a model that misses half of the poles labels it
    errors, mix = ConfusionMatrix([[20 * n for n in row] for row in WEAK]), np.array([0.3, 0.3, 0.4])
    shares = np.array(WEAK) / np.sum(WEAK, axis=1, keepdims=True)
    seen = np.rint(mix @ shares * 100_000).astype(int).tolist()

    found = interval(errors, *seen[:4])

    # Then the labels alone say something else; the estimate and the plain weights say the truth
    assert found.estimate == pytest.approx(0.1, abs=0.02)
    assert errors.levels(np.array([tally(*seen[:4])]))[0] == pytest.approx(0.1, abs=0.02)
    assert (seen[2] - seen[0]) / sum(seen) == pytest.approx(0.06, abs=0.01)


def test_one_mention_says_next_to_nothing():
    errors = ConfusionMatrix(WEAK)
    for one in np.eye(4, dtype=int).tolist():
        assert tuple(interval(errors, *one))[1:] == (-1, 1)


def test_nothing_scored_has_no_interval():
    assert ConfusionMatrix(WEAK).intervals([tally(), tally(unscored=7)]) == [None, None]


def test_a_copy_is_no_new_evidence():
    errors = ConfusionMatrix(WEAK)

    assert width(interval(errors, 100, 100, 100, repeats=290)) == pytest.approx(
        width(interval(errors, 3, 4, 3)), abs=0.11
    )
    assert tuple(interval(errors, 500, repeats=499))[1:] == (-1, 1)


def test_uncertain_is_no_neutral_and_unscored_no_label():
    errors = ConfusionMatrix([[700, 200, 50, 50, 0], [50, 900, 50, 0, 0], [50, 200, 700, 50, 0]])

    # Then who is uncertain is no neutral one: no neutral text of the held-out ones was
    assert width(interval(errors, 0, 0, 0, 200)) > 2 * width(interval(errors, 0, 200, 0))
    assert interval(errors, 5, 9, 4, 3, unscored=50) == interval(errors, 5, 9, 4, 3)


@pytest.mark.parametrize("wrong", [[[1] * 5] * 2, [[1] * 4] * 3, [[-1] * 5] * 3, [[float("nan")] * 5] * 3])
def test_other_counts_are_refused(wrong):
    with pytest.raises(ValueError, match="3 x 5 counts"):
        ConfusionMatrix(wrong)


def test_the_same_window_has_the_same_interval_alone_and_among_others():
    window, many = tally(40, 50, 60, 7), [tally(n, 2 * n, 3, 1) for n in range(200)]

    alone = ConfusionMatrix(WEAK).intervals([window])

    assert ConfusionMatrix(WEAK).intervals([*many, window, *many])[200] == alone[0]


@pytest.mark.parametrize("name", [*read_counts(), "all"])
@pytest.mark.parametrize("size", SIZES[::2])
def test_it_holds_the_truth_in_93_of_100_windows(name, size):
    # Given held-out texts that the shipped model labelled: one half of them known, windows from the other
    sets = read_counts()
    known = sum(sets.values()) if name == "all" else sets[name]

    found = measure(known, None, size, splits=150, per_split=3)

    # Then the interval holds the truth of these mentions and of the mix they come from, and says something
    print(f"seed {SEED}, {name}, {size} mentions: {found}")
    assert found.held >= 0.93
    assert found.held_mix >= 0.93
    assert found.width < (0.25 if size >= 1_000 else 0.75)
    # and sampling alone does not hold it, however many mentions there are
    assert size < 300 or found.naive_held < 0.7


def test_what_the_shipped_manifest_says_holds_on_the_other_half():
    # Given what the manifest knows of the model: counts of first halves
    manifest = read_manifest(SHIPPED)
    if not manifest.labels_by_truth:
        pytest.skip("the shipped manifest is of version 1: it does not say how the model errs")
    assert counted_model() == manifest.sha256[:12], "count again: python -m bench.intervals --count FOLDER"
    first, second = read_half("first_half"), read_half("second_half")
    sets = [
        names
        for size in range(1, len(first) + 1)
        for names in combinations(first, size)
        if sum(first[name] for name in names).tolist() == manifest.labels_by_truth
    ]
    assert sets, "labels_by_truth is of no first halves: count again"

    # When windows are drawn from the second halves of the same sets
    random, errors = np.random.default_rng(SEED), ConfusionMatrix(manifest.labels_by_truth)
    pool = sum(second[name] for name in sets[0])
    held = {size: np.mean(evaluated(errors, windows(pool, size, 400, random)), axis=0) for size in SIZES}

    # Then the interval holds the truth
    print(f"seed {SEED}, {sets[0]}: { ({size: of[:3].round(3).tolist() for size, of in held.items()}) }")
    assert np.mean([of[0] for of in held.values()]) >= 0.93


PIN = "b05faa0f7fac"


def test_only_labels_of_the_known_model_are_corrected_and_it_is_said():
    known, window = MeasuredModel(PIN, ConfusionMatrix(WEAK)), tally(300, 500, 200, 50)

    ours, other, none = estimates([window, window, tally(unscored=3)], [True, False, True], known)

    assert (ours.holds, other.holds, none) == (BOTH, SAMPLING, None)
    assert ours.mean == other.mean == other.value == net_sentiment(window).value
    assert ours.low < ours.value < ours.high
    assert ours.margin == (ours.high - ours.low) / 2
    assert ours.margin > 2 * other.margin
    assert estimates([window], [False], None)[0].holds == SAMPLING


@pytest.mark.parametrize(
    ("models", "ours"),
    [
        (f"{PIN}-sk", True),
        (f"{PIN}-k1", True),
        (f"{PIN}-k1,{PIN}-sk", True),
        (f"{PIN}-sk,0123456789ab-sk", False),
        ("0123456789ab-sk", False),
        ("none", False),
        ("", False),
        (None, False),
        (f"{PIN}0-sk", False),
    ],
)
def test_a_model_is_known_by_its_artefact(models, ours):
    assert is_by(MeasuredModel(PIN, ConfusionMatrix(WEAK)), models) == ours
    assert not is_by(None, models)

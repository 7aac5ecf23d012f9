"""Folding columns into integers: against plain Python, exact, for any brand."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.aggregates.aggregate import fold, increments
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.records.batch import (
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    UNCERTAIN,
    UNSCORED,
    Flags,
    ScoreColumns,
)
from stream_worker.core.time import MINUTE_MS
from tests.builders import MODEL, NOON_MS, columns, mention

LABELS = {"neg": NEGATIVE, "neu": NEUTRAL, "pos": POSITIVE, "uncertain": UNCERTAIN, "unscored": UNSCORED}
WHOLE = slice(0, None)


def batch(rows):
    """Columns, flags and scores of rows as `row` makes them."""
    minutes, networks, brands, duplicate, copy, voice, late, label, micro = zip(*rows, strict=True)
    made = columns(
        *(
            mention(
                id=str(k), network=network, brand=brand, event_time=NOON_MS + minute * MINUTE_MS + k % 60_000
            )
            for k, (minute, network, brand) in enumerate(zip(minutes, networks, brands, strict=True))
        ),
        time_ms=NOON_MS + 10 * MINUTE_MS,
    )
    flags = [np.array(flag, np.bool_) for flag in (duplicate, copy, voice, late)]
    scores = ScoreColumns(
        np.array(label, np.int8), np.zeros((len(rows), 3), np.float32), np.array(micro, np.int32)
    )
    return made, Flags(*flags, np.zeros(len(rows), np.int64)), scores


def by_plain_python(rows):
    """The cells as a dictionary of (minute, network, brand, late)."""
    cells = defaultdict(lambda: dict.fromkeys(MEASURES, 0))
    for minute, network, brand, duplicate, copy, voice, late, label, micro in rows:
        if duplicate:
            continue
        cell = cells[NOON_MS + minute * MINUTE_MS, network, brand, late]
        cell["n"] += 1
        cell["sum"] += micro
        cell["repeats"] += copy
        cell["voices"] += voice
        cell["neg_voices"] += voice and label == NEGATIVE
        for measure, wanted in LABELS.items():
            cell[measure] += label == wanted
    return {at: tuple(map(int, cell.values())) for at, cell in cells.items()}


def cells_of(delta):
    assert delta.measures.dtype == np.int64
    at = zip(delta.minutes_ms.tolist(), delta.networks, delta.brands, delta.late.tolist(), strict=True)
    found = dict(zip(at, map(tuple, delta.measures.tolist()), strict=True))
    assert len(found) == len(delta)
    return found


def row(
    minute=0,
    network="x",
    brand="acme",
    *,
    duplicate=False,
    copy=False,
    voice=True,
    late=False,
    label=NEUTRAL,
    micro=0,
):
    return (minute, network, brand, duplicate, copy, voice, late, label, micro)


ROWS = st.lists(
    st.tuples(
        st.integers(-3, 3),
        st.sampled_from(["x", "y", "reddit"]),
        st.sampled_from(["a", "b", "a:b", "x:a"]),
        *[st.booleans()] * 4,
        st.integers(0, 4),
        st.integers(-1_000_000, 1_000_000),
    ),
    min_size=1,
    max_size=40,
)


@given(ROWS)
@settings(max_examples=150, deadline=None)
def test_cells_are_those_of_plain_python(rows):
    assert cells_of(fold(*batch(rows), MODEL, WHOLE)) == by_plain_python(rows)


@given(ROWS, st.data())
@settings(max_examples=80, deadline=None)
def test_a_slice_is_folded_as_its_rows_alone(rows, data):
    low = data.draw(st.integers(0, len(rows)))
    high = data.draw(st.integers(low, len(rows)))

    delta = fold(*batch(rows), MODEL, slice(low, high))

    assert cells_of(delta) == by_plain_python(rows[low:high])


def test_each_measure_counts_what_its_name_says():
    rows = [
        row(label=NEGATIVE, micro=-900_000),
        row(label=NEGATIVE, micro=-100_000, voice=False, copy=True),
        row(label=POSITIVE, micro=700_000),
        row(label=UNCERTAIN, micro=1),
        row(label=UNSCORED),
        row(label=NEUTRAL, duplicate=True, micro=5),
    ]

    delta = fold(*batch(rows), MODEL, WHOLE)

    assert dict(zip(MEASURES, delta.measures[0].tolist(), strict=True)) == {
        "n": 5,
        "neg": 2,
        "neu": 0,
        "pos": 1,
        "uncertain": 1,
        "unscored": 1,
        "sum": -299_999,
        "repeats": 1,
        "voices": 4,
        "neg_voices": 1,
    }
    assert delta.model == MODEL


def test_late_and_on_time_are_cells_of_their_own():
    delta = fold(*batch([row(late=True), row(late=False), row(late=True)]), MODEL, WHOLE)

    assert {at[3]: cell[0] for at, cell in cells_of(delta).items()} == {True: 2, False: 1}


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_are_exact_to_the_last_micro_unit(sign):
    # Given 20,000 odd numbers as large as they may be
    rows = [row(micro=sign * (1_000_000 - k % 3)) for k in range(20_000)]

    delta = fold(*batch(rows), MODEL, WHOLE)

    assert delta.measures[0, MEASURES.index("sum")] == sum(one[-1] for one in rows)


def test_nothing_to_count_is_an_empty_delta():
    empty = columns()
    no_flags = Flags(*[np.zeros(0, np.bool_)] * 4, np.zeros(0, np.int64))
    no_scores = ScoreColumns(np.zeros(0, np.int8), np.zeros((0, 3), np.float32), np.zeros(0, np.int32))

    for delta in (
        fold(empty, no_flags, no_scores, MODEL, WHOLE),
        fold(*batch([row(duplicate=True)] * 3), MODEL, WHOLE),
    ):
        assert len(delta) == 0
        assert delta.measures.shape == (0, len(MEASURES))
        assert increments(delta) == 0


@given(st.lists(st.text(min_size=1, max_size=8).filter(lambda brand: not brand.isspace()), min_size=1))
@settings(max_examples=80, deadline=None)
def test_a_brand_may_hold_any_character(brands):
    rows = [row(brand=brand) for brand in brands]

    assert cells_of(fold(*batch(rows), MODEL, WHOLE)) == by_plain_python(rows)


def test_as_many_brands_and_networks_as_a_poll_can_bring_are_kept_apart():
    # Given 20,000 rows that share neither brand nor network with any other, in the last hour there is
    rows = [row(k % 3, f"n{k}", f"b{k}") for k in range(20_000)]
    made, flags, scores = batch(rows)
    made.event_times_ms += 253_402_300_740_000 - made.event_times_ms.max()  # the year 9999

    delta = fold(made, flags, scores, MODEL, WHOLE)

    assert sorted(zip(delta.networks, delta.brands, strict=True)) == sorted((r[1], r[2]) for r in rows)
    assert (delta.minutes_ms > 253_402_300_000_000).all()


def test_increments_are_what_is_not_zero_and_two_totals_for_each_minute():
    delta = fold(*batch([row(0, label=POSITIVE, micro=3), row(1, voice=False)]), MODEL, WHOLE)

    # minute 0: n, pos, sum, voices; minute 1: n, neu; and mentions and model:<id> of each
    assert increments(delta) == 4 + 2 + 2 * 2

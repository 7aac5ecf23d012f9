"""The audit's comparison: what is the same, what differs, and what is explained."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_worker.adapters.redis.minute_hash import minute_cells
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.reconcile.cells import (
    EMPTY,
    CellKind,
    Names,
    Recount,
    RecountRows,
    history_cells,
    joined,
    key_of,
    row_sums,
    unpack,
)
from stream_worker.core.reconcile.compare import CellComparison, LostOffsets
from stream_worker.core.reconcile.findings import LISTED_MAX, Findings
from stream_worker.core.records.batch import NEGATIVE, UNSCORED

NOON = 1_763_812_800_000
SCORED, UNCLEAR = np.ones(60, bool), np.zeros(60, bool)


def names(*known):
    made = Names()
    for name in known:
        made.add(name)
    return made


def sides(fields, minute=0):
    """The cells of a minute hash, with the names that are in it."""
    networks, brands = names("x", "y"), names("acme", "globex")
    texts = {name: str(value) for name, value in fields.items()}
    return minute_cells(texts, minute, networks, brands).cells, networks, brands


def compared(rows, redis, *, scored=SCORED, lost=0, kind=CellKind.MINUTE, frozen=True):
    """The findings of a comparison of two minute hashes."""
    expected, networks, brands = sides(rows)
    found = sides(redis)[0]
    findings = Findings()
    comparison = CellComparison(kind, NOON, networks, brands, LostOffsets(lost), findings)
    comparison.compare(expected, found, scored, frozen=frozen)
    return findings


ACME = {"n:x:acme": 3, "neg:x:acme": 1, "pos:x:acme": 2, "sum:x:acme": 500, "voices:x:acme": 2}


def test_the_same_cells_are_the_same():
    assert compared(ACME, ACME).count == 0


def test_zeros_are_the_same_as_nothing():
    assert compared({}, {"n:x:acme": 0}).count == 0


def test_a_difference_names_minute_network_brand_and_measures():
    # Given a cell that counts one less, and one negative more
    findings = compared(ACME, ACME | {"n:x:acme": 2, "neg:x:acme": 2})

    # Then it is told once, in words
    (told,) = findings.differences
    assert told.check == "minute"
    assert told.where == "minute 2025-11-22T12:00Z, network x, brand 'acme'"
    assert told.expected == "n 3, neg 1"
    assert told.found == "n 2, neg 2 (2 on time + 0 late, 2 on time + 0 late)"


@pytest.mark.parametrize(("rows", "redis"), [(ACME, {}), ({}, ACME)])
def test_a_cell_that_one_side_lacks_differs(rows, redis):
    assert compared(rows, redis).count == 1


def test_late_and_on_time_count_together():
    late = {"n:x:acme": 1, "late_n:x:acme": 2}

    assert compared({"n:x:acme": 1, "late_n:x:acme": 2}, late).count == 0
    assert compared({"n:x:acme": 3}, late).count == 0  # late at Redis only: sealed before it came
    assert compared({"n:x:acme": 4}, late).count == 1


def test_on_time_never_exceeds_the_rows_that_are_not_late():
    # Given a cell of which two rows were late by the log
    findings = compared({"n:x:acme": 1, "late_n:x:acme": 2}, {"n:x:acme": 3})

    # Then Redis cannot have counted them on time
    assert [(it.check, it.expected, it.found) for it in findings.differences] == [
        ("minute on time", "n at most 1", "n 3")
    ]


def test_without_one_single_model_only_counts_are_compared():
    other = ACME | {"neg:x:acme": 2, "pos:x:acme": 1, "sum:x:acme": -7}

    assert compared(ACME, other, scored=UNCLEAR).count == 0
    assert compared(ACME, other).count == 1
    assert compared(ACME, other | {"voices:x:acme": 1}, scored=UNCLEAR).count == 1


def test_what_was_counted_before_a_limit_was_raised_stands_under_the_reserved_brand():
    # Given three mentions of a brand: two from before it was admitted
    rows, redis = {"n:x:acme": 3}, {"n:x:acme": 1, "n:x:": 2}

    # Then they sum up, and no other brand may be short by them
    assert compared(rows, redis).count == 0
    assert compared(rows, {"n:x:acme": 1, "n:x:": 1}).count == 2
    assert compared({"n:x:acme": 1, "n:x:": 2}, {"n:x:acme": 3}).count == 2


@pytest.mark.parametrize("kind", [CellKind.MINUTE, CellKind.HISTORY_OF_MINUTES])
def test_counts_moved_from_one_brand_to_another_differ(kind):
    rows, redis = {"n::acme": 3, "n::globex": 1}, {"n::acme": 2, "n::globex": 2}

    if kind == CellKind.MINUTE:
        rows, redis = ({name.replace("::", ":x:"): n for name, n in it.items()} for it in (rows, redis))
    assert compared(rows, redis, kind=kind).count == 2


def test_what_the_archive_has_lost_may_be_in_redis_and_no_more():
    rows, redis = {"n:x:acme": 3}, {"n:x:acme": 5, "neg:x:acme": 1}

    explained = compared(rows, redis, lost=2, frozen=False)
    assert (explained.count, len(explained.notes)) == (0, 1)
    assert compared(rows, redis, lost=1, frozen=False).count == 1
    assert compared(redis, rows, lost=9, frozen=False).count == 1  # Redis may not have lost any


def test_the_first_differences_are_kept_and_all_are_counted():
    brands = {f"n:x:brand {i}": 1 for i in range(LISTED_MAX + 7)}

    findings = compared(brands, {})

    assert (findings.count, len(findings.differences)) == (LISTED_MAX + 7, LISTED_MAX)


# ---------------------------------------------------------------- reading Redis


def test_brands_may_hold_colons_and_look_like_other_fields():
    networks, brands = Names(), Names()
    fields = {"n:x:late_n:x:y": "1", "late_n:x:model:sk": "2", "n:y:": "4"}
    about = {"mentions": "5", "late_mentions": "2", "model:m:1": "5", "models": "m:1", "mark": "9-9"}

    minute = minute_cells(fields | about, 7, networks, brands)

    named = {
        (unpack(key)[0], networks.name(unpack(key)[1]), brands.name(unpack(key)[2])): (total[0], on_time[0])
        for key, total, on_time in zip(*(it.tolist() for it in minute.cells), strict=True)
    }
    assert named == {(7, "x", "late_n:x:y"): (1, 1), (7, "x", "model:sk"): (2, 0), (7, "y", ""): (4, 4)}
    assert (minute.models, minute.faults) == ("m:1", [])


@pytest.mark.parametrize("field", ["mentions", "late_mentions", "model:m1"])
def test_totals_that_contradict_the_cells_are_faults(field):
    whole = {"n:x:a": "1", "late_n:x:a": "1", "mentions": "1", "late_mentions": "1", "model:m1": "1"}

    assert minute_cells(whole, 0, Names(), Names()).faults == []
    assert len(minute_cells(whole | {field: "2"}, 0, Names(), Names()).faults) == 1


def test_history_without_mentions_is_no_cell():
    cells = history_cells(["0,0,0,0,0,0,0,0,0,0", "2,1,0,1,0,0,-9,0,2,1"], [3, 4], [1, 1])

    assert [unpack(key) for key in cells.keys.tolist()] == [(4, 0, 1)]
    assert cells.sums.tolist() == [[2, 1, 0, 1, 0, 0, -9, 0, 2, 1]]


@pytest.mark.parametrize("value", ["1,2,3", "1,2,3,4,5,6,7,8,9,x", ""])
def test_history_that_is_not_ten_integers_is_refused(value):
    with pytest.raises(ValueError, match=r".+"), np.errstate(all="raise"):
        history_cells([value], [0], [1])


# ---------------------------------------------------------------- recounting rows

row = st.tuples(
    st.integers(0, 59),
    st.integers(0, 2),
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 4),
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


def rows_of(listed):
    columns = [np.array(column) for column in zip(*listed, strict=True)] or [np.empty(0, int)] * 9
    minutes, networks, brands, late, label, micro, copy, voice, wanted = columns
    sums = row_sums(label.astype(np.int64), micro, copy.astype(bool), voice.astype(bool))
    offsets = np.arange(len(minutes))
    made = RecountRows(
        offsets, minutes.astype(np.int64), networks.astype(np.int64), brands.astype(np.int64), late, sums
    )
    return made, wanted.astype(bool)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(row, min_size=1, max_size=10), max_size=3))
def test_a_recount_is_what_counting_one_by_one_gives(batches):
    # Given rows in batches, counted one by one
    expected, on_time = Counter(), Counter()
    for minute, network, brand, late, label, micro, copy, voice, wanted in chain.from_iterable(batches):
        negative = label == NEGATIVE
        labels = [int(label == it) for it in range(UNSCORED + 1)]
        adds = [1, *labels, micro, copy, voice, voice and negative]
        for measure, value in zip(MEASURES, adds, strict=True):
            if wanted:
                expected[minute, network, brand, measure] += int(value)
                on_time[minute, network, brand, measure] += 0 if late else int(value)

    # When they are recounted in columns
    recount = Recount(by_minute=True, by_network=True)
    for batch in batches:
        recount.add(*rows_of(batch))
    cells = recount.cells()

    # Then it is the same, and the keys rise
    found = {
        (*unpack(key), measure): (value, early)
        for key, values, early_values in zip(*(it.tolist() for it in cells), strict=True)
        for measure, value, early in zip(MEASURES, values, early_values, strict=True)
    }
    assert found == {at: (value, on_time[at]) for at, value in expected.items()}
    assert cells.keys.tolist() == sorted(set(cells.keys.tolist()))


def test_history_keeps_neither_networks_nor_minutes_apart():
    rows, wanted = rows_of([(m, n, 1, False, 1, 10, False, True, True) for m, n in ((0, 1), (0, 2), (5, 1))])

    hours, minutes = Recount(by_minute=False, by_network=False), Recount(by_minute=True, by_network=False)
    hours.add(rows, wanted)
    minutes.add(rows, wanted)

    assert [(unpack(key), n[0]) for key, n, _ in zip(*hours.cells(), strict=True)] == [((0, 0, 1), 3)]
    assert [unpack(key) for key in minutes.cells().keys.tolist()] == [(0, 0, 1), (5, 0, 1)]


def test_nothing_joins_to_nothing():
    assert joined([]) is EMPTY
    assert len(Recount(by_minute=True, by_network=True).cells().keys) == 0


@pytest.mark.parametrize("key", [(0, 0, 0), (59, 65, 10_000), (59, 2**16 - 1, 2**24 - 1)])
def test_keys_unpack_to_what_was_packed(key):
    assert unpack(key_of(*key)) == key

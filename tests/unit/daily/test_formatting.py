"""The parts of the daily batch that are plain functions: intervals, movers, copies, reasons."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.archive.days import Day
from stream_worker.core.reconcile.cells import CellKind, Cells, Names, grouped, key_of
from stream_worker.core.sentiment.correction import ConfusionMatrix
from stream_worker.core.sentiment.estimate import BOTH, SAMPLING, MeasuredModel
from stream_worker.core.time import HOUR_MS
from stream_worker.daily.parity import LOST, NOT_ARCHIVED, Parity
from stream_worker.daily.repeated_texts import RepeatedTexts
from stream_worker.daily.tables import (
    ScoredBy,
    by_brand,
    in_common,
    movers,
    wilson,
    with_shares,
    write_csv,
    write_parquet,
)

EVERY = np.ones(60, bool)


@pytest.mark.parametrize(
    ("found", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (50, 100, 0.4038, 0.5962), (1, 1, 0.2065, 1.0)],
)
def test_wilson_is_as_in_the_books(found, of, low, high):
    assert wilson(found, of) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_interval_holds_its_share_and_lies_within_0_and_1(numbers):
    found, of = numbers
    low, high = wilson(found, of)
    assert 0 <= low <= found / of + 1e-12
    assert found / of - 1e-12 <= high <= 1


def table(*rows):
    """Rows (brand, hour, mentions, negative)."""
    made = pd.DataFrame(0, index=range(len(rows)), columns=[*MEASURES, "late", "duplicates"])
    made["brand"], made["network"] = [row[0] for row in rows], "x"
    made["hour"] = pd.to_datetime([row[1] * 3_600_000 for row in rows], unit="ms", utc=True)
    made["n"], made["neg"] = [row[2] for row in rows], [row[3] for row in rows]
    return made


WEAK = [[124, 135, 25, 28, 0], [92, 640, 73, 64, 0], [44, 341, 377, 56, 0]]


def test_an_hour_is_corrected_where_only_the_known_model_scored_and_a_brand_where_it_scored_all_day():
    # Given two hours, of which the known model scored the second
    rows = table(("acme", 1, 1_000, 300), ("acme", 2, 1_000, 300))
    rows["neu"] = 700
    rows["sum"] = -300 * 10**6
    known = MeasuredModel("0123456789ab", ConfusionMatrix(WEAK))
    half = ScoredBy(known, frozenset({2 * HOUR_MS}), day=False)

    hours = with_shares(rows, half)

    assert hours["interval_holds"].tolist() == [SAMPLING, BOTH]
    assert hours["net_sentiment"].tolist() == [-0.3, -0.3]
    assert hours["net_estimate"][0] == -0.3
    assert hours["net_low"][1] <= hours["net_estimate"][1] < -0.4
    assert by_brand(rows, half)["interval_holds"].tolist() == [SAMPLING]
    assert by_brand(rows, half._replace(day=True))["interval_holds"].tolist() == [BOTH]
    assert with_shares(rows)["interval_holds"].tolist() == [SAMPLING] * 2


def test_the_files_say_what_each_interval_holds(tmp_path):
    rows = with_shares(table(("acme", 1, 50, 10), ("quiet", 1, 0, 0)))

    write_parquet(rows, tmp_path / "hours.parquet")
    write_csv(rows, tmp_path / "hours.csv")

    stored = pq.read_table(tmp_path / "hours.parquet")
    assert stored["interval_holds"].to_pylist() == [SAMPLING, None]
    assert stored["net_estimate"].to_pylist() == [0.0, None]
    first, *lines = (tmp_path / "hours.csv").read_text().splitlines()
    assert first.endswith('"net_low","net_high","net_estimate","interval_holds"')
    assert lines[0].endswith(',"sampling"')


def test_a_mover_moved_beyond_both_margins_and_was_talked_about_on_both_days():
    before = by_brand(
        table(("far", 1, 100, 10), ("little", 1, 100, 10), ("few", 1, 20, 0), ("down", 1, 200, 100))
    )
    today = by_brand(
        table(("far", 25, 100, 60), ("little", 25, 100, 14), ("few", 25, 20, 20), ("down", 25, 200, 20))
    )

    found = movers(today, before, 5)

    assert found["brand"].tolist() == ["far", "down"]
    assert found["moved"].tolist() == pytest.approx([0.5, -0.4])


def test_hours_that_a_day_hardly_has_are_not_compared():
    today = table(*(("a", 24 + hour, 100, 0) for hour in range(24)))
    before = table(("a", 21, 3, 0), ("a", 22, 60, 0), ("a", 23, 100, 0))

    now, then, hours = in_common(today, before)

    assert hours == 2
    assert (now["n"].sum(), then["n"].sum()) == (200, 160)


def encoded(rows):
    """An object with (brand, author, text, duplicate, repeat, label)."""
    names = ("brand", "author", "text", "duplicate", "repeat", "label")
    out = io.BytesIO()
    pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)}), out)
    return out.getvalue()


def test_copies_are_counted_by_text_key_and_brand_with_their_authors():
    texts = RepeatedTexts()
    texts.add(
        encoded(
            [
                ("acme", "ann", "Buy now", False, False, 0),  # the first one is no copy
                ("acme", "bob", "RT @ann: buy  NOW http://x", False, True, 0),
                ("acme", None, "buy now", False, True, 2),
                ("acme", "bob", "buy now", True, True, 0),  # a duplicate is not counted
                ("lone", "bob", "buy now", False, True, 1),
            ]
        )
    )

    first, second = texts.top(9)

    assert (first.brand, first.copies, first.authors, first.negative, first.positive) == ("acme", 2, 1, 1, 1)
    assert (second.brand, second.copies) == ("lone", 1)


def test_memory_for_texts_is_bounded_and_the_most_copied_stay():
    texts = RepeatedTexts(texts_max=10)
    for turn in range(20):
        rows = [("acme", "a", "the storm", False, True, 0)] * 3
        rows += [("acme", "a", f"once {turn} {n}", False, True, 0) for n in range(7)]
        texts.add(encoded(rows))
        assert len(texts._texts) <= 10

    assert (texts.top(1)[0].text, texts.top(1)[0].copies) == ("the storm", 60)


def cells(*counts):
    """Cells (minute, network, brand, n) of an hour; sentiment is 7 a mention."""
    keys = np.array([key_of(*one[:3]) for one in counts], np.int64)
    sums = np.zeros((len(counts), len(MEASURES)), np.int64)
    sums[:, 0] = [one[3] for one in counts]
    sums[:, MEASURES.index("sum")] = 7 * sums[:, 0]
    return grouped(keys, sums, sums) if counts else Cells(keys, sums, sums)


@pytest.fixture
def parity():
    networks, brands = Names(), Names()
    networks.add("x")
    brands.add("acme")
    return Parity(Day(0), networks, brands, {NOT_ARCHIVED: 5, LOST: 2})


@pytest.mark.parametrize(
    ("rows", "redis", "reason", "mentions"),
    [
        ([(3, 1, 1, 9)], [(3, 1, 1, 14)], NOT_ARCHIVED, 5),
        ([], [(3, 1, 1, 5)], NOT_ARCHIVED, 5),
        ([(3, 1, 1, 9)], [(3, 1, 1, 15)], "unexplained", 6),
        ([(3, 1, 1, 9)], [(3, 1, 1, 8)], "unexplained", 1),
        ([(3, 1, 1, 9)], [(3, 1, 0, 9)], "limit of brands raised", 18),
        ([(3, 1, 1, 9)], [(3, 0, 1, 4), (3, 1, 1, 5)], "limit of brands raised", 8),
        ([(3, 1, 0, 9)], [(3, 1, 1, 9)], "unexplained", 18),
    ],
)
def test_each_difference_has_the_one_reason_that_can_be_true(parity, rows, redis, reason, mentions):
    parity.compare(CellKind.MINUTE, 0, cells(*rows), cells(*redis), EVERY, EVERY)

    result = parity.result()
    assert result["reasons"] == {reason: {"minutes": 1, "mentions": mentions}}
    assert result["agree"] == 59
    assert result["unexplained"] == len(parity.differences[:1]) == (reason == "unexplained")


def test_a_reason_is_used_up(parity):
    for minute in range(3):
        parity.compare(CellKind.MINUTE, 0, cells((minute, 1, 1, 1)), cells((minute, 1, 1, 4)), EVERY, EVERY)

    assert {name: one["mentions"] for name, one in parity.result()["reasons"].items()} == {
        NOT_ARCHIVED: 3,
        "unexplained": 6,
    }


def test_sentiment_is_compared_only_where_it_can_be(parity):
    # Given the same counts with another sum
    redis = cells((3, 1, 1, 9))
    redis.sums[0, MEASURES.index("sum")] += 1

    parity.compare(CellKind.MINUTE, 0, cells((3, 1, 1, 9)), redis, EVERY, ~EVERY)
    assert parity.result()["unexplained"] == 0
    parity.compare(CellKind.MINUTE, 0, cells((3, 1, 1, 9)), redis, EVERY, EVERY)
    assert parity.result()["unexplained"] == 1
    assert parity.differences == ["00:03, network x, brand 'acme': sum: archive 63, Redis 64"]

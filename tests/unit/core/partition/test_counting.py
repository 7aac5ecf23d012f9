"""Counting: batches cut into calls, and what each answer of the script means."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.aggregates.aggregate import INCREMENTS_MAX, increments
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.partition.counting import Counting, CursorState, PendingBatch
from stream_worker.core.partition.inputs import Applied, Cursor
from tests.builders import NOON_MS, mention, part

END_MS = 777


def batch(*offsets, position=None, brands=7):
    values = [mention(id=str(o), brand=f"b{o % brands}", event_time=NOON_MS + o % 50_000) for o in offsets]
    made = part(*values, offsets=offsets)
    return PendingBatch(made, offsets[-1] + 1 if position is None else position, END_MS)


def standing_at(next_offset, watermark_ms=0, **options):
    counting = Counting(3, **options)
    counting.begin(Cursor(next_offset, watermark_ms))
    return counting


def answer(call_or_cursor, watermark_ms=0):
    """What the script says when this is stored: it does not matter whether this call stored it."""
    if call_or_cursor is None:
        return Applied(applied=False, cursor=None, now_ms=1, sealed_ms=0)
    stored = call_or_cursor if isinstance(call_or_cursor, int) else call_or_cursor.next
    return Applied(applied=True, cursor=Cursor(stored, watermark_ms), now_ms=1, sealed_ms=0)


def mentions_in(calls):
    return sum(int(call.delta.measures[:, MEASURES.index("n")].sum()) for call in calls)


def test_a_small_batch_is_one_call_from_the_cursor_to_behind_its_last_record():
    counting = standing_at(10)
    counting.log_end = 99

    [call] = counting.add(batch(10, 11, 13, position=20))

    assert (call.partition, call.expected, call.next, call.watermark_ms) == (3, 10, 20, END_MS)
    assert (call.log_end, call.paused, call.proof_t0_ms) == (99, False, None)
    assert mentions_in([call]) == 3
    assert counting.waits


def test_what_is_counted_already_is_not_asked_again():
    assert standing_at(20).add(batch(10, 19)) == []

    [call] = standing_at(12).add(batch(10, 11, 12, 13))
    assert (call.expected, call.next, mentions_in([call])) == (12, 14, 2)


def test_a_cursor_between_two_records_is_expected_as_it_is():
    [call] = standing_at(12).add(batch(10, 15))

    assert (call.expected, call.next, mentions_in([call])) == (12, 16, 1)


def test_a_batch_without_a_mention_moves_the_cursor():
    counting = standing_at(10)

    [call] = counting.add(PendingBatch(part(), 15, END_MS))

    assert (call.expected, call.next, len(call.delta)) == (10, 15, 0)


def test_a_large_batch_is_cut_at_offsets_into_calls_that_chain():
    counting = standing_at(100)
    made = batch(*range(100, 5_100), brands=5_000)

    calls = counting.add(made)

    assert len(calls) > 1
    assert all(increments(call.delta) <= INCREMENTS_MAX for call in calls)
    assert [call.expected for call in calls] == [100, *(call.next for call in calls[:-1])]
    assert calls[-1].next == 5_100
    assert mentions_in(calls) == 5_000


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=40),
    st.integers(0, 130),
    st.integers(5, 60),
    st.integers(1, 20),
)
@settings(max_examples=120, deadline=None)
def test_calls_chain_with_the_watermark_of_their_end_whatever_the_cut(gaps, counted, increments_max, brands):
    offsets = np.cumsum(gaps).tolist()
    made = batch(*offsets, position=offsets[-1] + 2, brands=brands)
    counting = standing_at(counted, increments_max=increments_max)

    calls = counting.add(made)

    left = [offset for offset in offsets if offset >= counted]
    assert mentions_in(calls) == len(left)
    assert [call.expected for call in calls[:1]] == ([counted] if counted < made.position else [])
    before = dict(zip(offsets, made.scored.flags.watermark_before_ms.tolist(), strict=True))
    for call, following in pairwise(calls):
        assert following.expected == call.next
        assert call.watermark_ms == before[call.next]
        assert increments(call.delta) <= increments_max or mentions_in([call]) == 1
    assert [(call.next, call.watermark_ms) for call in calls[-1:]] == [(made.position, END_MS)][: len(calls)]


# Answers


def test_when_all_calls_are_applied_the_batch_is_done():
    counting = standing_at(0, increments_max=30)
    calls = counting.add(batch(*range(20)))

    for call in calls:
        assert counting.waits
        assert counting.applied(answer(call, watermark_ms=call.next)) == (CursorState.KNOWN, [])

    assert not counting.waits
    assert counting.cursor == (20, 20)
    assert counting.add(batch(*range(20, 23)))  # the next may come


def test_an_answer_from_further_ahead_means_that_somebody_applied_it():
    counting = standing_at(0)
    counting.add(batch(0, 1, 2))

    assert counting.applied(answer(9)) == (CursorState.KNOWN, [])
    assert (counting.counted, counting.waits) == (9, False)
    assert counting.add(batch(3, 4)) == []


def test_where_somebody_else_cut_otherwise_the_rest_is_still_ours():
    counting = standing_at(0)
    counting.add(batch(0, 1, 2, 5, 6))

    redis, [rest] = counting.applied(answer(2))

    assert redis is CursorState.KNOWN
    assert (rest.expected, rest.next, mentions_in([rest])) == (2, 7, 3)


def test_of_several_calls_all_are_answered_before_the_rest_is_asked():
    # Given three calls or more, and a Redis that somebody brought into the middle of the second
    counting = standing_at(0, increments_max=20)
    calls = counting.add(batch(*range(20)))
    assert len(calls) >= 3
    stored = calls[1].expected + 1

    answers = [counting.applied(answer(stored)) for _ in calls]

    assert [asked for _, asked in answers[:-1]] == [[]] * (len(calls) - 1)
    rest = answers[-1][1]
    assert (rest[0].expected, rest[-1].next, mentions_in(rest)) == (stored, 20, 20 - stored)


def test_an_answer_from_behind_means_that_redis_went_back():
    counting = standing_at(10)
    counting.add(batch(10, 11))

    assert counting.applied(answer(9)) == (CursorState.WENT_BACK, [])


def test_an_answer_without_a_cursor_means_that_redis_was_lost():
    counting = standing_at(0)
    counting.add(batch(0, 1))

    assert counting.applied(answer(None)) == (CursorState.LOST, [])


def test_answers_from_before_a_new_beginning_are_void():
    counting = standing_at(10, increments_max=1)
    asked = counting.add(batch(10, 11, 12))
    counting.begin(Cursor(4, 1))

    for _ in asked:
        assert counting.applied(answer(2)) == (CursorState.KNOWN, [])

    assert counting.cursor == (4, 1)
    assert not counting.waits


# Reports


@pytest.mark.parametrize(("paused", "proof_t0_ms"), [(False, None), (True, None), (False, 123)])
def test_a_report_names_the_cursor_twice_and_counts_nothing(paused, proof_t0_ms):
    counting = standing_at(10)
    counting.log_end = 50

    [call] = counting.report(5, paused=paused, proof_t0_ms=proof_t0_ms)

    assert (call.expected, call.next, call.delta, call.watermark_ms) == (10, 10, None, 5)
    assert (call.log_end, call.paused, call.proof_t0_ms) == (50, paused, proof_t0_ms)
    assert counting.waits
    assert counting.applied(answer(call)) == (CursorState.KNOWN, [])
    assert not counting.waits


@pytest.mark.parametrize(
    ("stored", "redis"), [(9, CursorState.WENT_BACK), (None, CursorState.LOST), (30, CursorState.KNOWN)]
)
def test_a_report_finds_out_what_became_of_redis(stored, redis):
    counting = standing_at(10)
    counting.report(5, paused=False, proof_t0_ms=None)

    assert counting.applied(answer(stored)) == (redis, [])

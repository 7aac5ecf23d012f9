"""Gathering: where a chunk is cut, and that nothing is in two chunks or in none."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.partition.chunk_buffer import HOURS_MAX, ChunkBuffer, RollLimits
from stream_worker.core.records.batch import Rejected, scored_from
from stream_worker.core.records.limits import Limits
from stream_worker.core.time import HOUR_MS
from tests.builders import NOON_MS, mention, part

NEVER = RollLimits(rows_max=10**9, bytes_max=10**9, seconds_max=1e9, span_max=10**9)
DAYS = Limits(future_ms=40 * 24 * HOUR_MS)


def limits(**changed):
    return RollLimits(
        **{name: changed.get(name, getattr(NEVER, name)) for name in RollLimits.__dataclass_fields__}
    )


def letter(offset):
    return Rejected(offset, NOON_MS, b"bad", "not_json", "", "no JSON")


def rows(*offsets, hours=None, watermark_ms=0):
    hours = [0] * len(offsets) if hours is None else hours
    values = [
        mention(id=str(offset), event_time=NOON_MS + hour * HOUR_MS)
        for offset, hour in zip(offsets, hours, strict=True)
    ]
    return part(*values, offsets=offsets, limits=DAYS, watermark_ms=watermark_ms)


def chunk_buffer(*offsets, start=0, position=None, rejected=(), value_bytes=0, at_s=100.0, **more):
    made = ChunkBuffer(start, 0)
    made.add(
        rows(*offsets, **more),
        [letter(offset) for offset in rejected],
        position=max([*offsets, *rejected]) + 1 if position is None else position,
        watermark_ms=7,
        value_bytes=value_bytes,
        now_s=at_s,
    )
    return made


def offsets_of(chunk):
    return [offset for one in chunk.batches for offset in one.columns.offsets.tolist()]


# Where a chunk is cut


def test_nothing_gathered_is_no_chunk_whoever_asks():
    assert ChunkBuffer(5, 0).roll(limits(rows_max=0), 1e9, flush=True) is None


def test_without_a_reason_a_chunk_may_still_grow_and_a_flush_takes_what_is_there():
    made = chunk_buffer(0, 1, 2)

    assert made.roll(NEVER, 100.0) is None
    assert made.roll(NEVER, 100.0, flush=True) == 3


def test_a_chunk_is_due_by_rows():
    assert chunk_buffer(0, 1).roll(limits(rows_max=3), 100.0) is None
    assert chunk_buffer(0, 1, 2).roll(limits(rows_max=3), 100.0) == 3


def test_a_chunk_is_due_by_bytes():
    assert chunk_buffer(0, value_bytes=99).roll(limits(bytes_max=100), 100.0) is None
    assert chunk_buffer(0, value_bytes=100).roll(limits(bytes_max=100), 100.0) == 1


@pytest.mark.parametrize("since_s", [0.0, 100.0])
def test_a_chunk_is_due_so_many_seconds_after_its_first_record(since_s):
    made = chunk_buffer(0, at_s=since_s)
    made.add(rows(1), [], position=2, watermark_ms=7, value_bytes=0, now_s=since_s + 50)

    assert made.roll(limits(seconds_max=60), since_s + 59.9) is None
    assert made.roll(limits(seconds_max=60), since_s + 60) == 2
    assert made.age_s(since_s + 60) == 60


def test_offsets_without_a_record_are_due_by_seconds_too():
    made = chunk_buffer(position=4)

    assert made.roll(limits(seconds_max=60), 160.0) == 4


def test_a_chunk_never_spans_more_offsets_than_its_limit():
    # 0 1 . . . . . . 8 9      span 5: [0, 5), then [5, 10)
    made = chunk_buffer(0, 1, 8, 9)

    assert chunk_buffer(0, 1, 3).roll(limits(span_max=5), 100.0) is None
    assert made.roll(limits(span_max=5), 100.0) == 5
    chunk = made.take(5, lost=0, now_s=100.0)
    assert (offsets_of(chunk), chunk.outcomes.counted, chunk.outcomes.absent) == ([0, 1], 2, 3)
    assert made.roll(limits(span_max=5), 100.0) == 10


def test_a_chunk_holds_64_event_hours_and_is_cut_before_the_row_of_the_next():
    # offset   0 … 63    64 (hour 0 again)   65       66 (hour 64)   67
    # hour     0 … 63    0                   letter   64             64
    hours = [*range(HOURS_MAX), 0, 64, 64]
    offsets = [*range(HOURS_MAX), 64, 66, 67]

    made = chunk_buffer(*offsets, hours=hours, rejected=[65])

    assert chunk_buffer(*offsets[:65], hours=hours[:65]).roll(NEVER, 100.0) is None
    assert made.roll(NEVER, 100.0) == 66
    chunk = made.take(66, lost=0, now_s=100.0)
    assert offsets_of(chunk) == offsets[:65]
    assert chunk.outcomes.rejected == 1
    assert made.roll(NEVER, 100.0) is None  # the rest has hours of its own
    assert made.roll(NEVER, 100.0, flush=True) == 68


def test_hours_are_counted_over_all_batches_of_a_chunk():
    made = ChunkBuffer(0, 0)
    for hour in range(HOURS_MAX + 3):
        made.add(
            rows(2 * hour, hours=[hour]), [], position=2 * hour + 1, watermark_ms=7, value_bytes=0, now_s=1.0
        )

    assert made.roll(NEVER, 1.0) == 2 * HOURS_MAX


# What a chunk holds


def test_the_watermark_at_an_offset_is_that_before_the_next_row_or_at_the_end():
    # offset 0  1  2(letter)  5     W before row: 0: 0, 1: after 0, 5: after 1; behind the last: as told
    made = chunk_buffer(0, 1, 5, rejected=[2])
    before = made._batches[0].flags.watermark_before_ms.tolist()

    assert [made.watermark_at(offset) for offset in range(7)] == [
        before[0],
        before[1],
        before[2],
        before[2],
        before[2],
        before[2],
        7,
    ]


def test_duplicates_letters_holes_and_what_is_lost_are_outcomes_of_their_own():
    # log from 3 on: 0 1 2 lost   3 mention  4 the same  5 letter  6 none  7 mention | 8
    made = ChunkBuffer(0, 0)
    values = [mention(id="a"), mention(id="a"), mention(id="b")]
    made.add(
        part(*values, offsets=[3, 4, 7]), [letter(5)], position=8, watermark_ms=7, value_bytes=9, now_s=1.0
    )

    chunk = made.take(8, lost=3, now_s=1.0)

    outcomes = chunk.outcomes
    assert (outcomes.counted, outcomes.duplicate, outcomes.rejected) == (2, 1, 1)
    assert (outcomes.absent, outcomes.lost) == (1, 3)
    assert [one.offset for one in chunk.rejected] == [5]


def test_what_lies_behind_the_end_stays_and_its_clock_starts_anew():
    made = chunk_buffer(0, 1, 2, 3, rejected=[4], value_bytes=100, at_s=10.0)

    made.take(2, lost=0, now_s=50.0)

    assert (made.start, made.position, made.rows, made.bytes) == (2, 5, 2, 50)
    assert made.age_s(60.0) == 10.0
    rest = made.take(5, lost=0, now_s=60.0)
    assert (offsets_of(rest), [one.offset for one in rest.rejected]) == ([2, 3], [4])
    assert made.age_s(99.0) == 0.0


@pytest.mark.parametrize(
    ("offset", "left"), [(0, [3, 5, 9]), (3, [3, 5, 9]), (4, [5, 9]), (9, [9]), (10, [])]
)
def test_the_rows_from_an_offset_on_keep_flags_and_scores(offset, left):
    whole = rows(3, 5, 9)

    made = scored_from(whole, offset)

    assert made.columns.offsets.tolist() == left
    at = slice(3 - len(left), 3)
    assert made.flags.watermark_before_ms.tolist() == whole.flags.watermark_before_ms[at].tolist()
    assert made.flags.copy.tolist() == whole.flags.copy[at].tolist()
    assert made.scores.sentiment_micro.tolist() == whole.scores.sentiment_micro[at].tolist()
    assert made.scores.probability.shape == (len(left), 3)


def test_rows_wait_as_arrow_arrays_with_the_same_values():
    made = ChunkBuffer(0, 0)
    whole = part(mention(id="1", author="ann", reach=7), mention(id="2", text="zwei é", lang="de"))

    made.add(whole, [], position=2, watermark_ms=7, value_bytes=10, now_s=0.0)

    [packed] = made.take(2, lost=0, now_s=1.0).batches
    for name in ("ids", "brands", "networks", "authors", "texts", "urls", "langs", "reaches", "reply_tos"):
        assert isinstance(getattr(packed.columns, name), pa.Array)
        assert getattr(packed.columns, name).to_pylist() == getattr(whole.columns, name)
    assert packed.columns.offsets.tolist() == whole.columns.offsets.tolist()


# Whatever comes, in whatever batches


@st.composite
def batches(draw):
    """(kind, hour) by offset: a mention of some hour, a letter or nothing; and where batches end."""
    kinds = st.sampled_from(["row", "row", "row", "letter", "none"])
    log = draw(st.lists(st.tuples(kinds, st.integers(-40, 40)), min_size=1, max_size=60))
    cuts = draw(st.lists(st.integers(1, len(log)), max_size=6))
    return log, sorted({*cuts, len(log)})


@given(batches(), st.integers(1, 12), st.integers(1, 20), st.integers(1, 5))
@settings(max_examples=120, deadline=None)
def test_chunks_cover_the_range_once_within_their_limits(drawn, rows_max, span_max, hours_max):
    # Given few hours a chunk, so that hours cut too
    log, ends = drawn
    roll_limits = limits(rows_max=rows_max, span_max=span_max)
    made, chunks, edges = ChunkBuffer(0, 0), [], [0]

    # When batches come and every chunk that is due is taken
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stream_worker.core.partition.chunk_buffer.HOURS_MAX", hours_max)
        for low, high in pairwise([0, *ends]):
            wanted = [k for k in range(low, high) if log[k][0] == "row"]
            letters = [letter(k) for k in range(low, high) if log[k][0] == "letter"]
            batch = rows(*wanted, hours=[log[k][1] for k in wanted])
            made.add(batch, letters, position=high, watermark_ms=high, value_bytes=1, now_s=1.0)
            while (end := made.roll(roll_limits, 1.0, flush=high == len(log))) is not None:
                assert edges[-1] < end <= high
                chunks.append(made.take(end, lost=0, now_s=1.0))
                edges.append(end)

    # Then ranges chain to the end, each offset has one outcome, and no limit is passed
    assert edges[-1] == len(log)
    for (start, end), chunk in zip(pairwise(edges), chunks, strict=True):
        inside = range(start, end)
        assert offsets_of(chunk) == [k for k in inside if log[k][0] == "row"]
        assert [one.offset for one in chunk.rejected] == [k for k in inside if log[k][0] == "letter"]
        assert sum(getattr(chunk.outcomes, name) for name in chunk.outcomes.__struct_fields__) == end - start
        assert end - start <= span_max
        hours = {log[k][1] for k in inside if log[k][0] == "row"}
        assert len(hours) <= hours_max
        assert chunk.late == sum(int(np.count_nonzero(one.flags.late)) for one in chunk.batches)

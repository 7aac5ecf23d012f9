"""Archiving: chunks in order, plans of anybody, and memory that may be dropped at any time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.archive.layout import Plan, StoredObject
from stream_worker.core.partition.archiving import Archiving
from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.effects import (
    Commit,
    CreateManifest,
    CreatePlan,
    SendDeadLetters,
    WriteRows,
)
from stream_worker.core.records.batch import Rejected
from stream_worker.core.records.limits import Limits
from tests.builders import NOON_MS, mention, part

NOW_S = 100.0
LIMITS = Limits(dedup_window_offsets=10)


def archiving(at=0, *, rows_max=4, span_max=1_000, watermark_ms=0):
    """At the end of its chain, and ready to gather from there."""
    made = Archiving(
        LIMITS, RollLimits(rows_max=rows_max, bytes_max=10**9, seconds_max=60, span_max=span_max)
    )
    made.begin(at, watermark_ms, None)
    made.read_again()
    return made


def feed(made, low, high, *, bad=(), none=(), now_s=NOW_S):
    """Offsets [low, high) come, some of them rejected, some without a record; the watermark is the offset."""
    offsets = [offset for offset in range(low, high) if offset not in {*bad, *none}]
    values = [mention(id=str(offset)) for offset in offsets]
    rejected = [Rejected(offset, NOON_MS, b"bad", "not_json", "", "no JSON") for offset in bad]
    batch = part(*values, offsets=offsets)
    batch.flags.watermark_before_ms[:] = offsets
    made.add(batch, rejected, position=high, watermark_ms=high, value_bytes=10 * (high - low), now_s=now_s)


def plan(start, end, kind="data"):
    return Plan(kind=kind, start=start, end=end, watermark_start=start, watermark_end=end, limits=LIMITS)


def stored(name="dt=x"):
    return StoredObject(name=name, rows=1, bytes=1, sha256="0", model="m")


def offsets_of(operation):
    return [offset for one in operation.batches for offset in one.columns.offsets.tolist()]


def outcomes_of(manifest):
    names = manifest.outcomes.__struct_fields__
    return {name: count for name in names if (count := getattr(manifest.outcomes, name))}


def proposed(operations):
    [operation] = operations
    assert isinstance(operation, CreatePlan)
    return operation.plan


def finish(made, operations):
    """Do what a chunk asks for, step by step; returns (letters, row offsets, manifest)."""
    letters, rows = [], []
    while True:
        [operation] = operations
        if isinstance(operation, SendDeadLetters):
            letters = [letter.offset for letter in operation.rejected]
            operations = made.dead_letters_sent()
        elif isinstance(operation, WriteRows):
            rows = offsets_of(operation)
            operations = made.rows_written([stored()])
        else:
            assert isinstance(operation, CreateManifest)
            manifest = operation.manifest
            assert made.manifest_created() == [Commit(operation.plan.end)]
            return letters, rows, manifest


# The order of things


def test_a_chunk_goes_plan_letters_rows_manifest_commit_and_nothing_overtakes():
    made = archiving()
    feed(made, 0, 6, bad=[1, 5], none=[3])

    plan_made = proposed(made.advance(NOW_S, flush=True))
    assert made.advance(NOW_S, flush=True) == []
    made.plan_created(plan_made)
    [letters] = made.advance(NOW_S)
    assert made.advance(NOW_S) == []
    assert [letter.offset for letter in letters.rejected] == [1, 5]
    [rows] = made.dead_letters_sent()
    assert made.advance(NOW_S) == []
    assert (rows.plan, offsets_of(rows)) == (plan_made, [0, 2, 4])
    [manifest] = made.rows_written([stored("a"), stored("b")])
    assert made.advance(NOW_S) == []
    assert [one.name for one in manifest.manifest.objects] == ["a", "b"]
    assert outcomes_of(manifest.manifest) == {"counted": 3, "rejected": 2, "absent": 1}
    assert made.archived == 0
    assert made.manifest_created() == [Commit(6)]
    assert made.archived == 6
    assert not made.on_its_way


def test_no_letters_are_sent_and_no_rows_written_where_there_are_none():
    rows_only, letters_only, nothing = archiving(), archiving(), archiving()
    feed(rows_only, 0, 4)
    feed(letters_only, 0, 4, bad=range(4))
    feed(nothing, 0, 4, none=range(4))

    found = []
    for made in (rows_only, letters_only, nothing):
        made.plan_created(proposed(made.advance(NOW_S, flush=True)))
        letters, rows, manifest = finish(made, made.advance(NOW_S))
        found.append((letters, rows, outcomes_of(manifest)))

    assert found == [
        ([], [0, 1, 2, 3], {"counted": 4}),
        ([0, 1, 2, 3], [], {"rejected": 4}),
        ([], [], {"absent": 4}),
    ]


def test_the_next_plan_is_asked_for_only_behind_the_manifest_and_begins_there():
    made = archiving()
    feed(made, 0, 4)
    first = proposed(made.advance(NOW_S))
    feed(made, 4, 9)

    made.plan_created(first)
    finish(made, made.advance(NOW_S))
    second = proposed(made.advance(NOW_S))

    assert (first.start, first.end, second.start, second.end) == (0, 4, 4, 9)
    assert (first.watermark_start, first.watermark_end) == (0, 4)
    assert (second.watermark_start, second.watermark_end) == (4, 9)
    assert first.limits == LIMITS


def test_nothing_is_due_before_its_time():
    made = archiving()
    feed(made, 0, 3, now_s=NOW_S)

    assert made.advance(NOW_S + 59) == []
    assert proposed(made.advance(NOW_S + 60)).end == 3


# Plans of somebody else


def test_a_shorter_plan_of_somebody_else_leaves_the_rest_for_the_next_one():
    made = archiving()
    feed(made, 0, 6, bad=[4])

    assert proposed(made.advance(NOW_S)).end == 6
    made.plan_created(plan(0, 3))

    assert finish(made, made.advance(NOW_S))[:2] == ([], [0, 1, 2])
    rest = proposed(made.advance(NOW_S, flush=True))
    assert (rest.start, rest.end, rest.watermark_start) == (3, 6, 3)
    made.plan_created(rest)
    assert finish(made, made.advance(NOW_S))[:2] == ([4], [3, 5])


def test_a_longer_plan_of_somebody_else_waits_until_its_end_was_read():
    made = archiving()
    feed(made, 0, 4)
    made.advance(NOW_S)

    made.plan_created(plan(0, 10))

    assert made.advance(NOW_S, flush=True) == []
    feed(made, 4, 9)
    assert made.advance(NOW_S, flush=True) == []
    feed(made, 9, 12)
    _, rows, manifest = finish(made, made.advance(NOW_S))
    assert rows == list(range(10))
    assert outcomes_of(manifest) == {"counted": 10}
    assert made.chunk_buffer.start == 10


def test_an_unfinished_plan_is_finished_with_its_own_end_before_another_one():
    made = archiving()
    made.begin(5, 55, plan(5, 8))
    made.read_again()
    feed(made, 5, 20)

    _, rows, _ = finish(made, made.advance(NOW_S))

    assert rows == [5, 6, 7]
    assert made.archived == 8


# What was skipped, and what the log has lost


@pytest.mark.parametrize(("fed", "left"), [(3, None), (6, None), (9, [6, 7, 8])])
def test_a_skipped_plan_is_lost_whatever_was_gathered_of_it(fed, left):
    made = archiving(rows_max=1)
    feed(made, 0, fed, bad=[1])
    made.advance(NOW_S)

    made.plan_created(plan(0, 6, "skipped"))
    letters, rows, manifest = finish(made, made.advance(NOW_S))

    assert (letters, rows, manifest.objects, manifest.late) == ([], [], [], 0)
    assert outcomes_of(manifest) == {"lost": 6}
    assert made.archived == 6
    if left is None:
        assert made.chunk_buffer is None
    else:
        made.plan_created(proposed(made.advance(NOW_S, flush=True)))
        assert finish(made, made.advance(NOW_S))[1] == left


def test_a_range_that_the_log_has_lost_is_closed_by_a_plan_of_its_own():
    made = Archiving(LIMITS, RollLimits())
    made.begin(5, 55, None)
    made.log_begins(40, 0)
    assert made.in_gap

    gap = proposed(made.advance(0.0))
    assert (gap.kind, gap.start, gap.end, gap.watermark_start, gap.watermark_end) == ("data", 5, 40, 55, 55)
    made.plan_created(gap)
    _, rows, manifest = finish(made, made.advance(0.0))

    assert (rows, outcomes_of(manifest), manifest.partial) == ([], {"lost": 35}, True)
    assert (made.archived, made.watermark_ms, made.in_gap) == (40, 55, False)


def test_a_plan_that_the_log_has_lost_in_part_counts_what_is_lost():
    made = Archiving(LIMITS, RollLimits(rows_max=4))
    made.begin(5, 55, plan(5, 12))
    made.log_begins(8, 0)
    assert not made.in_gap
    made.read_again()

    feed(made, 8, 15, none=[9])
    _, rows, manifest = finish(made, made.advance(NOW_S))

    assert rows == [8, 10, 11]
    assert outcomes_of(manifest) == {"counted": 3, "absent": 1, "lost": 3}
    assert manifest.partial


@pytest.mark.parametrize(
    ("start", "log_start", "base", "partial"),
    [
        (100, 0, 0, False),
        (100, 90, 0, False),  # the horizon is 10 offsets
        (100, 91, 0, True),
        (100, 100, 100, False),  # the log began there for us: nothing is missing
        (100, 91, 91, False),
        (100, 95, 91, True),
        (5, 0, 0, False),
    ],
)
def test_a_chunk_is_partial_where_the_horizon_before_it_is_not_in_the_log(start, log_start, base, partial):
    made = archiving(start)
    made.log_begins(log_start, base)
    feed(made, start, start + 4)

    made.plan_created(proposed(made.advance(NOW_S)))

    assert finish(made, made.advance(NOW_S))[2].partial is partial


# Memory


def test_what_is_forgotten_is_read_again_from_behind_the_chunk_on_its_way():
    made = archiving()
    feed(made, 0, 4)
    made.plan_created(proposed(made.advance(NOW_S)))
    made.advance(NOW_S)
    feed(made, 4, 8)

    made.drop_buffer()
    feed(made, 8, 12)

    assert made.chunk_buffer is None
    assert (made.needed_from, made.needed_watermark_ms) == (4, 4)
    made.read_again()
    assert (made.chunk_buffer.start, made.chunk_buffer.position, made.chunk_buffer.watermark_ms) == (4, 4, 4)


def test_a_seek_while_a_plan_is_asked_for_begins_again_at_the_plan_s_start():
    made = archiving()
    feed(made, 0, 4)
    asked = proposed(made.advance(NOW_S))

    made.read_again()
    made.plan_created(asked)

    assert made.needed_from == 0
    assert made.advance(NOW_S) == []
    feed(made, 0, 2)
    assert made.advance(NOW_S) == []
    feed(made, 2, 6)
    assert finish(made, made.advance(NOW_S))[1] == [0, 1, 2, 3]


def test_what_was_gathered_already_is_not_taken_twice():
    made = archiving()
    feed(made, 0, 3)
    feed(made, 0, 3)

    made.plan_created(proposed(made.advance(NOW_S, flush=True)))

    assert finish(made, made.advance(NOW_S))[1] == [0, 1, 2]


# Whatever others plan


@given(
    st.lists(st.sampled_from(["row", "row", "bad", "none"]), min_size=1, max_size=40),
    st.lists(st.integers(1, 9), max_size=8),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(1, 15),
)
@settings(max_examples=120, deadline=None)
def test_chunks_sum_to_the_log_with_any_plans_of_others(log, others, batch, rows_max, span_max):
    # Given others who plan first, in turns, with ends of their own
    made, ends, asked = archiving(rows_max=rows_max, span_max=span_max), iter(others), 0
    rows, letters, manifests, plans = [], [], [], []

    def work(operations):
        nonlocal asked
        while operations:
            if isinstance(operations[0], CreatePlan):
                own, asked = operations[0].plan, asked + 1
                span = next(ends, None) if asked % 2 else None
                theirs = own if span is None else plan(own.start, min(own.start + span, len(log)))
                made.plan_created(theirs)
                operations = made.advance(NOW_S)
            else:
                plans.append(made.plan)
                sent, written, manifest = finish(made, operations)
                letters.extend(sent)
                rows.extend(written)
                manifests.append(manifest)
                operations = made.advance(NOW_S, flush=made.chunk_buffer.position == len(log))

    # When the log is read to its end
    for low in range(0, len(log), batch):
        high = min(low + batch, len(log))
        kinds = {kind: [k for k in range(low, high) if log[k] == kind] for kind in ("bad", "none")}
        feed(made, low, high, **kinds)
        work(made.advance(NOW_S, flush=high == len(log)))

    # Then plans chain to its end, and everything is in one chunk
    assert [one.start for one in plans] == [0, *(one.end for one in plans[:-1])]
    assert made.archived == len(log)
    assert rows == [k for k, kind in enumerate(log) if kind == "row"]
    assert letters == [k for k, kind in enumerate(log) if kind == "bad"]
    for one, manifest in zip(plans, manifests, strict=True):
        assert sum(outcomes_of(manifest).values()) == one.end - one.start

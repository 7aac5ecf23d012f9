"""The audit's chains: what plans, manifests, rows and letters must say about each other."""

import pytest

from stream_worker.core.archive.layout import Log, Manifest, Outcomes, Plan, StoredObject
from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.plan_log import (
    ArchivedChunk,
    PlanLogReading,
    account_of,
    check_dead_letters,
    check_documents,
    check_rows,
)
from stream_worker.core.records.limits import Limits

LOG = Log("mentions", "0a1b2c3d")
LIMITS = Limits(lateness_ms=1_000)


def chunk(start, end, *, wm=(0, 0), rows=None, kind="data", partial=False, late=0, reached_ms=0, **outcomes):
    """A chunk whose rows are what its manifest says; all offsets are counted unless told otherwise."""
    outcomes = outcomes or {"counted": end - start}
    counted, duplicates = outcomes.get("counted", 0), outcomes.get("duplicate", 0)
    rows = counted + duplicates if rows is None else rows
    objects = [StoredObject(name="x", rows=rows, bytes=1, sha256="0", model="m")] if rows else []
    plan = Plan(
        kind=kind,
        start=start,
        end=end,
        watermark_start=wm[0],
        watermark_end=wm[1],
        limits=LIMITS,
        why="told so",
    )
    manifest = Manifest(objects=objects, outcomes=Outcomes(**outcomes), late=late, partial=partial)
    return ArchivedChunk(plan, manifest, counted + duplicates, duplicates, late, reached_ms)


def told(*chunks, start=0, whole=True):
    """The checks that fail for a chain."""
    findings = Findings()
    chain = PlanLogReading(LOG, 0, start, list(chunks))
    check_documents(chain, findings, whole=whole)
    check_rows(chain, findings, whole=whole)
    return [it.check for it in findings.differences], findings.notes


def test_a_whole_chain_is_clean():
    chunks = (chunk(5, 10, wm=(0, 700), reached_ms=1_700), chunk(10, 12, wm=(700, 700), reached_ms=900))

    assert told(*chunks, start=5) == ([], [])


@pytest.mark.parametrize(
    ("chunks", "found"),
    [
        ([chunk(0, 5), chunk(6, 9)], "a hole up to 6"),
        ([chunk(0, 5), chunk(4, 9)], "one from 4, which overlaps"),
        ([chunk(2, 5)], "a hole up to 2"),
    ],
)
def test_plans_follow_each_other_from_the_head_on(chunks, found):
    findings = Findings()

    check_documents(PlanLogReading(LOG, 0, 0, chunks), findings, whole=True)

    assert [(it.check, it.found) for it in findings.differences] == [("plans chain", found)]


def test_a_range_may_begin_anywhere_but_has_no_hole():
    assert told(chunk(3, 5, wm=(7, 7)), chunk(5, 9, wm=(7, 7)), whole=False) == ([], [])
    assert told(chunk(3, 5), chunk(6, 9), whole=False)[0] == ["plans chain"]


def test_watermarks_follow_each_other_and_never_fall():
    assert told(chunk(0, 5, wm=(0, 9), reached_ms=1_009), chunk(5, 9, wm=(8, 9)))[0] == [
        "watermarks chain",
        "plan's watermark",
    ]
    assert "watermarks chain" in told(chunk(0, 5, wm=(5, 3)), whole=False)[0]


def test_the_watermark_at_the_end_is_that_of_the_rows():
    assert told(chunk(0, 5, wm=(0, 700), reached_ms=1_700)) == ([], [])
    assert told(chunk(0, 5, wm=(0, 701), reached_ms=1_700))[0] == ["plan's watermark"]
    assert told(chunk(0, 5, wm=(0, 699), reached_ms=1_700))[0] == ["plan's watermark"]


def test_behind_a_loss_a_watermark_may_be_ahead_of_the_rows_but_not_behind():
    lost = chunk(0, 5, lost=5)

    assert told(lost, chunk(5, 9, wm=(0, 701), reached_ms=1_700))[0] == []
    assert told(lost, chunk(5, 9, wm=(0, 699), reached_ms=1_700))[0] == ["plan's watermark"]


def test_outcomes_sum_up_to_the_range():
    assert told(chunk(0, 9, counted=4, duplicate=1, rejected=1, absent=2, lost=1))[0] == []
    assert told(chunk(0, 9, counted=4, rejected=1))[0] == ["manifest's sum"]
    assert told(chunk(0, 4, counted=5, absent=-1))[0] == ["manifest's sum"]


def test_objects_have_the_rows_that_are_counted_or_duplicates():
    assert told(chunk(0, 5, rows=4))[0] == ["manifest's rows"]


def test_rows_are_what_the_manifest_says():
    # Given rows of which one more is a duplicate
    one = chunk(0, 5, counted=4, duplicate=1)
    one.duplicates = 2
    assert told(one)[0] == ["manifest's counts"]

    # And rows of which one less was late
    two = chunk(0, 5, late=2)
    two.late = 1
    assert told(two)[0] == ["manifest's late"]


def test_rows_that_could_not_be_read_are_not_told_twice():
    one = chunk(0, 5)
    one.unread, one.rows = True, 0

    assert told(one) == ([], [])


def test_a_partial_chunk_may_hold_rows_that_somebody_else_saved():
    """Whoever saved them knew duplicates; who wrote the manifest could only count rows."""
    saved = chunk(0, 5, counted=5, partial=True)
    saved.duplicates = 2

    checks, notes = told(saved)
    assert checks == []
    assert "partial" in notes[0]


def test_what_was_lost_or_skipped_is_explained():
    checks, notes = told(chunk(0, 5, lost=5), chunk(5, 9, kind="skipped", lost=4))

    assert checks == []
    assert notes == [
        "partition 0 of mentions.0a1b2c3d, chunk [0, 5): 5 records lost to retention",
        "partition 0 of mentions.0a1b2c3d, chunk [5, 9) was skipped: told so",
    ]


def test_a_skipped_range_holds_no_rows():
    assert told(chunk(0, 5, kind="skipped", counted=5))[0] == ["skipped range"]


# ---------------------------------------------------------------- dead letters


def letters(found, *, gone=False, foreign=False):
    """What is told of three chunks with one, two and no rejected offsets."""
    chunks = [chunk(0, 5, counted=4, rejected=1), chunk(5, 9, counted=2, rejected=2), chunk(9, 12, counted=3)]
    findings = Findings()
    check_dead_letters(
        PlanLogReading(LOG, 0, 0, chunks), found, findings, may_be_gone=gone, may_be_foreign=foreign
    )
    return [it.where.rpartition("chunk ")[2] for it in findings.differences], len(findings.notes)


def test_each_rejected_offset_has_a_letter():
    assert letters([1, 2, 0]) == ([], 0)
    assert letters([1, 1, 0]) == (["[5, 9)"], 0)
    assert letters([0, 0, 0]) == (["[0, 5)", "[5, 9)"], 0)


def test_more_letters_than_rejected_are_told_unless_an_older_log_may_have_sent_them():
    assert letters([1, 2, 1]) == (["[9, 12)"], 0)
    assert letters([1, 2, 1], foreign=True) == ([], 0)


def test_letters_that_their_topic_no_longer_holds_are_explained_oldest_first():
    assert letters([0, 0, 0], gone=True) == ([], 1)
    assert letters([0, 1, 0], gone=True) == ([], 1)
    assert letters([1, 1, 0], gone=True) == (["[5, 9)"], 0)


# ---------------------------------------------------------------- the account


def test_an_account_sums_up_the_outcomes():
    chain = PlanLogReading(
        LOG, 3, 0, [chunk(0, 5, late=1), chunk(5, 12, counted=2, duplicate=1, rejected=1, absent=2, lost=1)]
    )

    account = account_of(chain, expired=4)

    assert (account.partition, account.start, account.end, account.offsets) == (3, 0, 12, 12)
    assert (account.counted, account.duplicates, account.rejected, account.absent, account.lost) == (
        7,
        1,
        1,
        2,
        1,
    )
    assert (account.expired, account.late, account.rows) == (4, 1, 8)


def test_a_chain_without_chunks_has_an_empty_account():
    account = account_of(PlanLogReading(LOG, 0, 17), expired=0)

    assert (account.start, account.end, account.offsets, account.rows) == (17, 17, 0, 0)


def test_a_chunk_without_manifest_has_no_outcomes():
    assert told(ArchivedChunk(chunk(0, 5).plan, None, unread=True)) == ([], [])

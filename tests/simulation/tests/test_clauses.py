"""One directed history for each of docs/design.md#clauses, told step by step: what goes wrong without it.

`CLAUSES` names them all: clause, file, test. Those that are not here stand beside others of their kind; what
concerns bodies, adoption and withdrawal is told of the notifier.
"""

import re
from importlib import import_module

import pytest

from tests.simulation.world.scores import score_of
from tests.simulation.world.world import BEGIN_MS

CLAUSES = """
compare-and-set                      directed          a_zombie_and_its_successor_count_each_mention_once
plan                                 directed_archive  a_plan_that_is_there_decides_whoever_made_it
manifest before the next plan        clauses           no_plan_is_made_before_the_chunk_before_it_is_done
refill after a seek                  directed          flags_do_not_change_where_a_worker_begins_anew
memory kept over a seek              clauses           a_mention_that_is_read_again_is_no_copy_of_itself
flags that depend on earlier flags   clauses           a_copy_of_a_copy_is_a_copy_wherever_reading_began
watermark without record time        clauses           a_post_from_the_future_makes_nobody_late
seal                                 directed_minutes  a_dead_owner_holds_the_minutes_only_for_a_while
minimum taken by the worker          clauses           a_seal_that_arrives_late_takes_the_minimum_of_then
idleness by timer                    clauses           a_partition_whose_fetch_takes_long_is_not_idle
idleness by an old proof             clauses           an_end_that_was_seen_proves_nothing_later
max_hold from the last report        clauses           who_reports_and_reads_nothing_is_held_after_a_while
missing cursor read as 0             directed          a_redis_that_was_emptied_is_counted_from_a_boundary_never_from_zero
floor                                clauses           a_minute_that_was_counted_in_part_lies_below_the_floor
dead letters after the plan's end    directed_archive  letters_are_sent_before_the_chunk_is_done_and_again_after_a_crash
close after a second seal            directed_minutes  a_close_that_lands_after_a_rollback_and_a_second_seal_changes_nothing
went back: state                     clauses           a_judgement_that_redis_forgot_is_made_again
went back: report times              clauses           nobody_is_held_because_redis_went_back
went back: proofs                    clauses           a_proof_that_redis_went_back_to_is_only_older
went back: outbox                    clauses           a_message_that_redis_forgot_is_the_same_message_again
the plan is not the chunk            directed_archive  the_next_owner_finishes_a_chunk_as_it_was_planned
two sources of one watermark         clauses           a_quiet_topic_closes_though_chain_and_redis_know_other_watermarks
every operation may be the last      effects           an_operation_may_be_the_last_one_of_its_worker
"""  # noqa: E501 - a table


@pytest.mark.parametrize("row", CLAUSES.strip().splitlines())
def test_each_clause_has_its_history(row):
    _, module, name = re.split(r"  +", row)

    assert callable(getattr(import_module(f"tests.simulation.tests.test_{module}"), f"test_{name}"))


def test_no_plan_is_made_before_the_chunk_before_it_is_done(stage):
    # Given a chunk whose manifest does not get through
    it = stage(rows_max=2)
    worker = it.worker(0)
    it.run(worker)
    it.fail("create manifest", *["lost_request"] * 8)

    # When rows for more chunks gather
    for text in "abcdef":
        it.send(text)
        it.run(worker, seconds=1)

    # Then they wait for it
    assert it.plans() == [(0, 2)]
    it.run(worker)
    assert it.plans()[1] == (2, 6)
    it.calm()


def test_a_mention_that_is_read_again_is_no_copy_of_itself(stage):
    # Given two mentions, and a Redis that goes back behind both
    it = stage()
    worker = it.worker(0)
    it.run(worker)
    it.world.snapshot()
    it.send("one", "two", author="ann")
    it.run(worker, seconds=3)
    it.world.roll_back()

    # When the worker reads them again
    it.send("three", author="ann")
    it.run(worker, seconds=3)

    # Then they are what they were
    tally = it.minute(0)
    assert (tally["n:x:acme"], tally["voices:x:acme"]) == (3, 3)
    assert "repeats:x:acme" not in tally
    it.calm()


@pytest.mark.parametrize("heirs", [0, 1])
def test_a_copy_of_a_copy_is_a_copy_wherever_reading_began(stage, heirs):
    # Given a horizon of eight, and the same mention at 0, 6 and 12: the first is out of the third one's sight
    it = stage(dedup_window_offsets=8, rows_max=5)
    worker = it.worker(0)
    for offset in range(12):
        same = offset % 6 == 0
        it.send("same" if same else f"text {offset}", id="same" if same else str(offset))
    it.run(worker)

    # When the third is read by the same worker, or by another one
    for _ in range(heirs):
        it.run(worker := it.worker(0))
    it.send("same", id="same")
    it.run(worker)

    # Then it is one more of the same, since the second is a mention whatever its own flags
    rows = [row for row in sorted(it.rows(), key=lambda row: row.offset) if row.id == "same"]
    assert [(row.duplicate, row.copy) for row in rows] == [(False, False), (True, True), (True, True)]
    it.calm()


def test_a_post_from_the_future_makes_nobody_late(stage):
    # Given a post that claims to be four minutes old in four minutes
    it = stage()
    worker = it.worker(0)
    it.send("from the future", at_ms=240_000)
    it.run(worker)

    # When others post now
    it.send("one", "two")
    it.run(worker)

    # Then they are on time
    assert it.minute(0)["n:x:acme"] == 2
    assert "late_n:x:acme" not in it.minute(0)
    it.calm()


def test_a_seal_that_arrives_late_takes_the_minimum_of_then(stage):
    # Given a minute that was sealed, and one more request to seal that is under way
    it = stage()
    worker = it.worker(0)
    it.send("one")
    it.run(worker)
    it.world.snapshot()
    it.send("two")
    it.run(worker, seconds=5)
    it.world.now_ms += 60_000
    it.send("a minute later")
    it.run_until(worker, lambda: it.sealed(0))
    it.fail("seal", "late_request")
    it.run(worker, seconds=1)
    assert len(it.world.late) == 1

    # When it arrives at a Redis that went back before the second mention
    it.world.roll_back()
    it.deliver()

    # Then the minute is open, and the mention comes on time
    assert not it.sealed(0)
    it.run(worker)
    assert it.minute(0)["n:x:acme"] == 2
    it.calm()


def test_a_partition_whose_fetch_takes_long_is_not_idle(stage):
    # Given two partitions towards the end of a minute
    it = stage(partitions=2, max_hold_ms=60_000)
    worker = it.worker(0, 1)
    it.run(worker, seconds=50)

    # When what comes of one of them takes long to fetch, also beyond the end
    it.stall(worker, 30, partition=1)
    it.send("read", partition=0)
    it.send("on its way", partition=1)
    it.run(worker, seconds=28)

    # Then its silence closes nothing
    assert not it.sealed(0)
    it.run(worker, seconds=40)
    assert it.minute(0)["n:x:acme"] == 2
    it.calm()


def test_an_end_that_was_seen_proves_nothing_later(stage):
    # Given a partition at its end, towards the end of a minute
    it = stage()
    worker = it.worker(0)
    it.run(worker, seconds=50)
    assert it.redis.cursors[it.log][0].proof is not None

    # When a record comes that takes long to fetch: the end was seen, and is another one now
    it.send("on its way")
    it.stall(worker, 30)
    it.run(worker, seconds=28)

    # Then the minute stays open for it
    assert not it.sealed(0)
    it.run(worker, seconds=10)
    assert it.minute(0)["n:x:acme"] == 1
    it.calm()


def test_who_reports_and_reads_nothing_is_held_after_a_while(stage):
    # Given a partition whose owner lives and reports, and whose records do not come
    it = stage(partitions=2, max_hold_ms=40_000)
    worker = it.worker(0, 1)
    it.run(worker)
    it.stall(worker, 150, partition=1)
    it.send("read", partition=0)
    it.send("on its way", partition=1)

    # When that lasts
    it.run_until(worker, lambda: it.sealed(0), seconds=120)

    # Then the minute is closed without it, and says so
    assert not it.redis.minutes[BEGIN_MS].complete
    it.run(worker, seconds=110)
    assert (it.minute(0)["n:x:acme"], it.minute(0)["late_n:x:acme"]) == (1, 1)
    it.calm()


def test_a_minute_that_was_counted_in_part_lies_below_the_floor(stage):
    # Given a chain of some minutes, where a minute stands for the day that is counted again
    it = stage(rows_max=2, day_ms=60_000)
    worker = it.worker(0)
    for minute in range(12):
        it.send(f"text {minute}", f"more {minute}", at_ms=minute * 60_000)
        it.run(worker, seconds=3)
        it.world.now_ms = BEGIN_MS + (minute + 1) * 60_000

    # When Redis is emptied, and a mention comes of the minute in which counting begins anew
    it.world.empty_redis()
    it.send("of an old minute", at_ms=9 * 60_000 + 1)
    it.run(worker)

    # Then Redis claims no minute that it does not hold wholly
    assert it.redis.ctl.floor >= BEGIN_MS + 15 * 60_000
    assert it.redis.ctl.expired > 0
    it.calm()


# What people get wrong


def test_a_judgement_that_redis_forgot_is_made_again(stage):
    # Given a minute that was judged, and a Redis that goes back before that, but not behind any record
    it = stage()
    worker = it.worker(0)
    it.send("one", brand="f")
    it.run(worker)
    it.world.snapshot()
    it.run_until(worker, lambda: it.redis.shards[0].closed_ms > BEGIN_MS)
    it.world.roll_back()
    assert (it.cursor(), it.redis.shards[0].closed_ms) == (1, -1)

    # When the worker goes on with what it remembers
    it.run(worker, seconds=10)

    # Then the minute is judged again, and adds to history once
    assert it.redis.shards[0].closed_ms > BEGIN_MS
    assert it.redis.by_minute["f"][BEGIN_MS][0] == 1
    it.calm()


def test_nobody_is_held_because_redis_went_back(stage):
    # Given a Redis that goes back by more than a partition may be silent
    it = stage(partitions=2, max_hold_ms=40_000)
    worker = it.worker(0, 1)
    it.run(worker)
    it.world.snapshot()
    it.run(worker, seconds=90)
    it.send("one", partition=0)
    it.world.roll_back()

    # When the first seal comes before one partition could report
    it.stall(worker, 20, partition=1)
    it.send("two", partition=1)
    it.run(worker, seconds=10)

    # Then nobody was held
    assert it.world.bites["partition held"] == 0
    it.calm()
    assert all(minute.complete for minute in it.redis.minutes.values() if minute.seal_id)


def test_a_proof_that_redis_went_back_to_is_only_older(stage):
    # Given a partition that was proved idle, and a mention that came after that
    it = stage(partitions=2)
    worker = it.worker(0, 1)
    it.run(worker, seconds=50)
    it.world.snapshot()
    it.send("one", partition=1)
    it.run(worker, seconds=5)

    # When Redis goes back to the proof, and a mention is not read for a while
    it.world.roll_back()
    it.run(worker, seconds=1)
    assert worker.source.fetches[1].position == 0
    it.stall(worker, 20, partition=1)
    it.run(worker, seconds=17)

    # Then the old proof closes nothing
    assert not it.sealed(0)
    it.run(worker, seconds=10)
    assert it.minute(0)["n:x:acme"] == 1
    it.calm()


def test_a_message_that_redis_forgot_is_the_same_message_again(stage):
    # Given a spike that was told
    it = stage()
    worker = it.worker(0)
    it.run(worker)
    it.world.snapshot()
    it.send(*(text for text in map(str, range(40)) if score_of(text, "m1")[0] == 0))
    it.run_until(worker, lambda: it.redis.outbox)
    told = dict(it.redis.outbox)

    # When Redis forgets it, with all that it was judged from
    it.world.roll_back()
    assert it.redis.outbox == {}
    it.run_until(worker, lambda: it.redis.outbox)

    # Then the same is told by the same name
    assert it.redis.outbox == told
    it.calm()


def test_a_quiet_topic_closes_though_chain_and_redis_know_other_watermarks(stage):
    # Given a Redis that is ahead of an archive whose store is away
    it = stage(rows_max=2)
    worker = it.worker(0)
    it.run(worker)
    it.world._down_until_ms["store"] = it.world.now_ms + 10_000
    it.send("a", "b", "c", "d")
    it.run(worker, seconds=3)
    assert (it.cursor(), it.archived()) == (4, 0)

    # When the log loses what only Redis has seen: the chain passes it with an older watermark
    it.world.kill(worker)
    it.world.broker.topic.partitions[0].start = 4
    it.world.oracle.retention(0)
    it.world.now_ms += 10_000
    it.run(it.worker(0), seconds=5)
    assert it.plans() == [(0, 4)]
    assert (
        it.world.oracle.archive._plans[it.log, 0][0]["watermark_end"] < it.redis.cursors[it.log][0].watermark
    )

    # Then minutes close without any further record
    it.calm()
    assert it.sealed(0)

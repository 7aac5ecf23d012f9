"""Histories told step by step: counting, sealing and judging. Chance finds some of them rarely or never."""

import pytest

from tests.simulation.world import BEGIN_MS

MINUTE_MS = 60_000


# One mention is counted once


def test_an_answer_that_was_lost_does_not_count_twice(stage):
    it = stage()
    worker = it.worker(0)
    it.send("one")
    it.fail("apply", "lost_answer")

    it.run(worker)

    assert it.minute(0)["n:x:acme"] == 1
    it.calm()


def test_a_request_that_arrives_after_its_sender_died_counts_nothing_again(stage):
    # Given a worker that died with its request under way, and another one that counted instead
    it = stage()
    first = it.worker(0)
    it.send("one")
    it.fail("apply", "late_and_kill")
    it.run(first)
    assert first.dead
    it.run(it.worker(0))
    assert it.cursor() == 1

    # When the request arrives
    it.deliver()

    # Then it changes nothing
    assert it.minute(0)["n:x:acme"] == 1
    it.calm()


def test_a_request_that_arrives_before_the_next_worker_asks_counts_for_it(stage):
    it = stage()
    it.send("one")
    first = it.worker(0)
    it.fail("apply", "late_and_kill")
    it.run(first)
    it.deliver()

    it.run(it.worker(0))

    assert it.minute(0)["n:x:acme"] == 1
    it.calm()


def test_a_zombie_and_its_successor_count_each_mention_once(stage):
    # Given a worker that does not hear that the group went on without it
    it = stage()
    zombie = it.worker(0)
    it.run(zombie)
    it.zombie(zombie)
    heir = it.worker(0)

    # When both read the same records, now this one ahead, now that one
    for text in "abcdefgh":
        it.send(text)
        it.run(zombie, seconds=1)
        it.send(text.upper() + " again")
        it.run(heir, zombie, seconds=1)

    # Then each is counted once
    assert it.minute(0)["n:x:acme"] == 16
    assert it.world.bites["CAS miss"] > 0
    it.calm()


def test_a_redis_that_went_back_is_counted_up_again(stage):
    it = stage()
    worker = it.worker(0)
    it.send("one", "two")
    it.run(worker)
    it.world.snapshot()
    it.send("three")
    it.run(worker)
    it.world.roll_back()
    assert it.cursor() == 2

    it.run(worker)

    assert it.minute(0)["n:x:acme"] == 3
    it.calm()


def test_a_redis_that_was_emptied_is_counted_from_a_boundary_never_from_zero(stage):
    # Given an archive of some chunks behind a first start in the middle of the log
    it = stage(start="latest", rows_max=2)
    it.send("before", "the", "start")
    worker = it.worker(0)
    it.run(worker)
    for text in "abcdef":
        it.send(text)
        it.run(worker, seconds=2)
    assert it.plans()[0][0] == 3

    # When Redis is emptied under the worker
    it.world.empty_redis()
    it.run(worker)

    # Then counting began anew at the first boundary; what may be incomplete lies below the floor
    assert it.world.bites["cursor created after a loss"] == 1
    assert it.cursor() == 9
    it.calm()


@pytest.mark.parametrize("committed", [-1, 0, 3, 8, 9, 1_000_000])
def test_committed_offsets_are_a_hint_wherever_they_point(stage, committed):
    it = stage(rows_max=2, span_max=4)
    it.send(*"abcdefgh")
    it.run(it.worker(0))
    it.world.broker.committed[0] = committed

    it.run(heir := it.worker(0))
    it.send("more")
    it.run(heir)

    assert (it.cursor(), it.archived()) == (9, 9)
    it.calm()


def test_flags_do_not_change_where_a_worker_begins_anew(stage):
    # Given a mention, and the same text again behind a change of owners
    it = stage(rows_max=1)
    it.send("same", author="ann")
    it.run(it.worker(0))
    heir = it.worker(0)
    it.run(heir)

    # When the next owner reads it
    it.send("same", author="bob")
    it.run(heir)

    # Then it is a repeat, in Redis and in the archive
    assert it.minute(0)["repeats:x:acme"] == 1
    assert [row.repeat for row in it.rows()] == [False, True]
    it.calm()


# Minutes


def test_a_quiet_world_closes_by_proofs_alone(stage):
    it = stage(partitions=3)
    worker = it.worker(0, 1, 2)
    it.send("the last word")

    it.run_until(worker, lambda: it.sealed(0), seconds=120)

    assert it.redis.minutes[BEGIN_MS].complete
    it.calm()


def test_a_proof_says_nothing_about_what_came_after_it(stage):
    # Given a partition that was proved idle, and whose owner froze
    it = stage(partitions=2)
    frozen, other = it.worker(0), it.worker(1)
    it.send("one", partition=0)
    it.send("one", partition=1)
    it.run(frozen, other, seconds=10)

    # When a mention comes that nobody reads
    it.send("two", partition=0)
    it.run(other, seconds=20)

    # Then its minute stays open
    assert not it.sealed(0)
    it.run(frozen, other, seconds=70)
    assert it.minute(0)["n:x:acme"] == 3
    it.calm()


def test_a_dead_owner_holds_the_minutes_only_for_a_while(stage):
    # Given a partition whose owner is dead, with a mention that nobody read
    it = stage(partitions=2, max_hold_ms=40_000)
    dead, alive = it.worker(0), it.worker(1)
    it.run(dead, alive)
    it.world.kill(dead)
    it.send("unread", partition=0)
    it.send("read", partition=1)

    # When it was waited for long enough
    it.run_until(alive, lambda: it.sealed(0), seconds=180)

    # Then the minute is incomplete, and what was left out comes as late
    assert not it.redis.minutes[BEGIN_MS].complete
    it.run(it.worker(0))
    assert (it.minute(0)["n:x:acme"], it.minute(0)["late_n:x:acme"]) == (1, 1)
    it.calm()


def test_a_close_that_lands_after_a_rollback_and_a_second_seal_changes_nothing(stage):
    # Given a judgement of a first seal, under way, of a brand of the first shard
    it = stage(partitions=2)
    worker = it.worker(0, 1)
    it.send("one", "two", brand="f")
    it.run(worker)
    it.world.snapshot()
    it.fail("close", "late_request", *["lost_request"] * 400)
    it.run_until(worker, lambda: it.sealed(0))
    it.run(worker, seconds=2)
    first = it.redis.minutes[BEGIN_MS].mark
    assert len(it.world.late) == 1

    # And a mention that came too late for that seal
    it.send("three", brand="f", partition=1, at_ms=1_000)
    it.run(worker)
    assert it.minute(0)["late_n:x:f"] == 1

    # When Redis goes back, counts it on time, and is sealed again
    it.world.roll_back()
    it.run_until(worker, lambda: it.sealed(0) and it.redis.minutes[BEGIN_MS].mark != first)
    assert it.minute(0)["n:x:f"] == 3

    # Then the first judgement is refused
    assert it.redis.shards[0].closed_ms == -1
    it.deliver()
    assert it.redis.shards[0].closed_ms == -1
    it.world.planned.clear()
    it.calm()
    assert it.redis.by_minute["f"][BEGIN_MS][0] == 3


def test_a_judgement_by_two_workers_is_written_once(stage):
    # Given a worker that stops in the middle of closing a minute, and another one that goes on
    it = stage(partitions=2)
    one, other = it.worker(0), it.worker(1)
    it.send(*"abcdef", brand="zeta:1")
    it.send("else", partition=1)
    it.fail("close", "late_and_kill")
    it.run(one, other, seconds=80)
    assert one.dead or other.dead
    alive = other if one.dead else one
    it.give(alive, 0, 1)
    it.run(alive, seconds=60)

    # When the first judgement arrives
    it.deliver()

    # Then there is one message for each thing that happened
    assert it.world.bites["close refused"] >= 1
    it.calm()


def test_a_minute_of_two_models_is_not_judged(stage):
    it = stage()
    old = it.worker(0, model="m1")
    it.send(*"abc")
    it.run(old)
    it.world.kill(old)
    new = it.worker(0, model="m2")
    it.send(*"def")

    it.run(new, seconds=90)

    assert it.redis.minutes[BEGIN_MS].models == ["m1", "m2"]
    assert it.redis.outbox == {}
    it.calm()


# Topics that change


def test_a_new_partition_begins_at_its_start_also_where_the_others_began_at_their_end(stage):
    it = stage(start="latest")
    it.send("before the start")
    worker = it.worker(0)
    it.run(worker)
    it.world.broker.topic.add_partition()
    it.send("first", partition=1)

    it.give(worker, 1)
    it.run(worker)

    assert it.cursor(1) == 1
    assert it.minute(0)["n:x:acme"] == 1
    it.calm()


def test_a_topic_that_was_made_anew_is_another_log(stage):
    it = stage()
    it.send("old")
    it.run(it.worker(0))
    it.world.recreate_topic()
    it.send("new")

    it.run(*it.world.processes, seconds=40)

    assert it.minute(0)["n:x:acme"] == 2
    assert it.log == "mentions.00000002"
    it.calm()

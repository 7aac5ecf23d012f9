"""Histories told step by step: counting, and topics that change."""

import pytest

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
    assert [row.copy for row in it.rows()] == [False, True]
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


def test_a_late_request_of_a_deleted_topic_does_not_take_the_group_back_to_it(stage):
    # Given a worker that died when it had asked for the first cursor, and a topic that was made anew
    it = stage()
    old = it.worker(0)
    it.send("one")
    it.fail("create_cursor", "late_and_kill")
    it.run_until(old, lambda: False)
    it.world.recreate_topic()
    it.send("two")
    it.run(*it.world.processes)

    # When its request arrives
    it.deliver()

    # Then the minutes of the new log are sealed all the same
    it.calm()


def test_a_worker_of_a_deleted_topic_that_is_first_after_a_loss_does_not_keep_the_group(stage):
    # Given a worker that has not heard yet that its topic was made anew
    it = stage()
    old = it.worker(0)
    it.send("one")
    it.run(old)
    it.world.recreate_topic()
    new = it.world.processes[-1]
    it.send("two")
    it.run(new, seconds=5)

    # When Redis is emptied, and it is the first to count again
    it.world.empty_redis()
    old.effect_runner.describe_topic = lambda newer_than="": None
    it.run(old, seconds=3)
    assert it.redis.ctl.incarnation == "mentions.00000001"

    # Then the group goes to the newer log, since its workers ask the broker
    it.run(new, seconds=5)
    assert it.redis.ctl.incarnation == "mentions.00000002"
    it.calm()


def test_a_group_is_not_taken_by_a_question_that_was_asked_too_early(stage):
    # Given a worker whose question for the topic is under way
    it = stage()
    old = it.worker(0)
    it.send("one")
    it.run(old)
    old.effect_runner.describe_topic(newer_than="")
    it.world.now_ms += 1_000
    old.background.run_one(it.world.rng)

    # When the topic is made anew and the group goes to it before the answer is looked at
    it.world.recreate_topic()
    it.send("two")
    new = it.world.processes[-1]
    it.run(new, seconds=8)
    assert it.redis.ctl.incarnation == "mentions.00000002"
    it.run(old, seconds=2)

    # Then the old answer moves nothing
    assert it.redis.ctl.incarnation == "mentions.00000002"
    it.calm()

"""Histories told step by step: sealing, judging, closing. Chance finds some of them rarely or never."""

from tests.simulation.world.world import BEGIN_MS

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


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
    first = it.redis.minutes[BEGIN_MS].seal_id
    assert len(it.world.late) == 1

    # And a mention that came too late for that seal
    it.send("three", brand="f", partition=1, at_ms=1_000)
    it.run(worker)
    assert it.minute(0)["late_n:x:f"] == 1

    # When Redis goes back, counts it on time, and is sealed again
    it.world.roll_back()
    it.run_until(worker, lambda: it.sealed(0) and it.redis.minutes[BEGIN_MS].seal_id != first)
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


def test_a_day_without_any_mention_is_a_hole(stage):
    # Given two mentions with thirty hours between them
    it = stage()
    worker = it.worker(0)
    it.send("one")
    it.run(worker)
    it.world.now_ms += 30 * HOUR_MS
    it.send("two")

    it.calm()

    # Then a day of empty minutes was judged, and the rest is no minute at all
    sealed = sorted(it.world.oracle.aggregates.seen.marks)
    assert sealed[: 24 * 60 + 1] == list(range(BEGIN_MS, BEGIN_MS + 24 * HOUR_MS + 1, MINUTE_MS))
    assert sealed[24 * 60 + 1] == BEGIN_MS + 30 * HOUR_MS


def test_a_mention_that_is_hours_late_is_in_history(stage):
    # Given a minute whose hash was trimmed
    it = stage()
    worker = it.worker(0)
    it.send("one")
    it.run(worker)
    it.world.now_ms += 5 * HOUR_MS
    it.send("two")
    it.run_until(worker, lambda: BEGIN_MS not in it.redis.minutes)

    # When one more of it comes
    it.send("three", at_ms=1_000)
    it.run(worker)

    # Then history has both
    assert it.redis.by_minute["acme"][BEGIN_MS][0] == 2
    it.calm()


def test_brands_of_a_time_that_redis_has_left_are_not_judged(stage):
    # Given three minutes that were sealed, and a mention that came too late for the first
    it = stage()
    worker = it.worker(0)
    it.send("early")
    it.run(worker)
    it.world.snapshot()
    it.run_until(worker, lambda: it.sealed(2))
    it.send("late", brand="zeta", at_ms=30_000)
    it.run(worker, seconds=2)
    it.run(it.worker(), seconds=6)  # it judges for a while
    it.run(worker, seconds=1)

    # When Redis goes back, counts it on time, and is sealed to the same minute again between two looks
    it.world.roll_back()
    it.send("now")
    it.run(worker, seconds=1, step_ms=50)

    # Then the brand has its zeros in the minutes after
    it.calm()

"""Histories that go wrong today, each with the mend in `mended.py` that the other tests live with.

They are expected to fail, strictly: when what they show is put right, they say so, and the mend goes.
"""

import pytest

from tests.simulation.faults import Violation

wrong_today = pytest.mark.xfail(raises=Violation, strict=True, reason="mended.py")


@wrong_today
def test_brands_of_a_time_that_redis_has_left_are_not_judged(stage):
    # Given three minutes that were sealed, and a mention that came too late for the first
    it = stage(unmended="brands")
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


@wrong_today
def test_a_late_request_of_a_deleted_topic_does_not_take_the_group_back_to_it(stage):
    # Given a worker that died when it had asked for the first cursor, and a topic that was made anew
    it = stage(unmended="log")
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


@wrong_today
def test_a_skip_that_died_is_finished_before_another_one(stage):
    # Given a skip that died before its manifest
    it = stage(unmended="skips")
    worker = it.worker(0)
    it.run(worker)
    it.send(*"abcdefgh")
    it.fail("create manifest", "kill_before")
    it.skip(3)

    # When somebody skips to another offset
    it.skip(5)

    # Then the first one has its manifest too
    it.calm()

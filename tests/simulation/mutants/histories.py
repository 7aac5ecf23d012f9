"""Histories for mutants that chance does not find, step by step. They assert nothing: the oracle speaks."""

from tests.simulation.world.world import BEGIN_MS

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


def a_log_that_ends_with_markers(make):
    """The last offsets of a log hold no record."""
    it = make()
    worker = it.worker(0)
    it.send("one")
    it.run(worker)
    it.world.broker.topic.partitions[0].skip(3)
    it.run(worker)
    it.calm()


def a_close_that_lands_after_a_second_seal(make):
    """A judgement is under way while Redis goes back, counts one mention more, and is sealed again."""
    it = make(partitions=2)
    worker = it.worker(0, 1)
    it.send("one", "two", brand="f")
    it.run(worker)
    it.world.snapshot()
    it.fail("close", "late_request", *["lost_request"] * 400)
    it.run_until(worker, lambda: it.sealed(0))
    it.run(worker, seconds=2)
    first = it.redis.minutes[BEGIN_MS].seal_id
    it.send("three", brand="f", partition=1, at_ms=1_000)
    it.run(worker)
    it.world.roll_back()
    it.run_until(worker, lambda: it.sealed(0) and it.redis.minutes[BEGIN_MS].seal_id != first)
    it.deliver()
    it.world.planned.clear()
    it.calm()


def hours_without_a_close(make):
    """Minutes are sealed for hours while every close is lost."""
    it = make()
    worker = it.worker(0)
    it.fail("close", *["lost_request"] * 1_000)
    for number in range(10):
        it.send(f"text {number}")
        it.run(worker, seconds=2)
        it.world.now_ms += HOUR_MS // 2
        it.run(worker, seconds=2)
    it.world.planned.clear()
    it.calm()


def records_between_question_and_answer(make):
    """A record comes just before the lateness of a minute is over, and its fetch takes long."""
    it = make(partitions=2)
    worker = it.worker(0, 1)
    it.send("one")
    it.run(worker)
    it.world.hostile = True  # so that fetches stall; nothing else fails
    for _ in range(1_200):
        now_ms = it.world.now_ms
        if (now_ms - it.world.profile.lateness_ms) % MINUTE_MS > MINUTE_MS - 1_000:
            worker.source.fetches[0].stalled_until_ms = now_ms + 4_500
            it.send("quiet", at_ms=now_ms - BEGIN_MS - 5_000)
        it.send("busy", partition=1)  # its script answers with a time that is younger than the question
        it.run(worker, seconds=1)
    it.calm()

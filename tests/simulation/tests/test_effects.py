"""Every operation may be the last one of its worker: before it, after it, and while it is under way."""

import pytest

from tests.simulation.histories import REQUESTS
from tests.simulation.world.scores import score_of

NEGATIVE = [text for text in map(str, range(40)) if score_of(text, "m1")[0] == 0]


def everything_happens(it):
    """A history with every operation in it: a letter, a spike, a loss, a chunk that was saved, a skip."""
    it.send_broken()
    it.send("one", "two", "three")
    it.go_on(0)
    it.send(*NEGATIVE)
    it.go_on(0, seconds=80)
    it.world.empty_redis()
    it.go_on(0)
    it.fail("create manifest", "kill_before")
    it.send("four", "five", "six")
    it.go_on(0)
    for worker in it.world._running():
        it.world.kill(worker)
    it.send("seven", "eight", "nine")
    it.skip(it.world.broker.topic.partitions[0].end)
    it.skip(it.world.broker.topic.partitions[0].end)  # where the first one died
    it.send("ten")
    it.go_on(0, seconds=40)


@pytest.mark.parametrize("kind", ["kill_before", "kill_after", "late_and_kill"])
@pytest.mark.parametrize("what", REQUESTS)
def test_an_operation_may_be_the_last_one_of_its_worker(stage, what, kind):
    # Given a world in which the first operation of this name meets this fault
    it = stage(rows_max=3, day_ms=10_000)
    it.fail(what, kind)

    # When everything happens that there is, and what was under way arrives
    everything_happens(it)
    it.deliver()

    # Then the fault did bite, and everything is where it belongs
    assert it.world.planned[what] == []
    it.calm()

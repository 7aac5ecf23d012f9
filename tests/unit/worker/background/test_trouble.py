"""The I/O thread when a store is away, or when something is wrong for good."""

import threading
import time
from itertools import pairwise

import pytest

from stream_worker.errors import Unavailable, Unreadable
from stream_worker.worker.background import BackgroundThread
from tests.unit.worker.background.calls import Flaky, Gate, drain, soon

pytestmark = pytest.mark.timeout(30)


def test_what_is_unavailable_is_asked_again_until_it_answers(background, said):
    flaky = Flaky(failures=6)
    background.submit(0, 1, "rows", flaky)

    assert drain(background, 1) == [(0, 1, "rows", "answer")]
    assert flaky.calls == 7
    assert said == [("trouble", "rows", "away 1"), ("recovery", "rows", True)]


def test_the_pauses_grow_to_their_limit(start):
    times_s = []

    def away():
        times_s.append(time.monotonic())
        raise Unavailable("away")

    background = start(delay_first_s=0.02, delay_max_s=0.1)
    background.submit(0, 1, "rows", away)
    soon(lambda: len(times_s) >= 6)
    background.cancel(0, 1)

    pauses_s = [after - before for before, after in pairwise(times_s)][:5]
    for pause_s, least_s in zip(pauses_s, (0.02, 0.04, 0.08, 0.1, 0.1), strict=True):
        assert pause_s >= least_s * 0.99


def test_a_job_that_fails_for_ever_does_not_hold_up_other_partitions(background):
    background.submit(0, 1, "rows", Flaky(failures=10**9))

    for k in range(50):
        background.submit(1 + k % 5, 1, "rows", lambda: "done")

    assert len(drain(background, 50)) == 50
    assert background.busy() == 1


def test_an_outage_of_many_partitions_is_said_once_and_so_is_its_end(start, said):
    # Given a store that is away for every partition
    away = threading.Event()
    away.set()

    def call():
        if away.is_set():
            raise Unavailable("the store is away")

    background = start(say_every_s=60.0)
    for partition in range(20):
        background.submit(partition, 1, "rows", call)
    time.sleep(0.2)
    assert said == [("trouble", "rows", "the store is away")]

    # When it is back
    away.clear()
    drain(background, 20)

    # Then
    soon(lambda: len(said) == 2)
    assert said[1] == ("recovery", "rows", True)


def test_a_long_outage_is_said_again_from_time_to_time(start, said):
    background = start(say_every_s=0.1)
    background.submit(0, 1, "rows", Flaky(failures=10**9))

    soon(lambda: len(said) >= 3)

    assert {kind for kind, *_ in said} == {"trouble"}
    assert background.busy() == 1


def test_a_log_that_fails_does_not_end_the_thread():
    def broken(*_):
        raise OSError("no space for the log")

    background = BackgroundThread(broken, broken, delay_first_s=0.01)
    background.submit(0, 1, "rows", Flaky(failures=2))

    assert drain(background, 1)[0].outcome == "answer"
    assert background.close(2.0)


@pytest.mark.parametrize("error", [Unreadable("plan 7 is odd"), ValueError("a bug"), SystemExit(3)])
def test_any_other_error_ends_the_epoch_and_nothing_behind_it_runs(background, error):
    # Given rows that fail, and the manifest behind them
    ran = []

    def fail():
        raise error

    gate = Gate()
    background.submit(5, 1, "wait", gate)
    background.submit(5, 1, "rows", fail)
    background.submit(5, 1, "manifest", lambda: ran.append("manifest"))
    background.submit(6, 1, "rows", lambda: ran.append("other"))

    # When
    gate.open.set()
    done = drain(background, 3)
    assert background.wait_idle(5)

    # Then
    assert (5, 1, "rows", error) in done
    assert ran == ["other"]
    assert background.completions() == []


def test_the_partition_can_go_on_in_a_new_epoch_after_an_error(background):
    def fail():
        raise Unreadable("odd")

    background.submit(5, 1, "rows", fail)
    drain(background, 1)
    background.submit(5, 2, "rows", lambda: "well")

    assert drain(background, 1) == [(5, 2, "rows", "well")]

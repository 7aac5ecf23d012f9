"""The I/O thread: order, cancelling, bounds, and that nothing waits for it."""

import queue
import threading
import time

import pytest

from stream_worker.worker.background import LOOKUPS_AT_ONCE
from tests.unit.worker.background.calls import Flaky, Gate, drain, soon

pytestmark = pytest.mark.timeout(30)


# ---------------------------------------------------------------- jobs and completions


def test_a_result_comes_back_with_the_name_of_its_job(background):
    background.submit(3, 7, "plan", lambda: {"end": 10})

    assert drain(background, 1) == [(3, 7, "plan", {"end": 10})]
    assert background.completions() == []
    assert background.busy() == 0


def test_jobs_run_on_one_thread_that_is_not_the_callers(background):
    for k in range(20):
        background.submit(k, 1, "who", threading.get_ident)

    threads = {done.outcome for done in drain(background, 20)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_jobs_of_a_partition_run_in_order_also_behind_one_that_is_retried(background):
    ran = []
    flaky = Flaky(failures=4)
    background.submit(0, 1, "first", lambda: ran.append("first") or flaky())
    background.submit(0, 1, "second", lambda: ran.append("second"), lookup=True)
    background.submit(0, 1, "third", lambda: ran.append("third"))

    done = drain(background, 3)

    assert [one.name for one in done] == ["first", "second", "third"]
    assert ran == ["first"] * 5 + ["second", "third"]


def test_the_loop_does_not_wait_for_a_call_that_hangs(background):
    gate = Gate()
    background.submit(0, 1, "hangs", gate)
    assert gate.entered.wait(5)

    started_s = time.monotonic()
    background.submit(1, 1, "behind", lambda: None)
    assert background.completions() == []
    background.cancel(2, 1)
    assert background.busy() == 2
    assert time.monotonic() - started_s < 1.0

    gate.open.set()
    drain(background, 2)


def test_lookups_run_side_by_side_up_to_their_number_and_beside_the_other_jobs(background):
    # Given a job that hangs, and more look-ups than may run at once
    writer = Gate()
    background.submit(999, 1, "write", writer)
    gates = [Gate(k) for k in range(LOOKUPS_AT_ONCE + 4)]
    for partition, gate in enumerate(gates):
        background.submit(partition, 1, "find", gate, lookup=True)

    # When
    soon(lambda: sum(gate.entered.is_set() for gate in gates) == LOOKUPS_AT_ONCE)
    time.sleep(0.1)

    # Then
    assert sum(gate.entered.is_set() for gate in gates) == LOOKUPS_AT_ONCE
    for gate in gates:
        gate.open.set()
    assert {done.outcome for done in drain(background, len(gates))} == set(range(len(gates)))
    writer.open.set()


def test_a_lookup_behind_a_write_of_its_partition_is_run(background):
    background.submit(0, 1, "write", lambda: time.sleep(0.05))
    background.submit(0, 1, "find", lambda: "found", lookup=True)

    assert drain(background, 2)[1].outcome == "found"


# ---------------------------------------------------------------- cancel


def test_a_cancelled_epoch_leaves_no_completion_queued_running_or_done(background):
    # Given one job that is done, one that runs and one that waits
    background.submit(0, 1, "done", lambda: "old")
    assert background.wait_idle(5)
    gate, ran = Gate("old"), []
    background.submit(0, 1, "runs", gate)
    background.submit(0, 1, "waits", lambda: ran.append("waits"))
    assert gate.entered.wait(5)

    # When
    background.cancel(0, 1)
    background.submit(0, 2, "new", lambda: "new")
    gate.open.set()

    # Then
    assert drain(background, 1) == [(0, 2, "new", "new")]
    assert background.wait_idle(5)
    assert background.completions() == []
    assert ran == []


def test_a_job_that_is_retried_stops_when_its_epoch_is_cancelled(background, said):
    flaky = Flaky(failures=10**9)
    background.submit(0, 1, "rows", flaky)
    background.submit(0, 2, "rows", lambda: "new")
    soon(lambda: flaky.calls > 2)

    background.cancel(0, 1)

    assert drain(background, 1) == [(0, 2, "rows", "new")]
    calls = flaky.calls
    time.sleep(0.15)
    assert flaky.calls <= calls + 1
    assert background.busy() == 0
    assert said == [("trouble", "rows", "away 1")]  # given up is not recovered


def test_other_epochs_and_partitions_are_not_cancelled(background):
    gate = Gate()
    background.submit(9, 1, "wait", gate)
    for partition, epoch in ((0, 1), (0, 2), (1, 1)):
        background.submit(partition, epoch, "rows", lambda: "done")

    background.cancel(0, 1)
    background.cancel(77, 1)
    gate.open.set()

    assert {done[:2] for done in drain(background, 3)} == {(9, 1), (0, 2), (1, 1)}


# ---------------------------------------------------------------- bounds and the end


def test_more_jobs_than_the_bound_are_refused_until_some_are_drained(start):
    background = start(jobs_max=3)
    for k in range(3):
        background.submit(k, 1, "rows", lambda: None)
    assert background.wait_idle(5)

    # Done, but not drained: a loop that forgets to drain must not grow the list
    with pytest.raises(queue.Full, match="3 background jobs"):
        background.submit(3, 1, "rows", lambda: None)

    assert len(background.completions()) == 3
    background.submit(3, 1, "rows", lambda: None)
    drain(background, 1)


def test_idle_is_waited_for_at_most_as_long_as_asked(background):
    gate = Gate()
    background.submit(0, 1, "hangs", gate)
    assert not background.wait_idle(0.05)

    gate.open.set()

    assert background.wait_idle(5)


def test_close_ends_the_threads_and_drops_what_is_left(background):
    flaky = Flaky(failures=10**9)
    background.submit(0, 1, "rows", flaky)
    background.submit(1, 1, "find", lambda: None, lookup=True)
    drain(background, 1)

    assert background.close(5.0)

    assert not [one for one in threading.enumerate() if one.name.startswith("archive")]
    assert background.busy() == 0
    with pytest.raises(RuntimeError, match="closed"):
        background.submit(0, 1, "rows", lambda: None)
    assert background.close(0.0)


def test_close_does_not_wait_for_a_call_that_hangs(background):
    gate = Gate()
    background.submit(0, 1, "hangs", gate)
    assert gate.entered.wait(5)

    started_s = time.monotonic()
    assert not background.close(0.2)
    assert time.monotonic() - started_s < 2.0

    gate.open.set()
    assert background.close(5.0)
    assert background.completions() == []


def test_threads_are_daemons_so_that_they_never_keep_the_process(background):
    background.submit(0, 1, "find", lambda: threading.current_thread().daemon, lookup=True)
    background.submit(1, 1, "rows", lambda: threading.current_thread().daemon)

    assert [done.outcome for done in drain(background, 2)] == [True, True]

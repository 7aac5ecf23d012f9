"""`stream-worker up`: three programs that begin, answer and end together."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from stream_worker.devservers.child_process import LOOPBACK, free_port
from tests.checkout import CHECKOUT
from tests.e2e.workers import settings, wait_until

READY_WITHIN_S = 30
ENDS_WITHIN_S = 20
PROGRAMS = {"run", "notify", "serve"}


class Up:
    """One `stream-worker up`; what all its programs said is in `log`."""

    def __init__(self, environment, log):
        self.name, self.log = "up", log
        others = {it: value for it, value in os.environ.items() if not it.startswith("STREAM_WORKER_")}
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream_worker", "up"],
                cwd=CHECKOUT,
                env=others | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def is_running(self):
        return self.process.poll() is None

    def said(self, event):
        lines = [
            line for line in self.log.read_text().splitlines() if line.startswith("{") and line[-1] == "}"
        ]
        return [told for told in map(json.loads, lines) if told["event"] == event]

    def pids(self):
        wait_until(lambda: self.said("programs started"), "its programs are started", READY_WITHIN_S, [self])
        (told,) = self.said("programs started")
        return {name: told[name] for name in PROGRAMS}

    def addresses(self):
        """Where worker, notifier and API answer probes."""
        ports = [told["port"] for event in ("probes opened", "api opened") for told in self.said(event)]
        return [f"http://{LOOPBACK}:{port}" for port in ports]

    def is_ready(self):
        return len(self.addresses()) == len(PROGRAMS) and all(map(_answers, self.addresses()))

    def ends(self):
        """Its exit code, once none of its programs runs any more."""
        pids = self.pids().values()
        code = self.process.wait(ENDS_WITHIN_S)
        wait_until(lambda: not any(map(_runs, pids)), "all its programs are gone", 5)
        return code


def _answers(address):
    try:
        return httpx2.get(f"{address}/readyz", timeout=2).status_code == 200
    except httpx2.TransportError:
        return False


def _runs(pid):
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"  # who outlived its parent may wait there for its burial


@pytest.fixture
def up(kafka, redis_server, redis_prefix, tmp_path):
    """Start it on the servers of the tests, with an archive of its own; killed at the end."""
    started = []

    def start(**more):
        archive = {"archive__url": (tmp_path / "archive").as_uri(), "model__scorer": "none", "api__port": "0"}
        environment = settings(kafka, kafka.new_topic(), redis_server, redis_prefix, archive, **more)
        started.append(Up(environment, tmp_path / "log"))
        return started[-1]

    yield start
    for it in started:
        if it.is_running():
            print(it.log.read_text())
            it.process.kill()
            it.process.wait()


def test_all_three_answer_and_end_in_order_at_sigterm(up):
    # Given a small installation with the ports of probes as they are in the settings
    port = free_port()
    it = up(http__port=str(port))
    wait_until(it.is_ready, "worker, notifier and API are ready", READY_WITHIN_S, [it])

    # Then each answers for itself, and the API shows a picture
    worker, notifier, api = it.addresses()
    assert {worker, notifier} == {f"http://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{port + 1}"}
    assert httpx2.get(f"{api}/api/v1/brands", timeout=5).json()["brands"] == []

    # When it is told to stop
    it.process.terminate()

    # Then all have ended by themselves, the worker first
    assert it.ends() == 0
    assert it.said("program ended") == []
    ends = re.findall(r"worker stopped|notifier stopped|api closed", it.log.read_text())
    assert ends == ["worker stopped", "notifier stopped", "api closed"]


@pytest.mark.parametrize("killed", ["run", "serve"])
def test_when_one_is_killed_the_others_end_and_it_says_which(up, killed):
    it = up()
    os.kill(it.pids()[killed], signal.SIGKILL)

    assert it.ends() == 1
    (told,) = it.said("program ended")
    assert told["program"] == killed


def test_the_exit_code_of_the_one_that_cannot_begin_is_its_own(up):
    # Given somebody who listens at the port of the API
    taken = free_port()
    with socket.create_server((LOOPBACK, taken)):
        it = up(api__port=str(taken))

        # Then all end as `serve` would alone, with its one line
        assert it.ends() == 69
    assert f"api.port {taken} at {LOOPBACK} is in use" in it.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
def test_a_second_ctrl_c_leaves_nothing_behind(up):
    # Given a worker that is stuck
    it = up()
    wait_until(it.addresses, "something listens", READY_WITHIN_S, [it])
    os.kill(it.pids()["run"], signal.SIGSTOP)

    # When Ctrl-C comes twice
    it.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        it.process.wait(0.5)
    it.process.send_signal(signal.SIGINT)

    # Then it leaves at once, and takes all along
    assert it.ends() == 130

"""Worker processes that a test starts, kills, freezes and stops, and what they wrote to stderr."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from tests.checkout import CHECKOUT
from tests.e2e.oracle import Limits

LIMITS = Limits(dedup_window_offsets=2_000, dedup_window_ms=480_000, lateness_ms=5_000, value_bytes=1 << 20)
STOPS_WITHIN_S = 15


class WorkerProcess:
    """One `stream-worker run`; its stderr goes to a file."""

    def __init__(self, name, settings, folder):
        self.name = name
        self.log = folder / f"{name}.log"
        environment = {it: value for it, value in os.environ.items() if not it.startswith("STREAM_WORKER_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream_worker", "run"],
                cwd=CHECKOUT,
                env=environment | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_running(self):
        return self.process.poll() is None

    def kill(self):
        """kill -9."""
        assert self.is_running(), f"worker {self.name} is already gone:\n{self.tail()}"
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """SIGTERM; returns the seconds it took. It must leave with 0 in time."""
        assert self.is_running(), f"worker {self.name} ended by itself:\n{self.tail()}"
        began = time.monotonic()
        self.process.terminate()
        try:
            code = self.process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"worker {self.name} runs {STOPS_WITHIN_S} s after SIGTERM:\n{self.tail()}"
            ) from None
        assert code == 0, f"worker {self.name} left with {code}:\n{self.tail()}"
        return time.monotonic() - began

    def tail(self, lines=40):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def settings(kafka, topic, redis_server, prefix, archive, **more):
    """The environment of a worker: quick to cut, to join and to be missed; the small horizon of LIMITS."""
    tree = {
        "kafka__bootstrap_servers": kafka.bootstrap,
        "kafka__topic": topic,
        "kafka__dead_letter_topic": f"{topic}.dead-letters",
        "kafka__group": f"{topic}.workers",
        "kafka__session_timeout": "3s" if kafka.is_real else "6s",
        "redis__url": redis_server.url,
        "redis__prefix": prefix,
        "archive__seconds_max": "2",
        "windows__lateness": f"{LIMITS.lateness_ms}ms",
        "windows__horizon_records": f"{LIMITS.dedup_window_offsets}",
        "windows__horizon": f"{LIMITS.dedup_window_ms}ms",
        "windows__value_bytes_max": f"{LIMITS.value_bytes}B",
        "http__port": "0",
        "log__format": "json",
    }
    return {f"STREAM_WORKER_{name.upper()}": value for name, value in (tree | archive | more).items()}


def audited(environment, *arguments):
    """`stream-worker audit --json` in a process of its own: exit code, report ({} if none), stderr."""
    others = {it: value for it, value in os.environ.items() if not it.startswith("STREAM_WORKER_")}
    done = subprocess.run(
        [sys.executable, "-m", "stream_worker", "audit", "--json", *arguments],
        cwd=CHECKOUT,
        env=others | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


@contextmanager
def staff(settings, folder):
    """A function that starts workers with the settings given; whoever is left at the end is killed.

    When the test fails, the end of each worker's log is printed.
    """
    workers = []

    def start(name):
        workers.append(WorkerProcess(name, settings, folder))
        return workers[-1]

    try:
        yield start
    except BaseException:
        for it in workers:
            print(f"--- worker {it.name}, exit code {it.process.poll()}:\n{it.tail()}")
        raise
    finally:
        for it in workers:
            if it.is_running():
                it.process.kill()
                it.process.wait()


def wait_until(true, what, within_s, workers=()):
    """Ask ten times a second until `true()` answers so; a worker that ends meanwhile is a failure."""
    began = time.monotonic()
    while not true():
        for it in workers:
            assert it.is_running(), (
                f"worker {it.name} ended with {it.process.poll()} while we wait for: {what}"
            )
        assert time.monotonic() - began < within_s, f"not within {within_s} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began

"""Calls that wait or fail, and ways to wait for what comes of them."""

import threading
import time

from stream_worker.errors import Unavailable


class Gate:
    """A call that waits until it is let go, and says when it runs."""

    def __init__(self, result="went"):
        self.entered, self.open, self.result = threading.Event(), threading.Event(), result

    def __call__(self):
        self.entered.set()
        assert self.open.wait(20)
        return self.result


class Flaky:
    """A call that is unavailable some times, and then answers."""

    def __init__(self, failures, result="answer"):
        self.failures, self.result, self.calls = failures, result, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise Unavailable(f"away {self.calls}")
        return self.result


def drain(background, n, within_s=10.0):
    """The next n completions."""
    done, deadline_s = [], time.monotonic() + within_s
    while len(done) < n:
        assert time.monotonic() < deadline_s, f"only {done}"
        done += background.completions()
        time.sleep(0.002)
    return done


def soon(condition, within_s=5.0):
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)

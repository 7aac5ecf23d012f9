"""Plays the demo: start all, show what happens until the end, then take the account.

Rules:
1. It ends when the producer has ended, or at Ctrl-C; then the worker may finish, for `SETTLE_S` at most.
2. A second Ctrl-C, or one before the first numbers, kills everything at once, without an account.
3. The folder is removed unless it was asked for, or something did not go as it should.
"""

import datetime as dt
import math
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import redis
from rich.console import Console

from stream_worker.demo.account import Account, passed, take
from stream_worker.demo.picture import read_events, read_rows, told
from stream_worker.demo.processes import (
    CRISIS_BRAND,
    CRISIS_MINUTES,
    LATENESS_S,
    TOPIC,
    Processes,
    Wanted,
    probes_port,
    published,
    require_servers,
    start_all,
)
from stream_worker.demo.screen import Screen
from stream_worker.embedded.children import LOOPBACK
from stream_worker.errors import StreamWorkerError, Unavailable

EACH_S: Final = 0.5
SETTLE_S: Final = 30.0


def play(wanted: Wanted, keep: Path | None) -> Account:
    """Play it and return the account; what it writes is in `keep`, else in a folder that goes with it.

    Raises Unavailable: at once when a server is not installed, later when a part of it ends.
    """
    require_servers()
    folder = keep.resolve() if keep else Path(tempfile.mkdtemp(prefix="stream-worker-demo-"))
    screen = Screen(Console(stderr=True))
    stays = keep is not None
    try:
        with _stop_signals() as stop, start_all(folder, wanted) as processes:
            account = _perform(processes, wanted, screen, stop)
        stays = stays or not account.agrees
        screen.say("all stopped; the account:")
        for line in account.lines():
            screen.say(line, timed=False)
    except redis.RedisError as error:
        stays = True
        raise Unavailable(f"the demo's Redis did not answer ({error}); its log is in {folder}") from error
    except StreamWorkerError:
        stays = True
        raise
    finally:
        if stays:
            screen.say(f"archive and logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return account


def _perform(processes: Processes, wanted: Wanted, screen: Screen, stop: threading.Event) -> Account:
    """Show what happens until the end; return the account once producer and worker have stopped."""
    _tell_what_is_open(processes, wanted, screen)
    watch = _Watch(processes, screen)
    with screen:
        while processes.producer.is_running and not stop.is_set():
            watch.look(f"{passed(watch.client):,} records read; Ctrl-C ends the demo and takes the account")
            stop.wait(EACH_S)
        if stop.is_set() and not watch.is_live:
            screen.say("stopped before the first numbers: there is nothing to account for")
            raise KeyboardInterrupt
        processes.producer.stop()
        delivered, not_delivered = published(processes.producer)
        screen.say(f"the producer has stopped; the broker confirmed {delivered:,} records")
        _settle(watch, delivered)
        screen.say("the audit counts the archive again and compares it with Redis and the dead letters")
        return take(processes.settings, delivered, not_delivered)


class _Watch:
    """What is looked at again and again, and what of it was told already."""

    def __init__(self, processes: Processes, screen: Screen) -> None:
        self.client = redis.Redis.from_url(processes.redis.address, decode_responses=True)
        self._processes = processes
        self.screen = screen
        self._told: set[str] = set()

    @property
    def is_live(self) -> bool:
        """Whether any number was seen yet."""
        return "live" in self._told

    def look(self, status: str) -> None:
        """Show the picture, and tell what is new. Raises Unavailable when a part has ended."""
        processes = self._processes
        for child in (processes.kafka, processes.redis, processes.worker):
            if not child.is_running:
                raise Unavailable(f"the demo's {child.name} has ended by itself: see {child.log}")
        if "probes" not in self._told and (port := probes_port(processes.worker)):
            self._tell("probes", f"the worker answers at http://{LOOPBACK}:{port}/readyz and /metrics")
        rows = read_rows(self.client)
        if rows:
            self._tell("live", "the first numbers are in Redis")
        for key, event in sorted(read_events(self.client).items()):
            self._tell(key, told(event))
        self.screen.show(rows, status)

    def _tell(self, key: str, line: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self.screen.say(line)


def _settle(watch: _Watch, delivered: int) -> None:
    """Wait until the worker has counted all, for a bounded time; say for what."""
    watch.screen.say(f"waiting until the worker has counted them all ({SETTLE_S:.0f} s at most)")
    give_up_s = time.monotonic() + SETTLE_S
    while True:
        read = passed(watch.client)
        status = f"of {delivered:,} records {read:,} are counted"
        watch.look(status)
        if read >= delivered:
            return
        if time.monotonic() > give_up_s:
            watch.screen.say(f"waited long enough: {status}")
            return
        time.sleep(EACH_S)


def _tell_what_is_open(processes: Processes, wanted: Wanted, screen: Screen) -> None:
    kafka, store, worker, producer, archive, crisis_s, _ = processes
    lasts_s = math.inf if wanted.duration_ms is None else wanted.duration_ms / 1000
    lasts = f"for {lasts_s:g} s" if wanted.duration_ms else "until Ctrl-C"
    lines = [
        f"broker    {kafka.name} at {kafka.address}, topic {TOPIC} (pid {kafka.pid})",
        f"redis     {store.name} at {store.address} (pid {store.pid})",
        f"archive   {archive}",
        f"worker    pid {worker.pid}, log {worker.log}",
        f"producer  pid {producer.pid}, {wanted.rate:g} invented mentions a second {lasts}",
    ]
    if time.time() + lasts_s > crisis_s:
        judged_s = crisis_s + 60 + LATENESS_S
        lines.append(
            f"crisis    {CRISIS_BRAND}, from {_clock(crisis_s)} UTC on for {CRISIS_MINUTES} minutes;"
            f" its first minute is judged at about {_clock(judged_s)}"
        )
    for line in lines:
        screen.say(line)


def _clock(time_s: int) -> str:
    return f"{dt.datetime.fromtimestamp(time_s, dt.UTC):%H:%M:%S}"


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that the first signal sets; the second one is a KeyboardInterrupt."""
    stop = threading.Event()

    def heard(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, heard) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

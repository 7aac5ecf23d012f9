"""Runs the demo: start all, show what happens until the end, then take the account.

Rules:
1. It ends when the producer has ended, or at Ctrl-C; then the worker may finish, for `SETTLE_S` at most.
2. A second Ctrl-C, or one before the first numbers, kills everything at once, without an account.
3. The folder is removed unless `--keep` names it or something went wrong.
"""

import base64
import datetime as dt
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import redis
from rich.console import Console

from stream_worker.adapters.kafka.dead_letter_reader import read_newest_dead_letters
from stream_worker.demo.account import (
    WAIT_S,
    AuditOutcome,
    RecordAccount,
    account_of,
    caught_up,
    passed,
    run_command,
)
from stream_worker.demo.brand_table import PREFIX, in_words, read_rows
from stream_worker.demo.dump import dump
from stream_worker.demo.latency_probes import Probes
from stream_worker.demo.narration import Ending, read_alerts, summarise
from stream_worker.demo.processes import (
    BACKFILL,
    CRISIS_BRAND,
    CRISIS_MINUTES,
    PARTITIONS,
    PROBE_BRAND,
    RUMOUR_BRAND,
    TOPIC,
    DemoOptions,
    Processes,
    client_properties,
    logged,
    published,
    require_servers,
    start_all,
    webhook_settings,
)
from stream_worker.demo.terminal import Screen
from stream_worker.demo.text_redis import connect
from stream_worker.demo.webhook_receiver import Receiver
from stream_worker.devservers.child_process import LOOPBACK
from stream_worker.errors import StreamWorkerError, Unavailable
from stream_worker.inference.confusion import known_model
from stream_worker.quantity import quantity
from stream_worker.settings.schema import ModelSettings

LETTERS_MAX: Final = 100_000
"""Dead letters that are counted at most."""
EVERY_S: Final = 0.5
SETTLE_S: Final = 30.0


def play(options: DemoOptions, keep: Path | None) -> tuple[RecordAccount, Ending]:
    """Run the demo. It writes into `keep`, or into a folder that is removed at the end, all but the report.

    Raises Unavailable: at once when a server is not installed or no folder can be made, later when a part
    of it ends.
    """
    require_servers()
    folder = _make_folder(keep)
    screen = Screen(Console(stderr=True))
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
    stays = keep is not None
    try:
        with (
            _stop_signals() as stop,
            Receiver(secret, folder / "receipts") as receiver,
            start_all(folder, options, webhook_settings(receiver.url, secret)) as processes,
        ):
            account, ending = _perform(processes, options, screen, receiver, stop)
            report = _report(processes, folder, keep)
            if keep is not None:
                dump(client_properties(processes.kafka.address), TOPIC, PARTITIONS, folder / "log.jsonl")
        stays = stays or not account.agrees
        screen.say("all stopped; the account:")
        for line in (*account.lines(), *ending.lines()):
            screen.say(line, timed=False)
        screen.say(f"the report of the day: {report.as_uri()}")
    except redis.RedisError as error:
        stays = True
        raise Unavailable(f"the demo's Redis did not answer ({error}); its log is in {folder}") from error
    except StreamWorkerError:
        stays = True
        raise
    finally:
        if stays:
            screen.say(f"the log, the archive, receipts and logs of programs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return account, ending


def _make_folder(keep: Path | None) -> Path:
    try:
        if keep is None:
            return Path(tempfile.mkdtemp(prefix="stream-worker-demo-"))
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = "for temporary files" if keep is None else f"--keep {keep}"
        raise Unavailable(
            f"the demo cannot make its folder ({where}): {error.strerror or error}; name another one with"
            f" {'TMPDIR' if keep is None else '--keep'}"
        ) from None
    return keep.resolve()


def _perform(
    processes: Processes, options: DemoOptions, screen: Screen, receiver: Receiver, stop: threading.Event
) -> tuple[RecordAccount, Ending]:
    """Show what happens until the end; take the account once the producer has stopped."""
    _list_what_is_open(processes, options, screen)
    watch = _Watch(processes, screen, receiver, browser=options.browser)
    kafka = client_properties(processes.kafka.address)
    with screen, Probes(kafka, TOPIC, PROBE_BRAND, processes.redis.address, PREFIX) as probes:
        while processes.producer.is_running and not stop.is_set():
            if caught_up(watch.client):
                probes.begin()  # how soon a mention is seen is a question about live running
            watch.refresh(
                f"{quantity(passed(watch.client), 'record')} read; Ctrl-C ends the demo and takes the account"
            )
            stop.wait(EVERY_S)
        if stop.is_set() and not watch.is_live:
            screen.say("stopped before the first numbers: there is nothing to account for")
            raise KeyboardInterrupt
        probes.stop()
        processes.producer.stop()
        delivered, not_delivered = published(processes.producer)
        delivered, not_delivered = delivered + probes.published, not_delivered + probes.unknown
        screen.say(f"the producer has stopped; the broker confirmed {quantity(delivered, 'record')}")
        _settle(watch, delivered)
        screen.say("the audit counts the archive again and compares it with Redis and the dead letters")
        audit = run_command(AuditOutcome, processes.settings, "audit", "--wait", f"{WAIT_S}s")
        letters = sum(1 for _ in read_newest_dead_letters(kafka, f"{TOPIC}.dead-letters", LETTERS_MAX))
        account = account_of(audit, delivered, not_delivered, letters)
        crisis = CRISIS_BRAND, processes.crisis_s
        return account, summarise(watch.client, receiver.receipts.values(), crisis, probes.visible)


def _report(processes: Processes, folder: Path, keep: Path | None) -> Path:
    """Have the daily batch report the day of the crisis; returns the page, which outlives the demo."""
    date = dt.datetime.fromtimestamp(processes.crisis_s, dt.UTC).date()  # today, unless midnight has passed
    run_command(dict, processes.settings, "daily", "--date", str(date), "--out", str(folder / "report"))
    (page,) = (folder / "report").rglob("*.html")
    if keep:
        return page
    # A name that nobody can guess: others may write to the folder for temporary files.
    handle, lasting = tempfile.mkstemp(prefix=f"stream-worker-report-{date}-", suffix=".html")
    with os.fdopen(handle, "wb") as copy:
        copy.write(page.read_bytes())
    return Path(lasting)


class _Watch:
    """Reads the state of the demo again and again, and reports each piece of news once."""

    def __init__(self, processes: Processes, screen: Screen, receiver: Receiver, *, browser: bool) -> None:
        self.client = connect(processes.redis.address)
        self._processes, self._receiver = processes, receiver
        self.screen = screen
        self._browser = browser
        self._reported: set[str] = set()
        self._measured, _ = known_model(ModelSettings())  # the demo runs on the defaults

    @property
    def is_live(self) -> bool:
        """Whether any number was seen yet."""
        return "live" in self._reported

    def refresh(self, status: str) -> None:
        """Show the table, and report what is new. Raises Unavailable when a process has ended."""
        processes = self._processes
        for child in processes.all:
            if not child.is_running:
                raise Unavailable(f"the demo's {child.name} has ended by itself: see {child.log}")
        if "page" not in self._reported and logged(processes.api, "api opened"):
            self._report("page", f"OPEN   the page is live: {processes.page}")
            if self._browser:
                webbrowser.open(processes.page)
        if "probes" not in self._reported and (opened := logged(processes.worker, "probes opened")):
            self._report(
                "probes", f"the worker answers at http://{LOOPBACK}:{opened['port']}/readyz and /metrics"
            )
        rows = read_rows(self.client, self._measured)
        if rows:
            self._report("live", "the first numbers are in Redis")
        if time.time() >= processes.crisis_s:
            self._report(
                "crisis",
                f"CRISIS a service outage at {CRISIS_BRAND}; bots spread a rumour about {RUMOUR_BRAND}",
            )
        for alert in read_alerts(self.client):
            self._report(alert["id"], in_words(alert))
        for receipt in list(self._receiver.receipts.values()):
            after_s = receipt.received_s - processes.crisis_s
            line = f"HOOK   {receipt.id} arrived, signature good, {after_s:.0f} s after the crisis began"
            self._report(f"receipt {receipt.id}", line)
        self.screen.show(rows, status)

    def _report(self, key: str, line: str) -> None:
        if key not in self._reported:
            self._reported.add(key)
            self.screen.say(line)


def _settle(watch: _Watch, delivered: int) -> None:
    """Wait until the worker has counted all, at most `SETTLE_S`."""
    watch.screen.say(f"waiting until the worker has counted them all ({SETTLE_S:.0f} s at most)")
    give_up_s = time.monotonic() + SETTLE_S
    while True:
        read = passed(watch.client)
        status = f"counted {read:,} of {quantity(delivered, 'record')}"
        watch.refresh(status)
        if read >= delivered:
            return
        if time.monotonic() > give_up_s:
            watch.screen.say(f"waited long enough: {status}")
            return
        time.sleep(EVERY_S)


def _list_what_is_open(processes: Processes, options: DemoOptions, screen: Screen) -> None:
    lasts = f"for {options.duration_ms / 1000:g} s" if options.duration_ms else "until Ctrl-C"
    kafka, store, worker = processes.kafka, processes.redis, processes.worker
    producer, notifier, api = processes.producer, processes.notifier, processes.api
    lines = [
        f"broker    {kafka.name} at {kafka.address}, topic {TOPIC} (pid {kafka.pid})",
        f"redis     {store.name} at {store.address} (pid {store.pid})",
        f"archive   {processes.archive}",
        f"worker    pid {worker.pid}, log {worker.log}",
        f"notifier  pid {notifier.pid}, log {notifier.log}",
        f"api       pid {api.pid}, page and API at {processes.page}",
        f"producer  pid {producer.pid}, {BACKFILL} of the past, then {options.rate:g} a second {lasts}",
        f"crisis    {CRISIS_BRAND}, from {_clock(processes.crisis_s)} UTC on for {CRISIS_MINUTES} minutes",
    ]
    for line in lines:
        screen.say(line)


def _clock(time_s: int) -> str:
    return f"{dt.datetime.fromtimestamp(time_s, dt.UTC):%H:%M:%S}"


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Yield an event that the first signal sets; the second one is a KeyboardInterrupt."""
    stop = threading.Event()

    def heard(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup: it is to outlive its terminal
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, heard) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

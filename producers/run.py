"""Plays a feed: each record when it is due, to Kafka or as lines to stdout, and counts the outcomes.

Rules:
1. A record is never sent before it is due; one that is overdue is sent at once.
2. Ctrl-C (or SIGTERM) stops sending; what is queued is still flushed. A second one gives that up.
3. Exit code 1 if one record is not known to be delivered; else 130 (143) after a signal; else 0.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import NamedTuple

import typer
from rich.console import Console

from producers.errors import ProduceError
from producers.feeds.scheduled import ScheduledRecord
from producers.progress import ProgressDisplay
from producers.publisher import Counts, Publisher
from producers.topics import Creation, prepare_topic
from stream_worker.quantity import quantity

WAIT_S_MAX = 0.1
"""So long at most until a signal or a broker's answer is noticed."""
WAIT_S_MIN = 0.002
"""Shorter waits cost more than they are worth: a record may be that late."""
FLUSH_MARGIN_S = 5.0


Feed = Callable[[int], Iterable[ScheduledRecord]]
"""A feed; its argument is the time at which it begins, ms since 1970."""


class Target(NamedTuple):
    """Where records go."""

    settings: Mapping[str, str]
    topic: str
    creation: Creation | None
    as_json: bool
    """The final counts as one JSON object on stdout."""
    to_stdout: bool
    """Lines instead of Kafka."""


@dataclass
class Stop:
    """The signals that have come."""

    signals: int = 0
    last: int = 0

    def __call__(self) -> bool:
        """Tell whether to stop sending."""
        return self.signals > 0


def play(
    feed: Iterable[ScheduledRecord],
    publish: Callable[[ScheduledRecord], bool],
    wait: Callable[[float], None],
    stopped: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Publish each record when it is due, until the feed ends or `stopped` says so.

    `publish` returns False when it could not take the record now; it is then called again.
    """
    began_s = clock()
    for record in feed:
        due_s = began_s + record.at_ms / 1_000
        while not stopped() and (ahead_s := due_s - clock()) > 0:
            wait(max(WAIT_S_MIN, min(ahead_s, WAIT_S_MAX)))
        while not stopped() and not publish(record):
            pass
        if stopped():
            return


def publish_feed(
    feed: Feed, target: Target, total: int | None, skipped: Callable[[], int], say: Callable[[str], None]
) -> int:
    """Publish a feed to Kafka, print the outcome, and return the exit code."""
    publisher = Publisher(target.settings, target.topic)
    prepare_topic(target.settings, target.topic, target.creation, say)
    counts = publisher.counts
    began_s = time.monotonic()
    with _signals() as stop, ProgressDisplay(counts, total, Console(stderr=True)) as shown:

        def publish(record: ScheduledRecord) -> bool:
            shown.update()
            return publisher.publish(record.key, record.encoded(), record.record_ms)

        def wait(seconds: float) -> None:
            shown.update()
            publisher.wait(seconds)

        broke: ProduceError | None = None
        try:
            play(feed(now_ms()), publish, wait, lambda: stop() or bool(publisher.trouble))
        except ProduceError as error:
            broke = error  # what is queued is still flushed and counted
        timeout_s = int(target.settings["message.timeout.ms"]) / 1_000
        _flush(publisher, stop, shown, timeout_s + FLUSH_MARGIN_S)
    publisher.close()
    elapsed_s = time.monotonic() - began_s
    for line in _verdict(publisher, target, elapsed_s, skipped()):
        say(line)
    if target.as_json:
        typer.echo(json.dumps(_summary(counts, target, elapsed_s, skipped(), stop)))
    if counts.not_delivered or publisher.trouble:
        if broke is not None:
            say(str(broke))
        return 1
    if broke is not None:
        raise broke
    return 128 + stop.last if stop() else 0


def print_feed(feed: Feed) -> int:
    """Write a feed's record values to stdout, a line each, without waiting; return the exit code."""
    out = sys.stdout.buffer
    try:
        with _signals() as stop:
            for record in feed(now_ms()):
                out.write(record.encoded() + b"\n")
                if stop():
                    break
            out.flush()
    except BrokenPipeError:
        # The reader (`head`) has enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 128 + stop.last if stop() else 0


@contextlib.contextmanager
def _signals() -> Iterator[Stop]:
    stop = Stop()

    def on_signal(number: int, _: FrameType | None) -> None:
        stop.signals += 1
        stop.last = number

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _flush(publisher: Publisher, stop: Stop, shown: ProgressDisplay, seconds: float) -> None:
    give_up_s = time.monotonic() + seconds
    while not publisher.flush(WAIT_S_MAX) and time.monotonic() < give_up_s and stop.signals < 2:
        shown.update()


def _verdict(publisher: Publisher, target: Target, elapsed_s: float, skipped: int) -> list[str]:
    counts = publisher.counts
    lines = []
    if publisher.trouble:
        because = f" ({publisher.last_error})" if publisher.last_error else ""
        lines.append(f"stopped: {publisher.trouble}{because}")
    if counts.not_delivered:
        why = "".join(f"; {reason}: {count:,}" for reason, count in counts.reasons.most_common())
        lines.append(
            f"NOT DELIVERED: {counts.not_delivered:,} ({counts.failed:,} failed,"
            f" {counts.unknown:,} unknown: they may be on the topic){why}"
        )
    rows = f"; {quantity(skipped, 'row')} skipped" if skipped else ""
    lines.append(
        f"delivered {counts.delivered:,} of {counts.sent:,} to {target.topic!r} at"
        f" {target.settings['bootstrap.servers']} in {elapsed_s:,.1f} s"
        f" ({counts.delivered / max(elapsed_s, 0.001):,.0f}/s){rows}"
    )
    return lines


def _summary(counts: Counts, target: Target, elapsed_s: float, skipped: int, stop: Stop) -> dict[str, object]:
    return {
        "topic": target.topic,
        "sent": counts.sent,
        "delivered": counts.delivered,
        "failed": counts.failed,
        "unknown": counts.unknown,
        "skipped": skipped,
        "elapsed_s": round(elapsed_s, 3),
        "interrupted": stop(),
        "reasons": dict(counts.reasons),
    }


def now_ms() -> int:
    """Return the clock's time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def sayer(console: Console) -> Callable[[str], None]:
    """Return a function that prints a line at the console, as it is."""
    return lambda line: console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

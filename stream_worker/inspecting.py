"""Looking at a system from outside its loop: `check`, `skip`, and what there is to read."""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient

from models.registry import Description, describe, named_and_pinned, shipped
from models.verify import Check as ModelCheck
from models.verify import verify
from stream_worker import skipping
from stream_worker.core.sensitivity import advice
from stream_worker.errors import Misconfigured, StreamWorkerError
from stream_worker.kafka_settings import client_properties
from stream_worker.settings import Settings
from stream_worker.sinks.dead_letters import read_letters
from stream_worker.sources.topic import Topic, log_end
from stream_worker.sources.topic import describe as describe_topic
from stream_worker.wiring import find_topic, limits_of, load_model, open_archive, open_rolling


class Check(NamedTuple):
    """One line of `check`."""

    name: str
    ok: bool
    detail: str
    ms: float


def check(settings: Settings, *, connect: bool) -> list[Check]:
    """Check the model, and with `connect` every server, each with the time it took."""
    found: list[Check] = [_tried("model", lambda: _model(settings))]
    if not connect:
        return [*found, _tried("alerts", lambda: _each(settings))]
    kafka = settings.kafka
    topics: list[Topic] = []

    def look_at_kafka() -> str:
        topics.append(find_topic(settings))
        return f"{kafka.topic} at {kafka.bootstrap_servers}: {topics[0].partitions} partitions"

    found.append(_tried("kafka", look_at_kafka))
    topic = topics[0] if topics else Topic(kafka.topic, "00000000", 0, {})
    found.append(_tried("redis", lambda: open_rolling(settings, topic, "check").ping()))
    found.append(_tried("archive", lambda: open_archive(settings, topic).probe()))
    if found[-2].ok:
        found.append(
            _tried("alerts", lambda: _told(settings, open_rolling(settings, topic, "check").brands()))
        )
    return found


def _each(settings: Settings) -> str:
    return (
        f"about {settings.alerts.sensitivity:g} false alerts per brand and week; --connect counts the brands"
    )


def _told(settings: Settings, brands: Iterable[str]) -> str:
    """Say what all brands cost in attention together."""
    sensitivities = [settings.alerts.of(brand) for brand in brands]
    return advice(len(sensitivities), sensitivities)


def read_dead_letters(settings: Settings, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the newest dead letters, oldest first: where each came from and why, not what it says."""
    client = client_properties(settings.kafka)
    for letter in read_letters(client, settings.kafka.dead_letter_topic, limit):
        said = {name.removeprefix("sw-"): text for name, text in letter.headers.items()}
        at = dt.datetime.fromtimestamp(letter.time_ms / 1000, dt.UTC)
        yield {
            "topic": said.get("topic", ""),
            "partition": said.get("partition", ""),
            "offset": said.get("offset", ""),
            "time": at.isoformat(timespec="milliseconds"),
            "reason": said.get("reason", ""),
            "field": said.get("field", ""),
            "error": said.get("error", ""),
            "bytes": letter.value_bytes,
        }


def skip(settings: Settings, partition: int, to_offset: int, why: str) -> str:
    """Leave records out, on the record; returns one line that says what was done."""
    kafka = settings.kafka
    admin = AdminClient(dict(client_properties(kafka)))
    topic = describe_topic(admin, kafka.topic, kafka.bootstrap_servers)
    if partition >= topic.partitions:
        raise Misconfigured(f"topic {topic.name} has the partitions 0 to {topic.partitions - 1}")
    end = log_end(admin, topic.name, partition, kafka.bootstrap_servers)
    if to_offset > end:
        raise Misconfigured(
            f"partition {partition} ends at {end}; {to_offset} would skip what is not written"
        )
    return skipping.skip(
        open_archive(settings, topic), open_rolling(settings, topic, "skip"), limits_of(settings),
        partition=partition, to_offset=to_offset, why=why,
    )  # fmt: skip


def describe_model(settings: Settings) -> Description:
    """Say which model would be loaded."""
    return describe(settings.model.path, settings.model.pin)


def list_models(settings: Settings) -> list[dict[str, Any]]:
    """Describe the shipped models and the configured one; loads none."""
    used = describe_model(settings)
    others = [describe(path) for path in shipped() if path.resolve() != used.path.resolve()]
    rows = [_as_row(one, used=one is used) for one in (used, *others)]
    return sorted(rows, key=lambda row: (row["name"], row["path"]))


def _as_row(found: Description, *, used: bool) -> dict[str, Any]:
    made = found.manifest
    return {
        "name": made.name if made is not None else found.path.stem,
        "used": used,
        "version": found.version,
        "pin": found.pin,
        "bytes": found.path.stat().st_size if found.path.is_file() else None,
        "made": None if made is None else str(made.created),
        "languages": [] if made is None else made.languages,
        "macro_recall": {} if made is None else {of: one.macro_recall for of, one in made.quality.items()},
        "path": str(found.path),
        "refusal": found.refusal,
    }


def verify_model(settings: Settings, model: str | None) -> list[ModelCheck]:
    """Check the model that is named, `NAME` or `PATH@PIN`; without a name the configured one."""
    if model is None:
        return verify(settings.model.path, settings.model.pin)
    path, pin = named_and_pinned(model)
    if pin is None and settings.model.path is not None and path.resolve() == settings.model.path.resolve():
        pin = settings.model.pin
    return verify(path, pin)


def _model(settings: Settings) -> str:
    _, version, reason = load_model(settings)
    return f"loaded, version {version}" + (f"; the kernel is not used: {reason}" if reason else "")


def _tried(name: str, try_it: Callable[[], str]) -> Check:
    begun = time.monotonic()
    try:
        ok, detail = True, try_it()
    except StreamWorkerError as error:
        ok, detail = False, str(error)
    return Check(name, ok, detail, (time.monotonic() - begun) * 1000)

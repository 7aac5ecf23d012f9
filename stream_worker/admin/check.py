"""`stream-worker check`: the model, the settings of alerts and, with `--connect`, every server."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from stream_worker.adapters.kafka.topic import Topic
from stream_worker.bootstrap import find_topic, open_aggregates, open_archive
from stream_worker.core.detection.sensitivity import advice
from stream_worker.errors import StreamWorkerError
from stream_worker.inference.loader import load_model
from stream_worker.quantity import quantity
from stream_worker.settings.schema import Settings


class CheckResult(NamedTuple):
    """One line of `check`."""

    name: str
    ok: bool
    detail: str
    ms: float


def check(settings: Settings, *, connect: bool) -> list[CheckResult]:
    """Check the model, and with `connect` every server, each with the time it took."""
    found: list[CheckResult] = [_tried("model", lambda: _model(settings))]
    if not connect:
        return [*found, _tried("alerts", lambda: _advice_for_one(settings))]
    kafka = settings.kafka
    topics: list[Topic] = []

    def find_partitions() -> str:
        topics.append(find_topic(settings))
        return f"{kafka.topic} at {kafka.bootstrap_servers}: {quantity(topics[0].partitions, 'partition')}"

    found.append(_tried("kafka", find_partitions))
    topic = topics[0] if topics else Topic(kafka.topic, "00000000", 0, {})
    found.append(_tried("redis", lambda: open_aggregates(settings, topic, "check").ping()))
    found.append(_tried("archive", lambda: open_archive(settings, topic).probe()))
    if found[-2].ok:
        found.append(
            _tried(
                "alerts",
                lambda: _advice_for_all(settings, open_aggregates(settings, topic, "check").brands()),
            )
        )
    return found


def _advice_for_one(settings: Settings) -> str:
    return (
        f"about {settings.alerts.sensitivity:g} false alerts per brand and week; --connect counts the brands"
    )


def _advice_for_all(settings: Settings, brands: Iterable[str]) -> str:
    """Return how many false alerts all brands together may cause."""
    sensitivities = [settings.alerts.of(brand) for brand in brands]
    return advice(len(sensitivities), sensitivities)


def _model(settings: Settings) -> str:
    _, version, reason = load_model(settings)
    return f"loaded, version {version}" + (f"; the kernel is not used: {reason}" if reason else "")


def _tried(name: str, try_it: Callable[[], str]) -> CheckResult:
    begun = time.monotonic()
    try:
        ok, detail = True, try_it()
    except StreamWorkerError as error:
        ok, detail = False, str(error)
    return CheckResult(name, ok, detail, (time.monotonic() - begun) * 1000)

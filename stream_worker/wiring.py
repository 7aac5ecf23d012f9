"""Where everything is made and joined: the only place that knows settings and adapters at once."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import structlog
import xxhash
from confluent_kafka.admin import AdminClient

from models.errors import ModelRefused
from models.registry import Description, describe, load
from models.scorers.none import unscored_scorer
from stream_worker.core.columns import Scores
from stream_worker.core.detector import Share
from stream_worker.core.gather import CutLimits
from stream_worker.core.layout import Limits, Log
from stream_worker.core.partition import Partition, Score
from stream_worker.errors import Misconfigured, StreamWorkerError, Unavailable
from stream_worker.minutes import Minutes
from stream_worker.performing import Performer
from stream_worker.recording import Recorder
from stream_worker.settings import Settings, client_properties
from stream_worker.sinks.archive import ObjectArchive
from stream_worker.sinks.background import Background
from stream_worker.sinks.dead_letters import KafkaDeadLetters, ensure_topic
from stream_worker.sinks.objects import open_store
from stream_worker.sinks.rolling.redis import RedisRolling
from stream_worker.sources.kafka import KafkaSource
from stream_worker.sources.topic import Topic, refuse_unfit
from stream_worker.sources.topic import describe as describe_topic
from stream_worker.units import in_ms
from stream_worker.version import VERSION
from stream_worker.worker import Worker

T = TypeVar("T")
START_PAUSE_FIRST_S, START_PAUSE_MAX_S = 0.5, 10.0

log = structlog.get_logger()


def run_worker(settings: Settings) -> int:
    """Run one worker until SIGTERM or SIGINT; returns the exit code. Raises Misconfigured before it joins."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: _stop_or_exit(stop))
    score, model = load_model(settings)
    recorder = Recorder()
    topic = _when_there(lambda: _find_topic(settings), stop)
    if topic is None:
        return 0
    worker = _join(settings, topic, score, model, recorder, stop)
    if worker is not None:
        worker.run(stop)
    return 0


def load_model(settings: Settings) -> tuple[Score, str]:
    """Load the pinned model; returns how to score and the model's name in rows and tallies."""
    if settings.model.scorer == "none":
        scorer = unscored_scorer()
    else:
        try:
            scorer = load(settings.model.path, settings.model.pin)
        except ModelRefused as refused:
            raise Misconfigured(str(refused)) from None

    def score(texts: Sequence[str]) -> Scores:
        made = scorer.score(texts)
        return Scores(made.label, made.probability, made.sentiment_micro)

    score(["A first text, so that nothing is cold when the group is joined."])
    return score, scorer.version


def limits_of(settings: Settings) -> Limits:
    """Return the limits that verdicts depend on, as they stand in every plan."""
    windows = settings.windows
    return Limits(
        horizon_offsets=windows.horizon_records,
        horizon_ms=in_ms(windows.horizon),
        lateness_ms=in_ms(windows.lateness),
        future_ms=in_ms(windows.future),
        value_bytes_max=windows.value_bytes_max,
    )


def open_archive(settings: Settings, topic: Topic) -> ObjectArchive:
    """Open the archive of a log."""
    archive, secret = settings.archive, settings.archive.secret_access_key
    store = open_store(
        archive.url,
        endpoint=archive.endpoint,
        access_key_id=archive.access_key_id,
        secret_access_key=None if secret is None else secret.get_secret_value(),
        region=archive.region,
        allow_http=archive.allow_http,
    )
    return ObjectArchive(store, Log(topic.name, topic.incarnation), max_span=archive.span_max)


def open_rolling(settings: Settings, topic: Topic, owner: str) -> RedisRolling:
    """Open the rolling picture of a log."""
    return RedisRolling(
        settings.redis.url.get_secret_value(),
        Log(topic.name, topic.incarnation),
        prefix=settings.redis.prefix,
        max_brands=settings.redis.max_brands,
        owner=owner,
        socket_timeout_s=settings.redis.socket_timeout.total_seconds(),
    )


def _join(
    settings: Settings, topic: Topic, score: Score, model: str, recorder: Recorder, stop: threading.Event
) -> Worker | None:
    """Make all parts and join the group, once Redis, the store and the letters' topic answer."""
    client = client_properties(settings.kafka)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    archive, rolling = open_archive(settings, topic), open_rolling(settings, topic, owner)
    kafka = settings.kafka
    ready: list[Callable[[], Any]] = [
        rolling.ping,
        archive.probe,
        lambda: ensure_topic(client, kafka.dead_letter_topic, kafka.topic),
    ]
    for wait_for in ready:
        if _when_there(wait_for, stop) is None and stop.is_set():
            return None
    cut_limits = CutLimits(
        rows_max=settings.archive.rows_max,
        bytes_max=settings.archive.bytes_max,
        seconds_max=settings.archive.seconds_max,
        span_max=settings.archive.span_max,
    )
    limits = limits_of(settings)
    source = KafkaSource(
        client, kafka.topic, kafka.group,
        session_timeout_ms=in_ms(kafka.session_timeout), records_max=kafka.batch_records_max,
        on_trouble=lambda message: log.warning("kafka troubled", error=message),
    )  # fmt: skip
    background = Background(
        lambda name, error: log.warning("archive troubled", what=name, error=str(error)),
        lambda name, seconds: log.info("archive recovered", what=name, after_s=round(seconds, 1)),
    )
    letters = KafkaDeadLetters(
        client, Log(topic.name, topic.incarnation), kafka.dead_letter_topic, VERSION, archive.keep_dead_value
    )
    performer = Performer(
        source=source, rolling=rolling, archive=archive, letters=letters, background=background,
        make=lambda number: Partition(
            number, limits=limits, cut_limits=cut_limits, hash64=xxhash.xxh64_intdigest,
            score=score, model=model,
        ),
        start=kafka.start, recorder=recorder,
    )  # fmt: skip
    minutes = Minutes(
        rolling, Share(), owner=owner, lateness_ms=limits.lateness_ms,
        max_hold_ms=in_ms(settings.windows.max_hold), recorder=recorder,
    )  # fmt: skip
    log.info("worker joined", topic=topic.name, incarnation=topic.incarnation, model=model)
    return Worker(
        source=source, performer=performer, minutes=minutes, background=background,
        partition_count=topic.partitions, alignment_ms=in_ms(settings.windows.alignment),
        memory_max_bytes=settings.archive.memory_max, recorder=recorder,
    )  # fmt: skip


def _find_topic(settings: Settings) -> Topic:
    """Describe the topic, and refuse one that cannot carry the guarantee."""
    kafka = settings.kafka
    admin = AdminClient(dict(client_properties(kafka)))
    topic = describe_topic(admin, kafka.topic, kafka.bootstrap_servers)
    warning = refuse_unfit(topic, in_ms(settings.windows.horizon), kafka.broker_time)
    if warning:
        log.warning("topic trusts producers' clocks", what=warning)
    return topic


class Check(NamedTuple):
    """One line of `check`."""

    name: str
    ok: bool
    detail: str
    ms: float


def check(settings: Settings, *, connect: bool) -> list[Check]:
    """Check the model, and with `connect` every server, each with the time it took."""
    found: list[Check] = [_tried("model", lambda: f"loaded, version {load_model(settings)[1]}")]
    if not connect:
        return found
    kafka = settings.kafka
    topics: list[Topic] = []

    def look_at_kafka() -> str:
        topics.append(_find_topic(settings))
        return f"{kafka.topic} at {kafka.bootstrap_servers}: {topics[0].partitions} partitions"

    found.append(_tried("kafka", look_at_kafka))
    topic = topics[0] if topics else Topic(kafka.topic, "00000000", 0, {})
    found.append(_tried("redis", lambda: open_rolling(settings, topic, "check").ping()))
    found.append(_tried("archive", lambda: open_archive(settings, topic).probe()))
    return found


def describe_model(settings: Settings) -> Description:
    """Say which model would be loaded."""
    return describe(settings.model.path, settings.model.pin)


def _tried(name: str, try_it: Callable[[], str]) -> Check:
    begun = time.monotonic()
    try:
        ok, detail = True, try_it()
    except StreamWorkerError as error:
        ok, detail = False, str(error)
    return Check(name, ok, detail, (time.monotonic() - begun) * 1000)


def _when_there(ask: Callable[[], T], stop: threading.Event) -> T | None:
    """Ask until there is an answer, with one clear line per cause; None when told to stop."""
    pause_s, said = START_PAUSE_FIRST_S, ""
    while not stop.is_set():
        try:
            answer = ask()
        except Unavailable as error:
            if str(error) != said:
                said = str(error)
                log.warning("waiting for a server", error=said)
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, START_PAUSE_MAX_S)
        else:
            return answer
    return None


def _stop_or_exit(stop: threading.Event) -> None:
    if stop.is_set():
        os._exit(130)  # a second signal: leave at once, nothing is lost
    stop.set()

"""Where everything is made and joined: the only place that knows settings and adapters at once."""

import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import structlog
import xxhash
from confluent_kafka.admin import AdminClient
from obstore.store import ObjectStore

from models.errors import ModelRefused
from models.kernel.keys import native_keys
from models.scorers.none import unscored_scorer
from stream_worker.core import profiles
from stream_worker.core.columns import Scores
from stream_worker.core.detector import Detector, Share
from stream_worker.core.gather import CutLimits
from stream_worker.core.horizon import plain_keys
from stream_worker.core.layout import Limits, Log
from stream_worker.core.operations import TopicFacts
from stream_worker.core.partition import Partition, Score
from stream_worker.core.sensitivity import OPEN_SCORES
from stream_worker.errors import Misconfigured, Unavailable
from stream_worker.kafka_settings import client_properties
from stream_worker.minutes import Minutes
from stream_worker.observability.health import Health, HealthServer
from stream_worker.observability.logs import Repeats, configure
from stream_worker.observability.metrics import Metrics
from stream_worker.performing import Performer
from stream_worker.recording import Recorder
from stream_worker.settings import Settings
from stream_worker.sinks.archive import ObjectArchive
from stream_worker.sinks.background import Background
from stream_worker.sinks.dead_letters import KafkaDeadLetters, ensure_topic
from stream_worker.sinks.objects import Objects, open_store
from stream_worker.sinks.rolling.redis import RedisRolling
from stream_worker.sources.kafka import KafkaSource
from stream_worker.sources.topic import Topic, refuse_unfit
from stream_worker.sources.topic import describe as describe_topic
from stream_worker.units import in_ms
from stream_worker.version import VERSION
from stream_worker.worker import Worker

T = TypeVar("T")
DEPENDENCY_OF = {"position": "kafka", "topic": "kafka", "letters": "dead_letters"}
"""Which server a background job asks; all others ask the archive."""
START_PAUSE_FIRST_S, START_PAUSE_MAX_S = 0.5, 10.0

log = structlog.get_logger()


def run_worker(settings: Settings) -> int:
    """Run one worker until SIGTERM or SIGINT; returns the exit code. Raises Misconfigured before it joins."""
    configure(settings.log.format, settings.log.level)
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own one keeps much of what was freed
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: _stop_or_exit(stop))
    score, model, reason = load_model(settings)
    if reason is not None:
        log.warning("kernel not used", model=model, why=reason)
    gc.freeze()  # what is loaded now stays: the collector need not look at it again and again
    metrics, health = Metrics(), Health()
    metrics.expose_process()
    metrics.model_info.labels(model).set(1)
    metrics.build_info.labels(VERSION).set(1)
    health.report("model", ok=True, detail=model)
    recorder = Recorder(metrics, health)
    with HealthServer(settings.http.host, settings.http.port, health, metrics.registry) as server:
        log.info("probes opened", host=settings.http.host, port=server.port)
        while not stop.is_set():
            worker = _join(settings, score, model, recorder, stop)
            if worker is not None:
                worker.run(stop)
    return 0


def load_model(settings: Settings) -> tuple[Score, str, str | None]:
    """Load the pinned model: how to score, its name in rows and tallies, why the kernel does not score."""
    if settings.model.scorer == "none":
        scorer = unscored_scorer()
    else:
        from models.registry import load  # noqa: PLC0415  scikit-learn is large: only where it scores

        try:
            scorer = load(settings.model.path, settings.model.pin)
        except ModelRefused as refused:
            raise Misconfigured(str(refused)) from None

    def score(texts: Sequence[str]) -> Scores:
        made = scorer.score(texts)
        return Scores(made.label, made.probability, made.sentiment_micro)

    score(["A first text, so that nothing is cold when the group is joined."])
    return score, scorer.version, scorer.reason


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


def open_archive_store(settings: Settings) -> ObjectStore:
    """Open the store of the archive."""
    archive, secret = settings.archive, settings.archive.secret_access_key
    return open_store(
        archive.url,
        endpoint=archive.endpoint,
        access_key_id=archive.access_key_id,
        secret_access_key=None if secret is None else secret.get_secret_value(),
        region=archive.region,
        allow_http=archive.allow_http,
    )


def open_archive(settings: Settings, topic: Topic) -> ObjectArchive:
    """Open the archive of a log."""
    log_of, store = Log(topic.name, topic.incarnation), open_archive_store(settings)
    return ObjectArchive(store, log_of, max_span=settings.archive.span_max)


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


def open_profiles(settings: Settings, detector: Detector[Any]) -> dict[str, str]:
    """Read the newest profiles that `daily` left in the archive: brand -> numbers. Raises Unavailable."""
    objects = Objects(open_archive_store(settings))
    names = objects.names(profiles.PREFIX)
    data = objects.read(max(names)) if names else None
    return {} if data is None else profiles.decode(data, detector)


def _join(
    settings: Settings, score: Score, model: str, recorder: Recorder, stop: threading.Event
) -> Worker | None:
    """Make all parts and join the group, once every server answers; None when told to stop before."""
    kafka, client = settings.kafka, client_properties(settings.kafka)
    topic = _when_there("kafka", lambda: find_topic(settings), recorder, stop)
    if topic is None:
        return None
    log_of = Log(topic.name, topic.incarnation)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    archive, rolling = open_archive(settings, topic), open_rolling(settings, topic, owner)
    ready = {
        "redis": rolling.ping,
        "archive": archive.probe,
        "dead_letters": lambda: _letters_topic(settings),
    }
    if any(_when_there(name, ask, recorder, stop) is None for name, ask in ready.items()):
        return None
    letters = KafkaDeadLetters(client, log_of, kafka.dead_letter_topic, VERSION, archive.keep_dead_value)
    source = KafkaSource(
        client, kafka.topic, kafka.group,
        session_timeout_ms=in_ms(kafka.session_timeout), records_max=kafka.batch_records_max,
        partitions=topic.partitions,
        on_trouble=_say_kafka_trouble(),
    )  # fmt: skip
    archived = _when_there("archive", lambda: open_profiles(settings, Share()), recorder, stop)
    if archived is None:
        return None
    background = _start_background(recorder)
    log.info("worker joined", topic=topic.name, incarnation=topic.incarnation, model=model)
    performer = Performer(
        source=source, rolling=rolling, archive=archive, letters=letters, background=background,
        make=_maker(settings, score, model), start=kafka.start, recorder=recorder,
    )  # fmt: skip
    minutes = Minutes(
        rolling, Share(), owner=owner, lateness_ms=in_ms(settings.windows.lateness),
        max_hold_ms=in_ms(settings.windows.max_hold), recorder=recorder,
        open_at=lambda brand: OPEN_SCORES[settings.alerts.of(brand)], archived=archived.get,
    )  # fmt: skip
    return Worker(
        source=source, performer=performer, minutes=minutes, background=background,
        topic=TopicFacts(topic.incarnation, topic.partitions),
        alignment_ms=in_ms(settings.windows.alignment), memory_max_bytes=settings.archive.memory_max,
        recorder=recorder,
    )  # fmt: skip


def _maker(settings: Settings, score: Score, model: str) -> Callable[[int], Partition]:
    """Return how the step machine of a partition is made."""
    archive, limits = settings.archive, limits_of(settings)
    cut_limits = CutLimits(
        rows_max=archive.rows_max, bytes_max=archive.bytes_max, seconds_max=archive.seconds_max,
        span_max=archive.span_max,
    )  # fmt: skip

    keys = native_keys(plain_keys(xxhash.xxh64_intdigest))

    def make(number: int) -> Partition:
        return Partition(
            number, limits=limits, cut_limits=cut_limits, keys=keys, score=score, model=model,
        )  # fmt: skip

    return make


def _letters_topic(settings: Settings) -> str:
    kafka = settings.kafka
    created = ensure_topic(client_properties(kafka), kafka.dead_letter_topic, kafka.topic)
    return f"{kafka.dead_letter_topic} {'was created' if created else 'is there'}"


def _say_kafka_trouble() -> Callable[[str], None]:
    """Return what says the client's troubles, the same one not more than once in a while."""
    repeats = Repeats()

    def say(message: str) -> None:
        quiet = repeats.kept_quiet(message)
        if quiet is not None:
            log.warning("kafka troubled", error=message, repeated=quiet)

    return say


def _start_background(recorder: Recorder) -> Background:
    def trouble(name: str, error: Unavailable) -> None:
        log.warning("background troubled", what=name, error=str(error))
        recorder.dependency(DEPENDENCY_OF.get(name, "archive"), up=False, detail=str(error))

    def recovery(name: str, after_s: float) -> None:
        log.info("background recovered", what=name, after_s=round(after_s, 1))
        recorder.dependency(DEPENDENCY_OF.get(name, "archive"), up=True)

    return Background(trouble, recovery)


def find_topic(settings: Settings) -> Topic:
    """Describe the topic, and refuse one that cannot carry the guarantee."""
    kafka = settings.kafka
    admin = AdminClient(dict(client_properties(kafka)))
    topic = describe_topic(admin, kafka.topic, kafka.bootstrap_servers)
    warning = refuse_unfit(topic, in_ms(settings.windows.horizon), kafka.broker_time)
    if warning:
        log.warning("clocks trusted", why=warning)
    return topic


def _when_there(name: str, ask: Callable[[], T], recorder: Recorder, stop: threading.Event) -> T | None:
    """Ask a server until it answers, with one clear line per cause; None when told to stop."""
    pause_s, said = START_PAUSE_FIRST_S, ""
    while not stop.is_set():
        try:
            answer = ask()
        except Unavailable as error:
            recorder.dependency(name, up=False, detail=str(error))
            recorder.turned()
            if str(error) != said:
                said = str(error)
                log.warning("server awaited", what=name, error=said)
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, START_PAUSE_MAX_S)
        else:
            recorder.dependency(name, up=True, detail=str(answer) if isinstance(answer, str) else "")
            return answer
    return None


def _stop_or_exit(stop: threading.Event) -> None:
    if stop.is_set():
        os._exit(130)  # a second signal: leave at once, nothing is lost
    stop.set()

"""`stream-worker run`: join the group once every server answers, and work until told to stop."""

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
import xxhash

from models.native.keys import native_keys
from stream_worker.adapters.kafka.consumer import KafkaSource
from stream_worker.adapters.kafka.dead_letters import KafkaDeadLetters, ensure_topic
from stream_worker.bootstrap import find_topic, limits_of, open_aggregates, open_archive, open_profiles
from stream_worker.core.archive.layout import Log
from stream_worker.core.detection.sensitivity import OPEN_SCORES
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.inputs import Reply
from stream_worker.core.partition.machine import PartitionMachine, Score
from stream_worker.core.records.dedup import plain_keys
from stream_worker.core.records.poll import TopicFacts
from stream_worker.errors import Unavailable
from stream_worker.inference.loader import load_model
from stream_worker.observability.damage_log import DamageLog
from stream_worker.observability.health import Health, HealthServer
from stream_worker.observability.logs import Repeats, configure
from stream_worker.observability.metrics import Metrics
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.ports import TopicDescribed
from stream_worker.process import freeze_loaded_objects, owner, return_freed_arrow_memory, stop_at_signals
from stream_worker.settings.kafka import client_properties
from stream_worker.settings.schema import Settings
from stream_worker.settings.units import in_ms
from stream_worker.version import VERSION
from stream_worker.worker.background import BackgroundThread
from stream_worker.worker.effect_runner import EffectRunner
from stream_worker.worker.loop import Worker
from stream_worker.worker.window_lifecycle import WindowLifecycle

T = TypeVar("T")
DEPENDENCY_OF = {"position": "kafka", "topic": "kafka", "letters": "dead_letters"}
"""The server that a background job needs, by the name of the job; all others need the archive."""
START_PAUSE_FIRST_S, START_PAUSE_MAX_S = 0.5, 10.0

log = structlog.get_logger()


def run_worker(settings: Settings) -> int:
    """Run one worker until SIGTERM or SIGINT; returns the exit code. Raises Misconfigured before it joins."""
    configure(settings.log.format, settings.log.level)
    return_freed_arrow_memory()
    stop = stop_at_signals()
    score, model, reason = load_model(settings)
    if reason is not None:
        log.warning("kernel not used", model=model, why=reason)
    freeze_loaded_objects()
    metrics, health = Metrics(), Health()
    metrics.expose_process()
    metrics.model_info.labels(model).set(1)
    metrics.build_info.labels(VERSION).set(1)
    health.report("model", ok=True, detail=model)
    recorder = WorkerRecorder(metrics, health)
    with HealthServer(settings.http.host, settings.http.port, health, metrics.registry) as server:
        log.info("probes opened", host=settings.http.host, port=server.port)
        while not stop.is_set():
            worker = _join_group(settings, score, model, recorder, stop)
            if worker is not None:
                worker.run(stop)
    return 0


def _join_group(
    settings: Settings, score: Score, model: str, recorder: WorkerRecorder, stop: threading.Event
) -> Worker | None:
    """Open every server, join the group and build the worker; None when a signal came before that."""
    kafka, client = settings.kafka, client_properties(settings.kafka)
    topic = _once_available("kafka", lambda: find_topic(settings), recorder, stop)
    if topic is None:
        return None
    log_of = Log(topic.name, topic.incarnation)
    damage_log = DamageLog(settings.redis.prefix, recorder)
    archive = open_archive(settings, topic)
    aggregates = open_aggregates(settings, topic, owner(), damage_log.note)
    ready = {
        "redis": aggregates.ping,
        "archive": archive.probe,
        "dead_letters": lambda: _dead_letter_topic(settings),
    }
    if any(_once_available(name, ask, recorder, stop) is None for name, ask in ready.items()):
        return None
    dead_letters = KafkaDeadLetters(client, log_of, kafka.dead_letter_topic, VERSION, archive.keep_dead_value)
    source = KafkaSource(
        client,
        kafka.topic,
        kafka.group,
        session_timeout_ms=in_ms(kafka.session_timeout),
        records_max=kafka.batch_records_max,
        partitions=topic.partitions,
        on_trouble=_log_kafka_trouble(),
    )
    archived = _once_available(
        "archive", lambda: open_profiles(settings, ShareDetector(), damage_log.note), recorder, stop
    )
    if archived is None:
        return None
    background = _start_background(recorder)
    log.info("worker joined", topic=topic.name, incarnation=topic.incarnation, model=model)
    effect_runner = EffectRunner(
        source=source,
        aggregates=aggregates,
        archive=archive,
        dead_letters=dead_letters,
        background=background,
        make=_machine_factory(settings, score, model),
        start=kafka.start,
        recorder=recorder,
        on_damage=damage_log.note,
    )
    windows = WindowLifecycle(
        aggregates,
        ShareDetector(),
        owner=owner(),
        lateness_ms=in_ms(settings.windows.lateness),
        max_hold_ms=in_ms(settings.windows.max_hold),
        recorder=recorder,
        open_at=lambda brand: OPEN_SCORES[settings.alerts.of(brand)],
        archived=archived.get,
        on_damage=damage_log.note,
    )
    return Worker(
        source=source,
        effect_runner=effect_runner,
        windows=windows,
        background=background,
        topic=TopicFacts(topic.incarnation, topic.partitions),
        alignment_ms=in_ms(settings.windows.alignment),
        memory_max_bytes=settings.archive.memory_max,
        recorder=recorder,
    )


def _machine_factory(settings: Settings, score: Score, model: str) -> Callable[[int], PartitionMachine]:
    """Return a function that builds the machine of a partition."""
    archive, limits = settings.archive, limits_of(settings)
    roll_limits = RollLimits(
        rows_max=archive.rows_max,
        bytes_max=archive.bytes_max,
        seconds_max=archive.seconds_max,
        span_max=archive.span_max,
    )

    keys = native_keys(plain_keys(xxhash.xxh64_intdigest))

    def make(number: int) -> PartitionMachine:
        return PartitionMachine(
            number,
            limits=limits,
            roll_limits=roll_limits,
            keys=keys,
            score=score,
            model=model,
        )

    return make


def _dead_letter_topic(settings: Settings) -> str:
    kafka = settings.kafka
    created = ensure_topic(client_properties(kafka), kafka.dead_letter_topic, kafka.topic)
    return f"{kafka.dead_letter_topic} {'was created' if created else 'is there'}"


def _log_kafka_trouble() -> Callable[[str], None]:
    """Return a function that logs the client's troubles, each of them once in a while."""
    repeats = Repeats()

    def say(message: str) -> None:
        quiet = repeats.kept_quiet(message)
        if quiet is not None:
            log.warning("kafka troubled", error=message, repeated=quiet)

    return say


def _start_background(recorder: WorkerRecorder) -> BackgroundThread[Reply | TopicDescribed]:
    def trouble(name: str, error: Unavailable) -> None:
        log.warning("background troubled", what=name, error=str(error))
        recorder.dependency(DEPENDENCY_OF.get(name, "archive"), up=False, detail=str(error))

    def recovery(name: str, after_s: float) -> None:
        log.info("background recovered", what=name, after_s=round(after_s, 1))
        recorder.dependency(DEPENDENCY_OF.get(name, "archive"), up=True)

    return BackgroundThread(trouble, recovery)


def _once_available(
    name: str, ask: Callable[[], T], recorder: WorkerRecorder, stop: threading.Event
) -> T | None:
    """Ask a server until it answers, with one clear line for each cause; None when a signal came first."""
    pause_s, logged = START_PAUSE_FIRST_S, ""
    while not stop.is_set():
        try:
            answer = ask()
        except Unavailable as error:
            recorder.dependency(name, up=False, detail=str(error))
            recorder.turned()
            if str(error) != logged:
                logged = str(error)
                log.warning("server awaited", what=name, error=logged)
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, START_PAUSE_MAX_S)
        else:
            recorder.dependency(name, up=True, detail=str(answer) if isinstance(answer, str) else "")
            return answer
    return None

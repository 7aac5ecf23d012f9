"""The scripted log through the shipped worker and notifier, on a real Redis and a folder, in one thread.

What is ours here is the outside of the worker: the log in memory, a scorer, a broker for dead letters, and
time. Redis scripts read it from a key (`worlds.CLOCK`), the worker and the notifier from `Clock`.
"""

import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import xxhash
from confluent_kafka import KafkaError

from stream_worker.adapters.channels.webhook import Webhook
from stream_worker.adapters.kafka.dead_letters import KafkaDeadLetters
from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.notification_log import StoredNotificationLogs
from stream_worker.adapters.object_store.objects import open_store
from stream_worker.adapters.redis.outbox import RedisOutbox
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.machine import PartitionMachine
from stream_worker.core.records.dedup import plain_keys
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.poll import TopicFacts
from stream_worker.errors import Unavailable
from stream_worker.notifier.loop import Notifier
from stream_worker.observability.health import Health
from stream_worker.observability.metrics import Metrics
from stream_worker.observability.notifier_recorder import NotifierMetrics
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.ports import Completion
from stream_worker.worker.effect_runner import EffectRunner
from stream_worker.worker.loop import Worker
from stream_worker.worker.window_lifecycle import WindowLifecycle
from tests.contracts.aggregates.worlds import CLOCK, LOG, RedisWorld
from tests.fakes.kafka import MemorySource, MemoryTopic
from tests.integration.loops.rig import Away
from tests.stored_formats import script
from tests.unit.channels.receivers import SECRET, Receiver

LIMITS = Limits(dedup_window_offsets=120, value_bytes_max=script.VALUE_BYTES_MAX)
ROLL_LIMITS = RollLimits(rows_max=240, seconds_max=2_100)
MAX_HOLD_MS = 120_000
MODEL, ANOTHER_MODEL = "abcdef012345-golden", "fedcba543210-golden"
VERSION = "0.0.0"
OWNER = "worker-1:4711"
LEASE_MS = 3_600_000
LETTER_BYTES_MAX = 1_400
"""A larger letter is refused by the broker; its value is kept in the archive."""
LETTERS_TOPIC = "mentions.dead-letters"

TURNS_A_MINUTE = 2
STORE_FAILS = range(script.CRISIS.start, script.STOPS_AFTER + 1)
"""So long no link can be written: the opening is fixed in Redis, and told without one; see also `Archive`."""
NOTIFIER_STOPS = script.CRISIS.start + 10
"""The notifier is killed before the worker is: what escalates behind this minute stays in the outbox."""
WITHOUT_ROWS, WITHOUT_MANIFEST = 1, 2
"""Partitions that get no further with the chunk they are at while the store fails."""


class Clock:
    """What the worker and the notifier see as `time`."""

    def __init__(self, now_ms):
        self.now_ms = now_ms

    def monotonic(self):
        return self.now_ms / 1_000


class Immediately:
    """`ports.Background` without a thread: jobs are done at once, the Unavailable ones again and again."""

    def __init__(self):
        self._jobs, self._done = [], []

    def submit(self, partition, epoch, name, call, *, lookup=False):
        self._jobs.append((partition, epoch, name, call))

    def completions(self):
        waiting = set()
        for job in list(self._jobs):
            partition, epoch, name, call = job
            if partition in waiting:
                continue
            try:
                self._done.append(Completion(partition, epoch, name, call()))
            except Unavailable:
                waiting.add(partition)
            else:
                self._jobs.remove(job)
        done, self._done = self._done, []
        return done

    def cancel(self, partition, epoch):
        self._jobs = [job for job in self._jobs if job[:2] != (partition, epoch)]

    def busy(self):
        return len(self._jobs)

    def wait_idle(self, timeout_s):
        return not self._jobs

    def close(self, timeout_s):
        self._jobs.clear()
        return True


class Letters:
    """A broker's topic of dead letters: what a producer of it hands over, as (headers, value)."""

    def __init__(self):
        self.sent = []

    def produce(self, topic, value, headers, on_delivery):
        if value is not None and len(value) > LETTER_BYTES_MAX:
            on_delivery(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None)
            return
        self.sent.append((topic, headers, value))
        on_delivery(None, None)

    def poll(self, timeout_s):
        return 0

    def flush(self, timeout_s):
        return 0


class Archive(ObjectArchive):
    """The shipped archive; while `failing`, it writes no rows of one partition, no manifest of another."""

    failing = False

    def write_rows(self, partition, plan, parts):
        if self.failing and partition == WITHOUT_ROWS:
            raise Unavailable("the store takes no rows")
        return super().write_rows(partition, plan, parts)

    def create_manifest(self, partition, plan, manifest):
        if self.failing and partition == WITHOUT_MANIFEST:
            raise Unavailable("the store takes no manifest")
        super().create_manifest(partition, plan, manifest)


class System:
    """One system from its first record on: Redis, archive, dead letters, what was sent, and the processes."""

    def __init__(self, redis_url, folder, receiver):
        self.redis, self.folder, self.receiver = RedisWorld(redis_url), folder, receiver
        self.clock = Clock(script.BEGIN_MS)
        self.topic, self.letters = MemoryTopic(script.PARTITIONS), Letters()
        self.metrics = Metrics()
        self._store = open_store(folder.as_uri())
        self._opened = []

    def start(self, model=MODEL):
        """Start a worker, as a process is started: it knows nothing."""
        self.archive = Archive(self._store, LOG)
        aggregates = self.redis.aggregates(owner=OWNER)
        recorder, background, source = (
            WorkerRecorder(self.metrics, Health()),
            Immediately(),
            MemorySource(self.topic),
        )
        letters = KafkaDeadLetters({}, LOG, LETTERS_TOPIC, VERSION, self.archive.keep_dead_value)
        letters._producer = self.letters
        keys, scorer = plain_keys(xxhash.xxh64_intdigest), script.Scorer(model)
        effect_runner = EffectRunner(
            source=source,
            aggregates=aggregates,
            archive=self.archive,
            dead_letters=letters,
            background=background,
            make=lambda number: PartitionMachine(
                number, limits=LIMITS, roll_limits=ROLL_LIMITS, keys=keys, score=scorer.score, model=model
            ),
            start="earliest",
            recorder=recorder,
        )
        minutes = WindowLifecycle(
            aggregates,
            ShareDetector(),
            owner=OWNER,
            lateness_ms=LIMITS.lateness_ms,
            max_hold_ms=MAX_HOLD_MS,
            recorder=recorder,
        )
        self.worker = Worker(
            source=source,
            effect_runner=effect_runner,
            windows=minutes,
            background=background,
            topic=TopicFacts(self.topic.incarnation, self.topic.partitions),
            alignment_ms=10**9,
            memory_max_bytes=10**9,
            recorder=recorder,
        )
        source.assign(*range(self.topic.partitions))

    def start_notifier(self):
        """Start a notifier."""
        outbox = RedisOutbox(self.redis.url, prefix=self.redis.prefix, clock=CLOCK)
        webhook = Webhook(self.receiver.url, [SECRET], timeout_s=10)
        self._opened += [outbox._client, webhook]
        self.chains = Away(StoredNotificationLogs(self._store))
        self.notifier = Notifier(
            outbox=outbox,
            logs=self.chains,
            channels=[webhook],
            give_up_s=86_400,
            owner=OWNER,
            recorder=NotifierMetrics(self.metrics, Health()),
            now_s=self.clock.monotonic,
        )

    def send(self, minute):
        """Put the records of a minute into the log."""
        for sent in script.records_of(minute):
            self.topic.append(sent.partition, sent.value, sent.time_ms)

    def turn(self, ms):
        """Let time pass, and the worker turn."""
        self.clock.now_ms += ms
        self.redis.advance(self.clock.now_ms - self.redis.now_ms)
        self.worker.turn(0.0)

    def leave(self):
        """Stop the worker in order: it archives what it has gathered."""
        stop = threading.Event()
        stop.set()
        self.worker.run(stop)

    def take_leases(self):
        """Have both leases for long, or whether they are still there would depend on the machine."""
        for name in ("minutes", "notifier"):
            assert self.redis.aggregates(owner=OWNER).lease(name, OWNER, LEASE_MS)

    def close(self):
        for one in self._opened:
            one.close()
        self.redis.close()


@contextmanager
def system(redis_url, folder, monkeypatch):
    """A system that has a worker's clock of its own."""
    receiver = Receiver()
    made = System(redis_url, folder, receiver)
    monkeypatch.setattr(
        sys.modules[Worker.__module__], "time", SimpleNamespace(monotonic=made.clock.monotonic)
    )
    try:
        yield made
    finally:
        made.close()
        receiver.close()


def play(system):
    """The whole log without a fault: one worker, then one with another model; one notifier."""
    system.start()
    system.start_notifier()
    _play_to_the_end(system, 0)


def play_until_killed(system):
    """The first part: at its end the worker and the notifier are killed amid the crisis."""
    system.start()
    system.start_notifier()
    for minute in range(script.STOPS_AFTER + 1):
        system.archive.failing = system.chains.away = minute in STORE_FAILS
        _play(system, minute, notify=minute < NOTIFIER_STOPS)
    system.take_leases()


def play_on(system):
    """The second part, by a worker and a notifier that know nothing of the first one."""
    system.start()
    system.start_notifier()
    _play_to_the_end(system, script.STOPS_AFTER + 1)


def _play_to_the_end(system, first):
    for minute in range(first, script.MINUTES):
        if minute == script.ANOTHER_MODEL_FROM:
            system.leave()
            system.start(ANOTHER_MODEL)
        _play(system, minute)
    system.leave()
    system.take_leases()


def _play(system, minute, *, notify=True):
    system.send(minute)
    for _ in range(TURNS_A_MINUTE):
        system.turn(60_000 // TURNS_A_MINUTE)
    if notify:
        system.notifier.turn()

"""A worker whose outside world is memory, with a clock that we move and servers that go away when told to."""

import io
from types import SimpleNamespace

import msgspec
import obstore
import pyarrow.parquet as pq

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.objects import open_store
from stream_worker.core.archive.layout import Manifest, manifest_name
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.machine import PartitionMachine
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.poll import TopicFacts
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import Unavailable
from stream_worker.observability.damage_log import DamageLog
from stream_worker.observability.health import Health
from stream_worker.observability.metrics import Metrics
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.worker.background import BackgroundThread
from stream_worker.worker.effect_runner import EffectRunner
from stream_worker.worker.loop import Worker
from stream_worker.worker.window_lifecycle import WindowLifecycle
from tests.builders import LOG, MODEL, NOON_MS, keys, mention, score
from tests.fakes.kafka import MemorySource, MemoryTopic
from tests.fakes.redis_aggregates import MemoryAggregates
from tests.fakes.redis_state import MemoryState
from tests.unit.core.partition.driving import Store
from tests.unit.core.partition.exactness import check_exact

LIMITS = Limits(dedup_window_offsets=50, dedup_window_ms=600_000, lateness_ms=30_000)
ROLL_LIMITS = RollLimits(rows_max=8, bytes_max=10**9, seconds_max=20, span_max=1_000)
TURN_S = 0.25


class Away:
    """Another object, whose methods are Unavailable while `away` is set; `lose` loses the next answers."""

    def __init__(self, real):
        self.real, self.away, self.lose, self.asked = real, False, 0, []

    def __getattr__(self, name):
        def ask(*args, **options):
            self.asked.append(name)
            if self.away:
                raise Unavailable("it is away")
            answer = getattr(self.real, name)(*args, **options)
            if self.lose:
                self.lose -= 1
                raise Unavailable("its answer was lost")
            return answer

        return ask


class Letters:
    """Dead letters by their coordinates."""

    def __init__(self):
        self.kept = {}

    def send(self, partition, rejected):
        for letter in rejected:
            assert self.kept.setdefault((partition, letter.offset), letter) == letter


class Clock:
    """What the worker module sees as `time`."""

    def __init__(self):
        self.now_s = 1_000.0

    def monotonic(self):
        return self.now_s

    def now_ms(self):
        return NOON_MS + round((self.now_s - 1_000) * 1_000)


class Rig:
    """The shared world: a topic, a Redis, a store, a clock; and workers on it."""

    def __init__(self, monkeypatch, partitions=1, roll_limits=ROLL_LIMITS):
        self.topic, self.state, self.clock = MemoryTopic(partitions), MemoryState(), Clock()
        self.limits, self.roll_limits, self.log = LIMITS, roll_limits, {p: [] for p in range(partitions)}
        self.objects, self.letters, self.workers = open_store("memory:///"), Letters(), []
        monkeypatch.setattr("stream_worker.worker.loop.time", self.clock)

    def worker(self, *partitions, **options):
        """A worker; with partitions, those are assigned to it."""
        self.workers.append(Member(self, **options))
        self.workers[-1].source.assign(*partitions)
        return self.workers[-1]

    def send(self, count, partition=0, *, step_s=5, bad_every=7, **fields):
        """Records some seconds apart; some are duplicates, repeats or rejected."""
        for _ in range(count):
            k = len(self.log[partition])
            at_ms = NOON_MS + k * step_s * 1_000
            identity = k - 2 if k % 4 == 3 else k
            posted = {
                "id": str(identity),
                "text": f"t{k % 5}",
                "event_time": at_ms,
                "author": "ann",
                **fields,
            }
            self.put(b"bad" if k % bad_every == 6 else mention(**posted), at_ms, partition)

    def put(self, value, at_ms, partition=0):
        offset = self.topic.append(partition, value, at_ms)
        self.log[partition].append((offset, at_ms, value))

    def aggregates(self, on_damage=lambda _: None):
        return MemoryAggregates(LOG, self.clock.now_ms, self.state, on_damage=on_damage)

    def archive(self):
        return ObjectArchive(self.objects, LOG)

    def stored(self):
        """What the object store holds, in the form of `driving.Store`."""
        store, archive = Store(), self.archive()
        store.letters = self.letters.kept
        for partition in range(self.topic.partitions):
            for plan in archive.plans(partition):
                key = (partition, plan.start, plan.end)
                store.plans[partition, plan.start] = plan
                body = obstore.get(self.objects, manifest_name(LOG, partition, plan)).bytes()
                store.manifests[key] = msgspec.json.decode(bytes(body), type=Manifest)
                store.rows[key] = sorted(
                    row for stored in store.manifests[key].objects for row in self._rows(stored.name)
                )
        return store

    def _rows(self, name):
        table = pq.read_table(io.BytesIO(bytes(obstore.get(self.objects, name).bytes())))
        for row in table.to_pylist():
            minute_ms = int(row["event_time"].timestamp() * 1_000) // MINUTE_MS * MINUTE_MS
            yield (
                row["offset"],
                row["id"],
                row["brand"],
                row["network"],
                minute_ms,
                row["duplicate"],
                row["repeat"],
                row["voice"],
                row["late"],
                row["label"],
                row["sentiment_micro"] or 0,
            )

    def check_exact(self):
        """All of the log is in the archive and in Redis, once."""
        aggregates = self.aggregates()
        check_exact(
            SimpleNamespace(
                topic=self.topic,
                store=self.stored(),
                state=self.state,
                log=self.log,
                limits=self.limits,
                cursor=aggregates.cursor,
            )
        )

    def close(self):
        for worker in self.workers:
            worker.background.close(1.0)


class Member:
    """One worker, turned by hand."""

    def __init__(
        self, rig, *, memory_max_bytes=10**9, alignment_ms=600_000, records_max=20, max_hold_ms=120_000
    ):
        self.rig, self.source = rig, MemorySource(rig.topic, records_max=records_max)
        self.health, self.metrics = Health(), Metrics()
        recorder = WorkerRecorder(self.metrics, self.health)
        damage_log = DamageLog("{sw}", recorder)
        self.redis = Away(rig.aggregates(damage_log.note))
        self.store, self.said = Away(rig.archive()), []
        self.background = BackgroundThread(
            lambda name, error: self.said.append(name), lambda *_: None, delay_first_s=0.01, delay_max_s=0.02
        )
        self.effect_runner = EffectRunner(
            source=self.source,
            aggregates=self.redis,
            archive=self.store,
            dead_letters=rig.letters,
            background=self.background,
            make=self._machine,
            start="earliest",
            recorder=recorder,
            on_damage=damage_log.note,
        )
        self.minutes = WindowLifecycle(
            self.redis,
            ShareDetector(),
            owner=str(len(rig.workers)),
            lateness_ms=LIMITS.lateness_ms,
            max_hold_ms=max_hold_ms,
            recorder=recorder,
            on_damage=damage_log.note,
        )
        self.worker = Worker(
            source=self.source,
            effect_runner=self.effect_runner,
            windows=self.minutes,
            background=self.background,
            topic=TopicFacts(rig.topic.incarnation, rig.topic.partitions),
            alignment_ms=alignment_ms,
            memory_max_bytes=memory_max_bytes,
            recorder=recorder,
        )

    def _machine(self, number):
        return PartitionMachine(
            number,
            limits=self.rig.limits,
            roll_limits=self.rig.roll_limits,
            keys=keys,
            score=score,
            model=MODEL,
        )

    def machine(self, partition=0):
        return self.effect_runner.owned[partition].machine

    def turn(self, count=1):
        """Turn the loop; the background answers between turns what it can."""
        for _ in range(count):
            self.worker.turn(0.0)
            if not self.store.away and not self.rig.topic.away:
                assert self.background.wait_idle(10)
            self.rig.clock.now_s += TURN_S

    def turn_until(self, condition, turns_max=400):
        for _ in range(turns_max):
            if condition():
                return
            self.turn()
        raise AssertionError("it does not get there")

    def counts_up_to_the_end(self):
        """Whether all partitions that are ours are counted to their logs' ends."""
        held = self.effect_runner.owned
        return held.keys() == self.source._reading.keys() and all(
            one.machine.caught_up and one.machine.position == self.rig.topic.position(number).log_end
            for number, one in held.items()
        )

    def archives_up_to_the_end(self):
        held = self.effect_runner.owned.values()
        return self.counts_up_to_the_end() and all(
            one.machine.archiving.archived == one.machine.position for one in held
        )

    def count(self):
        """Count all there is."""
        self.turn_until(self.counts_up_to_the_end)

    def finish(self):
        """Count and archive all there is."""
        self.turn_until(self.archives_up_to_the_end)

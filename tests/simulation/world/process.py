"""A process of a simulated world: the shipped loop, step machines and minutes over simulated servers."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import xxhash

from stream_worker.admin.skip import skip
from stream_worker.core.detection.detector import Verdict
from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.inputs import Ticked
from stream_worker.core.partition.machine import PartitionMachine
from stream_worker.core.records.batch import ScoreColumns
from stream_worker.core.records.dedup import plain_keys
from stream_worker.core.records.limits import Limits
from stream_worker.errors import Misconfigured, Unavailable
from stream_worker.worker.effect_runner import EffectRunner
from stream_worker.worker.loop import Worker
from stream_worker.worker.window_lifecycle import WindowLifecycle
from tests.simulation.world.background import SimulatedBackground
from tests.simulation.world.broker import SimulatedLetters, SimulatedSource
from tests.simulation.world.faults import Killed, Wire
from tests.simulation.world.redis import SimulatedRolling
from tests.simulation.world.scores import score_of
from tests.simulation.world.store import SimulatedArchive, SimulatedObjects


def scorer(model):
    def score(texts):
        scored = [score_of(text, model) for text in texts]
        labels = np.array([label for label, _ in scored], np.int8)
        micro = np.array([micro for _, micro in scored], np.int32)
        return ScoreColumns(labels, np.full((len(texts), 3), np.nan, np.float32), micro)

    return score


class NervousState(NamedTuple):
    minute_ms: int
    learned: int  # negative voices of complete minutes
    fed: int
    gap_minutes: int
    artefact: str  # that scored the minute


class NervousDetector:
    """Two negative voices are a spike. Its state remembers enough to tell any minute fed wrongly."""

    name, version = "nervous", 1

    def start(self):
        return NervousState(-1, 0, 0, 0, "")

    def step(self, state, seen):
        learned = state.learned + (seen.neg_voices if seen.complete else 0)
        score = 12.0 if seen.neg_voices >= 2 else 5.0 * seen.neg_voices
        verdict = Verdict(score, 1, seen.voices, seen.neg_voices, 0.1)
        fed = state.fed + 1
        return NervousState(seen.minute_ms, learned, fed, seen.gap_minutes, seen.model), verdict

    def encode(self, state):
        return ",".join(map(str, state))

    def decode(self, text):
        minute_ms, learned, fed, gap_minutes, artefact = text.split(",")  # ValueError on other text
        return NervousState(int(minute_ms), int(learned), int(fed), int(gap_minutes), artefact)


class SilentRecorder:
    """Stands for the recorder: nothing is measured here."""

    def stage(self, name):
        return nullcontext()

    def __getattr__(self, name):
        return _nothing


def _nothing(*_, **__):
    return None


def limits_of(profile):
    return Limits(
        dedup_window_offsets=profile.dedup_window_offsets,
        dedup_window_ms=profile.dedup_window_ms,
        lateness_ms=profile.lateness_ms,
        value_bytes_max=1_000,
    )


class Process:
    """One worker from its start to its death."""

    def __init__(self, world, number, topic, model):
        self.world, self.number, self.topic, self.model = world, number, topic, model
        self.dead, self.frozen = False, 0
        wire = Wire(world, self)
        profile, log, owner = world.profile, topic.log, f"w{number}"
        self.source = SimulatedSource(world, self, wire, topic)
        self.background = SimulatedBackground()
        aggregates = SimulatedRolling(world, wire, log, owner)
        archive = SimulatedArchive(SimulatedObjects(world.store, wire), log, profile.span_max)
        recorder = SilentRecorder()
        self.effect_runner = EffectRunner(
            source=self.source,
            aggregates=aggregates,
            archive=archive,
            dead_letters=SimulatedLetters(world, wire, log),
            background=self.background,
            make=self._machine,
            start=profile.start,
            recorder=recorder,
        )
        self.minutes = WindowLifecycle(
            aggregates,
            NervousDetector(),
            owner=owner,
            lateness_ms=profile.lateness_ms,
            max_hold_ms=profile.max_hold_ms,
            recorder=recorder,
        )
        self.worker = Worker(
            source=self.source,
            effect_runner=self.effect_runner,
            windows=self.minutes,
            background=self.background,
            topic=topic.facts,
            alignment_ms=profile.alignment_ms,
            memory_max_bytes=profile.memory_max_bytes,
            recorder=recorder,
        )

    def _machine(self, number):
        profile = self.world.profile
        roll_limits = RollLimits(
            rows_max=profile.rows_max, seconds_max=profile.seconds_max, span_max=profile.span_max
        )
        machine = PartitionMachine(
            number,
            limits=limits_of(profile),
            roll_limits=roll_limits,
            keys=plain_keys(xxhash.xxh64_intdigest),
            score=scorer(self.model),
            model=self.model,
        )
        machine.counting._increments_max = profile.increments_max
        return machine

    @property
    def runs(self):
        return not self.dead and not self.frozen

    def die_if_killed(self):
        if self.dead:
            raise Killed

    def turn(self):
        """One turn of the loop; it may end in the middle."""
        try:
            self.worker.turn(0.0)
        except Killed:
            return
        if self.worker.log_replaced:
            self.world.replace(self)
        for owned in self.effect_runner.owned.values():
            self.world.check(not owned.stopped, "a partition stopped", owned.machine.number)

    def work(self):
        """One job of the background thread."""
        try:
            self.background.run_one(self.world.rng)
        except Killed:
            return

    def flush(self):
        """SIGTERM: a courtesy to the next owner, cut short at any time."""
        for owned in list(self.effect_runner.owned.values()):
            if owned.machine.reads:
                self.effect_runner.deliver(owned, Ticked(flush=True), self.world.now_ms / 1000)
        for _ in range(self.world.rng.randint(0, 6)):
            self.work()
            if not self.dead:
                self.effect_runner.take_completions(self.world.now_ms / 1000)


class Operator:
    """Somebody at a terminal, with the commands of the worker."""

    def __init__(self, world):
        self.world = world
        self.dead, self.frozen = False, 0
        self.source = SimpleNamespace(deaf_polls=0)

    def die_if_killed(self):
        """The command was frozen, not killed."""

    def skip(self, partition, to_offset):
        world, log, wire = self.world, self.world.broker.topic.log, Wire(self.world, self)
        archive = SimulatedArchive(SimulatedObjects(world.store, wire), log, world.profile.span_max)
        aggregates = SimulatedRolling(world, wire, log, "operator")
        limits = limits_of(world.profile)
        try:
            skip(archive, aggregates, limits, partition=partition, to_offset=to_offset, why="because")
        except (Misconfigured, Unavailable, Killed):
            return
        world.bites["skipped on the record"] += 1

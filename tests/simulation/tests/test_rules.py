"""The world's events as rules: Hypothesis looks for a short history that goes wrong, and tells its steps.

`STREAM_WORKER_TEST_RULES=1000` tries more histories than the suite does (40).
"""

import os
from contextlib import contextmanager
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.simulation.histories import REQUESTS, profile_of
from tests.simulation.world.faults import KINDS, Violation
from tests.simulation.world.process import Operator
from tests.simulation.world.world import World

which = st.integers(0, 3)  # of the workers, partitions or requests there are, round about
SERVERS = st.sampled_from(["redis", "store", "broker", "letters"])
FREEZES = ("freeze_before", "freeze_after")  # their histories go on by chance: not here
kinds = st.sampled_from([kind for kind in KINDS if kind not in FREEZES])
OFTEN = ("apply", "apply", "apply", "seal", "close", "create plan", "create rows", "create manifest")
chances = st.integers(0, 50)  # seeds of what is produced
faults = st.none() | st.tuples(st.sampled_from(OFTEN), kinds)


class Hostile(RuleBasedStateMachine):
    """A world in which each rule is something that may happen. The oracle watches all of it."""

    world = None
    wrong = False

    @initialize(seed=st.integers(0, 400), model=st.sampled_from(["m1", "m2"]))
    def begin(self, seed, model):
        profile = replace(
            profile_of(seed), steps=0, backlog=3, past_hours=0, request=0.0, stall=0.0, events={}
        )
        self.world = World(profile, seed)
        self.world._models = [model]
        self._clock = self.world.clock()
        self._clock.__enter__()
        self.world.streams.produce_everywhere()
        self.world.start()
        self.world.redis.snapshot()

    @contextmanager
    def _watched(self):
        try:
            yield
        except Violation as violation:
            self.wrong = True
            raise AssertionError(str(violation)) from None

    def _worker(self, number):
        running = self.world._running()
        return running[number % len(running)]

    def _partition(self, number):
        return number % len(self.world.broker.topic.partitions)

    def _somebody_runs(self):
        return self.world is not None and bool(self.world._running())

    # Time and work

    @precondition(_somebody_runs)
    @rule(
        number=which, seconds=st.sampled_from([1, 5]), records=st.integers(0, 4), chance=chances, fault=faults
    )
    def turn(self, number, seconds, records, chance, fault):
        worker = self._worker(number)
        if fault is not None:
            self.the_next_request_fails(*fault)
        for partition in range(len(self.world.broker.topic.partitions)):
            self.produce(partition, chance + partition, records)
        for _ in range(3):
            self.world.now_ms += seconds * 1_000 + 10
            with self._watched():
                worker.turn()
                for _ in range(worker.background.busy()):
                    worker.work()

    @precondition(_somebody_runs)
    @rule(seconds=st.sampled_from([10, 70]), partition=which, chance=chances, fault=faults)
    def everybody_works_for_a_while(self, seconds, partition, chance, fault):
        if fault is not None:
            self.the_next_request_fails(*fault)
        self.produce(partition, chance, 3)
        for _ in range(seconds // 5):
            self.world.now_ms += 5_000
            for worker in list(self.world._running()):
                with self._watched():
                    worker.turn()
                    for _ in range(worker.background.busy()):
                        worker.work()

    @precondition(_somebody_runs)
    @rule(number=which)
    def turn_without_the_background(self, number):
        self.world.now_ms += 1_100
        with self._watched():
            self._worker(number).turn()

    @rule(seconds=st.sampled_from([1, 20, 60, 300]))
    def time_passes(self, seconds):
        self.world.now_ms += seconds * 1_000

    @rule(partition=which, chance=chances, times=st.integers(1, 6))
    def produce(self, partition, chance, times):
        self.world.rng = Random(chance)
        for _ in range(times):
            self.world.streams._append(self.world.broker.topic.partitions[self._partition(partition)])

    # Faults

    @rule(what=st.sampled_from(REQUESTS), kind=kinds)
    def the_next_request_fails(self, what, kind):
        self.world.planned.setdefault(what, []).append(kind)

    @rule(number=which)
    def a_late_request_arrives(self, number):
        if self.world.late:
            with self._watched():
                self.world.deliver(number % len(self.world.late))

    @precondition(_somebody_runs)
    @rule(number=which)
    def kill(self, number):
        self.world.kill(self._worker(number))

    @rule()
    def start(self):
        self.world.start()

    @rule(chance=which)
    def rebalance(self, chance):
        self.world.rng = Random(chance)
        self.world.rebalance()

    @precondition(_somebody_runs)
    @rule(number=which, polls=st.integers(1, 20))
    def deafen(self, number, polls):
        if len(self.world._running()) == 1:
            self.world.start()
        self._worker(number).source.deaf_polls = polls
        self.world.rebalance()

    @rule()
    def snapshot(self):
        self.world.redis.snapshot()

    @rule(number=which)
    def roll_back(self, number):
        snapshots = self.world.redis.snapshots
        self.world.redis.restore(snapshots[number % len(snapshots)])

    @rule()
    def empty_redis(self):
        self.world.empty_redis()

    @rule(partition=which, offset=st.integers(-1, 30))
    def reset_offsets(self, partition, offset):
        self.world.broker.committed[self._partition(partition)] = offset

    @rule(chance=which)
    def retain(self, chance):
        self.world.rng = Random(chance)
        with self._watched():
            self.world.retain()

    @rule(partition=which, back=st.integers(0, 5))
    def skip(self, partition, back):
        log = self.world.broker.topic.partitions[self._partition(partition)]
        with self._watched():
            Operator(self.world).skip(self._partition(partition), max(log.start, log.end - back))

    @rule(server=SERVERS, seconds=st.integers(1, 40))
    def outage(self, server, seconds):
        self.world._down_until_ms[server] = self.world.now_ms + seconds * 1_000

    @rule()
    def recreate_topic(self):
        if len(self.world.broker.topics) < 3:
            self.world.recreate_topic()

    @rule()
    def add_partition(self):
        self.world.add_partition()

    @rule(model=st.sampled_from(["m1", "m2"]))
    def upgrade(self, model):
        self.world._models.append(model)
        self.world.kill_one()
        self.world.start()

    # What always holds

    @invariant()
    def what_is_stored_is_what_was_counted(self):
        if self.world is not None:
            with self._watched():
                for minute in list(self.world.oracle.aggregates.seen.cells):
                    self.world.oracle.aggregates.check_minute(minute)

    def teardown(self):
        """All faults end: everything is finished, and all of it is compared with the log."""
        if self.world is None:
            return
        try:
            if not self.wrong:
                self.world.planned.clear()
                with self._watched():
                    self.world.calm()
        finally:
            self._clock.__exit__(None, None, None)


Hostile.TestCase.settings = settings(
    max_examples=int(os.environ.get("STREAM_WORKER_TEST_RULES", "40")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestRules = Hostile.TestCase

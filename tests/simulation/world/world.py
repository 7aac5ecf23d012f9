"""The world: a clock, servers, processes, and what happens to them, one step after the other.

Rules:
1. No wall clock, no thread, random generators with seeds: the same profile and seed give the same history.
2. Freezing is nesting: while a process stands in the middle of a call, the world goes on inside that call.
3. `calm` ends all faults. From there on everything must be finished without further input.
"""

from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from random import Random
from unittest.mock import patch

from stream_worker.core.aggregates.damage import DamagedField
from stream_worker.core.partition import recovery
from stream_worker.errors import Unavailable
from stream_worker.worker import effect_runner, loop, window_lifecycle
from tests.simulation.oracle.oracle import Oracle
from tests.simulation.world.broker import Broker, Topic
from tests.simulation.world.faults import Said, Violation
from tests.simulation.world.process import Operator, Process
from tests.simulation.world.redis import SimulatedRedis
from tests.simulation.world.store import Store
from tests.simulation.world.streams import Streams

BEGIN_MS = 1_763_812_800_000  # 2025-11-22 12:00 UTC
HOUR_MS = 3_600_000
NESTED_MAX = 2
ROUNDS_MAX = 600


class World:
    """Everything of one history."""

    def __init__(self, profile, seed):
        self.profile, self.rng = profile, Random(seed)
        self.now_ms = BEGIN_MS
        self.bites = Counter()
        self.hostile = False
        self.late = []  # requests under way
        self.planned = {}  # for directed histories: request -> kinds of faults that will hit it
        self.processes = []
        self.broker = Broker(profile.partitions)
        self.store = Store(self)
        self.oracle = Oracle(self)
        self.redis = SimulatedRedis(self)
        self.streams = Streams(self)
        self._down_until_ms = {}
        self._depth = self._started = 0
        self._models = ["m1"]
        events = {"turn": 40, "work": 35, "produce": 9, "deliver": 5} | profile.events
        self._events, self._weights = list(events), list(events.values())

    @contextmanager
    def clock(self):
        """The loop reads this world's clock, and its logs are counted."""
        said = Said(self.bites)
        with ExitStack() as stack:
            stack.enter_context(patch.object(loop, "time", self))
            stack.enter_context(patch.object(recovery, "DAY_MS", self.profile.day_ms))
            for module in (loop, effect_runner, window_lifecycle):
                stack.enter_context(patch.object(module, "log", said))
            yield

    def monotonic(self):
        return self.now_ms / 1000

    def check(self, holds, check, *detail):
        """Raise Violation unless it holds."""
        if not holds:
            raise Violation(check, " ".join(map(str, detail)))

    # The history

    def run(self):
        """Live through the history. Raises Violation."""
        with self.clock():
            self.now_ms -= self.profile.past_hours * HOUR_MS
            for _ in range(self.profile.backlog):
                self.streams.produce_everywhere()
                self.now_ms += self.profile.past_hours * HOUR_MS // self.profile.backlog
            self.now_ms = max(self.now_ms, BEGIN_MS)
            for _ in range(self.profile.workers):
                self.start()
            self.redis.snapshot()
            self.hostile = True
            for _ in range(self.profile.steps):
                self.step()
            self.calm()

    def step(self):
        """Let some time pass and something happen."""
        refresh_view = self.rng.random()
        if refresh_view < 0.6:
            self.now_ms += self.rng.randint(5, 400)
        else:
            self.now_ms += (
                self.rng.randint(500, 3_000) if refresh_view < 0.92 else self.rng.randint(3_000, 20_000)
            )
        getattr(self, self.rng.choices(self._events, self._weights)[0])()

    def calm(self):
        """All faults end; everything must be finished without further input."""
        self.hostile = False
        self._down_until_ms.clear()
        self.rng.shuffle(self.late)
        while self.late:
            self.deliver()
        for process in self.processes:
            process.source.calm()
            if process.topic is not self.broker.topic:
                self.kill(process)
        if not self._running():
            self.start()
        self.rebalance()
        end_ms = self.streams.newest_ms + (1 + self.profile.quiet_minutes) * 60_000
        for _ in range(ROUNDS_MAX):
            self.now_ms += 12_000
            for process in self._running():
                for _ in range(2):
                    process.turn()
                    for _ in range(2 * process.background.busy()):
                        process.work()
            waits_for = self.oracle.waits_for(end_ms)
            if not waits_for:
                break
        self.check(not waits_for, "liveness", waits_for)
        self.oracle.check_all()

    # What may happen

    def turn(self):
        if running := self._running():
            self.rng.choice(running).turn()
        else:
            self.start()

    def work(self):
        if running := self._running():
            self.rng.choice(running).work()

    def produce(self):
        self.streams.produce()

    def deliver(self, number=None):
        """A request arrives late: that one, or any."""
        if self.late:
            self.bites["late request arrived"] += 1
            number = self.rng.randrange(len(self.late)) if number is None else number
            with suppress(Unavailable, DamagedField):  # nobody waits for the reply
                self.late.pop(number)()

    def start(self):
        """Start a worker; after an upgrade it has the new model."""
        if len(self._running()) > self.profile.workers:
            return
        self._started += 1
        process = Process(self, self._started, self.broker.topic, self._models[-1])
        self.processes.append(process)
        self.rebalance()

    def kill_one(self):
        if running := self._running():
            self.kill(self.rng.choice(running))
            self.bites["kill between steps"] += 1

    def kill(self, process):
        process.dead = True
        self.bites["kill"] += 1
        if process in self.processes:
            self.processes.remove(process)

    def leave(self):
        """SIGTERM: flush what time allows, leave the group."""
        if len(running := self._running()) > 1:
            process = self.rng.choice(running)
            process.flush()
            self.kill(process)
            self.rebalance()

    def rebalance(self):
        """The group decides anew; who is frozen is out of it, and does not know."""
        members = [p for p in self._running() if p.topic is self.broker.topic]
        if not members:
            return
        self.bites["rebalance"] += 1
        for partition in range(len(self.broker.topic.partitions)):
            owner, before = self.rng.choice(members), self.broker.owners.get(partition)
            if before is not None and not before.dead and before is not owner:
                before.source.lose(partition)
            if before is not owner:
                owner.source.gain(partition)
                self.broker.owners[partition] = owner

    def deafen(self):
        """A worker misses its session time-out: the group goes on without it, it works on."""
        if running := self._running():
            zombie = self.rng.choice(running)
            zombie.source.deaf_polls = self.rng.randint(1, 12)
            self.bites["zombie"] += 1
            self.rebalance()

    def freeze(self, process):
        """The process stands still in the middle of a call; the world goes on."""
        if self._depth >= NESTED_MAX:
            return
        self.bites["freeze"] += 1
        self._depth += 1
        process.frozen += 1
        if self.rng.random() < 0.6:
            process.source.deaf_polls += self.rng.randint(0, 3)
            self.rebalance()
        for _ in range(self.rng.randint(1, 25)):
            self.step()
        process.frozen -= 1
        self._depth -= 1
        process.die_if_killed()

    def snapshot(self):
        self.redis.snapshot()

    def roll_back(self):
        if self.redis.snapshots:
            self.bites["redis rolled back"] += 1
            self.redis.restore(self.rng.choice(self.redis.snapshots))

    def damage_field(self):
        """Somebody writes into Redis: an episode record, a value of history or a count becomes rubbish."""
        name = self.rng.choice(("episode", "history", "count"))
        if getattr(self.oracle.aggregates.damage, f"damage_{name}")(self.rng):
            self.bites[f"{name} damaged"] += 1

    def mend_field(self):
        """Somebody mends all that is damaged, as docs/operations.md says."""
        self.bites["field mended"] += self.oracle.aggregates.damage.mend()

    def empty_redis(self):
        self.bites["redis emptied"] += 1
        self.redis.empty()

    def reset_offsets(self):
        """An operator moves committed offsets; they are a hint."""
        partition = self.rng.randrange(len(self.broker.topic.partitions))
        end = self.broker.topic.partitions[partition].end
        before = self.broker.committed.get(partition, 0)
        after = self.rng.choice((-1, 0, self.rng.randint(0, end + 30), end, end + 1000))
        self.bites["offsets reset " + ("forward" if after > before else "back")] += 1
        self.broker.committed[partition] = after

    def retain(self):
        """Retention eats the oldest records of a partition, read or not."""
        partition = self.rng.randrange(len(self.broker.topic.partitions))
        log = self.broker.topic.partitions[partition]
        if log.start < log.end:
            log.start = self.rng.randint(log.start + 1, log.end)
            self.bites["retention"] += 1
            self.oracle.retention(partition)

    def skip(self):
        """An operator leaves records out, on the record; the command may die anywhere."""
        partition = self.rng.randrange(len(self.broker.topic.partitions))
        log = self.broker.topic.partitions[partition]
        Operator(self).skip(partition, self.rng.randint(max(log.start, log.end - 9), log.end))

    def outage(self):
        server = self.rng.choice(("redis", "store", "broker", "letters"))
        longest_ms = 90_000 if server == "letters" else 25_000  # letters are seldom sent
        self._down_until_ms[server] = self.now_ms + self.rng.randint(500, longest_ms)

    def sleep(self):
        """Nobody runs for a while: the group was away."""
        self.now_ms += self.rng.randint(20_000, 120_000)
        self.bites["everybody slept"] += 1

    def is_down(self, server):
        return self.now_ms < self._down_until_ms.get(server, 0)

    def recreate_topic(self):
        """The topic is deleted and made again; who worked on the old one is restarted some time later."""
        topics = self.broker.topics
        topics.append(Topic(len(topics) + 1, self.profile.partitions))
        self.broker.owners.clear()
        self.bites["topic recreated"] += 1
        self.start()

    def restart_old(self):
        """Somebody restarts a worker that still waits for the topic that was deleted."""
        old = [process for process in self._running() if process.topic is not self.broker.topic]
        if old:
            self.kill(self.rng.choice(old))
            self.start()

    def replace(self, process):
        """A worker saw that its topic is another log: it leaves and joins anew."""
        self.bites["worker saw another log"] += 1
        self.kill(process)
        self.start()

    def add_partition(self):
        if len(self.broker.topic.partitions) < self.profile.partitions + 2:
            self.broker.topic.add_partition()
            self.bites["partition added"] += 1
            self.rebalance()

    def upgrade(self):
        """A rolling restart with another model."""
        self._models.append(self.rng.choice(("m1", "m2")))
        self.kill_one()
        self.start()

    def _running(self):
        return [process for process in self.processes if process.runs]

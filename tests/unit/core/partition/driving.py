"""Step machines, and a world of plain values around them: a log, a picture, an archive.

A `Runner` is one worker's hold on one partition. It performs nothing by itself: `poll`, `see_end`, `tick`,
`answer_redis` and `answer_store` are single steps, so that a test can stop, lose or reorder between any two.
"""

from collections import defaultdict, deque
from typing import assert_never

from stream_worker.core.archive.layout import LogOrigin
from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.effects import (
    AdvanceCursor,
    Apply,
    Commit,
    CreateCursor,
    CreateManifest,
    CreateOrigin,
    CreatePlan,
    FindPlanLog,
    ListPlans,
    ReadCursor,
    ReadPosition,
    Seek,
    SendDeadLetters,
    WriteRows,
)
from stream_worker.core.partition.inputs import (
    CursorRead,
    DeadLettersSent,
    EndReached,
    ManifestCreated,
    OriginCreated,
    PlanCreated,
    PlanLog,
    PlanLogFound,
    PlansListed,
    PositionRead,
    RecordsPolled,
    ReportDue,
    RowsWritten,
    Ticked,
)
from stream_worker.core.partition.machine import PartitionMachine
from stream_worker.core.records.limits import Limits
from tests.builders import LOG, MODEL, NOON_MS, keys, score
from tests.fakes.kafka import MemoryTopic
from tests.fakes.redis_aggregates import MemoryAggregates
from tests.fakes.redis_state import MemoryState
from tests.unit.core.partition.exactness import rows_of

STEPS_MAX = 10_000
LIMITS = Limits(dedup_window_offsets=8, dedup_window_ms=120_000, lateness_ms=30_000)
ROLL_LIMITS = RollLimits(rows_max=6, bytes_max=10**9, seconds_max=60, span_max=10)


class Store:
    """A store of create-only values: whoever comes second gets what is there."""

    def __init__(self):
        self.head, self.plans, self.manifests, self.rows, self.letters = None, {}, {}, {}, {}
        self.differences = []  # somebody wrote something else under a name that was there

    def chain(self, partition):
        """The plans of a partition, oldest first."""
        return [plan for (p, _), plan in sorted(self.plans.items()) if p == partition]

    def find_plan_log(self, partition):
        plans = self.chain(partition)
        return PlanLog(
            self.head,
            plans[-1] if plans else None,
            bool(plans) and self._key(partition, plans[-1]) in self.manifests,
        )

    def create(self, kind, key, value):
        there = kind.setdefault(key, value)
        if there != value:
            self.differences.append((key, there, value))

    def write_rows(self, partition, plan, parts):
        made = [row for part in parts for row in rows_of(part.columns, part.flags, part.scores)]
        assert all(plan.start <= row[0] < plan.end for row in made)
        self.create(self.rows, self._key(partition, plan), made)
        return []

    def create_manifest(self, partition, plan, manifest):
        self.create(self.manifests, self._key(partition, plan), manifest)

    @staticmethod
    def _key(partition, plan):
        return partition, plan.start, plan.end


class World:
    """One topic, one Redis, one store; any number of runners."""

    def __init__(self, partitions=1, limits=LIMITS, roll_limits=ROLL_LIMITS, policy="earliest"):
        self.topic, self.store, self.state = MemoryTopic(partitions), Store(), MemoryState()
        self.limits, self.roll_limits, self.policy = limits, roll_limits, policy
        self.increments_max = 14  # so few that batches are cut into calls
        self.now_ms, self.now_s = NOON_MS, 100.0
        self.log = defaultdict(list)  # partition -> every (offset, record time, value) there ever was
        self._aggregates = MemoryAggregates(LOG, self._tick, self.state)

    def _tick(self):
        self.now_ms += 1
        return self.now_ms

    def append(self, value, partition=0, time_ms=NOON_MS):
        offset = self.topic.append(partition, value, time_ms)
        self.log[partition].append((offset, time_ms, value))
        return offset

    def seal(self):
        return self._aggregates.seal(self.topic.partitions, self.limits.lateness_ms, 120_000)

    def cursor(self, partition=0):
        return self._aggregates.cursor(partition)

    def run_on_redis(self, partition, effect):
        """Let Redis do what is asked for; returns the reply."""
        match effect:
            case Apply():
                return self._aggregates.apply([effect])[0]
            case ReadCursor():
                return CursorRead(self._aggregates.cursor(partition))
            case CreateCursor(start, watermark_ms, complete_from_ms):
                return CursorRead(
                    self._aggregates.create_cursor(partition, start, watermark_ms, complete_from_ms)
                )
            case AdvanceCursor(expected, to, watermark_ms, complete_from_ms):
                return CursorRead(
                    self._aggregates.advance_cursor(partition, expected, to, watermark_ms, complete_from_ms)
                )
            case _:
                assert_never(effect)

    def run_beside(self, partition, effect):  # noqa: PLR0911 - a table
        """Let broker and store do what is asked for; returns the reply."""
        match effect:
            case ReadPosition():
                return PositionRead(self.topic.position(partition))
            case FindPlanLog():
                return PlanLogFound(self.store.find_plan_log(partition))
            case CreateOrigin():
                logs = [self.topic.position(p) for p in range(self.topic.partitions)]
                starts = [log.log_start if self.policy == "earliest" else log.log_end for log in logs]
                self.store.head = self.store.head or LogOrigin(policy=self.policy, starts=starts)
                return OriginCreated(self.store.head)
            case ListPlans():
                return PlansListed(self.store.chain(partition))
            case CreatePlan(plan):
                return PlanCreated(self.store.plans.setdefault((partition, plan.start), plan))
            case SendDeadLetters(rejected):
                for letter in rejected:
                    self.store.create(self.store.letters, (partition, letter.offset), letter)
                return DeadLettersSent()
            case WriteRows(plan, batches):
                return RowsWritten(self.store.write_rows(partition, plan, batches))
            case CreateManifest(plan, manifest):
                self.store.create_manifest(partition, plan, manifest)
                return ManifestCreated()
            case _:
                assert_never(effect)


class Runner:
    """One worker's hold on one partition."""

    def __init__(self, world, partition=0, **changed):
        self.world, self.number = world, partition
        self.asked = []  # every effect but the first, in order
        self.on_redis, self.on_store, self.position = deque(), deque(), None
        self.machine = PartitionMachine(
            partition,
            limits=replace_limits(world.limits, changed),
            roll_limits=world.roll_limits,
            keys=keys,
            score=score,
            model=MODEL,
        )
        self.machine.counting._increments_max = world.increments_max
        self.run_effects(self.machine.start())
        self.answer_store()  # where the log begins and ends

    def run_effects(self, effects):
        """Run what is done at once, queue the rest."""
        self.asked += [effect for effect in effects if not isinstance(effect, ReadPosition)]
        for effect in effects:
            match effect:
                case Seek(offset):
                    self.position = offset
                case Commit(offset):
                    self.world.topic.commit(self.number, offset)
                case Apply() | ReadCursor() | CreateCursor() | AdvanceCursor():
                    self.on_redis.append(effect)
                case _:
                    self.on_store.append(effect)

    def deliver(self, event):
        """Hand an input to the machine."""
        self.run_effects(self.machine.handle(event, self.world.now_s))

    @property
    def reads(self):
        return self.machine.takes_records

    @property
    def out_of_range(self):
        log_start, log_end, _ = self.world.topic.position(self.number)
        return self.position is not None and not log_start <= self.position <= log_end

    def poll(self, count=10):
        """Bring the next records, if there are any and they may come."""
        if self.reads and not self.out_of_range:
            records, self.position = self.world.topic.read(self.number, self.position, count)
            if records.offsets:
                self.deliver(RecordsPolled(records))

    def see_end(self):
        """Tell of the log's end, if that is where it was read to."""
        if self.reads and self.position == self.world.topic.position(self.number).log_end:
            self.deliver(EndReached(self.position))

    def tick(self, *, flush=False):
        if self.machine.reads:
            self.deliver(Ticked(flush=flush))

    def report(self, **more):
        if self.machine.reads:
            self.deliver(ReportDue(paused=False, **more))

    def answer_redis(self, *, lost=False):
        """Let Redis do the oldest thing asked for; a lost reply means that it is asked for again."""
        if not self.on_redis:
            return
        reply = self.world.run_on_redis(self.number, self.on_redis[0])
        if not lost:
            self.on_redis.popleft()
            self.deliver(reply)

    def answer_store(self, *, lost=False):
        """Let broker or store do the oldest thing asked for; after a lost reply it is asked for again."""
        if not self.on_store:
            return
        reply = self.world.run_beside(self.number, self.on_store[0])
        if not lost:
            self.on_store.popleft()
            self.deliver(reply)

    def settle(self):
        """Answer everything that was asked."""
        for _ in range(STEPS_MAX):
            if not self.on_redis and not self.on_store:
                return self
            self.answer_redis()
            self.answer_store()
        raise AssertionError(f"it asks on and on: {self.asked[-6:]}")

    def run(self, count=10, *, flush=False):
        """Read and count to the log's end; with `flush` archive it too."""
        for _ in range(STEPS_MAX):
            self.settle()
            self.report()  # finds out if Redis is what it was
            self.settle()
            log_end = self.world.topic.position(self.number).log_end
            done = self.machine.caught_up and self.machine.position == log_end
            if done and (not flush or self.machine.archiving.archived == log_end):
                return self
            self.poll(count)
            self.settle()
            self.see_end()
            self.settle()
            self.tick(flush=flush and self.machine.caught_up)
        raise AssertionError(f"it does not get there: {self.asked[-6:]}")


def replace_limits(limits, changed):
    return Limits(**{name: changed.get(name, getattr(limits, name)) for name in limits.__struct_fields__})

"""Runs what the step machines ask for, and delivers the replies to them.

Rules:
1. An effect stays at the head of its queue until there is a reply: `Unavailable` is unknown
   (docs/design.md#r5).
2. Effects on Redis run in the loop's thread, those of all partitions in one round trip. While Redis is away,
   partitions that wait for it are paused; records that were polled meanwhile are read again.
3. Effects on the store, questions to the broker and dead letters run in the background thread.
4. Records that were polled before a seek of the same turn are discarded: they belong to the old position.
5. A partition whose stored state is unreadable stops with one clear line; the others go on.
6. A damaged control key of Redis is the whole group's: everybody waits, as while Redis is away, and goes on
   when it is mended.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal, assert_never

import structlog

from stream_worker.core.aggregates.damage import Damage, DamagedField
from stream_worker.core.archive.layout import LogOrigin
from stream_worker.core.partition.effects import (
    AdvanceCursor,
    AnyEffect,
    Apply,
    BackgroundEffect,
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
    Applied,
    CursorRead,
    DeadLettersSent,
    Input,
    ManifestCreated,
    OriginCreated,
    PlanCreated,
    PlanLogFound,
    PlansListed,
    PositionRead,
    ReadAgain,
    Reply,
    RowsWritten,
)
from stream_worker.core.partition.machine import PartitionMachine
from stream_worker.core.records.poll import TopicFacts
from stream_worker.errors import StreamWorkerError, Unavailable, Unreadable
from stream_worker.observability.logs import Repeats
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.ports import Aggregates, Archive, Background, DeadLetters, Source, TopicDescribed
from stream_worker.worker.owned_partition import OwnedPartition

TOPIC: Final = -1  # stands for a partition where the whole topic is meant
REDIS_PAUSE_FIRST_S: Final = 0.2
REDIS_PAUSE_MAX_S: Final = 5.0

LOOKUPS: Final = (ReadPosition, FindPlanLog, CreateOrigin, ListPlans)
"""They begin an assignment and change nothing that others wait for: several run at a time."""

JOB_NAMES: Final[dict[type[BackgroundEffect], str]] = {
    ReadPosition: "position",
    FindPlanLog: "chain",
    CreateOrigin: "head",
    ListPlans: "plans",
    CreatePlan: "plan",
    SendDeadLetters: "letters",
    WriteRows: "rows",
    CreateManifest: "manifest",
}
"""What a background job is called in the log (docs/operations.md). Nothing is decided by it."""

log = structlog.get_logger()


class EffectRunner:
    """All partitions of this worker, between their machines and the outside world."""

    def __init__(
        self,
        *,
        source: Source,
        aggregates: Aggregates,
        archive: Archive,
        dead_letters: DeadLetters,
        background: Background[Reply | TopicDescribed],
        make: Callable[[int], PartitionMachine],
        start: Literal["earliest", "latest"],
        recorder: WorkerRecorder,
        on_damage: Callable[[Damage], None] = lambda _damage: None,
    ) -> None:
        self.owned: dict[int, OwnedPartition] = {}
        self.now_ms = 0  # Redis TIME of the last reply; 0 before the first
        self.redis_away = False
        self.topic: TopicFacts | None = None
        self.newer_than = ""  # the log that Redis had named before the question for `topic` was sent
        self._topic_requested = False
        self.changed_brands: set[str] = set()
        self.changed_minutes_ms: set[int] = set()
        self._source, self._aggregates, self._archive = source, aggregates, archive
        self._dead_letters, self._background = dead_letters, background
        self._make, self._start, self._recorder, self._on_damage = make, start, recorder, on_damage
        self._control_damage: Unreadable | None = None  # of the minutes' work
        self._epoch = 0
        self._repeats = Repeats()
        self._redis_again_s = 0.0
        self._redis_pause_s = REDIS_PAUSE_FIRST_S

    # Partitions come and go

    def gain(self, partition: int) -> None:
        """Take a partition, or take it anew: everything is looked up."""
        self.lose(partition)
        self._epoch += 1
        owned = self.owned[partition] = OwnedPartition(self._make(partition), self._epoch)
        self._run_effects(owned, owned.machine.start())

    def lose(self, partition: int) -> None:
        """Drop a partition: nothing needs to be flushed, its next owner finds all it needs."""
        owned = self.owned.pop(partition, None)
        self._recorder.lost(partition)
        if owned is not None:
            self._background.cancel(partition, owned.epoch)

    # Inputs in, effects out

    def deliver(self, owned: OwnedPartition, event: Input, now_s: float = 0.0) -> None:
        """Hand an input to a machine and run what it asks for; an unreadable state stops the partition."""
        try:
            self._run_effects(owned, owned.machine.handle(event, now_s))
        except StreamWorkerError as error:
            self._stop(owned, error)

    def _run_effects(self, owned: OwnedPartition, effects: Sequence[AnyEffect]) -> None:
        """Run effects, or queue them where they have to wait."""
        for effect in effects:
            match effect:
                case Seek(offset):
                    self._seek(owned, offset)
                case Commit(offset):
                    self._source.commit(owned.machine.number, offset)
                case Apply() | ReadCursor() | CreateCursor() | AdvanceCursor():
                    owned.on_redis.append(effect)
                case _:
                    self._submit(owned, effect)

    def _seek(self, owned: OwnedPartition, offset: int) -> None:
        self._source.seek(owned.machine.number, offset)
        owned.ahead, owned.interrupted, owned.sought = False, False, True

    # Records

    def polling(self) -> None:
        """A poll follows: what it brings lies behind all seeks so far."""
        for owned in self.owned.values():
            owned.sought = False

    def taker(self, partition: int) -> OwnedPartition | None:
        """Return the partition if it takes what was polled; what has to wait for Redis is read again."""
        owned = self.owned.get(partition)
        if owned is None or owned.takes_records:
            return owned
        if owned.machine.waits and not owned.stopped:
            self._interrupt(owned)
        return None

    # In the background

    def _submit(self, owned: OwnedPartition, effect: BackgroundEffect) -> None:
        if isinstance(effect, SendDeadLetters):
            self._recorder.dead_letters(effect.rejected)
        elif isinstance(effect, CreateManifest):
            self._recorder.chunk(effect.manifest)
        self._background.submit(
            owned.machine.number,
            owned.epoch,
            JOB_NAMES[type(effect)],
            partial(self._run_timed, owned.machine.number, effect),
            lookup=isinstance(effect, LOOKUPS),
        )

    def _run_timed(self, partition: int, effect: BackgroundEffect) -> Reply:
        with self._recorder.stage("archive"):
            return self._run_in_background(partition, effect)

    def _run_in_background(  # noqa: PLR0911 - a table
        self, partition: int, effect: BackgroundEffect
    ) -> Reply:
        """Run one effect; raises Unavailable while there is no reply, Unreadable for a damaged store."""
        match effect:
            case ReadPosition():
                return PositionRead(self._source.position(partition))
            case FindPlanLog(committed):
                return PlanLogFound(self._archive.find_plan_log(partition, committed))
            case CreateOrigin():
                starts = self._source.starts(self._start)
                origin = LogOrigin(policy=self._start, starts=starts)
                return OriginCreated(self._archive.create_log_origin(origin))
            case ListPlans():
                return PlansListed(self._archive.plans(partition))
            case CreatePlan(plan):
                return PlanCreated(self._archive.create_plan(partition, plan))
            case SendDeadLetters(rejected):
                self._dead_letters.send(partition, rejected)
                return DeadLettersSent()
            case WriteRows(plan, batches):
                return RowsWritten(self._archive.write_rows(partition, plan, batches))
            case CreateManifest(plan, manifest):
                self._archive.create_manifest(partition, plan, manifest)
                return ManifestCreated()
            case _:
                assert_never(effect)

    def describe_topic(self, newer_than: str = "") -> None:
        """Ask again, in the background, which incarnation the topic is and how many partitions it has.

        `newer_than`: another log that Redis names. If the broker then names our log, that one is older.
        """
        if not self._topic_requested:
            self._topic_requested = True
            describe = self._source.topic
            self._background.submit(
                TOPIC, 0, "topic", lambda: TopicDescribed(describe(), newer_than), lookup=True
            )

    def take_completions(self, now_s: float) -> None:
        """Deliver the replies of the background thread to their machines."""
        for done in self._background.completions():
            if done.partition == TOPIC:
                self._topic_requested = False
            owned = self.owned.get(done.partition)
            current = owned if owned is not None and owned.epoch == done.epoch else None
            match done.outcome:
                case TopicDescribed(facts, newer_than):
                    self.topic, self.newer_than = facts, newer_than
                case BaseException() as error:
                    if current is None and done.partition != TOPIC:
                        continue
                    self._stop(current, error)
                case reply:
                    if current is not None:
                        self.deliver(current, reply, now_s)

    # On Redis

    def ask_redis(self, now_s: float) -> None:
        """Run all that is queued for Redis, again and again until nothing is, or it is away."""
        if now_s < self._redis_again_s:
            return
        while waiting := [owned for owned in self.owned.values() if owned.on_redis and not owned.stopped]:
            try:
                self._apply_all(waiting)
                for owned in waiting:
                    self._run_on_redis(owned)
            except (Unavailable, Unreadable) as error:
                self._redis_is_away(waiting, error, now_s)
                return
        self._redis_is_back()

    def control_damaged(self, error: Unreadable) -> None:
        """Sealing or closing met a control key that cannot be read: say so until `control_readable`."""
        self._control_damage = error
        self._recorder.dependency("redis", up=False, detail=str(error))
        self._log_control_damage(error)

    def control_readable(self) -> None:
        """Sealing works."""
        self._control_damage = None

    def _log_control_damage(self, error: Unreadable) -> None:
        self._recorder.damaged("control")
        if (quiet := self._repeats.kept_quiet(str(error))) is not None:
            log.error("field damaged", kind="control", error=str(error), repeated=quiet)

    def _apply_all(self, waiting: list[OwnedPartition]) -> None:
        """Send the calls of the apply script that stand first in their queues, in one round trip."""
        owners: list[OwnedPartition] = []
        calls: list[Apply] = []
        for owned in waiting:
            for effect in owned.on_redis:
                if not isinstance(effect, Apply):
                    break
                owners.append(owned)
                calls.append(effect)
        if not calls:
            return
        with self._recorder.stage("redis"):
            replies = self._aggregates.apply(calls)
        for owned, call, reply in zip(owners, calls, replies, strict=True):
            if owned.stopped:
                continue
            if isinstance(reply, DamagedField):
                self._stop(owned, reply)
                continue
            self.now_ms = max(self.now_ms, reply.now_ms)
            owned.on_redis.popleft()
            self._recorder.applied(call, reply)
            self._report_refused(reply)
            if call.delta is not None and reply.applied:
                self.changed_brands.update(call.delta.brands)
                self.changed_minutes_ms.update(call.delta.minutes_ms.tolist())
            self.deliver(owned, reply)

    def _report_refused(self, reply: Applied) -> None:
        for what, cells in (("brands", reply.refused_brands), ("networks", reply.refused_networks)):
            if cells and (quiet := self._repeats.kept_quiet(what)) is not None:
                log.warning("limit reached", what=what, cells=cells, repeated=quiet)

    def _run_on_redis(self, owned: OwnedPartition) -> None:
        """Run what stands first in the queue of a partition, up to its next call of the apply script."""
        while owned.on_redis and not isinstance(effect := owned.on_redis[0], Apply):
            try:
                reply = self._move_cursor(owned.machine.number, effect)
            except DamagedField as error:
                self._stop(owned, error)
                return
            owned.on_redis.popleft()
            self.deliver(owned, reply)

    def _move_cursor(self, partition: int, effect: ReadCursor | CreateCursor | AdvanceCursor) -> CursorRead:
        match effect:
            case ReadCursor():
                return CursorRead(self._aggregates.cursor(partition))
            case CreateCursor(start, watermark_ms, complete_from_ms):
                created = self._aggregates.create_cursor(partition, start, watermark_ms, complete_from_ms)
                log.info("cursor created", partition=partition, offset=created.next)
                return CursorRead(created)
            case AdvanceCursor(expected, to, watermark_ms, complete_from_ms):
                advanced = self._aggregates.advance_cursor(
                    partition, expected, to, watermark_ms, complete_from_ms
                )
                log.warning("cursor jumped", partition=partition, expected=expected, to=to)
                return CursorRead(advanced)
            case _:
                assert_never(effect)

    def _redis_is_away(
        self, waiting: list[OwnedPartition], error: Unavailable | Unreadable, now_s: float
    ) -> None:
        if isinstance(error, Unreadable):
            self._log_control_damage(error)
        elif not self.redis_away:
            log.warning("redis lost", error=str(error), again_in_s=self._redis_pause_s)
        self.redis_away = True
        self._recorder.dependency("redis", up=False, detail=str(error))
        self._redis_again_s = now_s + self._redis_pause_s
        self._redis_pause_s = min(2 * self._redis_pause_s, REDIS_PAUSE_MAX_S)
        for owned in waiting:
            self._interrupt(owned)

    def _redis_is_back(self) -> None:
        if self.redis_away:
            log.info("redis found")
        self.redis_away, self._redis_pause_s = False, REDIS_PAUSE_FIRST_S
        if self._control_damage is None:
            self._recorder.dependency("redis", up=True)
        for owned in self.owned.values():
            if owned.interrupted and not owned.stopped and owned.machine.reads:
                self.deliver(owned, ReadAgain())

    def _interrupt(self, owned: OwnedPartition) -> None:
        """Pause a partition until Redis is back; records that are polled meanwhile are read again."""
        if not owned.interrupted:
            self._source.pause(owned.machine.number)
            owned.interrupted = True

    # Stopping

    def _stop(self, owned: OwnedPartition | None, error: BaseException) -> None:
        if owned is None or not isinstance(error, StreamWorkerError):
            raise error  # a bug: the process ends, and nothing is lost
        if isinstance(error, DamagedField):
            self._on_damage(error.damage)
        known = owned.machine.counting.cursor if owned.machine.reads else None
        log.error(
            "partition stopped",
            partition=owned.machine.number,
            error=str(error),
            cursor=None if known is None else known.next,
            watermark_ms=None if known is None else known.watermark_ms,
        )
        self._recorder.stopped()
        owned.stopped = True
        owned.on_redis.clear()
        self._source.pause(owned.machine.number)
        self._background.cancel(owned.machine.number, owned.epoch)

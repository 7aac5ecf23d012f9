"""Performs what the step machines ask for, and brings the answers back to them.

Rules:
1. An operation stays at the head of its queue until it has an answer: `Unavailable` is unknown
   (docs/design.md#r5).
2. Redis is asked from the loop's thread, all partitions in one round trip. While it is away, partitions that
   wait for it are paused; what was read of them is read again.
3. The store, the broker's questions and dead letters are asked by the background thread.
4. What a poll brought is not taken after a seek that followed it: it is from somewhere else.
5. A partition whose stored state is unreadable stops with one clear line; the others go on.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import structlog

from stream_worker.core.archive.layout import LogOrigin
from stream_worker.core.partition.effects import (
    AdvanceCursor,
    Applied,
    Apply,
    Commit,
    CreateCursor,
    CreateLogOrigin,
    CreateManifest,
    CreatePlan,
    Effect,
    FindPlanLog,
    ListPlans,
    Phase,
    ReadCursor,
    Seek,
    SendDeadLetters,
    TopicFacts,
    WriteRows,
)
from stream_worker.core.partition.machine import PartitionMachine
from stream_worker.errors import StreamWorkerError, Unavailable
from stream_worker.observability.logs import Repeats
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.ports import Aggregates, Archive, Background, DeadLetters, Source
from stream_worker.worker.owned_partition import OwnedPartition, tell

TOPIC = -1  # stands for a partition where the whole topic is meant
REDIS_PAUSE_FIRST_S = 0.2
REDIS_PAUSE_MAX_S = 5.0

log = structlog.get_logger()


class EffectRunner:
    """All partitions of this worker, between their machines and the outside world."""

    def __init__(
        self,
        *,
        source: Source,
        aggregates: Aggregates,
        archive: Archive,
        letters: DeadLetters,
        background: Background,
        make: Callable[[int], PartitionMachine],
        start: Literal["earliest", "latest"],
        recorder: WorkerRecorder,
    ) -> None:
        self.held: dict[int, OwnedPartition] = {}
        self.now_ms = 0  # Redis TIME of the last answer; 0 before the first
        self.redis_away = False
        self.topic: TopicFacts | None = None
        self.asked_behind = ""  # the log that Redis had named before the question for `topic` was asked
        self._topic_asked = False
        self.changed_brands: set[str] = set()
        self.changed_minutes_ms: set[int] = set()
        self._source, self._aggregates, self._archive = source, aggregates, archive
        self._letters, self._background = letters, background
        self._make, self._start, self._recorder = make, start, recorder
        self._epoch = 0
        self._repeats = Repeats()
        self._redis_again_s = 0.0
        self._redis_pause_s = REDIS_PAUSE_FIRST_S

    def gain(self, partition: int) -> None:
        """Take a partition, or take it anew: everything is looked up."""
        self.lose(partition)
        self._epoch += 1
        held = self.held[partition] = OwnedPartition(self._make(partition), self._epoch)
        self._ask(held, "position", lambda: self._source.position(partition), lookup=True)

    def lose(self, partition: int) -> None:
        """Drop a partition: nothing needs to be flushed, its next owner finds all it needs."""
        held = self.held.pop(partition, None)
        self._recorder.lost(partition)
        if held is not None:
            self._background.cancel(partition, held.epoch)

    def perform(self, held: OwnedPartition, operations: Sequence[Effect]) -> None:
        """Perform operations, or queue them where they have to wait."""
        partition = held.machine.number
        for operation in operations:
            match operation:
                case Seek(offset):
                    self._seek(held, offset)
                case Commit(offset):
                    self._source.commit(partition, offset)
                case Apply() | ReadCursor() | CreateCursor() | AdvanceCursor():
                    held.on_redis.append(operation)
                case _:
                    self._ask_background(held, operation)

    def step(self, held: OwnedPartition, take: Callable[[], list[Effect]]) -> None:
        """Let the machine take something, and perform what it asks for; an unreadable state stops it."""
        try:
            self.perform(held, take())
        except StreamWorkerError as error:
            self._stop(held, error)

    def polling(self) -> None:
        """A poll follows: what it brings is from behind all seeks so far."""
        for held in self.held.values():
            held.sought = False

    def taker(self, partition: int) -> OwnedPartition | None:
        """Return the partition if it takes what was polled; what has to wait for Redis is read again."""
        held = self.held.get(partition)
        if held is None or held.takes_records:
            return held
        if held.machine.waits and not held.stopped:
            self._interrupt(held)
        return None

    def ask_topic(self, behind: str = "") -> None:
        """Ask again, in the background, which incarnation the topic is and how many partitions it has.

        `behind`: another log that Redis names. If the answer is our log, that one is older.
        """
        if not self._topic_asked:
            self._topic_asked = True
            ask = self._source.topic
            self._background.submit(TOPIC, 0, "topic", lambda: (ask(), behind), lookup=True)

    def take_completions(self, now_s: float) -> None:
        """Hand the answers of the background thread to their machines."""
        for done in self._background.completions():
            if done.partition == TOPIC:
                self._topic_asked = False
                if done.error is not None:
                    raise done.error  # a bug: crash, nothing is lost
                self.topic, self.asked_behind = done.result  # type: ignore[misc]
                continue
            held = self.held.get(done.partition)
            if held is None or held.epoch != done.epoch:
                continue
            if done.error is not None:
                self._stop(held, done.error)
                continue
            self.step(held, partial(tell, held.machine, done.name, done.result, now_s))

    def ask_redis(self, now_s: float) -> None:
        """Ask Redis all that is queued, again and again until nothing is, or it is away."""
        if now_s < self._redis_again_s:
            return
        while waiting := [held for held in self.held.values() if held.on_redis and not held.stopped]:
            try:
                self._ask_applies(waiting)
                self._ask_one_by_one(waiting)
            except Unavailable as error:
                self._redis_is_away(waiting, error, now_s)
                return
        self._redis_is_back()

    def _ask_applies(self, waiting: list[OwnedPartition]) -> None:
        asked: list[OwnedPartition] = []
        calls: list[Apply] = []
        for held in waiting:
            for operation in held.on_redis:
                if not isinstance(operation, Apply):
                    break
                asked.append(held)
                calls.append(operation)
        if not calls:
            return
        with self._recorder.stage("redis"):
            answers = self._aggregates.apply(calls)
        for held, call, answer in zip(asked, calls, answers, strict=True):
            self.now_ms = max(self.now_ms, answer.now_ms)
            held.on_redis.popleft()
            self._recorder.applied(call, answer)
            self._say_refused(answer)
            if call.delta is not None and answer.applied:
                self.changed_brands.update(call.delta.brands)
                self.changed_minutes_ms.update(call.delta.minutes_ms.tolist())
            self.step(held, partial(held.machine.applied, answer))

    def _say_refused(self, answer: Applied) -> None:
        for what, cells in (("brands", answer.refused_brands), ("networks", answer.refused_networks)):
            if cells and (quiet := self._repeats.kept_quiet(what)) is not None:
                log.warning("limit reached", what=what, cells=cells, repeated=quiet)

    def _ask_one_by_one(self, waiting: list[OwnedPartition]) -> None:
        for held in waiting:
            while held.on_redis and not isinstance(held.on_redis[0], Apply):
                operation, partition = held.on_redis[0], held.machine.number
                match operation:
                    case ReadCursor():
                        cursor = self._aggregates.cursor(partition)
                    case CreateCursor(start, watermark_ms, complete_from_ms):
                        cursor = self._aggregates.create_cursor(
                            partition, start, watermark_ms, complete_from_ms
                        )
                        log.info("cursor created", partition=partition, offset=cursor.next)
                    case AdvanceCursor(expected, to, watermark_ms, complete_from_ms):
                        cursor = self._aggregates.advance_cursor(
                            partition, expected, to, watermark_ms, complete_from_ms
                        )
                        log.warning("cursor jumped", partition=partition, expected=expected, to=to)
                held.on_redis.popleft()
                self.step(held, partial(held.machine.cursor_is, cursor))

    def _redis_is_away(self, waiting: list[OwnedPartition], error: Unavailable, now_s: float) -> None:
        if not self.redis_away:
            log.warning("redis lost", error=str(error), again_in_s=self._redis_pause_s)
        self.redis_away = True
        self._recorder.dependency("redis", up=False, detail=str(error))
        self._redis_again_s = now_s + self._redis_pause_s
        self._redis_pause_s = min(2 * self._redis_pause_s, REDIS_PAUSE_MAX_S)
        for held in waiting:
            self._interrupt(held)

    def _redis_is_back(self) -> None:
        if self.redis_away:
            log.info("redis found")
        self.redis_away, self._redis_pause_s = False, REDIS_PAUSE_FIRST_S
        self._recorder.dependency("redis", up=True)
        for held in self.held.values():
            if held.interrupted and not held.stopped and held.machine.phase is Phase.READING:
                held.machine.at_end = False  # to be seen again
                self._seek(held, held.machine.position)

    def _interrupt(self, held: OwnedPartition) -> None:
        """Pause a partition until Redis is back; what was read of it meanwhile is read again."""
        if not held.interrupted:
            self._source.pause(held.machine.number)
            held.interrupted = True

    def _seek(self, held: OwnedPartition, offset: int) -> None:
        self._source.seek(held.machine.number, offset)
        held.ahead, held.interrupted, held.sought = False, False, True

    def _ask_background(self, held: OwnedPartition, operation: Effect) -> None:
        partition, archive = held.machine.number, self._archive
        match operation:
            case FindPlanLog(committed):
                self._ask(held, "chain", lambda: archive.find_plan_log(partition, committed), lookup=True)
            case CreateLogOrigin():
                self._ask(held, "head", self._start_log, lookup=True)
            case ListPlans():
                self._ask(held, "plans", lambda: archive.plans(partition), lookup=True)
            case CreatePlan(plan):
                self._ask(held, "plan", lambda: archive.create_plan(partition, plan))
            case SendDeadLetters(rejected):
                self._recorder.letters(rejected)
                self._ask(held, "letters", lambda: self._letters.send(partition, rejected))
            case WriteRows(plan, parts):
                self._ask(held, "rows", lambda: archive.write_rows(partition, plan, parts))
            case CreateManifest(plan, manifest):
                self._recorder.chunk(manifest)
                self._ask(held, "manifest", lambda: archive.create_manifest(partition, plan, manifest))

    def _start_log(self) -> LogOrigin:
        return self._archive.create_log_origin(
            LogOrigin(policy=self._start, starts=self._source.starts(self._start))
        )

    def _ask(
        self, held: OwnedPartition, name: str, call: Callable[[], object], *, lookup: bool = False
    ) -> None:
        def timed() -> object:
            with self._recorder.stage("archive"):
                return call()

        self._background.submit(held.machine.number, held.epoch, name, timed, lookup=lookup)

    def _stop(self, held: OwnedPartition, error: BaseException) -> None:
        if not isinstance(error, StreamWorkerError):
            raise error  # a bug: crash, nothing is lost
        log.error("partition stopped", partition=held.machine.number, error=str(error))
        self._recorder.stopped()
        held.stopped = True
        held.on_redis.clear()
        self._source.pause(held.machine.number)
        self._background.cancel(held.machine.number, held.epoch)

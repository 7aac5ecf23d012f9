"""The worker's loop: poll → decode → score → fold → sinks → commit, in one thread that owns all state.

Rules:
1. The loop never waits but for records (`poll`) and for Redis; everything slow runs in the background.
2. Nothing has to be flushed when a partition is lost or the worker is killed. A flush at the end is a
   courtesy to the next owner.
3. The clock read here proposes when to report, seal and roll a chunk; it never decides what is counted
   (docs/design.md#r2).
"""

import threading
import time
from typing import Final

import structlog

from stream_worker.core.partition.inputs import (
    BufferDropped,
    EndReached,
    LogEndRead,
    RecordsPolled,
    Reply,
    ReportDue,
    Ticked,
)
from stream_worker.core.records.poll import Poll, TopicFacts
from stream_worker.errors import Unavailable, Unreadable
from stream_worker.observability.logs import Repeats
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.ports import Background, Source, TopicDescribed
from stream_worker.worker.effect_runner import EffectRunner
from stream_worker.worker.owned_partition import OwnedPartition
from stream_worker.worker.window_lifecycle import WindowLifecycle

POLL_S: Final = 0.2
EACH_S: Final = 1.0
CLOSING_S: Final = 0.25
FLUSH_S: Final = 8.0
REFRESH_SHARE_MAX: Final = 0.05  # of the loop's time
TOPIC_EACH_S: Final = 30.0

log = structlog.get_logger()


class Worker:
    """One worker process: its partitions, and its share of sealing and evaluating."""

    def __init__(
        self,
        *,
        source: Source,
        effect_runner: EffectRunner,
        windows: WindowLifecycle,
        background: Background[Reply | TopicDescribed],
        topic: TopicFacts,
        alignment_ms: int,
        memory_max_bytes: int,
        recorder: WorkerRecorder,
    ) -> None:
        self._source, self._effect_runner, self._windows = source, effect_runner, windows
        self._background, self._recorder = background, recorder
        self._topic = topic
        self._alignment_ms, self._memory_max_bytes = alignment_ms, memory_max_bytes
        self._repeats = Repeats()
        self._closing = False
        self._next_second_s = self._refresh_at_s = self._describe_topic_at_s = 0.0
        self._ends_requested_at_ms = 0

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop, or until the topic is another log; then leave in order."""
        while not stop.is_set() and not self.log_replaced:
            self.turn(0.0 if self._closing else POLL_S)
        self._leave()

    @property
    def log_replaced(self) -> bool:
        """Whether the topic was created anew: another log, with cursors and an archive of its own."""
        described = self._effect_runner.topic
        return described is not None and described.incarnation != self._topic.incarnation

    def turn(self, timeout_s: float) -> None:
        """One turn of the loop, top to bottom like the diagram."""
        self._effect_runner.polling()
        with self._recorder.stage("poll"):
            poll = self._source.poll(timeout_s)
        now_s = time.monotonic()
        self._take_assignment(poll)
        self._effect_runner.take_completions(now_s)
        for partition, records in poll.records.items():  # decode, flags, score, fold, buffer
            if (owned := self._effect_runner.taker(partition)) is not None:
                with self._recorder.stage("partition"):
                    self._effect_runner.deliver(owned, RecordsPolled(records), now_s)
        self._effect_runner.ask_redis(now_s)
        for partition, end in poll.ends.items():
            if (owned := self._effect_runner.taker(partition)) is not None:
                self._effect_runner.deliver(owned, EndReached(end), now_s)
        self._effect_runner.ask_redis(now_s)
        if now_s >= self._next_second_s:
            self._next_second_s = now_s + EACH_S
            self._each_second(now_s)
        if now_s >= self._describe_topic_at_s:
            self._describe_topic_at_s = now_s + TOPIC_EACH_S
            self._effect_runner.describe_topic()
        self._close_minutes(now_s)
        self._recorder.turned()

    def _take_assignment(self, poll: Poll) -> None:
        if poll.revoked or poll.assigned:
            self._recorder.rebalanced()
        for partition in poll.revoked:
            log.info("partition revoked", partition=partition)
            self._effect_runner.lose(partition)
        for partition in poll.assigned:
            log.info("partition assigned", partition=partition)
            self._effect_runner.gain(partition)
        for partition in poll.out_of_range:
            log.warning("partition out of range", partition=partition)
            self._source.pause(partition)
            self._effect_runner.gain(partition)

    def _each_second(self, now_s: float) -> None:
        """Report each partition, roll the chunks that are due, seal, refresh the view and align."""
        if self._effect_runner.topic is not None and not self.log_replaced:
            self._topic = self._effect_runner.topic
        self._report()
        self._bound_memory()
        for owned in self._running():
            self._effect_runner.deliver(owned, LogEndRead(self._source.log_end(owned.machine.number)))
            self._effect_runner.deliver(owned, Ticked(), now_s)
        self._effect_runner.ask_redis(now_s)
        if not self._effect_runner.redis_away:
            try:
                with self._recorder.stage("seal"):
                    self._seal()
                self._effect_runner.control_readable()
                with self._recorder.stage("draw"):
                    self._refresh_view(now_s)
            except (Unavailable, Unreadable) as error:
                self._log_postponed(error)
        self._align()
        self._describe(now_s)

    def _seal(self) -> None:
        """Seal; take the group from another log, once the broker has said that ours is the newer one."""
        described = self._effect_runner.topic
        ours = described is not None and described.incarnation == self._topic.incarnation
        older_log = self._effect_runner.newer_than if ours else ""
        if other_log := self._windows.seal(self._topic.partitions, older_log).other_log:
            self._effect_runner.describe_topic(newer_than=other_log)

    def _report(self) -> None:
        """Report every partition; a proof of idleness carries the time before the end was requested."""
        ends = self._source.answered_ends()
        idle = [owned.machine for owned in self._running() if owned.machine.caught_up and not owned.ahead]
        proved = {
            machine.number
            for machine in idle
            if ends and 0 <= ends.get(machine.number, -1) <= machine.position
        }
        proof_t0_ms = self._ends_requested_at_ms or None
        for owned in self._running():
            proof = proof_t0_ms if owned.machine.number in proved else None
            self._effect_runner.deliver(owned, ReportDue(paused=owned.ahead, proof_t0_ms=proof))
        if ends is not None:
            # The time must be older than the request: it is that of the last script's reply
            self._ends_requested_at_ms = self._effect_runner.now_ms
            self._source.ask_ends([owned.machine.number for owned in self._running()])

    def _align(self) -> None:
        """Pause partitions that are far ahead of the slowest one; a bound on memory, not on truth."""
        watermarks_ms = self._windows.sealed.stored_watermarks_ms
        if not watermarks_ms:
            return
        waited_for = [ms for p, ms in watermarks_ms.items() if p not in self._windows.sealed.idle]
        lowest_ms = min(waited_for, default=0)
        for owned in self._running():
            ahead_ms = watermarks_ms.get(owned.machine.number, lowest_ms) - lowest_ms
            ahead = bool(waited_for) and ahead_ms > self._alignment_ms
            if ahead and not owned.ahead:
                self._source.pause(owned.machine.number)
            elif owned.ahead and not ahead and not owned.interrupted:
                self._source.resume(owned.machine.number)
            owned.ahead = ahead

    def _bound_memory(self) -> None:
        """Drop the largest chunk buffers past the cap; they are read again when the store is back."""
        buffered = [(owned, owned.machine.archiving.chunk_buffer) for owned in self._running()]
        sizes = sorted(
            ((buffer.bytes, owned.machine.number) for owned, buffer in buffered if buffer is not None),
            reverse=True,
        )
        excess_bytes = sum(size for size, _ in sizes) - self._memory_max_bytes
        for size, number in sizes:
            owned = self._effect_runner.owned[number]
            if excess_bytes <= 0 or not owned.machine.archiving.on_its_way:
                continue
            self._effect_runner.deliver(owned, BufferDropped())
            log.warning("rows forgotten", partition=number, bytes=size)
            self._recorder.forgotten()
            excess_bytes -= size

    def _refresh_view(self, now_s: float) -> None:
        """Refresh the rolling view; while much is read at once it may take a bounded share of the time."""
        if now_s < self._refresh_at_s:
            return
        begun_s = time.monotonic()
        self._windows.refresh_view(self._effect_runner.changed_brands, self._effect_runner.changed_minutes_ms)
        self._effect_runner.changed_brands, self._effect_runner.changed_minutes_ms = set(), set()
        ended_s = time.monotonic()
        self._refresh_at_s = ended_s + (ended_s - begun_s) / REFRESH_SHARE_MAX - EACH_S

    def _describe(self, now_s: float) -> None:
        """Describe all partitions as metrics and health."""
        everything = list(self._effect_runner.owned.values())
        self._recorder.group(joined=self._source.joined(), partitions=len(everything))
        self._recorder.paused(
            ahead=sum(owned.ahead for owned in everything),
            redis=sum(owned.interrupted for owned in everything),
            stopped=sum(owned.stopped for owned in everything),
        )
        buffers = [owned.machine.archiving.chunk_buffer for owned in everything]
        self._recorder.buffers(
            buffered_bytes=sum(buffer.bytes for buffer in buffers if buffer),
            oldest_s=max((buffer.age_s(now_s) for buffer in buffers if buffer), default=0.0),
        )
        for owned in self._running():
            self._recorder.partition(owned.machine, self._effect_runner.now_ms)

    def _close_minutes(self, now_s: float) -> None:
        """Evaluate and close sealed minutes, for a bounded time per turn."""
        self._closing = False
        if self._effect_runner.redis_away:
            return
        try:
            with self._recorder.stage("close"):
                while self._windows.close_one():
                    if time.monotonic() - now_s > CLOSING_S:
                        self._closing = True  # more minutes wait: do not wait for records meanwhile
                        break
        except (Unavailable, Unreadable) as error:
            self._log_postponed(error)

    def _log_postponed(self, error: Unavailable | Unreadable) -> None:
        if isinstance(error, Unreadable):
            self._effect_runner.control_damaged(error)
        elif (quiet := self._repeats.kept_quiet(str(error))) is not None:
            log.warning("minutes postponed", error=str(error), repeated=quiet)

    def _running(self) -> list[OwnedPartition]:
        everything = self._effect_runner.owned.values()
        return [owned for owned in everything if owned.machine.reads and not owned.stopped]

    def _archives(self) -> bool:
        """Whether a chunk is on its way to the store."""
        return any(owned.machine.archiving.on_its_way for owned in self._running())

    def _leave(self) -> None:
        """Archive what is buffered if there is time, and leave the group."""
        deadline_s = time.monotonic() + FLUSH_S
        for owned in self._running():
            self._source.pause(owned.machine.number)
            self._effect_runner.deliver(owned, Ticked(flush=True), time.monotonic())
        while self._archives() and time.monotonic() < deadline_s:
            self._background.wait_idle(0.05)
            self._effect_runner.take_completions(time.monotonic())
        self._background.close(1.0)
        closing = threading.Thread(target=self._source.close, daemon=True)
        closing.start()
        closing.join(max(1.0, deadline_s - time.monotonic()))
        log.info("worker stopped", left_the_group=not closing.is_alive())

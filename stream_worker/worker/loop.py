"""The worker's loop: poll → decode → score → fold → sinks → commit, in one thread that owns all state.

Rules:
1. The loop never waits but for records (`poll`) and for Redis; everything slow runs in the background.
2. Nothing has to be flushed when a partition is lost or the worker is killed. A flush at the end is a
   courtesy to the next owner.
3. The clock read here proposes when to report, seal and cut; it never decides what is counted
   (docs/design.md#r2).
"""

import threading
import time
from functools import partial

import structlog

from stream_worker.core.partition.effects import Phase, TopicFacts
from stream_worker.core.records.poll import Poll
from stream_worker.errors import Unavailable
from stream_worker.observability.logs import Repeats
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.ports import Background, Source
from stream_worker.worker.effect_runner import EffectRunner
from stream_worker.worker.owned_partition import OwnedPartition
from stream_worker.worker.window_lifecycle import WindowLifecycle

POLL_S = 0.2
EACH_S = 1.0
CLOSING_S = 0.25
FLUSH_S = 8.0
DRAW_SHARE_MAX = 0.05
TOPIC_EACH_S = 30.0

log = structlog.get_logger()


class Worker:
    """One worker process: its partitions, and its share of sealing and judging."""

    def __init__(
        self,
        *,
        source: Source,
        performer: EffectRunner,
        minutes: WindowLifecycle,
        background: Background,
        topic: TopicFacts,
        alignment_ms: int,
        memory_max_bytes: int,
        recorder: WorkerRecorder,
    ) -> None:
        self._source, self._performer, self._minutes = source, performer, minutes
        self._background, self._recorder = background, recorder
        self._topic = topic
        self._alignment_ms, self._memory_max_bytes = alignment_ms, memory_max_bytes
        self._repeats = Repeats()
        self._closing = False
        self._next_second_s = self._draw_again_s = self._ask_topic_at_s = 0.0
        self._asked_at_ms = 0

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop, or until the topic is another log; then leave in order."""
        while not stop.is_set() and not self.log_replaced:
            self.turn(0.0 if self._closing else POLL_S)
        self._leave()

    @property
    def log_replaced(self) -> bool:
        """Whether the topic was created anew: another log, with cursors and an archive of its own."""
        asked = self._performer.topic
        return asked is not None and asked.incarnation != self._topic.incarnation

    def turn(self, timeout_s: float) -> None:
        """One turn of the loop, top to bottom like the diagram."""
        self._performer.polling()
        with self._recorder.stage("poll"):
            poll = self._source.poll(timeout_s)
        now_s = time.monotonic()
        self._take_assignment(poll)
        self._performer.take_completions(now_s)
        for partition, records in poll.records.items():  # decode, flags, score, fold, gather
            if (held := self._performer.taker(partition)) is not None:
                with self._recorder.stage("partition"):
                    self._performer.step(held, partial(held.machine.records, records, now_s))
        self._performer.ask_redis(now_s)
        for partition, end in poll.ends.items():
            if (held := self._performer.taker(partition)) is not None:
                self._performer.step(held, partial(held.machine.end_seen, end, now_s))
        self._performer.ask_redis(now_s)
        if now_s >= self._next_second_s:
            self._next_second_s = now_s + EACH_S
            self._each_second(now_s)
        if now_s >= self._ask_topic_at_s:
            self._ask_topic_at_s = now_s + TOPIC_EACH_S
            self._performer.ask_topic()
        self._close_minutes(now_s)
        self._recorder.turned()

    def _take_assignment(self, poll: Poll) -> None:
        if poll.revoked or poll.assigned:
            self._recorder.rebalanced()
        for partition in poll.revoked:
            log.info("partition revoked", partition=partition)
            self._performer.lose(partition)
        for partition in poll.assigned:
            log.info("partition assigned", partition=partition)
            self._performer.gain(partition)
        for partition in poll.out_of_range:
            log.warning("partition out of range", partition=partition)
            self._source.pause(partition)
            self._performer.gain(partition)

    def _each_second(self, now_s: float) -> None:
        """Report each partition, cut what is due, seal, align and draw."""
        if self._performer.topic is not None and not self.log_replaced:
            self._topic = self._performer.topic
        self._report()
        self._bound_memory()
        for held in self._running():
            held.machine.counting.log_end = self._source.log_end(held.machine.number)
            self._performer.step(held, partial(held.machine.tick, now_s))
        self._performer.ask_redis(now_s)
        if not self._performer.redis_away:
            try:
                with self._recorder.stage("seal"):
                    self._seal()
                with self._recorder.stage("draw"):
                    self._draw(now_s)
            except Unavailable as error:
                self._say_postponed(error)
        self._align()
        self._describe(now_s)

    def _seal(self) -> None:
        """Seal; take the group from another log, once the broker has said that ours is the newer one."""
        asked = self._performer.topic
        ours = asked is not None and asked.incarnation == self._topic.incarnation
        older_log = self._performer.asked_behind if ours else ""
        if other_log := self._minutes.seal(self._topic.partitions, older_log).other_log:
            self._performer.ask_topic(behind=other_log)

    def _report(self) -> None:
        """Report every partition; one proved idle with the time before its end was asked for."""
        ends = self._source.answered_ends()
        idle = [held for held in self._running() if held.machine.caught_up and not held.ahead]
        proved = {
            held.machine.number
            for held in idle
            if ends and 0 <= ends.get(held.machine.number, -1) <= held.machine.position
        }
        asked_at_ms = self._asked_at_ms
        for held in self._running():
            proof_t0_ms = asked_at_ms if held.machine.number in proved and asked_at_ms else None
            self._performer.step(
                held, partial(held.machine.report, paused=held.ahead, proof_t0_ms=proof_t0_ms)
            )
        if ends is not None:
            # The time must be older than the question: it is that of the last script's answer
            self._asked_at_ms = self._performer.now_ms
            self._source.ask_ends([held.machine.number for held in self._running()])

    def _align(self) -> None:
        """Pause partitions that are far ahead of the slowest one; a bound on memory, not on truth."""
        watermarks_ms = self._minutes.sealed.stored_watermarks_ms
        if not watermarks_ms:
            return
        waited_for = [ms for p, ms in watermarks_ms.items() if p not in self._minutes.sealed.idle]
        lowest_ms = min(waited_for, default=0)
        for held in self._running():
            ahead_ms = watermarks_ms.get(held.machine.number, lowest_ms) - lowest_ms
            ahead = bool(waited_for) and ahead_ms > self._alignment_ms
            if ahead and not held.ahead:
                self._source.pause(held.machine.number)
            elif held.ahead and not ahead and not held.interrupted:
                self._source.resume(held.machine.number)
            held.ahead = ahead

    def _bound_memory(self) -> None:
        """Forget the largest gathered rows past the cap; they are read again when the store is back."""
        chunk_buffer = [(held, held.machine.archiving.chunk_buffer) for held in self._running()]
        sizes = sorted(((g.bytes, h.machine.number) for h, g in chunk_buffer if g is not None), reverse=True)
        excess_bytes = sum(size for size, _ in sizes) - self._memory_max_bytes
        for size, number in sizes:
            if excess_bytes <= 0 or not self._performer.held[number].machine.archiving.on_its_way:
                continue
            self._performer.held[number].machine.archiving.forget()
            log.warning("rows forgotten", partition=number, bytes=size)
            self._recorder.forgotten()
            excess_bytes -= size

    def _draw(self, now_s: float) -> None:
        """Draw the rolling view; while much is read at once it may take a bounded share of the time."""
        if now_s < self._draw_again_s:
            return
        begun_s = time.monotonic()
        self._minutes.refresh_view(self._performer.changed_brands, self._performer.changed_minutes_ms)
        self._performer.changed_brands, self._performer.changed_minutes_ms = set(), set()
        ended_s = time.monotonic()
        self._draw_again_s = ended_s + (ended_s - begun_s) / DRAW_SHARE_MAX - EACH_S

    def _describe(self, now_s: float) -> None:
        """Show where everything stands, as metrics and health."""
        held = list(self._performer.held.values())
        self._recorder.group(joined=self._source.joined(), partitions=len(held))
        self._recorder.paused(
            ahead=sum(one.ahead for one in held),
            redis=sum(one.interrupted for one in held),
            stopped=sum(one.stopped for one in held),
        )
        chunk_buffer = [one.machine.archiving.chunk_buffer for one in held]
        self._recorder.buffers(
            gathered_bytes=sum(rows.bytes for rows in chunk_buffer if rows),
            oldest_s=max((rows.age_s(now_s) for rows in chunk_buffer if rows), default=0.0),
        )
        for one in self._running():
            self._recorder.partition(one.machine, one.machine.counting.log_end, self._performer.now_ms)

    def _close_minutes(self, now_s: float) -> None:
        """Judge and close sealed minutes, for a bounded time per turn."""
        self._closing = False
        if self._performer.redis_away:
            return
        try:
            with self._recorder.stage("close"):
                while self._minutes.close_one():
                    if time.monotonic() - now_s > CLOSING_S:
                        self._closing = True  # more wait: do not wait for records meanwhile
                        break
        except Unavailable as error:
            self._say_postponed(error)

    def _say_postponed(self, error: Unavailable) -> None:
        if (quiet := self._repeats.kept_quiet(str(error))) is not None:
            log.warning("minutes postponed", error=str(error), repeated=quiet)

    def _running(self) -> list[OwnedPartition]:
        held = self._performer.held.values()
        return [one for one in held if one.machine.phase is Phase.READING and not one.stopped]

    def _archives(self) -> bool:
        """Whether a chunk is on its way to the store."""
        return any(held.machine.archiving.on_its_way for held in self._running())

    def _leave(self) -> None:
        """Archive what was gathered if there is time, and leave the group."""
        deadline_s = time.monotonic() + FLUSH_S
        for held in self._running():
            self._source.pause(held.machine.number)
            self._performer.step(held, partial(held.machine.tick, time.monotonic(), flush=True))
        while self._archives() and time.monotonic() < deadline_s:
            self._background.wait_idle(0.05)
            self._performer.take_completions(time.monotonic())
        self._background.close(1.0)
        closing = threading.Thread(target=self._source.close, daemon=True)
        closing.start()
        closing.join(max(1.0, deadline_s - time.monotonic()))
        log.info("worker stopped", left_the_group=not closing.is_alive())

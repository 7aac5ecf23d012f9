"""The step machine of one partition: answers and records in, operations out.

Rules:
1. Pure. No clock, no I/O: the loop and the simulator perform the operations and bring back the answers.
2. Two cursors, each kept by its sink with its data: `archived` (the end of the plan chain) and `counted`
   (the cursor in Redis). Kafka's committed offset is a hint. Reading begins below the smaller one.
3. Every seek empties the memory of the horizon and drops what was gathered; reading begins a horizon earlier
   and only refills the memory until `live_from`. From there on every record is a pure function of the log.
4. While an answer from Redis is awaited (`waits`), the loop brings no more records.
5. Retention, an operator's skip and a lost or rolled back Redis all end in `_reconcile`: one way to begin.

The steps of an assignment (numbers as in docs/guarantees.md):
    A1 find the chain   A2 first start: create the head   A3 read the cursor, create it where it is missing
    A4 close what the log has lost   A5 jump a cursor that lies below the log   A6 seek to the horizon
The steps of a micro-batch:
    B1 decode   B2 flags from the horizon, watermark, late   B3 score   B4 fold and apply   B5 gather
"""

from collections.abc import Callable, Sequence

import numpy as np

from stream_worker.core.archive.layout import LogOrigin, Plan, StoredObject
from stream_worker.core.partition.archiving import Archiving
from stream_worker.core.partition.chunk_buffer import RollLimits, part_from
from stream_worker.core.partition.counting import Counting, CursorState, PendingBatch
from stream_worker.core.partition.effects import (
    AdvanceCursor,
    Applied,
    CreateCursor,
    CreateLogOrigin,
    Cursor,
    Effect,
    FindPlanLog,
    ListPlans,
    LogPosition,
    Phase,
    PlanLog,
    ReadCursor,
    ScoredBatch,
    Seek,
)
from stream_worker.core.partition.recovery import (
    advance_target,
    dedup_window_base,
    first_offset,
    lost_redis_start,
)
from stream_worker.core.records.batch import (
    Flags,
    MentionBatch,
    Records,
    Rejected,
    ScoreColumns,
    slice_records,
)
from stream_worker.core.records.decode import decode
from stream_worker.core.records.dedup import DedupWindow, Keys
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.watermark import complete_from_ms, late, watermarks_ms
from stream_worker.errors import Unreadable

Score = Callable[[Sequence[str]], ScoreColumns]


class PartitionMachine:
    """One partition from its assignment to its loss."""

    def __init__(
        self, number: int, *, limits: Limits, cut_limits: RollLimits, keys: Keys, score: Score, model: str
    ) -> None:
        self.number = number
        self.phase = Phase.ASSIGNING
        self.position = 0  # the next offset to be read
        self.watermark_ms = 0  # before `position`
        self.at_end = False  # the log's end was seen behind the last record
        self.rollbacks = 0
        self.archiving = Archiving(limits, cut_limits)
        self.counting = Counting(number)
        self._limits = limits
        self._score = score
        self._model = model
        self._dedup_window = DedupWindow(limits.dedup_window_offsets, limits.dedup_window_ms, keys)
        self._live_from = 0
        self._log = LogPosition(0, 0, -1)
        self._head: LogOrigin | None = None
        self._chain_end: Plan | None = None  # the newest plan, finished or not
        self._cursor: Cursor | None = None
        self._readable_from = 0  # records below it are lost or skipped: Redis jumps over them
        self._skips_known = False  # whether a plan that was skipped before the newest one would be known
        self._closing_gap = False

    @property
    def waits(self) -> bool:
        """Whether Redis owes an answer; no records are taken until then."""
        return self.counting.waits

    @property
    def caught_up(self) -> bool:
        """Whether everything up to the log's end, as far as it was seen, is counted."""
        reading = self.phase is Phase.READING and self.at_end and not self.waits
        return reading and self.position == self.counting.counted

    # The assignment

    def assigned(self, log: LogPosition) -> list[Effect]:
        """A1: the partition is ours, or its position fell out of the log: look everything up."""
        self.phase, self._log, self._readable_from = Phase.ASSIGNING, log, log.log_start
        return [FindPlanLog(log.committed)]

    def chain_is(self, chain: PlanLog) -> list[Effect]:
        """A2: the chain was found; without a head this is the first start of the log."""
        if chain.head is None:
            return [CreateLogOrigin()]
        self._head, self._chain_end = chain.head, chain.last
        self.archiving.log_begins(self._log.log_start, dedup_window_base(chain.head, self.number))
        if chain.last is None:
            self.archiving.begin(first_offset(chain.head, self.number), 0, None)
        elif chain.done:
            self.archiving.begin(chain.last.end, chain.last.watermark_end, None)
        else:
            self.archiving.begin(chain.last.start, chain.last.watermark_start, chain.last)
        if chain.last is not None and chain.last.kind == "skipped":
            self._readable_from = max(self._readable_from, chain.last.end)
        return [ReadCursor()]

    def head_is(self, head: LogOrigin) -> list[Effect]:
        """A2: the head is there, by us or somebody else."""
        return self.chain_is(PlanLog(head, None, done=False))

    def cursor_is(self, cursor: Cursor | None) -> list[Effect]:
        """A3: the cursor in Redis; where there is none, it is created on a boundary of the chain."""
        assert self._head is not None
        self.phase = Phase.ASSIGNING
        if cursor is not None:
            self._cursor = cursor
            return self._reconcile()
        if self._chain_end is None:
            start = first_offset(self._head, self.number)
            return [CreateCursor(start, 0, self._complete_from_ms(0))]
        self._cursor = None
        return [ListPlans()]

    def plans_are(self, plans: list[Plan]) -> list[Effect]:
        """A3, A5: the whole chain: where to count again after Redis was lost, or to jump to."""
        assert self._head is not None
        if self._cursor is None:
            base, dedup_window = dedup_window_base(self._head, self.number), self._limits.dedup_window_offsets
            at = lost_redis_start(
                plans, log_start=self._log.log_start, dedup_window_offsets=dedup_window, base=base
            )
            return [CreateCursor(at.next, at.watermark_ms, self._complete_from_ms(at.watermark_ms))]
        self._skips_known = True
        self._readable_from = max([self._readable_from, *(p.end for p in plans if p.kind == "skipped")])
        if self._cursor.next >= self._readable_from:
            return self._reconcile()
        target = advance_target(plans, self._readable_from)
        assert target is not None, "what the log lost is closed before a cursor jumps"
        floor = self._complete_from_ms(max(target.watermark_ms, self._cursor.watermark_ms))
        return [AdvanceCursor(self._cursor.next, target.next, target.watermark_ms, floor)]

    def _complete_from_ms(self, watermark_ms: int) -> int:
        return complete_from_ms(watermark_ms, self._limits.lateness_ms, self._limits.future_ms)

    def _reconcile(self) -> list[Effect]:
        """A4 to A6: close what the log has lost, jump over it, and seek."""
        assert self._cursor is not None
        self._closing_gap = self.archiving.in_gap
        if self._closing_gap:
            return self.archiving.advance(0.0)
        older = self._chain_end is not None and self._cursor.next < self._chain_end.start
        if self._cursor.next < self._readable_from or (older and not self._skips_known):
            return [ListPlans()]
        self.counting.begin(self._cursor)
        return self._seek()

    def _seek(self) -> list[Effect]:
        """A6: read on from the smaller cursor; the horizon before it only refills the memory."""
        assert self._cursor is not None
        needed, log_start = self.archiving.needed_from, self._log.log_start
        if needed <= self._cursor.next:
            self.watermark_ms = self.archiving.needed_watermark_ms
        else:
            self.watermark_ms = self._cursor.watermark_ms
        self._live_from = max(min(needed, self._cursor.next), log_start)
        known_end = max(self._log.log_end, self.position)  # a log that was cut off tells it by its end
        self.position = max(log_start, min(self._live_from - self._limits.dedup_window_offsets, known_end))
        self.at_end = False
        self._dedup_window.clear()
        self.archiving.read_again()
        self.phase = Phase.READING
        return [Seek(self.position)]

    # The micro-batch

    def records(self, records: Records, now_s: float) -> list[Effect]:
        """B1 to B5: take the next records of the log."""
        assert self.phase is Phase.READING
        assert not self.waits
        refill = int(np.searchsorted(records.offsets, self._live_from))
        if refill:
            self._refill(slice_records(records, 0, refill))
            records = slice_records(records, refill, len(records.offsets))
        if not len(records.offsets):
            return []
        columns, rejected = decode(records, self._limits)
        part, watermark_ms = self._measure(columns)
        self.position, self.watermark_ms, self.at_end = records.offsets[-1] + 1, watermark_ms, False
        value_bytes = sum(map(len, filter(None, records.values)))
        return self._take(part, rejected, value_bytes, now_s)

    def end_seen(self, offset: int, now_s: float) -> list[Effect]:
        """The log ends at `offset` for now; offsets before it that were not read hold no record for us."""
        if self.phase is not Phase.READING or self.waits or offset < self.position:
            return []
        operations: list[Effect] = []
        if offset < self._live_from:
            raise Unreadable(
                f"partition {self.number}: the log ends at {offset}, before the stored cursor "
                f"{self._live_from}; was the topic truncated? See `stream-worker skip`"
            )
        if offset > self.position:
            self.position = offset
            if offset > self._live_from:
                empty, _ = self._measure(decode(Records([], [], []), self._limits)[0])
                operations = self._take(empty, [], 0, now_s)
        self.at_end = True
        return operations

    def _refill(self, records: Records) -> None:
        columns, _ = decode(records, self._limits)
        self._dedup_window.add(columns)
        self.position = records.offsets[-1] + 1

    def _measure(self, columns: MentionBatch) -> tuple[ScoredBatch, int]:
        """B2, B3: flags and scores of the next mentions, and the watermark behind them."""
        duplicate, copy, voice = self._dedup_window.add(columns)
        before_ms, after_ms = watermarks_ms(columns, self.watermark_ms, self._limits.lateness_ms)
        flags = Flags(duplicate, copy, voice, late(columns, before_ms), before_ms)
        return ScoredBatch(columns, flags, self._score(columns.texts), self._model), after_ms

    def _take(
        self, part: ScoredBatch, rejected: list[Rejected], value_bytes: int, now_s: float
    ) -> list[Effect]:
        """B4, B5: hand the batch to both sinks, each from its own cursor on."""
        chunk_buffer = self.archiving.chunk_buffer
        if chunk_buffer is not None:
            letters = [letter for letter in rejected if letter.offset >= chunk_buffer.position]
            self.archiving.add(
                part_from(part, chunk_buffer.position),
                letters,
                position=self.position,
                watermark_ms=self.watermark_ms,
                value_bytes=value_bytes,
                now_s=now_s,
            )
        calls = self.counting.add(PendingBatch(part, self.position, self.watermark_ms))
        return [*calls, *self.archiving.advance(now_s)]

    # Redis

    def applied(self, answer: Applied) -> list[Effect]:
        """Take the answer of the apply script."""
        redis, calls = self.counting.applied(answer)
        if redis is CursorState.FINE:
            return list(calls)
        self.rollbacks += 1
        self.counting.begin(Cursor(0, 0))
        return self.cursor_is(answer.cursor)  # behind us, or gone: begin again from what is stored

    def report(self, *, paused: bool, proof_t0_ms: int | None = None) -> list[Effect]:
        """Tell Redis that this partition lives, or, with the time before its end was asked for, is idle."""
        if self.phase is not Phase.READING or self.waits:
            return []
        return list(self.counting.report(self.watermark_ms, paused=paused, proof_t0_ms=proof_t0_ms))

    # The archive

    def plan_is(self, plan: Plan, now_s: float) -> list[Effect]:
        """The next plan is fixed."""
        self.archiving.plan_is(plan)
        self._chain_end = plan
        if self.phase is Phase.READING and self.archiving.chunk_buffer is None and plan.kind == "data":
            return self._seek_back()  # forgotten while the store was away: it is back
        operations = self.archiving.advance(now_s)
        if self._closing_gap and not operations:
            return self._reconcile()  # somebody's plan reaches beyond the gap: read on to its end
        return operations

    def letters_sent(self) -> list[Effect]:
        """The dead letters of the chunk are stored."""
        return self.archiving.letters_sent()

    def rows_written(self, objects: list[StoredObject]) -> list[Effect]:
        """The rows of the chunk are stored."""
        return self.archiving.rows_written(objects)

    def manifest_written(self, now_s: float) -> list[Effect]:
        """The chunk is done."""
        plan = self.archiving.plan
        assert plan is not None
        done = self.archiving.manifest_written()
        if plan.kind == "skipped":
            self._readable_from = max(self._readable_from, plan.end)
            return [*done, ReadCursor()]
        if self._closing_gap:
            return [*done, *self._reconcile()]
        if self.phase is Phase.ASSIGNING:
            return done
        if self.archiving.chunk_buffer is None:
            return [*done, *self._seek_back()]
        return [*done, *self.archiving.advance(now_s)]

    def tick(self, now_s: float, *, flush: bool = False) -> list[Effect]:
        """Time has passed: a chunk may be due."""
        return self.archiving.advance(now_s, flush=flush) if self.phase is Phase.READING else []

    def _seek_back(self) -> list[Effect]:
        """Read again what was forgotten; what is counted already is skipped by its cursor."""
        self._cursor = self.counting.cursor
        return self._seek()

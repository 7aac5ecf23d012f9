"""The step machine of one partition: inputs in, effects out.

Rules:
1. Pure. No clock, no I/O: the loop and the simulator run the effects and bring back the replies.
2. Nobody writes into the machine. What it must know comes as an input (inputs.py), and an input that its
   state does not allow is a broken invariant, never taken for something else.
3. Two cursors, each kept by its sink with its data: `archived` (the end of the plan log) and `counted` (the
   cursor in Redis). Kafka's committed offset is a hint. Reading begins below the smaller one.
4. Every seek empties the dedup window and drops what is buffered; reading begins one window earlier and only
   refills it until `live_from`. From there on every record is a pure function of the log.
5. While Redis owes a reply (`waits`), the machine takes no more records.
6. Records come with rising offsets, at or after `position`. Others would be archived under a wrong range.

Theory of operation. An assignment looks up both cursors and brings them into the log that is still there; its
steps have the numbers of docs/guarantees.md:

    A1 find the plan log   A2 first start: create the origin   A3 read the cursor, or create it
    A4 close what the log has lost   A5 advance a cursor that lies below the log   A6 seek to the dedup window

Then records are read, batch by batch:

    B1 decode   B2 flags from the dedup window, watermark, late   B3 score   B4 fold and apply   B5 buffer

The states, and what may happen in each, stand in states.py. Retention, an operator's skip and a Redis that
was lost or went back all end in `_reconcile`: there is one way to begin. Archiving (archiving.py) goes on
beside all of that, and its replies come in any state behind A2.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

import numpy as np

from stream_worker.core.archive.layout import LogOrigin, Plan
from stream_worker.core.partition.archiving import Archiving
from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.counting import Counting, CursorState, PendingBatch
from stream_worker.core.partition.effects import (
    AdvanceCursor,
    AnyEffect,
    CreateCursor,
    CreateOrigin,
    FindPlanLog,
    ListPlans,
    ReadCursor,
    ReadPosition,
    Seek,
)
from stream_worker.core.partition.inputs import (
    Applied,
    BufferDropped,
    Cursor,
    CursorRead,
    DeadLettersSent,
    EndReached,
    Input,
    LogEndRead,
    LogPosition,
    ManifestCreated,
    OriginCreated,
    PlanCreated,
    PlanLog,
    PlanLogFound,
    PlansListed,
    PositionRead,
    ReadAgain,
    RecordsPolled,
    ReportDue,
    RowsWritten,
    Ticked,
)
from stream_worker.core.partition.recovery import (
    advance_target,
    dedup_window_base,
    first_offset,
    lost_redis_start,
)
from stream_worker.core.partition.states import TRANSITIONS, State
from stream_worker.core.records.batch import (
    Flags,
    MentionBatch,
    Records,
    Rejected,
    ScoreColumns,
    ScoredBatch,
    scored_from,
    slice_records,
)
from stream_worker.core.records.decode import decode
from stream_worker.core.records.dedup import DedupWindow, Keys
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.poll import rising_from
from stream_worker.core.records.watermark import complete_from_ms, late, watermarks_ms
from stream_worker.errors import BrokenInvariant, Unreadable

Score = Callable[[Sequence[str]], ScoreColumns]


class PartitionMachine:
    """One partition from its assignment to its loss."""

    def __init__(
        self,
        number: int,
        *,
        limits: Limits,
        roll_limits: RollLimits,
        keys: Keys,
        score: Score,
        model: str,
    ) -> None:
        self.number = number
        self.state = State.STARTING
        self.position = 0  # the next offset to be read
        self.watermark_ms = 0  # before `position`
        self.at_end = False  # the log's end was seen behind the last record
        self.rollbacks = 0
        self.archiving = Archiving(limits, roll_limits)
        self.counting = Counting(number)
        self._limits = limits
        self._score = score
        self._model = model
        self._dedup_window = DedupWindow(limits.dedup_window_offsets, limits.dedup_window_ms, keys)
        self._live_from = 0
        self._log_reaches = 0  # the log must be at least so long: a stored cursor stood there
        self._log = LogPosition(0, 0, -1)
        self._origin: LogOrigin | None = None
        self._last_plan: Plan | None = None  # the newest one, finished or not
        self._cursor: Cursor | None = None
        self._readable_from = 0  # records below it are lost or skipped: Redis advances over them
        self._skips_known = False  # whether a plan that was skipped before the newest one would be known

    @property
    def reads(self) -> bool:
        """Whether the assignment is done, and records are read."""
        return self.state is State.READING

    @property
    def waits(self) -> bool:
        """Whether Redis owes a reply; no records are taken until then."""
        return self.counting.waits

    @property
    def takes_records(self) -> bool:
        """Whether records may come now."""
        return self.reads and not self.waits

    @property
    def caught_up(self) -> bool:
        """Whether everything up to the log's end, as far as it was seen, is counted."""
        return self.takes_records and self.at_end and self.position == self.counting.counted

    def start(self) -> list[AnyEffect]:
        """Begin the assignment."""
        assert self.state is State.STARTING
        return [ReadPosition()]

    def handle(self, event: Input, now_s: float = 0.0) -> list[AnyEffect]:
        """Take an input; return what is to be done about it. `now_s` only proposes when a chunk ends.

        Raises BrokenInvariant for an input that the state does not allow, Unreadable when the log contradicts
        what is stored.
        """
        before = self.state
        allowed = TRANSITIONS[before].get(type(event))
        if allowed is None:
            raise BrokenInvariant(
                f"partition {self.number}: {type(event).__name__} came while {before.value}"
            )
        effects = self._dispatch(event, now_s)
        if self.state not in allowed:
            led = f"led from {before.value} to {self.state.value}"
            raise BrokenInvariant(f"partition {self.number}: {type(event).__name__} {led}")
        return effects

    def _dispatch(self, event: Input, now_s: float) -> list[AnyEffect]:  # noqa: C901, PLR0911, PLR0912 - a table
        match event:
            case PositionRead(log):
                return self._position_read(log)
            case PlanLogFound(log):
                return self._plan_log_found(log)
            case OriginCreated(origin):
                return self._plan_log_found(PlanLog(origin, None, finished=False))
            case CursorRead(cursor):
                return self._cursor_read(cursor)
            case PlansListed(plans):
                return self._plans_listed(plans)
            case RecordsPolled(records):
                return self._records_polled(records, now_s)
            case EndReached(offset):
                return self._end_reached(offset, now_s)
            case Applied():
                return self._applied(event)
            case ReportDue():
                return self._report_due(event)
            case Ticked(flush):
                return self.archiving.advance(now_s, flush=flush)
            case LogEndRead(offset):
                self.counting.log_end = offset
                return []
            case PlanCreated(plan):
                return self._plan_created(plan, now_s)
            case DeadLettersSent():
                return self.archiving.dead_letters_sent()
            case RowsWritten(objects):
                return self.archiving.rows_written(objects)
            case ManifestCreated():
                return self._manifest_created(now_s)
            case BufferDropped():
                self.archiving.drop_buffer()
                return []
            case ReadAgain():
                self.at_end = False  # to be seen again
                return [Seek(self.position)]
            case _:
                assert_never(event)

    # The assignment

    def _position_read(self, log: LogPosition) -> list[AnyEffect]:
        """A1: the partition is ours: look up the plan log."""
        self._log, self._readable_from = log, log.log_start
        self.state = State.LOOKING_UP
        return [FindPlanLog(log.committed)]

    def _plan_log_found(self, log: PlanLog) -> list[AnyEffect]:
        """A2: without an origin this is the first start of the log; else read the cursor in Redis."""
        if log.origin is None:
            self.state = State.CREATING_ORIGIN
            return [CreateOrigin()]
        self._origin, self._last_plan = log.origin, log.last
        self.archiving.log_begins(self._log.log_start, dedup_window_base(log.origin, self.number))
        if log.last is None:
            self.archiving.begin(first_offset(log.origin, self.number), 0, None)
        elif log.finished:
            self.archiving.begin(log.last.end, log.last.watermark_end, None)
        else:
            self.archiving.begin(log.last.start, log.last.watermark_start, log.last)
        if log.last is not None and log.last.kind == "skipped":
            self._readable_from = max(self._readable_from, log.last.end)
        return self._read_cursor()

    def _read_cursor(self) -> list[AnyEffect]:
        self.state = State.READING_CURSOR
        return [ReadCursor()]

    def _cursor_read(self, cursor: Cursor | None) -> list[AnyEffect]:
        """A3: the cursor in Redis; where there is none, it is created on a boundary of the plan log."""
        assert self._origin is not None
        self._cursor = cursor
        if cursor is not None:
            return self._reconcile()
        if self._last_plan is None:
            return self._create_cursor(Cursor(first_offset(self._origin, self.number), 0))
        return self._list_plans()

    def _create_cursor(self, at: Cursor) -> list[AnyEffect]:
        self.state = State.READING_CURSOR
        return [CreateCursor(at.next, at.watermark_ms, self._complete_from_ms(at.watermark_ms))]

    def _list_plans(self) -> list[AnyEffect]:
        self.state = State.LISTING_PLANS
        return [ListPlans()]

    def _plans_listed(self, plans: list[Plan]) -> list[AnyEffect]:
        """A3, A5: the whole plan log: where to count again after Redis was lost, or to advance to."""
        assert self._origin is not None
        if self._cursor is None:
            return self._create_cursor(
                lost_redis_start(
                    plans,
                    log_start=self._log.log_start,
                    dedup_window_offsets=self._limits.dedup_window_offsets,
                    base=dedup_window_base(self._origin, self.number),
                )
            )
        self._skips_known = True
        self._readable_from = max([self._readable_from, *(p.end for p in plans if p.kind == "skipped")])
        if self._cursor.next >= self._readable_from:
            return self._reconcile()
        target = advance_target(plans, self._readable_from)
        assert target is not None, "what the log lost is closed before a cursor advances"
        complete_from = self._complete_from_ms(max(target.watermark_ms, self._cursor.watermark_ms))
        self.state = State.READING_CURSOR
        return [AdvanceCursor(self._cursor.next, target.next, target.watermark_ms, complete_from)]

    def _complete_from_ms(self, watermark_ms: int) -> int:
        return complete_from_ms(watermark_ms, self._limits.lateness_ms, self._limits.future_ms)

    def _reconcile(self) -> list[AnyEffect]:
        """A4 to A6: close what the log has lost, advance over it, and seek."""
        assert self._cursor is not None
        if self.archiving.in_gap:
            self.state = State.CLOSING_GAP
            return self.archiving.advance(0.0)
        older = self._last_plan is not None and self._cursor.next < self._last_plan.start
        if self._cursor.next < self._readable_from or (older and not self._skips_known):
            return self._list_plans()
        self.counting.begin(self._cursor)
        return self._seek()

    def _seek(self) -> list[AnyEffect]:
        """A6: read on from the smaller cursor; the records of one dedup window before it only refill that."""
        assert self._cursor is not None
        needed, log_start = self.archiving.needed_from, self._log.log_start
        if needed <= self._cursor.next:
            self.watermark_ms = self.archiving.needed_watermark_ms
        else:
            self.watermark_ms = self._cursor.watermark_ms
        self._live_from = max(min(needed, self._cursor.next), log_start)
        self._log_reaches = max(self._live_from, self._cursor.next)
        known_end = max(self._log.log_end, self.position)  # a log that was cut off shows by its end
        self.position = max(log_start, min(self._live_from - self._limits.dedup_window_offsets, known_end))
        self.at_end = False
        self._dedup_window.clear()
        self.archiving.read_again()
        self.state = State.READING
        return [Seek(self.position)]

    # The micro-batch

    def _records_polled(self, records: Records, now_s: float) -> list[AnyEffect]:
        """B1 to B5: take the next records of the log."""
        assert not self.waits, "no records are taken while Redis owes a reply"
        offsets = np.asarray(records.offsets, np.int64)
        if not len(offsets):
            return []
        if rising_from(offsets, self.position) < len(offsets):
            raise BrokenInvariant(
                f"partition {self.number}: records do not rise from {self.position}: "
                f"they begin at {offsets[0]} and end at {offsets[-1]}"
            )
        refill = int(np.searchsorted(offsets, self._live_from))
        if refill:
            self._refill(slice_records(records, 0, refill))
            records = slice_records(records, refill, len(offsets))
        if refill == len(offsets):
            return []
        columns, rejected = decode(records, self._limits)
        scored, watermark_ms = self._measure(columns)
        self.position, self.watermark_ms, self.at_end = records.offsets[-1] + 1, watermark_ms, False
        value_bytes = sum(map(len, filter(None, records.values)))
        return self._take(scored, rejected, value_bytes, now_s)

    def _end_reached(self, offset: int, now_s: float) -> list[AnyEffect]:
        """The log ends here for now: it holds nothing for us between `position` and `offset`."""
        if self.waits or offset < self.position:
            return []
        if offset < self._log_reaches:
            raise Unreadable(
                f"partition {self.number}: the log ends at {offset}, before the stored cursor "
                f"{self._log_reaches}; was the topic truncated, or is this the Redis of another cluster? "
                "See `stream-worker skip`"
            )
        effects: list[AnyEffect] = []
        if offset > self.position:
            self.position = offset
            if offset > self._live_from:
                empty, _ = self._measure(decode(Records([], [], []), self._limits)[0])
                effects = self._take(empty, [], 0, now_s)
        self.at_end = True
        return effects

    def _refill(self, records: Records) -> None:
        columns, _ = decode(records, self._limits)
        self._dedup_window.add(columns)
        self.position = records.offsets[-1] + 1

    def _measure(self, columns: MentionBatch) -> tuple[ScoredBatch[MentionBatch], int]:
        """B2, B3: flags and scores of the next mentions, and the watermark behind them."""
        duplicate, copy, voice = self._dedup_window.add(columns)
        before_ms, after_ms = watermarks_ms(columns, self.watermark_ms, self._limits.lateness_ms)
        flags = Flags(duplicate, copy, voice, late(columns, before_ms), before_ms)
        return ScoredBatch(columns, flags, self._score(columns.texts), self._model), after_ms

    def _take(
        self, scored: ScoredBatch[MentionBatch], rejected: list[Rejected], value_bytes: int, now_s: float
    ) -> list[AnyEffect]:
        """B4, B5: hand the batch to both sinks, each from its own cursor on."""
        chunk_buffer = self.archiving.chunk_buffer
        if chunk_buffer is not None:
            self.archiving.add(
                scored_from(scored, chunk_buffer.position),
                [record for record in rejected if record.offset >= chunk_buffer.position],
                position=self.position,
                watermark_ms=self.watermark_ms,
                value_bytes=value_bytes,
                now_s=now_s,
            )
        calls = self.counting.add(PendingBatch(scored, self.position, self.watermark_ms))
        return [*calls, *self.archiving.advance(now_s)]

    # Redis

    def _applied(self, reply: Applied) -> list[AnyEffect]:
        """Take the reply of the apply script; outside of READING it is void."""
        if not self.reads:
            return []
        cursor_state, calls = self.counting.applied(reply)
        if cursor_state is CursorState.KNOWN:
            return list(calls)
        self.rollbacks += 1
        self.counting.begin(Cursor(0, 0))
        return self._cursor_read(reply.cursor)  # behind us, or gone: begin again from what is stored

    def _report_due(self, report: ReportDue) -> list[AnyEffect]:
        """Report that this partition lives, or, with a proof, that it is idle."""
        if not self.takes_records:
            return []
        return list(
            self.counting.report(self.watermark_ms, paused=report.paused, proof_t0_ms=report.proof_t0_ms)
        )

    # The archive

    def _plan_created(self, plan: Plan, now_s: float) -> list[AnyEffect]:
        """The next plan is fixed."""
        self.archiving.plan_created(plan)
        self._last_plan = plan
        if self.reads and self.archiving.chunk_buffer is None and plan.kind == "data":
            return self._seek_back()  # dropped while the store was away: it is back
        effects = self.archiving.advance(now_s)
        if self.state is State.CLOSING_GAP and not effects:
            return self._reconcile()  # somebody's plan reaches beyond the gap: read on to its end
        return effects

    def _manifest_created(self, now_s: float) -> list[AnyEffect]:
        """The chunk is done."""
        plan = self.archiving.plan
        assert plan is not None
        done = self.archiving.manifest_created()
        if plan.kind == "skipped":
            return [*done, *self._skipped(plan)]
        if self.state is State.CLOSING_GAP:
            return [*done, *self._reconcile()]
        if not self.reads:
            return done
        if self.archiving.chunk_buffer is None:
            return [*done, *self._seek_back()]
        return [*done, *self.archiving.advance(now_s)]

    def _skipped(self, plan: Plan) -> list[AnyEffect]:
        """Somebody skipped records on the record: begin again behind them, from the cursor in Redis."""
        self._readable_from = max(self._readable_from, plan.end)
        if self.state in (State.READING_CURSOR, State.LISTING_PLANS):
            return []  # the assignment goes on to where the skip counts
        self.counting.begin(self.counting.cursor)  # what is on its way is void: it is read again
        return self._read_cursor()

    def _seek_back(self) -> list[AnyEffect]:
        """Read again what was dropped; what is counted already is skipped by its cursor."""
        self._cursor = self.counting.cursor
        return self._seek()

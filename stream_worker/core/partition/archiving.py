"""Archiving: the part of a partition's step machine that turns what was read into chunks.

See docs/design.md#archive.

Rules:
1. A plan is created only when the chunk before it has its manifest; so only the last one can be unfinished.
2. The plan that is there decides, whoever made it: its end is ours.
3. In a chunk every step comes after the one before it is done: dead letters, rows, manifest. Each may be
   repeated.
4. The buffer is one range that grows batch by batch from the end of the plan log; a seek or the memory cap
   drops it, and it is read again.
"""

from enum import Enum

import msgspec

from stream_worker.core.archive.layout import Manifest, Outcomes, Plan, StoredObject
from stream_worker.core.partition.chunk_buffer import Chunk, ChunkBuffer, RollLimits
from stream_worker.core.partition.effects import (
    AnyEffect,
    Commit,
    CreateManifest,
    CreatePlan,
    SendDeadLetters,
    WriteRows,
)
from stream_worker.core.records.batch import MentionBatch, Rejected, ScoredBatch
from stream_worker.core.records.limits import Limits
from stream_worker.errors import BrokenInvariant


class ArchivingState(Enum):
    """Where the next chunk stands: the states follow each other in this order, in a circle."""

    BUFFERING = "buffering"  # no plan yet
    PLANNING = "planning"  # the store owes the plan
    PLANNED = "planned"  # reading on to the plan's end
    SENDING_DEAD_LETTERS = "sending dead letters"
    WRITING_ROWS = "writing rows"
    WRITING_MANIFEST = "writing the manifest"


class Archiving:
    """The archive's cursor of one partition, and the chunk on its way."""

    def __init__(self, limits: Limits, roll_limits: RollLimits) -> None:
        self._limits = limits
        self._roll_limits = roll_limits
        self.archived = 0
        self.watermark_ms = 0  # at `archived`
        self.plan: Plan | None = None  # fixed, without manifest
        self.chunk: Chunk | None = None  # of `plan`, on its way
        self.chunk_buffer: ChunkBuffer | None = None  # None: dropped, to be read again
        self.state = ArchivingState.BUFFERING
        self._log_start = 0
        self._dedup_window_base = 0

    def begin(self, archived: int, watermark_ms: int, plan: Plan | None) -> None:
        """Stand at the end of the plan log: at `archived`, with the unfinished plan from there, if any."""
        self.archived, self.watermark_ms, self.plan = archived, watermark_ms, plan
        self.chunk, self.chunk_buffer = None, None
        self.state = ArchivingState.BUFFERING if plan is None else ArchivingState.PLANNED

    def log_begins(self, log_start: int, dedup_window_base: int) -> None:
        """Note where the log begins now, and where it began for us."""
        self._log_start, self._dedup_window_base = log_start, dedup_window_base

    @property
    def needed_from(self) -> int:
        """Offset from which records are still needed here."""
        return self.plan.end if self.plan and self.chunk else self.archived

    @property
    def needed_watermark_ms(self) -> int:
        """Watermark at `needed_from`."""
        return self.plan.watermark_end if self.plan and self.chunk else self.watermark_ms

    @property
    def on_its_way(self) -> bool:
        """Whether the store owes a reply."""
        return self.state not in (ArchivingState.BUFFERING, ArchivingState.PLANNED)

    @property
    def in_gap(self) -> bool:
        """Whether the log has lost all that the next chunk would hold: it is closed before reading begins."""
        return self.needed_from < self._log_start and (self.plan is None or self.plan.end <= self._log_start)

    def read_again(self) -> None:
        """Drop what is buffered; it is read again from `needed_from`."""
        self.chunk_buffer = ChunkBuffer(self.needed_from, self.needed_watermark_ms)

    def drop_buffer(self) -> None:
        """Drop what is buffered to free memory, until the chunk on its way is done."""
        self.chunk_buffer = None

    def add(
        self,
        batch: ScoredBatch[MentionBatch],
        rejected: list[Rejected],
        *,
        position: int,
        watermark_ms: int,
        value_bytes: int,
        now_s: float,
    ) -> None:
        """Buffer the rows and rejected records behind what is buffered so far."""
        if self.chunk_buffer is not None and position > self.chunk_buffer.position:
            self.chunk_buffer.add(
                batch,
                rejected,
                position=position,
                watermark_ms=watermark_ms,
                value_bytes=value_bytes,
                now_s=now_s,
            )

    def advance(self, now_s: float, *, flush: bool = False) -> list[AnyEffect]:
        """Create the next plan, or begin the planned chunk, if it is time."""
        if self.state is ArchivingState.BUFFERING:
            end = self._proposed_end(now_s, flush=flush)
            if end is None:
                return []
            self.state = ArchivingState.PLANNING
            return [CreatePlan(self._propose(end))]
        if self.state is ArchivingState.PLANNED:
            return self._begin_chunk(now_s)
        return []

    def plan_created(self, plan: Plan) -> None:
        """Take the plan that is there."""
        self._expect(ArchivingState.PLANNING)
        assert plan.start == self.archived, "a plan begins where the plan log ends"
        self.state, self.plan = ArchivingState.PLANNED, plan

    def _begin_chunk(self, now_s: float) -> list[AnyEffect]:
        """Take what the plan covers out of the buffer, once all of it was read or is known to be gone."""
        assert self.plan is not None
        if self.plan.kind == "skipped" or self.plan.end <= self._log_start:
            self.chunk = Chunk([], [], Outcomes(lost=self.plan.end - self.plan.start), late=0)
            if self.chunk_buffer and self.chunk_buffer.position <= self.plan.end:
                self.chunk_buffer = None
            elif self.chunk_buffer:
                self.chunk_buffer.take(self.plan.end, lost=0, now_s=now_s)
            return self._write_manifest([])
        if self.chunk_buffer is None or self.chunk_buffer.position < self.plan.end:
            return []  # read on until the plan's end
        lost = max(0, self._log_start - self.plan.start)
        self.chunk = self.chunk_buffer.take(self.plan.end, lost=lost, now_s=now_s)
        if not self.chunk.rejected:
            return self._write_rows()
        self.state = ArchivingState.SENDING_DEAD_LETTERS
        return [SendDeadLetters(self.chunk.rejected)]

    def dead_letters_sent(self) -> list[AnyEffect]:
        """The dead letters of the chunk are stored: its rows are next."""
        self._expect(ArchivingState.SENDING_DEAD_LETTERS)
        return self._write_rows()

    def _write_rows(self) -> list[AnyEffect]:
        assert self.plan is not None
        assert self.chunk is not None
        if not self.chunk.batches:
            return self._write_manifest([])
        self.state = ArchivingState.WRITING_ROWS
        return [WriteRows(self.plan, self.chunk.batches)]

    def rows_written(self, objects: list[StoredObject]) -> list[AnyEffect]:
        """The rows of the chunk are stored: its manifest is next."""
        self._expect(ArchivingState.WRITING_ROWS)
        assert self.chunk is not None
        outcomes = self.chunk.outcomes
        # Somebody who still had what the log has lost since may have written these objects before us
        saved = sum(stored.rows for stored in objects) - outcomes.counted - outcomes.duplicate
        if outcomes.lost and saved > 0:
            self.chunk.outcomes = msgspec.structs.replace(
                outcomes, counted=outcomes.counted + saved, lost=outcomes.lost - saved
            )
        return self._write_manifest(objects)

    def manifest_created(self) -> list[AnyEffect]:
        """The chunk is done: the plan log ends behind it."""
        self._expect(ArchivingState.WRITING_MANIFEST)
        assert self.plan is not None
        self.archived, self.watermark_ms = self.plan.end, self.plan.watermark_end
        self.plan = self.chunk = None
        self.state = ArchivingState.BUFFERING
        return [Commit(self.archived)]

    def _expect(self, state: ArchivingState) -> None:
        """Refuse a reply that belongs to another step: it would move the archive's cursor past a loss."""
        if self.state is not state:
            raise BrokenInvariant(f"archiving is {self.state.value}; a reply came for {state.value}")

    def _proposed_end(self, now_s: float, *, flush: bool) -> int | None:
        if self.archived < self._log_start:
            return self._log_start
        return self.chunk_buffer.roll(self._roll_limits, now_s, flush=flush) if self.chunk_buffer else None

    def _propose(self, end: int) -> Plan:
        watermark_ms = self.chunk_buffer.watermark_at(end) if self.chunk_buffer else self.watermark_ms
        return Plan(
            start=self.archived,
            end=end,
            watermark_start=self.watermark_ms,
            watermark_end=max(self.watermark_ms, watermark_ms),
            limits=self._limits,
        )

    def _write_manifest(self, objects: list[StoredObject]) -> list[AnyEffect]:
        assert self.plan is not None
        assert self.chunk is not None
        self.state = ArchivingState.WRITING_MANIFEST
        window_start = self.plan.start - self._limits.dedup_window_offsets
        manifest = Manifest(
            objects=objects,
            outcomes=self.chunk.outcomes,
            late=self.chunk.late,
            partial=self._log_start > max(self._dedup_window_base, window_start),
        )
        return [CreateManifest(self.plan, manifest)]

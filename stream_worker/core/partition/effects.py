"""What the step machine of a partition asks for: effects, each with the type of its reply.

Rules:
1. An effect is safe to repeat, to lose the reply of and to arrive late (docs/design.md#r1). Whoever runs it
   tries again until there is a reply: a time-out is unknown, never failed (docs/design.md#r5).
2. `Effect[R]` is replied to by an input of type `R` (inputs.py); `Effect[None]` has no reply.
3. An effect is a plain value. `EffectRunner` dispatches by its type, in the worker and in the simulator.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from stream_worker.core.aggregates.measures import Delta
from stream_worker.core.archive.layout import Manifest, Plan
from stream_worker.core.partition.inputs import (
    Applied,
    CursorRead,
    DeadLettersSent,
    ManifestCreated,
    OriginCreated,
    PlanCreated,
    PlanLogFound,
    PlansListed,
    PositionRead,
    RowsWritten,
)
from stream_worker.core.records.batch import PackedBatch, Rejected, ScoredBatch

R = TypeVar("R")


class Effect(Generic[R]):
    """Something that is to be done outside of the machine, and is replied to by an `R`."""

    __slots__ = ()


# On Kafka


@dataclass(slots=True)
class ReadPosition(Effect[PositionRead]):
    """Ask the broker where the log begins and ends, and what the group committed."""


@dataclass(slots=True)
class Seek(Effect[None]):
    """Read on from `offset`; the partition runs from here on."""

    offset: int


@dataclass(slots=True)
class Commit(Effect[None]):
    """Tell Kafka where the archive is; a hint."""

    offset: int


@dataclass(slots=True, eq=False)
class SendDeadLetters(Effect[DeadLettersSent]):
    """Produce and flush dead letters."""

    rejected: list[Rejected]


# On Redis


@dataclass(slots=True)
class ReadCursor(Effect[CursorRead]):
    """Read the cursor."""


@dataclass(slots=True)
class CreateCursor(Effect[CursorRead]):
    """Create the cursor if there is none; the reply is what is stored."""

    start: int
    watermark_ms: int
    complete_from_ms: int


@dataclass(slots=True)
class AdvanceCursor(Effect[CursorRead]):
    """Compare-and-set the cursor over records that are gone; the reply is what is stored."""

    expected: int
    to: int
    watermark_ms: int
    complete_from_ms: int


@dataclass(slots=True, eq=False)
class Apply(Effect[Applied]):
    """One call of the apply script. `expected == next` without a delta only reports."""

    partition: int
    expected: int
    next: int
    watermark_ms: int
    log_end: int
    delta: Delta | None
    paused: bool = False
    proof_t0_ms: int | None = None  # proof of idleness at `next`; see docs/design.md#proof-of-idleness


# On the object store


@dataclass(slots=True)
class FindPlanLog(Effect[PlanLogFound]):
    """Find the end of the plan log; `committed` says where to begin to look."""

    committed: int


@dataclass(slots=True)
class CreateOrigin(Effect[OriginCreated]):
    """Create the log's origin, with the starting offset of every partition, if there is none."""


@dataclass(slots=True)
class ListPlans(Effect[PlansListed]):
    """List all plans of the partition."""


@dataclass(slots=True)
class CreatePlan(Effect[PlanCreated]):
    """Create a plan; the reply is the plan that is there."""

    plan: Plan


@dataclass(slots=True, eq=False)
class WriteRows(Effect[RowsWritten]):
    """Write the rows of a chunk."""

    plan: Plan
    batches: list[ScoredBatch[PackedBatch]]


@dataclass(slots=True, eq=False)
class CreateManifest(Effect[ManifestCreated]):
    """Create the manifest of a chunk."""

    plan: Plan
    manifest: Manifest


LoopEffect = Seek | Commit
"""Done at once by the loop's thread."""

RedisEffect = Apply | ReadCursor | CreateCursor | AdvanceCursor
"""Done by the loop's thread, for all partitions in one round trip."""

BackgroundEffect = (
    ReadPosition
    | FindPlanLog
    | CreateOrigin
    | ListPlans
    | CreatePlan
    | SendDeadLetters
    | WriteRows
    | CreateManifest
)
"""Done by the background thread, one after another for each partition."""

AnyEffect = LoopEffect | RedisEffect | BackgroundEffect

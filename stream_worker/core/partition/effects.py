"""What the step machine of a partition asks for (operations), and the values it is answered with.

Rules:
1. An operation is safe to repeat, to lose the answer of and to arrive late (docs/design.md#r1). Whoever
   performs it tries again until it has an answer: a time-out is unknown, never failed (docs/design.md#r5).
2. An answer is a plain value. Which method of the machine takes it stands beside each operation.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from stream_worker.core.aggregates.measures import Delta
from stream_worker.core.archive.layout import LogOrigin, Manifest, Plan
from stream_worker.core.records.batch import Flags, MentionBatch, Rejected, ScoreColumns

# Values


class Phase(Enum):
    """Where a partition stands."""

    ASSIGNING = "assigning"
    READING = "reading"


class TopicFacts(NamedTuple):
    """What the broker says of the topic."""

    incarnation: str
    partitions: int


class LogPosition(NamedTuple):
    """What the broker says of a partition. `committed` is a hint only; -1 when there is none."""

    log_start: int
    log_end: int
    committed: int


class Cursor(NamedTuple):
    """The cursor of a partition as Redis holds it."""

    next: int
    watermark_ms: int


class PlanLog(NamedTuple):
    """What the store knows of a partition. `last` is its newest plan; `done`: it has its manifest."""

    head: LogOrigin | None
    last: Plan | None
    done: bool


class Applied(NamedTuple):
    """Answer of the apply script. `cursor` is what is stored; None: there is none, nothing was changed."""

    applied: bool
    cursor: Cursor | None
    now_ms: int
    sealed_ms: int
    refused_brands: int = 0  # cells counted under the reserved empty brand
    refused_networks: int = 0  # cells counted under the reserved empty network
    expired: int = 0  # mentions below the floor: archive only


@dataclass(slots=True, eq=False)
class ScoredBatch:
    """The rows of one micro-batch that belong to a chunk."""

    columns: MentionBatch
    flags: Flags
    scores: ScoreColumns
    model: str


# Operations on Kafka


@dataclass(slots=True)
class Seek:
    """Read on from `offset`; the partition runs from here on."""

    offset: int


@dataclass(slots=True)
class Commit:
    """Tell Kafka where the archive is; a hint."""

    offset: int


@dataclass(slots=True, eq=False)
class SendDeadLetters:
    """Produce and flush dead letters -> `letters_sent`."""

    rejected: list[Rejected]


# Operations on Redis


@dataclass(slots=True)
class ReadCursor:
    """Read the cursor -> `cursor_is`."""


@dataclass(slots=True)
class CreateCursor:
    """Create the cursor if there is none -> `cursor_is` with what is stored."""

    start: int
    watermark_ms: int
    complete_from_ms: int


@dataclass(slots=True)
class AdvanceCursor:
    """Compare-and-set the cursor over records that are gone -> `cursor_is` with what is stored."""

    expected: int
    to: int
    watermark_ms: int
    complete_from_ms: int


@dataclass(slots=True, eq=False)
class Apply:
    """One call of the apply script -> `applied`. `expected == next` without a delta only reports."""

    partition: int
    expected: int
    next: int
    watermark_ms: int
    log_end: int
    delta: Delta | None
    paused: bool = False
    proof_t0_ms: int | None = None  # proof of idleness at `next`; see docs/design.md#proof-of-idleness


# Operations on the store


@dataclass(slots=True)
class FindPlanLog:
    """Find the chain -> `chain_is`."""

    committed: int


@dataclass(slots=True)
class CreateLogOrigin:
    """Create the head, with the starting offset of every partition, if there is none -> `head_is`."""


@dataclass(slots=True)
class ListPlans:
    """List the whole chain -> `plans_are`."""


@dataclass(slots=True)
class CreatePlan:
    """Create the plan -> `plan_is` with the one that is there."""

    plan: Plan


@dataclass(slots=True, eq=False)
class WriteRows:
    """Write the rows of a chunk -> `rows_written`."""

    plan: Plan
    parts: list[ScoredBatch]


@dataclass(slots=True, eq=False)
class CreateManifest:
    """Create the manifest of a chunk -> `manifest_written`."""

    plan: Plan
    manifest: Manifest


Effect = (
    Seek
    | Commit
    | SendDeadLetters
    | ReadCursor
    | CreateCursor
    | AdvanceCursor
    | Apply
    | FindPlanLog
    | CreateLogOrigin
    | ListPlans
    | CreatePlan
    | WriteRows
    | CreateManifest
)

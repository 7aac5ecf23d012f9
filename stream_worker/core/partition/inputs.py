"""What the step machine of a partition takes: replies to its effects, and what the loop brings by itself.

Rules:
1. An input is a plain value. Nobody writes into a machine: whatever it must know comes as one of these.
2. A reply belongs to one kind of effect; effects.py declares which. In which state the machine takes which
   input, and where it goes from there, is the table in machine.py.
"""

from dataclasses import dataclass
from typing import NamedTuple

from stream_worker.core.archive.layout import LogOrigin, Plan, StoredObject
from stream_worker.core.records.batch import Records

# Values inside replies


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
    """What the store holds of a partition: the log's origin and the newest plan."""

    origin: LogOrigin | None
    last: Plan | None
    finished: bool  # `last` has its manifest


# Replies


@dataclass(slots=True, frozen=True)
class PositionRead:
    """Where the log of the partition begins and ends, and what the group committed."""

    log: LogPosition


@dataclass(slots=True, frozen=True)
class PlanLogFound:
    """The end of the plan log."""

    log: PlanLog


@dataclass(slots=True, frozen=True)
class OriginCreated:
    """The log's origin as it is in the store, by us or somebody else."""

    origin: LogOrigin


@dataclass(slots=True, frozen=True)
class PlansListed:
    """All plans of the partition, oldest first."""

    plans: list[Plan]


@dataclass(slots=True, frozen=True)
class CursorRead:
    """The cursor as it is in Redis after it was read, created or advanced; None: there is none."""

    cursor: Cursor | None


@dataclass(slots=True, frozen=True)
class Applied:
    """The reply of the apply script. `cursor` is what is stored; None: there is none, nothing was changed."""

    applied: bool
    cursor: Cursor | None
    now_ms: int
    sealed_ms: int
    refused_brands: int = 0  # cells counted under the reserved empty brand
    refused_networks: int = 0  # cells counted under the reserved empty network
    expired: int = 0  # mentions of minutes that Redis no longer holds: archive only


@dataclass(slots=True, frozen=True)
class PlanCreated:
    """The plan that is in the store: ours, or the one that somebody else created first."""

    plan: Plan


@dataclass(slots=True, frozen=True)
class DeadLettersSent:
    """The dead letters of the chunk are stored by the broker."""


@dataclass(slots=True, frozen=True)
class RowsWritten:
    """The rows of the chunk are stored."""

    objects: list[StoredObject]


@dataclass(slots=True, frozen=True)
class ManifestCreated:
    """The manifest of the chunk is stored: the chunk is done."""


Reply = (
    PositionRead
    | PlanLogFound
    | OriginCreated
    | PlansListed
    | CursorRead
    | Applied
    | PlanCreated
    | DeadLettersSent
    | RowsWritten
    | ManifestCreated
)

# What the loop brings by itself


@dataclass(slots=True, frozen=True)
class RecordsPolled:
    """The next records of the log: rising offsets, the first at or after the machine's position."""

    records: Records


@dataclass(slots=True, frozen=True)
class EndReached:
    """The log ends at `offset` for now; offsets before it that were not read hold no record for us."""

    offset: int


@dataclass(slots=True, frozen=True)
class LogEndRead:
    """The newest end of the log that the client knows; for people, never for a proof."""

    offset: int


@dataclass(slots=True, frozen=True)
class ReportDue:
    """Report to Redis that the partition lives; `paused`: the loop holds it back, it is ahead of the others.

    `proof_t0_ms`: Redis TIME before the question that found the log's end at our position
    (docs/design.md#proof-of-idleness); None: there is no such proof.
    """

    paused: bool
    proof_t0_ms: int | None = None


@dataclass(slots=True, frozen=True)
class Ticked:
    """Time has passed: a chunk may be due; `flush`: whatever its size."""

    flush: bool = False


@dataclass(slots=True, frozen=True)
class BufferDropped:
    """Memory is short: what is buffered for the archive is dropped, and read again when the chunk is done."""


@dataclass(slots=True, frozen=True)
class ReadAgain:
    """Records were polled that the machine could not take: read on from its position once more."""


Input = Reply | RecordsPolled | EndReached | LogEndRead | ReportDue | Ticked | BufferDropped | ReadAgain

"""The states of a partition, and the one table of what may happen in each.

Rules:
1. An input that is not in the row of a state is refused there; so is a next state that is not in its cell.
2. The table holds what happens and nothing else: random histories visit all of it
   (tests/unit/core/partition/test_transitions.py).

    STARTING ─► LOOKING_UP ─┬──────────────────► READING_CURSOR ◄──► LISTING_PLANS
                            └► CREATING_ORIGIN ──►     │  ▲                │
                                                       ▼  │                ▼
                                   CLOSING_GAP ◄──► (reconcile) ──────► READING
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from stream_worker.core.partition.inputs import (
    Applied,
    BufferDropped,
    CursorRead,
    DeadLettersSent,
    EndReached,
    Input,
    LogEndRead,
    ManifestCreated,
    OriginCreated,
    PlanCreated,
    PlanLogFound,
    PlansListed,
    PositionRead,
    ReadAgain,
    RecordsPolled,
    ReportDue,
    RowsWritten,
    Ticked,
)


class State(Enum):
    """Where a partition stands; each state but the last is named by what it waits for."""

    STARTING = "starting"  # the broker's word on the log
    LOOKING_UP = "looking up"  # the end of the plan log
    CREATING_ORIGIN = "creating the origin"
    READING_CURSOR = "reading the cursor"  # or creating, or advancing it
    LISTING_PLANS = "listing plans"
    CLOSING_GAP = "closing a gap"  # the archive closes what the log has lost
    READING = "reading"


def _to(*states: State) -> frozenset[State]:
    return frozenset(states)


def _stays(state: State, *inputs: type[Input]) -> Mapping[type[Input], frozenset[State]]:
    return dict.fromkeys(inputs, frozenset({state}))


def _chunk_goes_on(state: State) -> Mapping[type[Input], frozenset[State]]:
    """A chunk that was on its way when Redis went back does not move the assignment that follows."""
    return _stays(state, PlanCreated, DeadLettersSent, RowsWritten, ManifestCreated)


TRANSITIONS: Final[Mapping[State, Mapping[type[Input], frozenset[State]]]] = {
    State.STARTING: {PositionRead: _to(State.LOOKING_UP)},
    State.LOOKING_UP: {PlanLogFound: _to(State.CREATING_ORIGIN, State.READING_CURSOR)},
    State.CREATING_ORIGIN: {OriginCreated: _to(State.READING_CURSOR)},
    State.READING_CURSOR: {
        CursorRead: _to(
            State.READING_CURSOR,  # there is none: create it
            State.CLOSING_GAP,
            State.LISTING_PLANS,
            State.READING,
        ),
        Applied: _to(State.READING_CURSOR),  # void: it was sent before
        **_chunk_goes_on(State.READING_CURSOR),
    },
    State.CLOSING_GAP: {
        PlanCreated: _to(
            State.CLOSING_GAP,
            State.LISTING_PLANS,  # somebody's plan reaches beyond the gap: no gap is left
            State.READING,
        ),
        ManifestCreated: _to(
            State.CLOSING_GAP,  # that was a part of it
            State.LISTING_PLANS,
            State.READING,
            State.READING_CURSOR,  # that was a skip
        ),
    },
    State.LISTING_PLANS: {
        PlansListed: _to(State.READING_CURSOR, State.READING),
        Applied: _to(State.LISTING_PLANS),  # void: it was sent before
        **_chunk_goes_on(State.LISTING_PLANS),
    },
    State.READING: {
        **_stays(State.READING, RecordsPolled, EndReached, LogEndRead, ReportDue, Ticked),
        **_stays(State.READING, BufferDropped, ReadAgain, PlanCreated, DeadLettersSent, RowsWritten),
        Applied: _to(
            State.READING,
            State.READING_CURSOR,  # Redis was lost before there was a plan
            State.LISTING_PLANS,  # Redis was lost, or went back behind the last plan
        ),
        ManifestCreated: _to(State.READING, State.READING_CURSOR),  # that was a skip
    },
}
"""State → input → the states that may follow. An input that is not here is refused."""

"""A shard of brands, as it is read before and written after one of its minutes is evaluated.

See docs/design.md#minutes.

Rules:
1. A close is compared with what was read: `closed_ms`, the state id, the seal id.
2. Tallies are tuples of ten integers in the order of `MEASURES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_worker.core.aggregates.damage import Damage


@dataclass(slots=True, eq=False)
class SealedMinute:
    """The frozen fields of one sealed minute, for evaluation. Tallies are summed over networks."""

    start_ms: int
    seal_id: str
    complete: bool
    models: list[str]
    tallies: dict[str, tuple[int, ...]]  # brand -> ten on-time sums in the order of MEASURES
    now_ms: int
    unreadable: Mapping[str, str] = field(default_factory=dict)  # brand without a tally -> its damaged field


@dataclass(slots=True, eq=False)
class Shard:
    """One shard of brands as it was read. `state_id` names the state uniquely; compare it on close."""

    number: int
    closed_ms: int  # minutes that start before this are closed; -1 when nothing was closed yet
    state_id: str
    detector: str
    states: dict[str, str]  # brand -> the detector's state, opaque text
    episodes: dict[str, str]  # brand -> the open episode's record, opaque text
    key: str = ""  # what it is stored under, for people
    episode_prefix: str = ""  # what stands before the brand in the field of an episode, for people


@dataclass(slots=True, eq=False)
class Close:
    """One call of the close script: the evaluated minute of one shard."""

    shard: int
    minute_ms: int
    expected_closed_ms: int
    expected_state_id: str
    seal_id: str
    detector: str
    sums: dict[str, tuple[int, ...]]  # brand -> ten frozen sums to add to history; zeros included
    states: dict[str, str]  # brand -> the detector's state after the minute
    episodes: dict[str, str | None]  # None: the record is removed
    outbox: dict[str, str]  # message id -> JSON body of the event
    damaged: list[Damage] = field(default_factory=list)  # why brands were not evaluated; not for Redis

"""What Redis holds, as plain Python values: the state of `MemoryAggregates` (docs/redis.md names the keys).

Rules:
1. One object stands for one Redis. Workers that share it share a server.
2. `copy` and `restore` are a snapshot and its restore: Redis gone back in time. `clear` is a FLUSHALL.
"""

import copy
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from stream_worker.core.aggregates.damage import Damage
from stream_worker.core.aggregates.encoding import SHARDS, ZEROS, Sums, add_sums
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.aggregates.shard import Shard
from stream_worker.core.time import DAY_MS, HOUR_MS


@dataclass(slots=True)
class Control:
    """The hash `ctl`. None: the field is absent."""

    incarnation: str | None = None
    partitions: int = 0
    sealed: int | None = None
    floor: int | None = None
    trimmed: int = 0
    newest: int | None = None
    last_data: int | None = None
    last_script_ms: int | None = None
    returned_ms: int | None = None
    expired: int = 0
    models: str | None = None  # of the newest sealed minute that has some


@dataclass(slots=True)
class CursorRow:
    """One partition in the hash `cursors:<topic>.<inc>`. `next` None: only seen, never created."""

    next: int | None = None
    watermark: int = 0
    log_end: int | None = None
    reported_ms: int | None = None
    alive_ms: int | None = None
    proof: tuple[int, int] | None = None  # cursor, t0
    seen_ms: int | None = None
    owner: str | None = None


@dataclass(slots=True)
class StoredMinute:
    """The hash `m:<minute>`. `fields` are the tallies, the mentions and the mentions per model."""

    fields: dict[str, int] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)  # in order of arrival
    seal_id: str | None = None
    complete: bool = False
    sealed_at_ms: int | None = None

    def add(self, name: str, value: int) -> None:
        """Add to a field; zero is not written, and nothing is added to a field that is no integer."""
        before = self.fields.get(name, 0)
        if value and isinstance(before, int):
            self.fields[name] = before + value

    def add_cell(self, tally: str, sums: Sums, model: str, *, late: bool) -> Iterator[str]:
        """Add one cell; `tally` is `<network>:<brand>`. Late ones are no part of what a seal freezes.

        Returns the fields that are damaged.
        """
        prefix = "late_" if late else ""
        for measure, value in zip(MEASURES, sums, strict=True):
            self.add(f"{prefix}{measure}:{tally}", value)
        self.add(f"{prefix}mentions", sums[0])
        if not late:
            self.add(f"model:{model}", sums[0])
            if sums[0] and model not in self.models:
                self.models.append(model)
        measures = [f"{prefix}{measure}:{tally}" for measure, n in zip(MEASURES, sums, strict=True) if n]
        totals = [f"{prefix}mentions", *([] if late else [f"model:{model}"])] if sums[0] else []
        return (name for name in (*measures, *totals) if not isinstance(self.fields.get(name, 0), int))


@dataclass(slots=True)
class MemoryState:
    """Everything below one prefix."""

    ctl: Control = field(default_factory=Control)
    cursors: dict[str, dict[int, CursorRow]] = field(default_factory=dict)  # by log name
    minutes: dict[int, StoredMinute] = field(default_factory=dict)
    models: dict[int, str] = field(default_factory=dict)  # from which minute on which models scored
    brands: dict[str, int | None] = field(default_factory=dict)
    networks: dict[str, int | None] = field(default_factory=dict)
    by_minute: dict[str, dict[int, Sums]] = field(default_factory=dict)  # hm: brand -> minute -> sums
    by_hour: dict[str, dict[int, Sums]] = field(default_factory=dict)  # hd: brand -> hour -> sums
    shards: list[Shard] = field(
        default_factory=lambda: [Shard(number, -1, "", "", {}, {}) for number in range(SHARDS)]
    )
    outbox: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)  # outbox id -> message, while the store is away
    alerts: list[dict[str, str]] = field(default_factory=list)
    now: dict[str, dict[str, int | str]] = field(default_factory=dict)
    changes: list[dict[str, str]] = field(default_factory=list)
    leases: dict[str, tuple[str, int]] = field(default_factory=dict)  # owner, end in ms
    foreign: set[str] = field(default_factory=set)  # keys of another type (redis_damage.py)

    def copy(self) -> "MemoryState":
        """Take a snapshot."""
        return copy.deepcopy(self)

    def restore(self, snapshot: "MemoryState") -> None:
        """Go back to a snapshot, for everybody who shares this state."""
        fresh = copy.deepcopy(snapshot)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def clear(self) -> None:
        """Lose everything."""
        self.restore(MemoryState())


def admit(register: dict[str, int | None], limit: int, name: str, minute: int | None) -> str | None:
    """Return the name to count a cell under; None when the limit refuses it.

    `minute` is the cell's minute when it is on time; a register keeps the first of them.
    """
    if name == "":
        return name
    if name not in register:
        if len(register) >= limit:
            return None
        register[name] = None
    before = register[name]
    if minute is not None and (not isinstance(before, int) or minute < before):
        register[name] = minute
    return name


def add_history(state: MemoryState, kind: str, brand: str, start: int, sums: Sums) -> Iterator[Damage]:
    """Add to the history value (`hm`, `hd`) of a brand that is named by `start`; return what is damaged."""
    history, unit_ms = {"hm": (state.by_minute, HOUR_MS), "hd": (state.by_hour, DAY_MS)}[kind]
    key, values = f"{kind}:{start - start % unit_ms}:{brand}", history.setdefault(brand, {})
    before = values.get(start, ZEROS)
    if key in state.foreign:
        return iter([Damage("history", key)])
    if not isinstance(before, tuple):
        return iter([Damage("history", key, str(start))])
    values[start] = add_sums(before, sums)
    return iter(())


def damaged_history(
    state: MemoryState,
    kind: str,
    brand: str,
    units_ms: Sequence[int],
    starts: Container[int] | None = None,
) -> Iterator[Damage]:
    """Find the damage in the history keys (`hm` by hour, `hd` by day) of a brand, and in them at `starts`."""
    history, unit_ms = {"hm": (state.by_minute, HOUR_MS), "hd": (state.by_hour, DAY_MS)}[kind]
    for unit in units_ms:
        if f"{kind}:{unit}:{brand}" in state.foreign:
            yield Damage("history", f"{kind}:{unit}:{brand}")
    for at, sums in sorted(history.get(brand, {}).items()):
        unit = at - at % unit_ms
        if not isinstance(sums, tuple) and unit in units_ms and (starts is None or at in starts):
            yield Damage("history", f"{kind}:{unit}:{brand}", str(at))


def forget_history(history: dict[str, dict[int, Sums]], brand: str, start: int, length_ms: int) -> None:
    """Drop the values of a brand in `[start, start + length_ms)`: one history key."""
    values = history.get(brand, {})
    for at in [at for at in values if start <= at < start + length_ms]:
        del values[at]


def too_old(last: int, minute: int, unit: int, age: int) -> range:
    """Starts of the history keys that have become too old between the last close and this one."""
    first = (last - age) // unit * unit + unit
    return range(first, min(minute - age, last) + 1, unit)

"""The rolling picture in memory: what the Lua scripts do, in plain Python, for tests and for reading.

Rules:
1. Method by method it equals the scripts of `adapters/redis/lua`; the contract suite compares whole states.
2. `now_ms` stands for Redis TIME. Marks are unique as long as it moves between two seals.
3. Two workers share a Redis by sharing a `MemoryState`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from stream_worker.core.aggregates.aggregate import increments
from stream_worker.core.aggregates.damage import Damage, DamagedField
from stream_worker.core.aggregates.encoding import (
    INCREMENTS_LIMIT,
    NAMED_BRANDS_MAX,
    NETWORKS_MAX,
    WINDOWS,
    ZEROS,
    Sums,
    add_sums,
    history_range,
    minute_at_or_after,
    readable_tallies,
    shard_of,
    to_json,
)
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.aggregates.seal import SealResult
from stream_worker.core.aggregates.shard import Close, SealedMinute, Shard
from stream_worker.core.archive.layout import Log
from stream_worker.core.partition.effects import Apply
from stream_worker.core.partition.inputs import Applied, Cursor
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from tests.fakes.redis_seal import seal
from tests.fakes.redis_state import (
    CursorRow,
    MemoryState,
    StoredMinute,
    add_history,
    admit,
    damaged_history,
    forget_history,
    too_old,
)

CHANGES_MAX: Final = 10_000
GAP_MS: Final = 30_000
"""No script for longer than this: the group was away, and nobody may be called held for it."""


class MemoryAggregates:
    """The rolling picture and the cursors of one log, in a `MemoryState`."""

    def __init__(
        self,
        log: Log,
        now_ms: Callable[[], int],
        state: MemoryState | None = None,
        *,
        max_brands: int = 10_000,
        owner: str = "",
        on_damage: Callable[[Damage], None] = lambda _: None,
    ) -> None:
        self.state = MemoryState() if state is None else state
        self._log = log
        self._now_ms = now_ms
        self._max_brands = max_brands
        self._owner, self._on_damage = owner, on_damage

    def _begin(self) -> int:
        """Begin a script as all do: note the group's return; return now."""
        now, ctl = self._now_ms(), self.state.ctl
        if ctl.last_script_ms is not None and now - ctl.last_script_ms > GAP_MS:
            ctl.returned_ms = now
        ctl.last_script_ms = now
        return now

    # ------------------------------------------------------------ cursors

    def _row(self, partition: int) -> CursorRow:
        return self.state.cursors.get(self._log.name, {}).get(partition, CursorRow())

    def create_cursor(self, partition: int, start: int, watermark_ms: int, complete_from_ms: int) -> Cursor:
        """Create the cursor if there is none; return what is stored."""
        self._begin()
        ctl, row = self.state.ctl, self._row(partition)
        if (stored := self.cursor(partition)) is not None:
            return stored
        if ctl.incarnation is None:  # the first of all; from then on only a seal changes it
            ctl.incarnation, ctl.partitions = self._log.name, 0
        rows = self.state.cursors.setdefault(self._log.name, {})
        row = rows.setdefault(partition, CursorRow())
        row.next, row.watermark = start, watermark_ms
        self._raise_floor(complete_from_ms)
        if ctl.sealed is None:
            ctl.sealed = ctl.floor
        return Cursor(start, watermark_ms)

    def cursor(self, partition: int) -> Cursor | None:
        """Return the stored cursor; None when there is none. Raises DamagedField."""
        row = self._row(partition)
        for name, value in (("next", row.next), ("wm", row.watermark)):
            if isinstance(value, str):
                raise DamagedField(Damage("cursor", f"cursors:{self._log.name}", f"{name}:{partition}"))
        return None if row.next is None else Cursor(row.next, row.watermark)

    def advance_cursor(
        self, partition: int, expected: int, to: int, watermark_ms: int, complete_from_ms: int
    ) -> Cursor | None:
        """Compare-and-set the cursor forward over records that are gone; raise the floor."""
        now, row = self._begin(), self._row(partition)
        if row.next == expected and isinstance(row.watermark, int):
            row.next, row.watermark = to, max(row.watermark, watermark_ms)
            row.alive_ms, row.proof = now, None
            self._raise_floor(complete_from_ms)
        return self.cursor(partition)

    def _raise_floor(self, complete_from_ms: int) -> None:
        ctl = self.state.ctl
        ctl.floor = max(ctl.floor or 0, minute_at_or_after(complete_from_ms))

    # ------------------------------------------------------------ counting

    def apply(self, calls: Sequence[Apply]) -> list[Applied | DamagedField]:
        """Apply in order; a cursor that cannot be read is replied to by its error."""
        return [self._reply_to(call) for call in calls]

    def _reply_to(self, call: Apply) -> Applied | DamagedField:
        try:
            return self._apply(call)
        except DamagedField as error:
            return error

    def _apply(self, call: Apply) -> Applied:
        now, row, sealed = self._begin(), self._row(call.partition), self.state.ctl.sealed or 0
        self.cursor(call.partition)
        if row.next != call.expected:
            return Applied(False, self.cursor(call.partition), now, sealed)
        refused_brands, refused_networks, expired = self._count(call)
        row.next, row.watermark = call.next, max(row.watermark, call.watermark_ms)
        row.log_end, row.reported_ms = call.log_end, now
        if call.next != call.expected or call.paused or call.proof_t0_ms is not None:
            row.alive_ms = now
        if call.proof_t0_ms is not None:
            before = row.proof[1] if row.proof is not None and row.proof[0] == call.next else call.proof_t0_ms
            row.proof = (call.next, max(before, call.proof_t0_ms))
        row.owner = self._owner or row.owner
        return Applied(
            True, Cursor(row.next, row.watermark), now, sealed, refused_brands, refused_networks, expired
        )

    def _count(self, call: Apply) -> tuple[int, int, int]:
        """Add the cells of a delta; return refused brand cells, refused network cells, expired mentions."""
        if call.delta is None:
            return 0, 0, 0
        state, delta = self.state, call.delta
        assert increments(delta) <= INCREMENTS_LIMIT, "the caller cuts a delta at 5,000 increments"
        sealed, floor = state.ctl.sealed or 0, state.ctl.floor or 0
        refused_brands = refused_networks = expired = 0
        damaged: set[Damage] = set()
        columns = (delta.minutes_ms.tolist(), delta.late.tolist(), delta.networks, delta.brands)
        for i, (minute, late_before, network, brand) in enumerate(zip(*columns, strict=True)):
            sums: Sums = tuple(delta.measures[i].tolist())
            if minute < floor:
                expired += sums[0]
                continue
            late = late_before or minute < sealed
            admitted = admit(state.networks, NETWORKS_MAX, network, None if late else minute)
            counted = admit(state.brands, self._max_brands, brand, None if late else minute)
            refused_networks += admitted is None
            refused_brands += counted is None
            if minute >= state.ctl.trimmed:
                tally = f"{admitted or ''}:{counted or ''}"
                damaged.update(self._add_cell(minute, tally, sums, delta.model, late=late))
            if late:
                hour = minute - minute % HOUR_MS
                if hour >= sealed - 48 * HOUR_MS:
                    damaged.update(add_history(state, "hm", counted or "", minute, sums))
                damaged.update(add_history(state, "hd", counted or "", hour, sums))
            else:
                state.ctl.newest = max(state.ctl.newest or 0, minute)
        state.ctl.expired += expired
        self._note(damaged)
        return refused_brands, refused_networks, expired

    def _add_cell(self, start: int, tally: str, sums: Sums, model: str, *, late: bool) -> Iterator[Damage]:
        key = f"m:{start}"
        if key in self.state.foreign:
            yield Damage("minute", key)
            return
        minute = self.state.minutes.setdefault(start, StoredMinute())
        for name in minute.add_cell(tally, sums, model, late=late):
            yield Damage("count", key, name)

    def _note(self, damaged: Iterable[Damage]) -> None:
        for one in damaged:
            self._on_damage(one)

    # ------------------------------------------------------------ sealing and judging

    def seal(
        self, partition_count: int, lateness_ms: int, max_hold_ms: int, older_log: str = ""
    ) -> SealResult:
        """Seal what every partition has passed, at most 240 minutes; trim what is closed."""
        now, log, damaged = self._begin(), self._log.name, set[Damage]()
        result = seal(self.state, log, partition_count, lateness_ms, max_hold_ms, older_log, now, damaged.add)
        self._note(damaged)
        return result

    def brands(self) -> Mapping[str, int | None]:
        """Admitted brands and the start of their first on-time minute; None: only late ones so far."""
        rows = self.state.brands.items()
        self._note(Damage("brand", "brands", brand) for brand, first in rows if isinstance(first, str))
        return {brand: None if isinstance(first, str) else first for brand, first in rows}

    def shard(self, number: int) -> Shard:
        """Read the state of a shard. Raises DamagedField."""
        shard = self.state.shards[number]
        if isinstance(shard.closed_ms, str):
            raise DamagedField(Damage("shard", f"shard:{number}", "closed"))
        return replace(
            shard,
            states=dict(shard.states),
            episodes=dict(shard.episodes),
            key=f"shard:{number}",
            episode_prefix="episode:",
        )

    def next_sealed(self, after_ms: int) -> SealedMinute | None:
        """The first sealed minute that starts at or after `after_ms`, with its frozen fields."""
        now, minutes = self._begin(), self.state.minutes
        for start in sorted(m for m in minutes if after_ms <= m < (self.state.ctl.sealed or 0)):
            minute = minutes[start]
            if minute.seal_id is not None:
                tallies, unreadable = readable_tallies(minute.fields)
                models = sorted(minute.models)
                return SealedMinute(start, minute.seal_id, minute.complete, models, tallies, now, unreadable)
        return None

    def close(self, *calls: Close) -> set[int]:
        """Write judged shards of a minute; returns the numbers of those that were written."""
        return {call.shard for call in calls if self.close_shard(call)}

    def close_shard(self, call: Close) -> bool:
        """Write one; False: somebody else did, or it was sealed again."""
        self._begin()
        shard, start = self.state.shards[call.shard], call.minute_ms
        minute = self.state.minutes.get(start, StoredMinute())
        read = (call.expected_closed_ms, call.expected_state_id, call.seal_id)
        if (shard.closed_ms, shard.state_id, minute.seal_id) != read:
            return False
        histories = (
            ("hm", self.state.by_minute, HOUR_MS, 48 * HOUR_MS),
            ("hd", self.state.by_hour, DAY_MS, 35 * DAY_MS),
        )
        damaged: set[Damage] = set()
        for brand, sums in call.sums.items():
            damaged.update(add_history(self.state, "hm", brand, start, sums))
            damaged.update(add_history(self.state, "hd", brand, start - start % HOUR_MS, sums))
        self._note(damaged)
        for brand in call.sums:
            for kind, sums_of, unit_ms, kept_ms in histories if shard.closed_ms != -1 else ():
                for old in too_old(shard.closed_ms - MINUTE_MS, start, unit_ms, kept_ms):
                    forget_history(sums_of, brand, old, unit_ms)
                    self.state.foreign.discard(f"{kind}:{old}:{brand}")
        if shard.detector != call.detector:  # states of another one are worthless under a new name
            shard.states.clear()
        shard.states.update(call.states)
        for brand, record in call.episodes.items():
            if record is None:
                shard.episodes.pop(brand, None)
            else:
                shard.episodes[brand] = record
        for message_id, body in call.outbox.items():
            self.state.outbox.setdefault(message_id, body)
        shard.closed_ms, shard.state_id, shard.detector = start + MINUTE_MS, call.seal_id, call.detector
        return True

    def history(self, brand: str, hours_ms: Sequence[int]) -> dict[int, Sums]:
        """Closed minutes of these hours: start -> ten sums, on-time and late together.

        Raises DamagedField.
        """
        closed = self.state.shards[shard_of(brand)].closed_ms
        values = self.state.by_minute.get(brand, {})
        for damage in damaged_history(self.state, "hm", brand, hours_ms):
            raise DamagedField(damage)
        return {m: values[m] for m in sorted(values) if m < closed and m - m % HOUR_MS in hours_ms}

    # ------------------------------------------------------------ for readers

    def lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lease."""
        now = self._begin()
        holder, end = self.state.leases.get(name, (owner, 0))
        if holder != owner and now < end:
            return False
        self.state.leases[name] = (owner, now + ttl_ms)
        return True

    def publish_change(self, kind: str, minutes_ms: Sequence[int], brands: Sequence[str]) -> None:
        """Append one change notice."""
        now = self._begin()
        named = to_json(list(brands)).decode() if len(brands) <= NAMED_BRANDS_MAX else "*"
        minutes = to_json(list(minutes_ms)).decode()
        self.state.changes.append({"kind": kind, "minutes": minutes, "brands": named, "at": str(now)})
        del self.state.changes[:-CHANGES_MAX]

    def refresh_view(self, brands: Sequence[str] | None) -> None:
        """Overwrite `now` of these brands (None: of all)."""
        now, ctl = self._begin(), self.state.ctl
        if ctl.newest is None:
            return
        if brands is None:
            full = len(self.state.brands) >= self._max_brands
            brands = [*self.state.brands, ""] if full else list(self.state.brands)
        newest = self.state.minutes.get(ctl.newest, StoredMinute())
        damaged = {brand: list(self._damage_of_view(brand, ctl.newest)) for brand in brands}
        self._note({damage for found in damaged.values() for damage in found})
        for brand in [brand for brand in brands if not damaged[brand]]:
            self.state.now[brand] = {
                "newest": ctl.newest,
                "as_of_ms": now,
                "sealed": ctl.sealed or 0,
                "closed": self.state.shards[shard_of(brand)].closed_ms,
                "models": ",".join(newest.models),
                **self._windows(brand, ctl.newest),
            }

    def _damage_of_view(self, brand: str, newest: int) -> Iterator[Damage]:
        shard, needs = self.state.shards[shard_of(brand)], history_range(newest)
        if isinstance(shard.closed_ms, str):
            yield Damage("shard", f"shard:{shard.number}", "closed")
            return
        hours = {start - start % HOUR_MS for start in needs.minutes}
        days = {start - start % DAY_MS for start in needs.hours}
        yield from damaged_history(self.state, "hm", brand, sorted(hours), needs.minutes)
        yield from damaged_history(self.state, "hd", brand, sorted(days), needs.hours)
        for start, minute in self.state.minutes.items():
            if max(shard.closed_ms, newest + MINUTE_MS - DAY_MS) <= start <= newest:
                field = readable_tallies(minute.fields)[1].get(brand)
                if field is not None:
                    yield Damage("count", f"m:{start}", field)

    def _windows(self, brand: str, newest: int) -> dict[str, int]:
        closed, needs, end = (
            self.state.shards[shard_of(brand)].closed_ms,
            history_range(newest),
            newest + MINUTE_MS,
        )
        worth: list[tuple[int, Sums]] = []
        for starts, history in ((needs.minutes, self.state.by_minute), (needs.hours, self.state.by_hour)):
            values = history.get(brand, {})
            worth += [(start, values[start]) for start in starts if start in values]
        for start, minute in self.state.minutes.items():
            if closed <= start <= newest:
                worth.append((start, readable_tallies(minute.fields)[0].get(brand, ZEROS)))
        said = {}
        for window, minutes in WINDOWS.items():
            sums = ZEROS
            for start, value in worth:
                if end - minutes * MINUTE_MS <= start < end:
                    sums = add_sums(sums, value)
            said.update({f"{window}:{measure}": value for measure, value in zip(MEASURES, sums, strict=True)})
        return said

    def ping(self) -> str:
        """Say that it is memory."""
        return "memory"

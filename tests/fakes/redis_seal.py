"""Seal and trim a `MemoryState`: what `lua/seal.lua` does, in the same order."""

from collections.abc import Callable
from typing import Final

from stream_worker.core.aggregates.damage import Damage
from stream_worker.core.aggregates.seal import SealResult
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from tests.fakes.redis_state import Control, CursorRow, MemoryState, StoredMinute

SEALS_MAX: Final = 240
TRIMS_MAX: Final = 500
MODEL_CHANGES_MAX: Final = 1_000
NEVER: Final = float("inf")


def seal(
    state: MemoryState,
    log: str,
    partition_count: int,
    lateness_ms: int,
    max_hold_ms: int,
    older_log: str,
    now: int,
    on_damage: Callable[[Damage], None] = lambda _: None,
) -> SealResult:
    """Seal what every partition has passed, at most `SEALS_MAX` minutes; trim what is closed."""
    ctl = state.ctl
    answer = SealResult(ctl.sealed or 0, ctl.floor or 0, [], 0, {}, 0, now)
    answer.closed_ms = min(_known_closes(state, on_damage), default=-1)
    if older_log != log and ctl.incarnation == older_log:  # a compare-and-set: it moves forward only
        ctl.incarnation, ctl.partitions = log, 0
    if ctl.incarnation != log:
        answer.other_log = ctl.incarnation or ""
        return answer
    ctl.partitions = max(ctl.partitions, partition_count)
    target, held_low = _take_minimum(ctl, state.cursors.setdefault(log, {}), answer, lateness_ms, max_hold_ms)
    if -NEVER < target < NEVER:
        answer.watermark_ms = int(target)
        answer.incomplete = _seal_until(state, answer.watermark_ms, held_low, now, on_damage)
    _trim(state)
    assert ctl.sealed is not None, "the first cursor sets it"
    ctl.floor = max(ctl.floor or 0, ctl.sealed - 35 * DAY_MS)
    answer.sealed_ms, answer.complete_from_ms = ctl.sealed, ctl.floor
    return answer


def _known_closes(state: MemoryState, on_damage: Callable[[Damage], None]) -> list[int]:
    for shard in state.shards:
        if isinstance(shard.closed_ms, str):
            on_damage(Damage("shard", f"shard:{shard.number}", "closed"))
    return [shard.closed_ms for shard in state.shards if isinstance(shard.closed_ms, int)]


def _take_minimum(
    ctl: Control, rows: dict[int, CursorRow], answer: SealResult, lateness_ms: int, max_hold_ms: int
) -> tuple[float, float]:
    """Return the minimum of the effective watermarks of partitions not held, and of those that are."""
    target = held_low = NEVER
    for partition in range(ctl.partitions):
        row = rows.setdefault(partition, CursorRow())
        row.seen_ms = answer.now_ms if row.seen_ms is None else row.seen_ms
        effective, idle = _effective(row, lateness_ms)
        base = max(row.alive_ms or 0, row.seen_ms, ctl.returned_ms or 0)
        if answer.now_ms - base > max_hold_ms:
            answer.excluded.append(partition)
            held_low = min(held_low, effective)
            continue
        target = min(target, effective)
        if row.next is not None and isinstance(row.watermark, int):
            answer.stored_watermarks_ms[partition] = row.watermark
        if idle:
            answer.idle.append(partition)
    return target, held_low


def _effective(row: CursorRow, lateness_ms: int) -> tuple[float, bool]:
    """Return the effective watermark, and whether a proof holds (docs/design.md#proof-of-idleness)."""
    if row.next is None or isinstance(row.watermark, str):
        return -NEVER, False
    if row.proof is not None and row.proof[0] == row.next:
        return max(row.watermark, row.proof[1] - lateness_ms), True
    return row.watermark, False


def _seal_until(
    state: MemoryState, target: int, held_low: float, now: int, on_damage: Callable[[Damage], None]
) -> int:
    """Seal minute by minute, and a hole in one step; return how many are incomplete."""
    ctl, minutes, incomplete = state.ctl, state.minutes, 0
    end = target - target % MINUTE_MS
    for _ in range(SEALS_MAX):
        start = ctl.sealed or 0
        if start >= end:
            break
        if f"m:{start}" in state.foreign:  # passed without a mark: nobody evaluates it
            on_damage(Damage("minute", f"m:{start}"))
            incomplete, ctl.sealed = incomplete + 1, start + MINUTE_MS
            continue
        has_mentions = start in minutes and "mentions" in minutes[start].fields
        if has_mentions:
            ctl.last_data = start
        if ctl.last_data is None or start > ctl.last_data + DAY_MS:
            ctl.sealed = min(_with_mentions(state, start, end, on_damage), default=end)
            continue
        minute = minutes.setdefault(start, StoredMinute())
        minute.seal_id = f"{now * 1000}-{start}"
        minute.complete = held_low >= start + MINUTE_MS and start >= (ctl.floor or 0)
        minute.sealed_at_ms = now
        incomplete += not minute.complete
        _note_models(state, start, ",".join(sorted(minute.models)))
        ctl.sealed = start + MINUTE_MS
    return incomplete


def _with_mentions(
    state: MemoryState, start: int, end: int, on_damage: Callable[[Damage], None]
) -> list[int]:
    """Return the minutes with mentions; those of another type before the first one are damaged."""
    found = [m for m in state.minutes if start <= m < end and "mentions" in state.minutes[m].fields]
    for minute in state.minutes:
        if start <= minute < min(found, default=end) and f"m:{minute}" in state.foreign:
            on_damage(Damage("minute", f"m:{minute}"))
    return found


def _note_models(state: MemoryState, start: int, models: str) -> None:
    """Note from which minute on which models scored, if that changed."""
    if models and models != state.ctl.models:
        state.ctl.models = state.models[start] = models
        for old in sorted(state.models)[:-MODEL_CHANGES_MAX]:
            del state.models[old]


def _trim(state: MemoryState) -> None:
    """Delete minutes older than 2 h before the slowest shard's close."""
    ctl = state.ctl
    closes = [shard.closed_ms if isinstance(shard.closed_ms, int) else -1 for shard in state.shards]
    keep_from = min(closes) - 2 * HOUR_MS
    old = sorted(m for m in state.minutes if m < min(keep_from, ctl.sealed or 0))[:TRIMS_MAX]
    for minute in old:
        del state.minutes[minute]
        state.foreign.discard(f"m:{minute}")
        ctl.trimmed = max(ctl.trimmed, minute + MINUTE_MS)
    if len(old) < TRIMS_MAX:
        ctl.trimmed = max(ctl.trimmed, keep_from)

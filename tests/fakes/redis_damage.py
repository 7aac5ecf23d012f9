"""Damage to a `MemoryState`, named as the keys and fields of Redis are (docs/redis.md).

A damaged value is text where a number or ten integers must be. A key of another type is a name in `foreign`.
"""

from stream_worker.core.aggregates.damage import Damage
from stream_worker.core.time import DAY_MS, HOUR_MS
from tests.fakes.redis_state import CursorRow, MemoryState, StoredMinute


def damage(state: MemoryState, key: str, field: str = "", text: str = "rubbish") -> None:
    """Write text into a field; without a field, replace the key by one of another type."""
    if not field:
        _remove(state, key)
        state.foreign.add(key)
        return
    kind, _, rest = key.partition(":")
    if kind == "m":
        state.minutes.setdefault(int(rest), StoredMinute()).fields[field] = text  # type: ignore[assignment]
    elif kind in ("hm", "hd"):
        _history(state, kind).setdefault(rest.partition(":")[2], {})[int(field)] = text  # type: ignore[assignment]
    elif kind == "cursors":
        name, _, number = field.partition(":")
        row = state.cursors[rest].setdefault(int(number), CursorRow())
        setattr(row, {"next": "next", "wm": "watermark"}[name], text)
    elif kind == "shard":
        _damage_shard(state, int(rest), field, text)
    else:
        getattr(state, kind)[field] = text


def _damage_shard(state: MemoryState, number: int, field: str, text: str) -> None:
    shard, (name, _, brand) = state.shards[number], field.partition(":")
    if name == "closed":
        shard.closed_ms = text  # type: ignore[assignment]
    else:
        {"episode": shard.episodes, "numbers": shard.states}[name][brand] = text


def remove(state: MemoryState, damaged: Damage) -> None:
    """Mend by removal: HDEL of the field, or DEL of the key."""
    key, field = damaged.key, damaged.field
    if not field:
        state.foreign.discard(key)
        return
    kind, _, rest = key.partition(":")
    if kind == "m":
        state.minutes[int(rest)].fields.pop(field, None)
    elif kind in ("hm", "hd"):
        _history(state, kind).get(rest.partition(":")[2], {}).pop(int(field), None)
    elif kind == "shard":
        state.shards[int(rest)].episodes.pop(field.removeprefix("episode:"), None)
    else:
        raise AssertionError(f"{key} is not mended by removal")


def _history(state: MemoryState, kind: str) -> dict[str, dict[int, tuple[int, ...]]]:
    return state.by_minute if kind == "hm" else state.by_hour


def _remove(state: MemoryState, key: str) -> None:
    kind, _, rest = key.partition(":")
    if kind == "m":
        state.minutes[int(rest)] = StoredMinute()
        return
    start, _, brand = rest.partition(":")
    values, unit_ms = _history(state, kind).get(brand, {}), HOUR_MS if kind == "hm" else DAY_MS
    for at in [at for at in values if at - at % unit_ms == int(start)]:
        del values[at]

"""Draw the rolling hash `now:<brand>`: windows that end with the newest minute any partition reached.

Rules:
1. A view: it is overwritten, never read back, and nothing judges, counts or compares it.
2. A minute is worth its history (what was closed, and every late one) and, while its shard has not closed
   it, its on-time fields. Both are read in one transaction, or a close in between would count twice.
3. A transaction stays small, about `FIELDS_MAX` fields, whatever is asked for: Redis serves nobody meanwhile.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np

from stream_worker.core.columns import DAY_MS, HOUR_MS, MINUTE_MS, Int64
from stream_worker.core.deltas import MEASURES
from stream_worker.core.rolling import (
    SHARDS,
    WINDOWS,
    Needs,
    decode_many,
    draw_needs,
    raw,
    shard_of,
    window_sums,
)

FIELDS_MAX: Final = 20_000
VIEW_TTL_S: Final = 2 * 86_400


class Look(NamedTuple):
    """What is known before a draw: the answer of `look.lua`."""

    now_ms: int
    newest_ms: int
    sealed_ms: int
    models: str
    closed_ms: list[int]  # per shard


def read_look(reply: Sequence[Any]) -> Look | None:
    """Decode the answer of `look.lua`; None while no on-time mention was ever counted."""
    now_ms, newest, sealed, models, *closed = reply
    return None if newest == "" else Look(now_ms, int(newest), int(sealed), models, list(map(int, closed)))


def draw(client: Any, prefix: str, look: Look, brands: Sequence[str]) -> None:
    """Overwrite `now:<brand>` of these brands."""
    if not brands:
        return
    needs = draw_needs(look.newest_ms)
    first = max(min(look.closed_ms[shard_of(brand)] for brand in brands), look.newest_ms + MINUTE_MS - DAY_MS)
    unclosed: list[str] = client.zrangebyscore(f"{prefix}:minutes", first, look.newest_ms)
    networks = [*client.hkeys(f"{prefix}:networks"), ""]
    fields_of_a_brand = len(unclosed) * len(networks) * len(MEASURES) + len(needs.minutes) + len(needs.hours)
    step = max(1, FIELDS_MAX // fields_of_a_brand)
    for at in range(0, len(brands), step):
        some = brands[at : at + step]
        sums = _read(client, prefix, needs, list(map(int, unclosed)), networks, some)
        starts = [*needs.minutes, *needs.hours, *map(int, unclosed)]
        _write(client, prefix, look, some, window_sums(look.newest_ms, starts, sums))


def _read(
    client: Any,
    prefix: str,
    needs: Needs,
    unclosed: Sequence[int],
    networks: Sequence[str],
    brands: Sequence[str],
) -> Int64:
    """Read history and what is not closed in one transaction; (brands, minutes + hours + unclosed, 10)."""
    by_hour = {hour: list(of) for hour, of in groupby(needs.minutes, lambda ms: ms - ms % HOUR_MS)}
    by_day = {day: list(of) for day, of in groupby(needs.hours, lambda ms: ms - ms % DAY_MS)}
    fields = [raw(f"{m}:{network}:{brand}") for brand in brands for network in networks for m in MEASURES]
    pipe = client.pipeline(transaction=True)
    for shard in range(SHARDS):
        pipe.hget(f"{prefix}:shard:{shard}", "closed")
    for minute in unclosed:
        pipe.hmget(f"{prefix}:m:{minute}", fields)
    for brand in brands:
        for hour, of in by_hour.items():
            pipe.hmget(raw(f"{prefix}:hm:{hour}:{brand}"), of)
        for day, of in by_day.items():
            pipe.hmget(raw(f"{prefix}:hd:{day}:{brand}"), of)
    replies = pipe.execute()

    closed = np.array([int(replies[shard_of(brand)] or -1) for brand in brands])
    shape = (len(brands), len(networks), len(MEASURES))
    open_sums = np.zeros((len(brands), len(unclosed), len(MEASURES)), np.int64)
    for i, minute in enumerate(unclosed):
        values = np.array([int(value or 0) for value in replies[SHARDS + i]], np.int64)
        open_sums[:, i] = values.reshape(shape).sum(axis=1)
        open_sums[closed > minute, i] = 0
    history = [value for reply in replies[SHARDS + len(unclosed) :] for value in reply]
    closed_sums = decode_many(history).reshape(len(brands), -1, len(MEASURES))
    return np.concatenate([closed_sums, open_sums], axis=1)


def _write(client: Any, prefix: str, look: Look, brands: Sequence[str], sums: Mapping[str, Int64]) -> None:
    """Write the hashes; a reader of another one is served in between."""
    names = [f"{window}:{measure}" for window in WINDOWS for measure in MEASURES]
    numbers = np.concatenate(list(sums.values()), axis=1).tolist()
    pipe = client.pipeline(transaction=False)
    for brand, row in zip(brands, numbers, strict=True):
        said: dict[str, int | str] = {
            "newest": look.newest_ms,
            "as_of_ms": look.now_ms,
            "sealed": look.sealed_ms,
            "closed": look.closed_ms[shard_of(brand)],
            "models": look.models,
        }
        key = raw(f"{prefix}:now:{brand}")
        pipe.hset(key, mapping={**said, **dict(zip(names, row, strict=True))})
        pipe.expire(key, VIEW_TTL_S)
    pipe.execute()

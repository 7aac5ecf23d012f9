"""Refresh the rolling view of brands: windows that end with the newest minute any partition reached.

Rules:
1. A view: it is overwritten, never read back, and nothing judges, counts or compares it.
2. A minute is worth its history (what was closed, and every late one) and, while its shard has not closed
   it, its on-time fields. Both are read by one script, or a close in between would count twice.
3. A script reads about `FIELDS_MAX` fields, however much is requested: Redis serves nobody meanwhile.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np

from stream_worker.adapters.redis.keys import Keys, TtlS, ViewField, window_field
from stream_worker.adapters.redis.scripts import Scripts
from stream_worker.core.aggregates.encoding import (
    WINDOWS,
    decode_many,
    history_range,
    raw,
    shard_of,
    to_json,
    window_sums,
)
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.records.batch import Int64
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS

FIELDS_MAX: Final = 10_000


class RedisHead(NamedTuple):
    """What a refresh must know first: the reply of `read_head.lua`."""

    now_ms: int
    newest_ms: int
    sealed_ms: int
    models: str
    closed_ms: list[int]  # per shard


def parse_head(reply: Sequence[Any]) -> RedisHead | None:
    """Decode the answer of `read_head.lua`; None while no on-time mention was ever counted."""
    now_ms, newest, sealed, models, *closed = reply
    return (
        None if newest == "" else RedisHead(now_ms, int(newest), int(sealed), models, list(map(int, closed)))
    )


def refresh_view(client: Any, scripts: Scripts, keys: Keys, head: RedisHead, brands: Sequence[str]) -> None:
    """Overwrite the view of these brands. Raises ValueError when history is not ten integers."""
    if not brands:
        return
    needs = history_range(head.newest_ms)
    first = max(min(head.closed_ms[shard_of(brand)] for brand in brands), head.newest_ms + MINUTE_MS - DAY_MS)
    unclosed = list(map(int, client.zrangebyscore(keys.minutes, first, head.newest_ms)))
    networks = [*client.hkeys(keys.networks), ""]
    fields_of_a_brand = len(unclosed) * len(networks) * len(MEASURES) + len(needs.minutes) + len(needs.hours)
    step = max(1, FIELDS_MAX // fields_of_a_brand)
    starts = [*needs.minutes, *needs.hours, *unclosed]
    for at in range(0, len(brands), step):
        some = brands[at : at + step]
        request = {
            "hours": _by(needs.minutes, HOUR_MS),
            "days": _by(needs.hours, DAY_MS),
            "unclosed": list(map(str, unclosed)),
            "networks": networks,
            "brands": [(brand, shard_of(brand)) for brand in some],
        }
        sums = decode_many(scripts.call("read_windows", to_json(request)))
        per_brand = sums.reshape(len(some), len(starts), len(MEASURES))
        _write(client, keys, head, some, window_sums(head.newest_ms, starts, per_brand))


def _by(starts: Sequence[int], unit_ms: int) -> list[tuple[str, list[str]]]:
    """Group starts by the hour or day whose key holds them."""
    grouped = groupby(starts, lambda start: start - start % unit_ms)
    return [(str(key), list(map(str, of))) for key, of in grouped]


def _write(
    client: Any, keys: Keys, head: RedisHead, brands: Sequence[str], sums: Mapping[str, Int64]
) -> None:
    """Write the hashes; a reader of another one is served in between."""
    names = [window_field(window, measure) for window in WINDOWS for measure in MEASURES]
    numbers = np.concatenate(list(sums.values()), axis=1).tolist()
    pipe = client.pipeline(transaction=False)
    for brand, row in zip(brands, numbers, strict=True):
        about: dict[str, int | str] = {
            ViewField.NEWEST: head.newest_ms,
            ViewField.AS_OF_MS: head.now_ms,
            ViewField.SEALED: head.sealed_ms,
            ViewField.CLOSED: head.closed_ms[shard_of(brand)],
            ViewField.MODELS: head.models,
        }
        key = raw(keys.view(brand))
        pipe.hset(key, mapping={**about, **dict(zip(names, row, strict=True))})
        pipe.expire(key, TtlS.VIEW)
    pipe.execute()

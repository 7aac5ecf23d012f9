"""Refresh the rolling view of brands: windows that end with the newest minute any partition reached.

Rules:
1. A view: it is overwritten, never read back, and nothing judges, counts or compares it.
2. A minute is worth its history (what was closed, and every late one) and, while its shard has not closed
   it, its on-time fields. Both are read by one script, or a close in between would count twice.
3. A script reads about `FIELDS_MAX` fields, however much is requested: Redis serves nobody meanwhile.
4. The view of a brand whose history or counts are damaged stays as it was written last; `as_of_ms` dates it.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
import redis

from stream_worker.adapters.redis.connection import is_wrong_type
from stream_worker.adapters.redis.keys import Keys, ShardField, TtlS, ViewField, window_field
from stream_worker.adapters.redis.scripts import Scripts
from stream_worker.core.aggregates.damage import Damage
from stream_worker.core.aggregates.encoding import (
    WINDOWS,
    HistoryRange,
    decode_many,
    decode_sums,
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
    closed_ms: list[int | None]  # per shard; None: it cannot be read


def parse_head(reply: Sequence[Any]) -> RedisHead | None:
    """Decode the answer of `read_head.lua`; None while no on-time mention was ever counted."""
    now_ms, newest, sealed, models, *closed = reply
    if newest == "":
        return None
    closed_ms = [int(text) if text else None for text in closed]
    return RedisHead(now_ms, int(newest), int(sealed), models, closed_ms)


def refresh_view(
    client: Any, scripts: Scripts, keys: Keys, head: RedisHead, brands: Sequence[str]
) -> list[Damage]:
    """Overwrite the view of these brands; return what is damaged: the views of its brands stay."""
    shards = sorted({shard_of(brand) for brand in brands})
    damaged = [
        Damage("shard", keys.below_prefix(keys.shard(k)), ShardField.CLOSED)
        for k in shards
        if head.closed_ms[k] is None
    ]
    known = [(brand, at) for brand in brands if (at := head.closed_ms[shard_of(brand)]) is not None]
    if not known:
        return damaged
    brands = [brand for brand, _ in known]
    needs = history_range(head.newest_ms)
    first = max(min(closed_ms for _, closed_ms in known), head.newest_ms + MINUTE_MS - DAY_MS)
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
        texts, named = scripts.call("read_windows", to_json(request))
        damaged += [Damage(*named[i : i + 3]) for i in range(0, len(named), 3)]
        readable = [(brand, text) for brand, text in zip(some, texts, strict=True) if text]
        sums, found = _decode(client, keys, readable, needs, len(starts))
        damaged += found
        if sums:
            per_brand = np.stack(list(sums.values()))
            _write(client, keys, head, list(sums), window_sums(head.newest_ms, starts, per_brand))
    return damaged


def _decode(
    client: Any, keys: Keys, texts: Sequence[tuple[str, str]], needs: HistoryRange, starts: int
) -> tuple[dict[str, Int64], list[Damage]]:
    """Decode the sums of brands, all at once; brand by brand when there is damage, which is returned."""
    shape = (starts, len(MEASURES))
    try:
        sums = decode_many([text for _, text in texts]).reshape(len(texts), *shape)
        return dict(zip((brand for brand, _ in texts), sums, strict=True)), []
    except (
        ValueError,
        DeprecationWarning,
    ):  # NumPy warns of text that is no number; tests make that an error
        pass
    decoded: dict[str, Int64] = {}
    damaged: list[Damage] = []
    for brand, text in texts:
        try:
            decoded[brand] = decode_many([text]).reshape(shape)
        except (ValueError, DeprecationWarning):
            damaged += _damaged_history(client, keys, brand, needs)
    return decoded, damaged


def _damaged_history(client: Any, keys: Keys, brand: str, needs: HistoryRange) -> list[Damage]:
    """Find the fields of a brand's history that are not ten integers."""
    names = [keys.history_of_minutes(int(hour), brand) for hour, _ in _by(needs.minutes, HOUR_MS)]
    names += [keys.history_of_hours(int(day), brand) for day, _ in _by(needs.hours, DAY_MS)]
    damaged = []
    for name in names:
        key = keys.below_prefix(name)
        try:
            fields = client.hgetall(raw(name))
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            damaged.append(Damage("history", key))
            continue
        damaged += [Damage("history", key, field) for field, text in fields.items() if not _is_sums(text)]
    return damaged


def _is_sums(value: str) -> bool:
    try:
        decode_sums(value)
    except ValueError:
        return False
    return True


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
        closed_ms = head.closed_ms[shard_of(brand)]
        assert closed_ms is not None, "brands of a damaged shard are left out"
        about: dict[str, int | str] = {
            ViewField.NEWEST: head.newest_ms,
            ViewField.AS_OF_MS: head.now_ms,
            ViewField.SEALED: head.sealed_ms,
            ViewField.CLOSED: closed_ms,
            ViewField.MODELS: head.models,
        }
        key = raw(keys.view(brand))
        pipe.hset(key, mapping={**about, **dict(zip(names, row, strict=True))})
        pipe.expire(key, TtlS.VIEW)
    pipe.execute()

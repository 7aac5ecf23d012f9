"""Text forms of the aggregates in Redis, written and read; and the sums of windows.

Rules:
1. A *sums* value is ten integers in the order of `MEASURES`; as text they are comma-separated.
2. A field of a minute is `<measure>:<network>:<brand>`: the brand comes last, so that it may hold any
   character. Fields with fewer colons are metadata, and so is `model:<id>`.
3. Minutes, hours and days are named by their start, ms UTC. Ranges are half-open.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from stream_worker.core.aggregates.measures import MEASURES, Delta
from stream_worker.core.records.batch import Int64
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS

Sums = tuple[int, ...]

SHARDS: Final = 16
NETWORKS_MAX: Final = 64
NAMED_BRANDS_MAX: Final = 100
"""A change notice of more brands names `*` instead."""
INCREMENTS_LIMIT: Final = 6_000
"""A call above this is a bug of the caller, which stays below `INCREMENTS_MAX` (docs/design.md#redis)."""
WINDOWS: Final = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "24h": 1_440}
"""The windows of `now:<brand>` and their length in minutes."""

ZEROS: Final[Sums] = (0,) * len(MEASURES)
_INDEX: Final = {measure: i for i, measure in enumerate(MEASURES)}


@lru_cache(maxsize=65_536)
def shard_of(brand: str) -> int:
    """Return the shard of a brand: CRC-32 of its UTF-8, mod 16 (docs/design.md#redis)."""
    return zlib.crc32(raw(brand)) % SHARDS


def raw(text: str) -> bytes:
    """Encode as UTF-8; a lone surrogate passes, so that no brand can break a call."""
    return text.encode("utf-8", "surrogatepass")


def minute_at_or_after(time_ms: int) -> int:
    """Return the start of the first minute that begins neither before `time_ms` nor before 1970."""
    return max(0, -(-time_ms // MINUTE_MS) * MINUTE_MS)


def to_json(value: object) -> bytes:
    """Encode as compact JSON, lone surrogates included: scripts keep the bytes of a brand as they are."""
    return raw(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def encode_delta(delta: Delta) -> bytes:
    """Encode a delta as the one JSON argument of the apply script: columns, `measures` flat, ten a cell."""
    return to_json(
        {
            "model": delta.model,
            "minutes": delta.minutes_ms.tolist(),
            "late": delta.late.astype(np.int8).tolist(),
            "networks": delta.networks,
            "brands": delta.brands,
            "measures": delta.measures.ravel().tolist(),
        }
    )


def encode_sums(sums: Iterable[int]) -> str:
    """Write ten sums as a history value."""
    return ",".join(map(str, sums))


def decode_sums(value: str) -> Sums:
    """Read a history value. Raises ValueError when it is not ten integers."""
    sums = tuple(map(int, value.split(",")))
    if len(sums) != len(MEASURES):
        raise ValueError(f"a history value must have {len(MEASURES)} integers; this one has {len(sums)}")
    return sums


def add_sums(left: Sums, right: Sums) -> Sums:
    """Add measure by measure."""
    return tuple(a + b for a, b in zip(left, right, strict=True))


def readable_tallies(fields: Mapping[str, str | int]) -> tuple[dict[str, Sums], dict[str, str]]:
    """Return the tallies of `frozen_tallies`, and the brands that have none: brand -> a damaged field.

    A tally of which one count is no integer is not known; the others of the minute are.
    """
    try:
        return frozen_tallies(fields), {}
    except ValueError:
        damaged = {name.split(":", 2)[2]: name for name, value in fields.items() if _is_damaged(name, value)}
    sound = {name: value for name, value in fields.items() if not _is_damaged(name, value)}
    tallies = frozen_tallies(sound)
    return {brand: sums for brand, sums in tallies.items() if brand not in damaged}, damaged


def _is_damaged(name: str, value: str | int) -> bool:
    measure, _, rest = name.partition(":")
    if measure not in _INDEX or ":" not in rest:
        return False
    try:
        int(value)
    except ValueError:
        return True
    return False


def frozen_tallies(fields: Mapping[str, str | int]) -> dict[str, Sums]:
    """Sum the on-time fields of a minute over networks, per brand; late fields and metadata are left out.

    Raises ValueError when a count is no integer.
    """
    tallies: dict[str, list[int]] = {}
    for field, value in fields.items():
        measure, _, rest = field.partition(":")
        index = _INDEX.get(measure)
        if index is None or not rest:
            continue
        brand = rest.partition(":")[2]
        tallies.setdefault(brand, list(ZEROS))[index] += int(value)
    return {brand: tuple(sums) for brand, sums in tallies.items()}


class HistoryRange(NamedTuple):
    """The history that a refresh of the view reads: starts of minutes and of whole hours, rising."""

    minutes: list[int]
    hours: list[int]


def history_range(newest_ms: int) -> HistoryRange:
    """Return the history that the windows ending with `newest_ms` need: whole hours stand for their minutes.

    The last hour is always read by minutes, for the shorter windows.
    """
    end = newest_ms + MINUTE_MS
    start = end - DAY_MS
    first_hour = -(-start // HOUR_MS) * HOUR_MS
    last_hour = (end - HOUR_MS) // HOUR_MS * HOUR_MS  # hours end here; minutes go on
    hours = range(first_hour, last_hour, HOUR_MS)
    minutes = [*range(start, first_hour, MINUTE_MS), *range(last_hour, end, MINUTE_MS)]
    return HistoryRange(minutes, list(hours))


def decode_many(values: Sequence[str]) -> Int64:
    """Read history values at once, each of one or several sums; (sums, 10). Raises ValueError."""
    return np.fromstring(",".join(values), dtype=np.int64, sep=",").reshape(-1, len(MEASURES))


def window_sums(newest_ms: int, starts: Sequence[int], sums: Int64) -> dict[str, Int64]:
    """Sum over the windows that end with the minute `newest_ms`.

    `starts` (k) are of minutes and hours as `history_range` names them, and of minutes not yet closed, in any
    order; `sums` is (brands, k, 10). Returns (brands, 10) per window.
    """
    at = np.asarray(starts, np.int64)
    end = newest_ms + MINUTE_MS
    found = {}
    for name, minutes in WINDOWS.items():
        inside = (at >= end - minutes * MINUTE_MS) & (at < end)
        found[name] = sums[:, inside].sum(axis=1)
    return found

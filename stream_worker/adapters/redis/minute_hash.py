"""The hash of a minute, read into cells as the audit and the daily batch compare them (docs/redis.md)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from stream_worker.adapters.redis.keys import MinuteField
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.reconcile.cells import Cells, Names, grouped, key_of

_WIDTH: Final = len(MEASURES)
_INDEX: Final = {measure: i for i, measure in enumerate(MEASURES)}


class MinuteHash(NamedTuple):
    """The hash of a minute: its cells, the fields beside them, and what in it contradicts itself."""

    cells: Cells
    models: str  # comma-separated
    complete: bool  # false only for a minute that was sealed without some partition
    faults: list[str]


def minute_cells(fields: Mapping[str, str], minute: int, networks: Names, brands: Names) -> MinuteHash:
    """Read the hash of a minute, `minute` of the hour. Raises ValueError when a count is no integer."""
    at: dict[int, list[list[int]]] = {}
    for field, value in fields.items():
        measure, _, cell = field.partition(":")
        late = measure.startswith(MinuteField.LATE)
        index = _INDEX.get(measure.removeprefix(MinuteField.LATE))
        if index is None or not cell:
            continue  # a field beside the cells: totals, models, the seal
        network, _, brand = cell.partition(":")
        key = key_of(minute, networks.add(network), brands.add(brand))
        at.setdefault(key, [[0] * _WIDTH, [0] * _WIDTH])[late][index] = int(value)
    on_time = np.array([both[0] for both in at.values()], np.int64).reshape(-1, _WIDTH)
    late_sums = np.array([both[1] for both in at.values()], np.int64).reshape(-1, _WIDTH)
    cells = grouped(np.fromiter(at, np.int64, len(at)), on_time + late_sums, on_time)
    by_model = sum(int(value) for field, value in fields.items() if field.startswith(MinuteField.MODEL))
    mentions, late_mentions = int(on_time[:, 0].sum()), int(late_sums[:, 0].sum())
    totals = {
        MinuteField.MENTIONS.value: (int(fields.get(MinuteField.MENTIONS, 0)), mentions),
        MinuteField.LATE_MENTIONS.value: (int(fields.get(MinuteField.LATE_MENTIONS, 0)), late_mentions),
        "mentions by model": (by_model, mentions),
    }
    faults = [
        f"{name} says {stored}, its cells {found}"
        for name, (stored, found) in totals.items()
        if stored != found
    ]
    return MinuteHash(
        cells, fields.get(MinuteField.MODELS, ""), fields.get(MinuteField.COMPLETE) != "0", faults
    )

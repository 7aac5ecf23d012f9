"""Deltas: the integers that one micro-batch adds to tallies.

Rules:
1. A cell is (minute, network, brand, late or not); it carries one integer per measure.
2. Integers only (docs/design.md#r3): order and batch cuts change nothing. Sentiment is summed in micro-units.
3. Duplicates are not counted at all; a repeat is counted in `n` and in `repeats`.
"""

from dataclasses import dataclass
from typing import Final

from stream_worker.core.records.batch import Bool, Int64

MEASURES: Final = (
    "n",
    "neg",
    "neu",
    "pos",
    "uncertain",
    "unscored",
    "sum",
    "repeats",
    "voices",
    "neg_voices",
)
"""The ten measures of a tally, in the order of every list, history value and script; docs/design.md#redis."""


@dataclass(slots=True, eq=False)
class Delta:
    """k cells. `minutes_ms` are window starts; `measures` is (k, 10) in the order of `MEASURES`."""

    minutes_ms: Int64
    late: Bool
    networks: list[str]
    brands: list[str]
    measures: Int64
    model: str  # that scored all of it; counted per minute over on-time mentions

    def __len__(self) -> int:
        return len(self.networks)

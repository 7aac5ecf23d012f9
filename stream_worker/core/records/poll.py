"""What the broker says of the topic, and what one poll of it brought."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream_worker.core.records.batch import Int64, Records


class TopicFacts(NamedTuple):
    """What the broker says of the topic."""

    incarnation: str
    partitions: int


@dataclass(slots=True)
class Poll:
    """One poll: what was lost and gained, what was read, and which partitions were seen at their end."""

    revoked: list[int]
    assigned: list[int]
    records: dict[int, Records]
    ends: dict[int, int]  # partition -> offset of the end that was seen, after the records above
    out_of_range: list[int]  # the position is no longer in the log: look the partition up again


def rising_from(offsets: Sequence[int] | Int64, expected: int) -> int:
    """Return how many of the first offsets rise from `expected` on; the others were read elsewhere."""
    at = np.asarray(offsets, np.int64)
    if not len(at) or at[0] < expected:
        return 0
    falls = np.flatnonzero(at[1:] <= at[:-1])
    return int(falls[0]) + 1 if len(falls) else len(at)

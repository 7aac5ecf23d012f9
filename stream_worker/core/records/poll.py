"""What the broker says of the topic, and what one poll of it brought."""

from dataclasses import dataclass
from typing import NamedTuple

from stream_worker.core.records.batch import Records


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

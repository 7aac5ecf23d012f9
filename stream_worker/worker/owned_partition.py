"""A partition that is ours: its machine, and what keeps it from reading."""

from collections import deque
from dataclasses import dataclass, field

from stream_worker.core.partition.effects import RedisEffect
from stream_worker.core.partition.machine import PartitionMachine


@dataclass(slots=True, eq=False)
class OwnedPartition:
    """A partition that is ours; `epoch` tells its background jobs from those of an earlier assignment."""

    machine: PartitionMachine
    epoch: int
    on_redis: deque[RedisEffect] = field(default_factory=deque)  # in order; the first one is run next
    ahead: bool = False  # paused: too far ahead of the slowest partition
    interrupted: bool = False  # paused: Redis is away
    sought: bool = False  # since the last poll
    stopped: bool = False  # its stored state cannot be read

    @property
    def takes_records(self) -> bool:
        """Whether records may be handed to the machine now."""
        return self.machine.takes_records and not (self.stopped or self.interrupted or self.sought)

"""A partition that is ours: its machine, what it waits for, and which answer goes to which of its methods."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from stream_worker.core.partition.effects import AdvanceCursor, Apply, CreateCursor, Effect, Phase, ReadCursor
from stream_worker.core.partition.machine import PartitionMachine

OnRedis = Apply | ReadCursor | CreateCursor | AdvanceCursor


@dataclass(slots=True, eq=False)
class OwnedPartition:
    """A partition that is ours, and what it waits for."""

    machine: PartitionMachine
    epoch: int
    on_redis: deque[OnRedis] = field(default_factory=deque)
    ahead: bool = False  # paused: too far ahead of the slowest partition
    interrupted: bool = False  # paused: Redis is away
    sought: bool = False  # since the last poll
    stopped: bool = False

    @property
    def takes_records(self) -> bool:
        """Whether records may be handed to the machine now."""
        reading = self.machine.phase is Phase.READING and not self.machine.waits
        return reading and not (self.stopped or self.interrupted or self.sought)


def tell(machine: PartitionMachine, name: str, result: Any, now_s: float) -> list[Effect]:  # noqa: PLR0911 - a table
    """Give an answer to the method that takes it (core/partition/effects.py)."""
    match name:
        case "position":
            return machine.assigned(result)
        case "chain":
            return machine.chain_is(result)
        case "head":
            return machine.head_is(result)
        case "plans":
            return machine.plans_are(result)
        case "plan":
            return machine.plan_is(result, now_s)
        case "letters":
            return machine.letters_sent()
        case "rows":
            return machine.rows_written(result)
        case _:
            return machine.manifest_written(now_s)

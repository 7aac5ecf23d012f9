"""What the seal script answers."""

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class SealResult:
    """Answer of the seal script."""

    sealed_ms: int  # every minute that starts before this is sealed
    complete_from_ms: int
    held: list[int]  # partitions left out
    watermark_ms: int  # the minimum of the effective watermarks that was taken; 0 when nothing may move
    stored_watermarks_ms: dict[int, int]  # of partitions that are not held: for the alignment pause
    incomplete: int  # minutes sealed incomplete by this call
    now_ms: int
    idle: list[int] = field(default_factory=list)  # at their end by a proof: no reason to pause others
    closed_ms: int = -1  # every minute that starts before this is closed, by the slowest shard
    other_log: str = ""  # the log that the group is on, if it is not ours: nothing was sealed

"""The reply of the seal script."""

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class SealResult:
    """The reply of the seal script."""

    sealed_ms: int  # every minute that starts before this is sealed
    complete_from_ms: int
    excluded: list[int]  # partitions that are not waited for (docs/design.md#minutes)
    watermark_ms: int  # the minimum of the effective watermarks; 0 when nothing may be sealed
    stored_watermarks_ms: dict[int, int]  # of partitions that are not excluded: for the alignment pause
    incomplete: int  # minutes sealed incomplete by this call
    now_ms: int
    idle: list[int] = field(default_factory=list)  # at their end, by proof: no reason to pause others
    closed_ms: int = -1  # every minute that starts before this is closed, by the slowest shard
    other_log: str = ""  # the log of the group, if it is not ours: then nothing was sealed

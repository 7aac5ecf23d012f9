"""How far Redis was in the instant in which something else of it was read."""

from typing import Final, NamedTuple

from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS

HOURS_OF_MINUTES_MS: Final = 48 * HOUR_MS
DAYS_OF_HOURS_MS: Final = 35 * DAY_MS
"""So long, in event time, the history of minutes and that of hours are kept."""

PartitionOfLog = tuple[str, int]
"""Name of the log, and partition."""


class RedisPosition(NamedTuple):
    """Cursors and control of one instant; times are ms. `minutes` only where they were requested."""

    now_ms: int
    sealed_ms: int
    complete_from_ms: int
    trimmed_ms: int
    expired: int
    closed_ms: tuple[int, ...]  # per shard; -1: nothing
    minutes: tuple[int, ...]  # starts of the minutes that have a hash, rising
    cursors: dict[str, dict[int, int]]  # log name -> partition -> next offset

    def partitions(self) -> dict[PartitionOfLog, int]:
        """Return the next offset of every partition that has a cursor."""
        return {
            (log, partition): cursor
            for log, cursors in self.cursors.items()
            for partition, cursor in cursors.items()
        }

    def has_minute(self, minute_ms: int) -> bool:
        """Whether Redis claims to hold the hash of this minute wholly."""
        return minute_ms >= max(self.complete_from_ms, self.trimmed_ms)

    def has_hour_of_minutes(self, hour_ms: int, shard: int) -> bool:
        """Whether the history of this hour's minutes is kept for brands of the shard."""
        last_ms = self.closed_ms[shard] - MINUTE_MS
        return hour_ms >= self.sealed_ms - HOURS_OF_MINUTES_MS and hour_ms > last_ms - HOURS_OF_MINUTES_MS

    def has_hour(self, hour_ms: int, shard: int) -> bool:
        """Whether the history of this hour is kept, and nothing of it is open or before complete_from."""
        last_ms = self.closed_ms[shard] - MINUTE_MS
        day_ms = hour_ms - hour_ms % DAY_MS
        whole = self.complete_from_ms <= hour_ms and hour_ms + HOUR_MS <= self.closed_ms[shard]
        return whole and day_ms > last_ms - DAYS_OF_HOURS_MS

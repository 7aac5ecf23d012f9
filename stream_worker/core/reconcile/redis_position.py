"""Standing: how far Redis had come in the instant something else of it was read."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS

HOURS_OF_MINUTES_MS = 48 * HOUR_MS
DAYS_OF_HOURS_MS = 35 * DAY_MS


class RedisPosition(NamedTuple):
    """Cursors and control of one instant; times are ms. `minutes` only where they were asked for."""

    now_ms: int
    sealed_ms: int
    complete_from_ms: int
    trimmed_ms: int
    expired: int
    closed_ms: tuple[int, ...]  # per shard; -1: nothing
    minutes: tuple[int, ...]  # starts of the minutes that have a hash, rising
    cursors: dict[str, dict[int, int]]  # log name -> partition -> next offset

    def has_minute(self, minute_ms: int) -> bool:
        """Whether Redis claims to hold the hash of this minute wholly."""
        return minute_ms >= max(self.complete_from_ms, self.trimmed_ms)

    def has_hour_of_minutes(self, hour_ms: int, shard: int) -> bool:
        """Whether the history of this hour's minutes is kept for brands of the shard."""
        last_ms = self.closed_ms[shard] - MINUTE_MS
        return hour_ms >= self.sealed_ms - HOURS_OF_MINUTES_MS and hour_ms > last_ms - HOURS_OF_MINUTES_MS

    def has_hour(self, hour_ms: int, shard: int) -> bool:
        """Whether the history of this hour is kept, and nothing of it is open or below the floor."""
        last_ms = self.closed_ms[shard] - MINUTE_MS
        day_ms = hour_ms - hour_ms % DAY_MS
        whole = self.complete_from_ms <= hour_ms and hour_ms + HOUR_MS <= self.closed_ms[shard]
        return whole and day_ms > last_ms - DAYS_OF_HOURS_MS


class SnapshotReader(Protocol):
    """Redis as the audit reads it: each part with the standing of its instant. Raises Unavailable."""

    def look(self) -> RedisPosition:
        """Return how far everything is, with the minutes that have a hash."""

    def minute(self, start_ms: int) -> tuple[RedisPosition, dict[str, str]]:
        """Read the hash of a minute."""

    def history(
        self, kind: str, start_ms: int, brands: Sequence[str]
    ) -> tuple[RedisPosition, list[dict[str, str]]]:
        """Read history (`hm` of an hour, `hd` of a day) of some brands."""

    def admitted(self, what: str) -> list[str]:
        """Return the admitted `brands` or `networks`, in no order."""

    def close(self) -> None:
        """Close the connection."""

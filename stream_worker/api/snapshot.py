"""Redis at one moment: cursors, seals, closes and episodes, as values."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from stream_worker.adapters.redis.keys import CursorField
from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.detection.episodes import Episode, decode
from stream_worker.errors import Unreadable


class PartitionCursor(NamedTuple):
    """The cursor of a partition. Times are ms; `effective_ms`: no earlier event time is expected."""

    number: int
    next: int | None
    end: int | None
    watermark_ms: int | None
    effective_ms: int | None
    reported_ms: int
    alive_ms: int
    owner: str


class MinuteTotals(NamedTuple):
    """A minute over all brands, from its hash in Redis."""

    mentions: int
    late: int
    sealed: bool
    complete: bool
    models: str
    sealed_at_ms: int | None


class PageSnapshot(NamedTuple):
    """The values that every answer begins with. Times are ms by Redis TIME or event time."""

    now_ms: int
    revision: str  # id of the newest change notice; a client that reads on from it misses nothing
    log: str
    newest_ms: int | None
    sealed_ms: int
    complete_from_ms: int
    expired: int
    closed_ms: list[int]  # per shard
    brands: list[str]
    networks: list[str]
    episodes: dict[str, Episode]
    partitions: list[PartitionCursor]
    damaged: frozenset[str] = frozenset()  # brands whose episode record cannot be read

    @property
    def final_ms(self) -> int:
        """Minutes that start before it are final for every brand."""
        return min(self.closed_ms)

    def final_of(self, brand: str) -> int:
        """Minutes that start before it are final for this brand."""
        return self.closed_ms[shard_of(brand)]

    def visible_to_ms(self, lateness_ms: int) -> int | None:
        """Event time of the newest mention that is visible, or of the proof that there is none newer."""
        watermarks = [cursor.effective_ms for cursor in self.partitions if cursor.effective_ms is not None]
        return max(watermarks) + lateness_ms if watermarks else None


def effective_ms(cursors: Mapping[str, str], partition: int, lateness_ms: int) -> int | None:
    """Return the effective watermark of a partition, as the seal takes it; None when it cannot be read."""
    watermark = cursors.get(CursorField.WATERMARK.of(partition), "")
    if not re.fullmatch(r"-?\d+", watermark):
        return None
    proof = re.fullmatch(r"(\d+),(-?\d+)", cursors.get(CursorField.PROOF.of(partition), ""))
    if proof and proof[1] == cursors.get(CursorField.NEXT.of(partition)):
        return max(int(watermark), int(proof[2]) - lateness_ms)
    return int(watermark)


def read_episodes(
    shards: Iterable[tuple[Sequence[str], Sequence[str | None]]],
) -> tuple[dict[str, Episode], frozenset[str]]:
    """Decode the records of episodes; return them by brand, and the brands whose record cannot be read."""
    episodes: dict[str, Episode] = {}
    damaged = set()
    for brands, records in shards:
        for brand, record in zip(brands, records, strict=True):
            if record is None:
                continue
            try:
                episodes[brand] = decode(record)
            except Unreadable:
                damaged.add(brand)
    return episodes, frozenset(damaged)


def id_key(stream_id: str) -> tuple[int, int]:
    """Return the sort key of a stream id; the lowest for anything else."""
    id_parts = re.fullmatch(r"(\d{1,20})-(\d{1,20})", stream_id)
    return (int(id_parts[1]), int(id_parts[2])) if id_parts else (0, 0)

"""The account of a demo: what was published, and in which one place each record ended.

Rules:
1. Each number comes from whoever knows it first hand: the broker's confirmations (published), Redis
   (counted), the rows of the archive (archived, duplicates), its manifests (rejected), the topic of dead
   letters.
2. It is taken when nothing moves any more; what does not add up is told, never smoothed.
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow.dataset as ds

from stream_worker.core.layout import Manifest
from stream_worker.core.rolling import SHARDS, decode_sums, shard_of
from stream_worker.demo.picture import PREFIX
from stream_worker.errors import Unreadable


class Account(NamedTuple):
    """Records by where they ended."""

    published: int  # confirmed by the broker
    not_delivered: int  # not known to be on the topic
    counted: int  # in Redis, on time and late
    late: int  # of these, counted late in minutes that Redis still holds (two hours)
    duplicates: int
    rejected: int
    archived_rows: int
    dead_letters: int

    @property
    def unexplained(self) -> int:
        """Published records that are in none of the places, or (negative) in more than one."""
        return self.published - self.counted - self.duplicates - self.rejected

    @property
    def agrees(self) -> bool:
        """Whether every record is in one place, and everything counted or duplicate has its one row."""
        has_rows = self.archived_rows == self.counted + self.duplicates
        return self.unexplained == 0 and has_rows and self.dead_letters >= self.rejected

    def as_object(self) -> dict[str, int]:
        """The same for JSON."""
        return {**self._asdict(), "unexplained": self.unexplained}

    def lines(self) -> list[str]:
        """The same for people."""
        on_time = f"in Redis: {self.counted - self.late:,} on time, {self.late:,} late"
        kept = f"{self.dead_letters:,} dead letters"
        found = [
            ("published", self.published, "confirmed by the broker"),
            ("counted", self.counted, on_time),
            ("duplicates", self.duplicates, "the same mention again: archived, not counted"),
            ("rejected", self.rejected, f"cannot be used: {kept}"),
            ("unexplained", self.unexplained, "published - counted - duplicates - rejected"),
            ("archived rows", self.archived_rows, "one for each that is counted or a duplicate"),
        ]
        if self.not_delivered:
            found.insert(1, ("not delivered", self.not_delivered, "not confirmed: on the topic or not"))
        return [f"{what:<14} {number:>9,}   {meaning}" for what, number, meaning in found]


class Chunks:
    """What the archive's manifests say; each is read once, since none ever changes."""

    def __init__(self, archive: Path) -> None:
        self._folder = archive / "_manifests"
        self._seen: set[Path] = set()
        self.rejected = 0
        self.settled = 0
        """Records of complete chunks, whatever became of them."""

    def read_new(self) -> None:
        """Take in the manifests written since. Raises Unreadable."""
        for path in set(self._folder.rglob("*.json")) - self._seen:
            try:
                outcomes = msgspec.json.decode(path.read_bytes(), type=Manifest).outcomes
            except msgspec.MsgspecError as error:
                raise Unreadable(f"the manifest {path} cannot be read: {error}") from error
            self._seen.add(path)
            self.rejected += outcomes.rejected
            self.settled += outcomes.counted + outcomes.duplicate + outcomes.rejected


def passed(client: Any) -> int:
    """How many offsets Redis has passed, over all partitions: the sum of its cursors."""
    total = 0
    for key in client.scan_iter(f"{PREFIX}:cursors:*"):
        total += sum(int(v) for name, v in client.hgetall(key).items() if name.startswith("next:"))
    return total


def counted(client: Any) -> tuple[int, int]:
    """Mentions that Redis has counted, and how many of these are late.

    History holds every closed minute and all that is late; minutes that their brand's shard has not yet
    closed hold the rest.
    """
    closed = {k: int(client.hget(f"{PREFIX}:shard:{k}", "closed") or -1) for k in range(SHARDS)}
    total = late = 0
    for key in client.scan_iter(f"{PREFIX}:hd:*", count=1000):
        total += sum(decode_sums(value)[0] for value in client.hvals(key))
    for key in client.scan_iter(f"{PREFIX}:m:*", count=1000):
        minute_ms = int(key.rpartition(":")[2])
        for field, value in client.hgetall(key).items():
            measure, _, cell = field.partition(":")
            if field == "late_mentions":
                late += int(value)
            elif measure == "n" and minute_ms >= closed[shard_of(cell.partition(":")[2])]:
                total += int(value)
    return total, late


def archived(archive: Path) -> tuple[int, int]:
    """Rows of the archive, and how many of them are duplicates, as pyarrow reads the folder."""
    if not any(archive.glob("dt=*/**/*.parquet")):
        return 0, 0
    rows = ds.dataset(archive, partitioning="hive")
    return rows.count_rows(), rows.count_rows(filter=ds.field("duplicate"))

"""A topic in memory and a source over it: for tests, and for reading what the protocol asks of Kafka.

Rules:
1. A `MemoryTopic` is the log: sparse offsets, retention, committed offsets. Sources that share one share a
   broker.
2. Nothing happens by itself: assignments and losses come when they are told to, and are in the next poll.
3. As on Kafka: a partition is paused from its assignment until the first seek, an end is told each time it is
   reached, behind the records, and a position that is not in the log once, until the next seek.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from stream_worker.core.partition.inputs import LogPosition
from stream_worker.core.records.batch import Records
from stream_worker.core.records.poll import Poll, TopicFacts
from stream_worker.errors import Unavailable


@dataclass(slots=True)
class _PartitionLog:
    """One partition: its records, and `[start, end)`, which may hold offsets without a record."""

    offsets: list[int] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    start: int = 0
    end: int = 0
    committed: int = -1


class MemoryTopic:
    """A topic of one incarnation. Its methods are what a broker, a producer and time do to a log."""

    def __init__(self, partitions: int = 1, incarnation: str = "0a1b2c3d") -> None:
        self.incarnation = incarnation
        self.away = False  # questions to the broker are Unavailable while this is set
        self._lock = threading.Lock()
        self._logs = [_PartitionLog() for _ in range(partitions)]

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return len(self._logs)

    def add_partition(self) -> int:
        """Add a partition; returns its number."""
        self._logs.append(_PartitionLog())
        return len(self._logs) - 1

    def append(self, partition: int, value: bytes | None, record_time_ms: int) -> int:
        """Append a record; returns its offset."""
        with self._lock:
            log = self._logs[partition]
            log.offsets.append(log.end)
            log.times_ms.append(record_time_ms)
            log.values.append(value)
            log.end += 1
            return log.end - 1

    def leave_out(self, partition: int, count: int) -> None:
        """Append offsets that hold no record for us, as the markers of transactions do."""
        with self._lock:
            self._logs[partition].end += count

    def delete_before(self, partition: int, offset: int) -> None:
        """Let the log begin at `offset`, as retention does."""
        with self._lock:
            log = self._logs[partition]
            kept = bisect_left(log.offsets, offset)
            del log.offsets[:kept], log.times_ms[:kept], log.values[:kept]
            log.start = max(log.start, offset)
            log.end = max(log.end, offset)

    def truncate(self, partition: int, end: int) -> None:
        """Let the log end at `end`, as an unclean election does."""
        with self._lock:
            log = self._logs[partition]
            kept = bisect_left(log.offsets, end)
            del log.offsets[kept:], log.times_ms[kept:], log.values[kept:]
            log.end = min(log.end, end)

    def read(self, partition: int, offset: int, records_max: int) -> tuple[Records, int]:
        """Return the next records at or after `offset`, and the offset behind them (the end at last)."""
        with self._lock:
            log = self._logs[partition]
            low = bisect_left(log.offsets, offset)
            at = slice(low, low + records_max)
            records = Records(log.offsets[at], log.times_ms[at], log.values[at])
            is_rest = low + records_max >= len(log.offsets)
            return records, log.end if is_rest else records.offsets[-1] + 1

    def position(self, partition: int) -> LogPosition:
        """Say where the log begins and ends, and what is committed. Raises Unavailable."""
        if self.away:
            raise Unavailable("the topic in memory is away")
        log = self._logs[partition]
        return LogPosition(log.start, log.end, log.committed)

    def commit(self, partition: int, offset: int) -> None:
        """Keep a committed offset."""
        self._logs[partition].committed = offset


@dataclass(slots=True)
class _Reading:
    """How one assigned partition is read."""

    position: int = -1  # before the first seek
    paused: bool = True
    told_end: int = -1
    told_out_of_range: bool = False
    log_end: int = 0  # as of the last fetch


class MemorySource:
    """`ports.Source` over a `MemoryTopic`: one member of a group that only does what it is told."""

    def __init__(self, topic: MemoryTopic, *, records_max: int = 500) -> None:
        self._topic, self._records_max = topic, records_max
        self._reading: dict[int, _Reading] = {}
        self._revoked: list[int] = []
        self._assigned: list[int] = []
        self._ends: dict[int, int] = {}
        self.closed = False

    def assign(self, *partitions: int) -> None:
        """Give partitions to this source; the next poll tells of them."""
        for partition in partitions:
            self._reading[partition] = _Reading()
            self._assigned.append(partition)

    def revoke(self, *partitions: int) -> None:
        """Take partitions away; the next poll tells of those it had told of before."""
        for partition in partitions:
            del self._reading[partition]
            if partition in self._assigned:
                self._assigned.remove(partition)
            else:
                self._revoked.append(partition)

    def poll(self, timeout_s: float) -> Poll:
        """Take the next records of partitions that are not paused; waits only if there is nothing to tell."""
        poll = Poll(self._revoked, self._assigned, {}, {}, [])
        self._revoked, self._assigned = [], []
        room = self._records_max
        for partition, reading in list(self._reading.items()):
            if reading.paused or room == 0:
                continue
            log_start, log_end, _ = self._topic.position(partition)
            if not log_start <= reading.position <= log_end:
                if not reading.told_out_of_range:
                    poll.out_of_range.append(partition)
                reading.told_out_of_range = True
                continue
            room -= self._fetch(partition, reading, room, poll)
        for partition in poll.records:  # the next poll begins with the others
            self._reading[partition] = self._reading.pop(partition)
        if poll == Poll([], [], {}, {}, []):
            time.sleep(timeout_s)
        return poll

    def _fetch(self, partition: int, reading: _Reading, room: int, poll: Poll) -> int:
        """Put the next records of one partition, and its end, into the poll; returns how many records."""
        records, reading.position = self._topic.read(partition, reading.position, room)
        reading.log_end = self._topic.position(partition).log_end
        if records.offsets:
            poll.records[partition] = records
        if reading.position >= reading.log_end and (records.offsets or reading.told_end != reading.position):
            poll.ends[partition] = reading.told_end = reading.position
        return len(records.offsets)

    def position(self, partition: int) -> LogPosition:
        """Ask where the log begins and ends, and what is committed. Raises Unavailable."""
        return self._topic.position(partition)

    def starts(self, policy: Literal["earliest", "latest"]) -> list[int]:
        """Ask for the first, or the next, offset of every partition. Raises Unavailable."""
        logs = [self._topic.position(partition) for partition in range(self._topic.partitions)]
        return [log.log_start if policy == "earliest" else log.log_end for log in logs]

    def topic(self) -> TopicFacts:
        """Ask which incarnation the topic is, and how many partitions it has. Raises Unavailable."""
        if self._topic.away:
            raise Unavailable("the topic in memory is away")
        return TopicFacts(self._topic.incarnation, self._topic.partitions)

    def joined(self) -> bool:
        """Whether this source has not left."""
        return not self.closed

    def seek(self, partition: int, offset: int) -> None:
        """Read on from `offset`, and resume."""
        if partition in self._reading:
            self._reading[partition] = _Reading(offset, paused=False)

    def pause(self, partition: int) -> None:
        """Bring no more records of this partition until it is resumed."""
        if partition in self._reading:
            self._reading[partition].paused = True

    def resume(self, partition: int) -> None:
        """Go on behind the last record handed over."""
        if partition in self._reading:
            self._reading[partition].paused = False

    def log_end(self, partition: int) -> int:
        """Return the end of the log as of the last fetch; 0 before the first."""
        return self._reading[partition].log_end if partition in self._reading else 0

    def ask_ends(self, partitions: Sequence[int]) -> None:
        """Ask for the ends of these partitions; the answer is that of this moment."""
        if not self._topic.away:
            self._ends = {partition: self._topic.position(partition).log_end for partition in partitions}

    def answered_ends(self) -> dict[int, int] | None:
        """Return the answer to the last question, once."""
        ends, self._ends = self._ends, {}
        return ends

    def commit(self, partition: int, offset: int) -> None:
        """Keep where the archive is as the committed offset."""
        self._topic.commit(partition, offset)

    def close(self) -> None:
        """Leave: nothing is assigned any more."""
        self.closed = True
        self._reading.clear()

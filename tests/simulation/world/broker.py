"""The broker of a simulated world: logs, committed offsets, dead letters, and `ports.Source` over it."""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from random import Random
from typing import Final

from stream_worker.core.archive.layout import Log
from stream_worker.core.partition.inputs import LogPosition
from stream_worker.core.records.batch import Records
from stream_worker.core.records.poll import Poll, TopicFacts, rising_from
from stream_worker.errors import Unavailable

ELSEWHERE: Final = 0.1
"""Share of the first fetches after a seek that go on at the log's beginning."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the broker holds; `appended_ms` is when it came, by the world's clock."""

    offset: int
    record_time_ms: int
    value: bytes | None
    appended_ms: int


class PartitionLog:
    """One partition. `records` are all that ever were; those below `start` cannot be read any more."""

    def __init__(self):
        self.records = []
        self.start = self.end = 0

    def append(self, record_time_ms, value, now_ms):
        self.records.append(Record(self.end, record_time_ms, value, now_ms))
        self.end += 1

    def skip(self, offsets):
        """Offsets without a record: transaction markers, aborted records."""
        self.end += offsets

    def read(self, position, most):
        low = bisect_left(self.records, position, key=_offset)
        return self.records[low : low + most]

    def between(self, start, end):
        low, high = (bisect_left(self.records, at, key=_offset) for at in (start, end))
        return self.records[low:high]


def _offset(record):
    return record.offset


class Topic:
    """One incarnation of the topic."""

    def __init__(self, number, partitions):
        self.log = Log("mentions", f"{number:08x}")
        self.partitions = [PartitionLog() for _ in range(partitions)]

    @property
    def facts(self):
        return TopicFacts(self.log.incarnation, len(self.partitions))

    def add_partition(self):
        self.partitions.append(PartitionLog())


class Broker:
    """The topic there is now, those that were, what the group committed, and the dead letters."""

    def __init__(self, partitions):
        self.topics = [Topic(1, partitions)]
        self.committed = {}
        self.owners = {}  # partition -> process, as the coordinator sees it
        self.letters = defaultdict(list)  # (log name, partition, offset) -> letters

    @property
    def topic(self):
        return self.topics[-1]


@dataclass(slots=True)
class _Fetch:
    position: int | None = None
    paused: bool = True
    sought: bool = False  # nothing was brought since
    end_said: bool = False
    stalled_until_ms: int = 0


class SimulatedSource:
    """One member of the group. What the group decided reaches it at its next poll, or when it hears again."""

    def __init__(self, world, process, wire, topic):
        self._world, self.process, self._wire, self._topic = world, process, wire, topic
        self.fetches = {}
        self._elsewhere = Random(process.number)  # of its own: other faults fall as they did
        self._revoked, self._assigned = [], []
        self._asked = None
        self.deaf_polls = 0  # a zombie: it does not know yet that the group went on without it

    # What the group says

    def gain(self, partition):
        self._assigned.append(partition)

    def lose(self, partition):
        if partition in self._assigned:
            self._assigned.remove(partition)
        else:
            self._revoked.append(partition)

    def calm(self):
        """It hears the group again, and no fetch takes long any more."""
        self.deaf_polls = 0
        for fetch in self.fetches.values():
            fetch.stalled_until_ms = 0

    # ports.Source

    def poll(self, timeout_s):
        revoked, assigned = self._take_events()
        poll = Poll(revoked, assigned, {}, {}, [])
        if self._world.is_down("broker") or self._topic is not self._world.broker.topic:
            return poll
        for partition, fetch in self.fetches.items():
            if not fetch.paused and fetch.position is not None and not self._stalls(fetch):
                self._fetch(partition, fetch, poll)
        return poll

    def _stalls(self, fetch):
        """A fetch may take long; the broker answers questions meanwhile."""
        world = self._world
        if world.hostile and world.rng.random() < world.profile.stall:
            world.bites["fetch stalled"] += 1
            fetch.stalled_until_ms = world.now_ms + world.rng.randint(1_000, 30_000)
        return world.now_ms < fetch.stalled_until_ms

    def _take_events(self):
        if self.deaf_polls:
            self.deaf_polls -= 1
            return [], []
        revoked, self._revoked, assigned, self._assigned = self._revoked, [], self._assigned, []
        for partition in revoked:
            self.fetches.pop(partition, None)
        for partition in assigned:
            self.fetches[partition] = _Fetch()
        return revoked, assigned

    def _fetch(self, partition, fetch, poll):
        log, rng, profile = self._topic.partitions[partition], self._world.rng, self._world.profile
        if fetch.position < log.start:
            poll.out_of_range.append(partition)
            return
        records = log.read(fetch.position, rng.choice(profile.fetch))
        if fetch.sought and records:
            records = self._read_elsewhere(log, fetch.position, records)
            fetch.sought = False
        if records:
            poll.records[partition] = Records(
                [record.offset for record in records],
                [record.record_time_ms for record in records],
                [record.value for record in records],
            )
            fetch.position, fetch.end_said = records[-1].offset + 1, False
        at_end = not log.read(fetch.position, 1)
        if at_end and not fetch.end_said and (not records or rng.random() < profile.end_with_records):
            poll.ends[partition] = fetch.position = log.end
            fetch.end_said = True
        elif at_end and fetch.position < log.end and not records:  # a marker after the end that was told
            poll.ends[partition] = fetch.position = log.end

    def _read_elsewhere(self, log, position, records):
        """A client that was not done with its assignment reads on from the log's beginning, in the same poll.

        The source hands over what rises from the position, as `KafkaSource` does, and seeks there again.
        """
        if not self._world.hostile or self._elsewhere.random() >= ELSEWHERE:
            return records
        brought = [*records, *log.read(log.start, len(records) + 3)]
        self._world.bites["client read elsewhere"] += 1
        return brought[: rising_from([record.offset for record in brought], position)]

    def position(self, partition):
        def answer():
            log = self._live_log(partition)
            return LogPosition(log.start, log.end, self._world.broker.committed.get(partition, -1))

        return self._wire.ask("broker", "position", answer)

    def starts(self, policy):
        def answer():
            logs = [self._live_log(p) for p in range(len(self._topic.partitions))]
            return [log.start if policy == "earliest" else log.end for log in logs]

        return self._wire.ask("broker", "starts", answer)

    def _live_log(self, partition):
        if self._topic is not self._world.broker.topic:
            raise Unavailable("unknown topic id")
        return self._topic.partitions[partition]

    def topic(self):
        return self._wire.ask("broker", "topic", lambda: self._world.broker.topic.facts)

    def seek(self, partition, offset):
        if partition in self.fetches:
            self.fetches[partition] = _Fetch(offset, paused=False, sought=True)

    def pause(self, partition):
        if partition in self.fetches:
            self.fetches[partition].paused = True

    def resume(self, partition):
        if partition in self.fetches:
            self.fetches[partition].paused = False

    def log_end(self, partition):
        return self._topic.partitions[partition].end

    def ask_ends(self, partitions):
        self._asked = {p: self._topic.partitions[p].end for p in partitions}

    def answered_ends(self):
        """The broker looked at some time between the question and now."""
        asked, rng = self._asked, self._world.rng
        if asked is None:
            return {}
        if rng.random() < 0.2:
            return None
        self._asked = None
        if (
            self._world.is_down("broker")
            or self._topic is not self._world.broker.topic
            or rng.random() < 0.05
        ):
            return {}
        return {p: end if rng.random() < 0.5 else self._topic.partitions[p].end for p, end in asked.items()}

    def joined(self):
        return True

    def commit(self, partition, offset):
        self._world.oracle.archive.check_commit(self._topic.log.name, partition, offset)
        fenced = self._world.broker.owners.get(partition) is not self.process
        if not (fenced and self._world.rng.random() < 0.8) and self._world.rng.random() < 0.9:
            self._world.broker.committed[partition] = offset

    def close(self):
        pass


class SimulatedLetters:
    """`ports.DeadLetters`: each letter is a request of its own, so that a send may break off anywhere."""

    def __init__(self, world, wire, log):
        self._world, self._wire, self._log = world, wire, log

    def send(self, partition, rejected):
        for letter in rejected:
            self._wire.ask("letters", "send letter", lambda letter=letter: self._store(partition, letter))

    def _store(self, partition, letter):
        self._world.broker.letters[self._log.name, partition, letter.offset].append(letter)
        self._world.oracle.archive.check_letter(self._log.name, partition, letter)

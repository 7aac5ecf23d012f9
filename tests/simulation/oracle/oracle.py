"""The oracle: watches every script and every object, and compares them with a recount of the log.

It holds what must be true by docs/design.md and nothing of how the worker does it. After the history it
says what is still waited for, and compares everything once more. It imports no code of the worker
(`test_oracle.py`); what is stored it reads as plain fields of `World.redis.state` and as bytes of objects.
"""

import json

from tests.simulation.oracle.archive import ArchiveOracle
from tests.simulation.oracle.recount import Recount
from tests.simulation.oracle.redis import RollingOracle


class Oracle:
    """All that is watched in one history."""

    def __init__(self, world):
        self.world = world
        self.archive = ArchiveOracle(world, self)
        self.aggregates = RollingOracle(world, self)
        self._recounts = {}

    def recount(self, log, partition):
        """The recount of a partition of a log, by the log's name. Its head must be there."""
        key = log, partition
        if key not in self._recounts:
            topic = next(topic for topic in self.world.broker.topics if topic.log.name == log)
            head = json.loads(self.world.store.objects[_head(log)])
            begins = head["starts"][partition] if partition < len(head["starts"]) else 0
            self._recounts[key] = Recount(
                topic.partitions[partition], self.world.profile, begins, head["policy"]
            )
        return self._recounts[key]

    def has_head(self, topic):
        """Whether a worker ever began with a topic."""
        return _head(topic.log.name) in self.world.store.objects

    def retention(self, partition):
        """The log's start has moved."""
        topic = self.world.broker.topic
        if not self.has_head(topic):
            return
        archived = self.archive.end(topic.log.name, partition)
        if archived < topic.partitions[partition].start:
            self.world.bites["retention ate what was not archived"] += 1
        self.recount(topic.log.name, partition).retained(archived)

    def waits_for(self, end_ms):
        """What is not finished yet, in words; empty when all is."""
        topic = self.world.broker.topic
        if not self.has_head(topic):
            return "a head"
        for partition, log in enumerate(topic.partitions):
            if (archived := self.archive.end(topic.log.name, partition)) != log.end:
                return f"archive of partition {partition}: {archived} of {log.end}"
            if (counted := self.aggregates.seen.next.get((topic.log.name, partition))) != log.end:
                return f"cursor of partition {partition}: {counted} of {log.end}"
        return self.aggregates.waits_for(end_ms)

    def check_all(self):
        """Compare everything with the log."""
        for topic in self.world.broker.topics:
            if self.has_head(topic):
                for partition in range(len(topic.partitions)):
                    self.archive.check_chain(topic.log.name, partition)
        self.aggregates.check_all()


def _head(log):
    return f"_plans/{log}/head.json"

"""A stage: a world without chance, for histories that are told step by step."""

import json

from tests.simulation.world.faults import Profile
from tests.simulation.world.process import Operator, Process
from tests.simulation.world.world import BEGIN_MS, World

MINUTE_MS = 60_000
CALM = {"steps": 0, "backlog": 0, "partitions": 1, "workers": 1, "fetch": (9,), "end_with_records": 1.0}


class Stage:
    """Who works, what is sent, what fails, in the order of the test."""

    def __init__(self, **profile):
        self.world = World(Profile(**(CALM | profile)), seed=1)
        self._ids = 0

    def send(self, *texts, partition=0, at_ms=None, brand="acme", author=None, **fields):
        """One mention per text; `at_ms` is its event time since the beginning, now by default."""
        world, log = self.world, self.world.broker.topic.partitions[partition]
        event_time_ms = world.now_ms if at_ms is None else BEGIN_MS + at_ms
        for text in texts:
            self._ids += 1
            told = {"id": str(self._ids), "brand": brand, "network": "x", "text": text, "author": author}
            log.append(
                world.now_ms, json.dumps(told | {"event_time": event_time_ms} | fields).encode(), world.now_ms
            )
        world.streams.newest_ms = max(world.streams.newest_ms, event_time_ms)

    def send_broken(self, partition=0):
        self.world.broker.topic.partitions[partition].append(self.world.now_ms, b"{", self.world.now_ms)

    def worker(self, *partitions, model="m1"):
        """Start a worker and give it partitions."""
        world = self.world
        world._started += 1
        process = Process(world, world._started, world.broker.topic, model)
        world.processes.append(process)
        self.give(process, *partitions)
        return process

    def give(self, process, *partitions):
        """The group takes partitions from whoever has them."""
        owners = self.world.broker.owners
        for partition in partitions:
            if (before := owners.get(partition)) is not None and not before.dead:
                before.source.lose(partition)
            owners[partition] = process
            process.source.gain(partition)

    def zombie(self, process, polls=1_000):
        """It will not hear of the group for so many polls."""
        process.source.deaf_polls = polls

    def stall(self, process, seconds, partition=0):
        """What is fetched of a partition takes so long."""
        process.source.fetches[partition].stalled_until_ms = self.world.now_ms + seconds * 1_000

    def fail(self, what, *kinds):
        """The next requests of this name meet these faults."""
        self.world.planned.setdefault(what, []).extend(kinds)

    def run(self, *processes, seconds=12, step_ms=1_000):
        """Let processes turn and work for some time."""
        for _ in range(max(1, seconds * 1_000 // step_ms)):
            self.world.now_ms += step_ms
            for process in processes:
                if process.runs:
                    process.turn()
                    for _ in range(process.background.busy()):
                        process.work()

    def go_on(self, *partitions, seconds=12):
        """Let whoever is alive go on; whoever dies is followed by another worker."""
        for _ in range(seconds):
            if not self.world._running():
                self.worker(*partitions)
            self.run(*self.world._running(), seconds=1)

    def run_until(self, process, reached, seconds=600):
        """Let a process go on until something is so."""
        for _ in range(seconds):
            if process.dead or reached():
                return
            self.run(process, seconds=1)
        raise AssertionError("it never came to that")

    def deliver(self):
        """All requests under way arrive."""
        while self.world.late:
            self.world.deliver()

    def skip(self, to_offset, partition=0):
        Operator(self.world).skip(partition, to_offset)

    def calm(self):
        """All faults end; everything is checked, liveness too."""
        self.world.calm()

    # What is there

    @property
    def redis(self):
        return self.world.redis.state

    def cursor(self, partition=0):
        return self.world.oracle.aggregates.seen.next.get((self.log, partition))

    def archived(self, partition=0):
        return self.world.oracle.archive.end(self.log, partition)

    @property
    def log(self):
        return self.world.broker.topic.log.name

    def minute(self, number):
        """The stored fields of a minute since the beginning."""
        return self.redis.minutes[BEGIN_MS + number * MINUTE_MS].fields

    def sealed(self, number):
        """Whether a minute since the beginning is sealed."""
        return (self.redis.ctl.sealed or 0) >= BEGIN_MS + (number + 1) * MINUTE_MS

    def plans(self, partition=0):
        return [
            (p["start"], p["end"]) for p in self.world.oracle.archive._plans.get((self.log, partition), ())
        ]

    def outcomes(self, start, partition=0):
        told = self.world.oracle.archive._done[self.log, partition, start]["outcomes"]
        return {name: count for name, count in told.items() if count}

    def rows(self):
        return [row for body in self.world.store.objects.values() if isinstance(body, tuple) for row in body]

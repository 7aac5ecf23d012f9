"""The background thread of a simulated process: its jobs run when the world says so, one at a time."""

from collections import deque
from dataclasses import dataclass, field

from stream_worker.errors import Unavailable
from stream_worker.ports import Completion


@dataclass(slots=True, eq=False)
class _Job:
    partition: int
    epoch: int
    name: str
    call: object
    dropped: bool = False


@dataclass(slots=True, eq=False)
class SimulatedBackground:
    """`ports.Background`: jobs of a partition in order, partitions in any order."""

    _lines: dict = field(default_factory=dict)
    _done: list = field(default_factory=list)

    def submit(self, partition, epoch, name, call, *, lookup=False):
        self._lines.setdefault(partition, deque()).append(_Job(partition, epoch, name, call))

    def completions(self):
        done, self._done = self._done, []
        return done

    def cancel(self, partition, epoch):
        for job in [job for job in self._lines.get(partition, ()) if job.epoch == epoch]:
            job.dropped = True
            self._remove(job)
        self._done = [done for done in self._done if (done.partition, done.epoch) != (partition, epoch)]

    def busy(self):
        return sum(map(len, self._lines.values()))

    def wait_idle(self, timeout_s):
        return not self._lines

    def close(self, timeout_s):
        self._lines.clear()
        return True

    def run_one(self, rng):
        """Do the next job of a partition; one that is Unavailable stays where it is (docs/design.md#r5)."""
        if not self._lines:
            return
        job = self._lines[rng.choice(sorted(self._lines))][0]
        try:
            outcome = job.call()
        except Unavailable:
            return
        except Exception as failure:  # noqa: BLE001 - handed to the loop, as the thread does
            outcome = failure
        if job.dropped:
            return
        self._remove(job)
        self._done.append(Completion(job.partition, job.epoch, job.name, outcome))

    def _remove(self, job):
        line = self._lines[job.partition]
        line.remove(job)
        if not line:
            del self._lines[job.partition]

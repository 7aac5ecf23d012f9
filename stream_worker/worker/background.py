"""The I/O thread: slow calls happen here, and the loop never waits for one.

Rules:
1. Jobs of a partition run one after another, in the order of `submit`; partitions do not wait for each other.
2. One thread does all jobs but look-ups, of which up to 16 run at a time. All threads are daemons.
3. `Unavailable` means unknown (docs/design.md#r5): the same job is asked again, later and later, until it is
   answered or cancelled. Meanwhile the thread serves the other partitions.
4. Any other error ends the epoch: it is reported, and the jobs behind it are dropped. A manifest must not
   be written behind rows that failed.
"""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from stream_worker.errors import Unavailable
from stream_worker.ports import Completion

T = TypeVar("T")

LOOKUPS_AT_ONCE = 16
DELAY_FIRST_S = 0.2
DELAY_MAX_S = 10.0
SAY_EVERY_S = 30.0


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    partition: int
    epoch: int
    name: str
    call: Callable[[], T]
    lookup: bool
    due_s: float
    failures: int = 0
    running: bool = False
    dropped: bool = False


@dataclass(slots=True, eq=False)
class _Trouble(Generic[T]):
    since_s: float
    said_s: float
    jobs: set[_Job[T]] = field(default_factory=set)


class BackgroundThread(Generic[T]):
    """Runs jobs and hands their completions back to the loop.

    `on_trouble(name, error)` is called at the first failure of jobs of that name and every 30 s while one of
    them fails, `on_recovery(name, seconds)` when none does any more; both from a thread of this class.
    """

    def __init__(
        self,
        on_trouble: Callable[[str, Unavailable], None],
        on_recovery: Callable[[str, float], None],
        *,
        jobs_max: int = 1024,
        delay_first_s: float = DELAY_FIRST_S,
        delay_max_s: float = DELAY_MAX_S,
        say_every_s: float = SAY_EVERY_S,
    ) -> None:
        self._on_trouble = on_trouble
        self._on_recovery = on_recovery
        self._jobs_max = jobs_max
        self._delay_first_s = delay_first_s
        self._delay_max_s = delay_max_s
        self._say_every_s = say_every_s
        self._changed = threading.Condition()  # guards all that follows
        self._lines: dict[int, deque[_Job[T]]] = {}  # partition -> its jobs; the first runs, or is due later
        self._completions: list[Completion[T]] = []
        self._troubles: dict[str, _Trouble[T]] = {}
        self._threads: list[threading.Thread] = []
        self._idle_lookups = 0
        self._closed = False
        self._start_thread(lookup=False)

    def submit(
        self, partition: int, epoch: int, name: str, call: Callable[[], T], *, lookup: bool = False
    ) -> None:
        """Queue a job; its completion comes through `completions`. Never blocks.

        Raises queue.Full when `jobs_max` jobs are queued, running or not yet drained.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError("the background thread is closed")
            if self._outstanding() + len(self._completions) >= self._jobs_max:
                raise queue.Full(f"{self._jobs_max} background jobs are outstanding; {name} was not queued")
            job = _Job(partition, epoch, name, call, lookup, time.monotonic())
            self._lines.setdefault(partition, deque()).append(job)
            if lookup and self._needs_lookup_thread():
                self._start_thread(lookup=True)
            self._changed.notify_all()

    def completions(self) -> list[Completion[T]]:
        """Take what was completed since the last call. Never blocks."""
        with self._changed:
            done, self._completions = self._completions, []
            return done

    def cancel(self, partition: int, epoch: int) -> None:
        """Drop the jobs of an epoch; after this there are no completions of it.

        One that runs now runs to its end, which is harmless (docs/design.md#r1), but nobody waits for it.
        """
        with self._changed:
            self._drop(partition, epoch)
            self._completions = [
                done for done in self._completions if (done.partition, done.epoch) != (partition, epoch)
            ]
            self._changed.notify_all()

    def busy(self) -> int:
        """How many jobs are queued, running or waiting to be asked again."""
        with self._changed:
            return self._outstanding()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no job is outstanding; False: some still are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Drop all jobs and end the threads; False: a call hangs, its daemon thread is left behind."""
        with self._changed:
            self._closed = True
            for job in [job for line in self._lines.values() for job in line]:
                job.dropped = True
            self._lines.clear()
            self._changed.notify_all()
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _start_thread(self, *, lookup: bool) -> None:
        name = f"archive-lookup-{len(self._threads)}" if lookup else "archive"
        thread = threading.Thread(target=self._serve, args=(lookup,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _needs_lookup_thread(self) -> bool:
        threads = len(self._threads) - 1
        waiting = len(self._waiting(lookup=True))
        return threads == 0 or (threads < LOOKUPS_AT_ONCE and waiting > self._idle_lookups)

    def _serve(self, lookup: bool) -> None:
        while (job := self._take(lookup)) is not None:
            try:
                result = job.call()
            except Unavailable as error:
                self._postpone(job, error)
            except BaseException as error:  # noqa: BLE001  a thread that died would stop the archive in silence
                self._finish(job, error)
            else:
                self._finish(job, result)

    def _take(self, lookup: bool) -> _Job[T] | None:
        """Wait for the job that has been due longest; None when closed."""
        with self._changed:
            self._idle_lookups += lookup
            try:
                while not self._closed:
                    first = min(self._waiting(lookup), key=lambda job: job.due_s, default=None)
                    wait_s = None if first is None else first.due_s - time.monotonic()
                    if first is not None and wait_s is not None and wait_s <= 0:
                        first.running = True
                        return first
                    self._changed.wait(wait_s)
                return None
            finally:
                self._idle_lookups -= lookup

    def _waiting(self, lookup: bool) -> list[_Job[T]]:
        heads = (line[0] for line in self._lines.values())
        return [job for job in heads if job.lookup is lookup and not job.running]

    def _postpone(self, job: _Job[T], error: Unavailable) -> None:
        with self._changed:
            if job.dropped:
                return
            now_s = time.monotonic()
            job.running = False
            job.due_s = now_s + min(self._delay_max_s, self._delay_first_s * 2 ** min(job.failures, 20))
            job.failures += 1
            trouble = self._troubles.setdefault(job.name, _Trouble(now_s, now_s - self._say_every_s))
            trouble.jobs.add(job)
            say = now_s - trouble.said_s >= self._say_every_s
            trouble.said_s = now_s if say else trouble.said_s
            self._changed.notify_all()
        if say:
            with contextlib.suppress(Exception):  # a log that cannot be written must not end this thread
                self._on_trouble(job.name, error)

    def _finish(self, job: _Job[T], outcome: T | BaseException) -> None:
        with self._changed:
            if job.dropped:
                return
            self._remove(job)
            self._completions.append(Completion(job.partition, job.epoch, job.name, outcome))
            trouble = self._end_trouble(job)
            failed = isinstance(outcome, BaseException)
            if failed:
                self._drop(job.partition, job.epoch)
            self._changed.notify_all()
        if trouble is not None and not failed:
            with contextlib.suppress(Exception):
                self._on_recovery(job.name, time.monotonic() - trouble.since_s)

    def _end_trouble(self, job: _Job[T]) -> _Trouble[T] | None:
        """Take a job out of its trouble; returns the trouble if it was the last one in it."""
        trouble = self._troubles.get(job.name)
        if trouble is None or job not in trouble.jobs:
            return None
        trouble.jobs.remove(job)
        return self._troubles.pop(job.name) if not trouble.jobs else None

    def _drop(self, partition: int, epoch: int) -> None:
        for job in [job for job in self._lines.get(partition, ()) if job.epoch == epoch]:
            job.dropped = True
            self._remove(job)
            self._end_trouble(job)

    def _remove(self, job: _Job[T]) -> None:
        line = self._lines[job.partition]
        line.remove(job)
        if not line:
            del self._lines[job.partition]

    def _outstanding(self) -> int:
        return sum(map(len, self._lines.values()))

"""Mutants of sealing and of the proofs of idleness.

Each function returns patches; its first line says what is broken.
"""

from dataclasses import replace
from unittest.mock import patch

from stream_worker.core.partition.inputs import ReportDue
from stream_worker.core.time import HOUR_MS
from stream_worker.worker import effect_runner, owned_partition
from stream_worker.worker.loop import Worker
from tests.fakes import redis_aggregates, redis_seal
from tests.fakes.redis_aggregates import MemoryAggregates
from tests.simulation.mutants.patches import swap


def minimum_taken_by_the_worker():
    """The worker takes the minimum of the watermarks, and asks to seal up to it in its next turn."""

    def make(seal):
        def mutated(self, *args):
            taken, honest = getattr(self, "taken", None), redis_seal._take_minimum

            def take(*stored):
                self.taken = honest(*stored)
                known = taken is not None and taken[0] < redis_seal.NEVER
                return max(taken[0] if known else 0, self.taken[0]), self.taken[1]

            with patch.object(redis_seal, "_take_minimum", take):
                return seal(self, *args)

        return mutated

    return [swap(MemoryAggregates, "seal", make)]


def idle_by_timer():
    """A partition of which nothing came for two seconds is called idle, without asking its log."""

    def mutated(self):
        for owned in self._running():
            machine, now_ms = owned.machine, self._effect_runner.now_ms
            at, since_ms = getattr(owned, "_still", None) or (-1, 0)
            if at != machine.position:
                at, since_ms = owned._still = machine.position, now_ms
            idle = now_ms - since_ms > 2_000
            report = ReportDue(paused=False, proof_t0_ms=now_ms if idle else None)
            self._effect_runner.deliver(owned, report)

    return [*_with_room("_still"), patch.object(Worker, "_report", mutated)]


def _with_room(name):
    """`OwnedPartition` has slots; this one has a place for what a mutant notes."""
    roomy = type("OwnedPartition", (owned_partition.OwnedPartition,), {name: None})
    return [patch.object(effect_runner, "OwnedPartition", roomy)]


def idle_by_an_old_proof():
    """Whose end was seen once is idle from then on: the end is not asked for again."""

    def mutated(self):
        for owned in self._running():
            t0_ms = self._effect_runner.now_ms if owned.machine.caught_up else None
            self._effect_runner.deliver(owned, ReportDue(paused=False, proof_t0_ms=t0_ms))

    return [patch.object(Worker, "_report", mutated)]


def proof_as_old_as_its_answer():
    """The time of a proof is that at which the answer came, not that before the question."""

    def make(report):
        def mutated(self):
            self._ends_requested_at_ms = self._effect_runner.now_ms
            report(self)

        return mutated

    return [swap(Worker, "_report", make)]


def proof_without_the_lateness():
    """A proof of idleness seals up to its time, and not up to the lateness before it."""

    def make(effective):
        return lambda row, lateness_ms: effective(row, 0)

    return [swap(redis_seal, "_effective", make)]


def _with_rows(change):
    def make(take):
        def mutated(ctl, rows, answer, lateness_ms, max_hold_ms):
            changed = {number: change(row) for number, row in rows.items()}
            return take(ctl, changed, answer, lateness_ms, max_hold_ms)

        return mutated

    return [swap(redis_seal, "_take_minimum", make)]


def held_since_the_last_report():
    """`max_hold` counts from the last report, which any worker that lives sends."""
    return _with_rows(lambda row: replace(row, alive_ms=row.reported_ms))


def held_without_first_sight():
    """A partition that was never read is held from the first moment on."""

    def make(take):
        def mutated(ctl, rows, *args):
            for row in rows.values():
                row.seen_ms = 0
            return take(ctl, rows, *args)

        return mutated

    return [swap(redis_seal, "_take_minimum", make)]


def held_when_the_group_returns():
    """After a pause of the whole group, everybody is held."""

    def make(begin):
        def mutated(self):
            now_ms = begin(self)
            self.state.ctl.returned_ms = None
            return now_ms

        return mutated

    return [swap(MemoryAggregates, "_begin", make)]


def nobody_is_held():
    """A partition without an owner keeps all minutes open."""

    def make(take):
        return lambda ctl, rows, answer, lateness_ms, _: take(ctl, rows, answer, lateness_ms, 10**15)

    return [swap(redis_seal, "_take_minimum", make)]


def held_are_waited_for():
    """Who is held is named, and waited for all the same."""

    def make(take):
        def mutated(*args):
            target, held_low = take(*args)
            return min(target, held_low), held_low

        return mutated

    return [swap(redis_seal, "_take_minimum", make)]


def complete_whoever_is_held():
    """A minute is called complete though a partition was left out."""

    def make(seal_until):
        return lambda state, target, held_low, *more: seal_until(state, target, redis_seal.NEVER, *more)

    return [swap(redis_seal, "_seal_until", make)]


def mark_that_is_not_unique():
    """The mark of a seal names the minute alone."""

    def make(seal_until):
        return lambda state, target, held_low, now, *more: seal_until(state, target, held_low, 0, *more)

    return [swap(redis_seal, "_seal_until", make)]


def sealed_by_another_log():
    """A worker of a topic that was deleted goes on sealing."""

    def make(seal):
        def mutated(state, log, *args):
            if log in state.cursors:
                state.ctl.incarnation = log
            return seal(state, log, *args)

        return mutated

    return [swap(redis_aggregates, "seal", make)]


def partition_count_that_falls():
    """The number of partitions is what the last worker said."""

    def make(seal):
        def mutated(state, log, partition_count, *args):
            state.ctl.partitions = min(state.ctl.partitions, partition_count)
            return seal(state, log, partition_count, *args)

        return mutated

    return [swap(redis_aggregates, "seal", make)]


def trimmed_before_it_is_closed():
    """Minutes are deleted two hours after their seal, closed or not."""

    def mutated(state):
        for minute in [m for m in state.minutes if m < (state.ctl.sealed or 0) - 2 * HOUR_MS]:
            del state.minutes[minute]
            state.ctl.trimmed = max(state.ctl.trimmed, minute + 60_000)

    return [patch.object(redis_seal, "_trim", mutated)]

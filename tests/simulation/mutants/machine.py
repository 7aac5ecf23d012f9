"""Mutants of the step machine and the loop: recovery, flags, counting, what a poll brought.

Each function returns patches; its first line says what is broken.
"""

from unittest.mock import patch

import numpy as np

from stream_worker.core.partition import counting, machine, recovery
from stream_worker.core.partition.counting import Counting, CursorState
from stream_worker.core.partition.effects import Apply, Seek
from stream_worker.core.partition.inputs import Cursor
from stream_worker.core.partition.machine import PartitionMachine
from stream_worker.worker.effect_runner import EffectRunner
from stream_worker.worker.owned_partition import OwnedPartition
from tests.simulation.mutants.patches import swap
from tests.simulation.world import broker

# Assignment


def no_refill_after_a_seek():
    """Reading begins at the cursor, without the horizon before it."""

    def make(seek):
        def mutated(self):
            seek(self)
            self.position = self._live_from
            return [Seek(self.position)]

        return mutated

    return [swap(PartitionMachine, "_seek", make)]


def committed_offset_decides():
    """Reading begins at the offset that the group committed, not where the chain ends."""

    def make(plan_log_found):
        def mutated(self, log):
            effects = plan_log_found(self, log)
            if log.last is not None and self._log.committed >= 0:
                self.archiving.begin(self._log.committed, self.archiving.watermark_ms, None)
            return effects

        return mutated

    return [swap(PartitionMachine, "_plan_log_found", make)]


def counted_again_from_the_newest_boundary():
    """After a loss of Redis counting begins at the end of the chain."""

    def mutated(plans, **_):
        return Cursor(plans[-1].end, plans[-1].watermark_end)

    return [patch.object(machine, "lost_redis_start", mutated)]


def counted_again_between_boundaries():
    """After a loss of Redis counting begins one offset behind a boundary of the chain."""

    def make(start):
        def mutated(plans, **more):
            at = start(plans, **more)
            return Cursor(at.next + 1, at.watermark_ms)

        return mutated

    return [swap(machine, "lost_redis_start", make)]


def lost_range_not_jumped():
    """Records that the log has lost are passed over without a jump of the cursor."""

    def make(reconcile):
        def mutated(self):
            self._readable_from = 0
            return reconcile(self)

        return mutated

    return [swap(PartitionMachine, "_reconcile", make)]


def jump_below_the_log():
    """A jump goes to the boundary before what can be read, not behind it."""

    def mutated(plans, at_or_above):
        below = [plan for plan in plans if plan.start < at_or_above]
        return Cursor(below[-1].start, below[-1].watermark_start)

    return [patch.object(machine, "advance_target", mutated)]


# Counting


def duplicate_counted():
    """A duplicate counts as a mention."""

    def make(fold):
        def mutated(columns, flags, scores, model, rows):
            flags.duplicate, kept = np.zeros_like(flags.duplicate), flags.duplicate
            try:
                return fold(columns, flags, scores, model, rows)
            finally:
                flags.duplicate = kept

        return mutated

    return [swap(counting, "fold", make)]


def whole_batch_again():
    """Who finds that somebody counted a part of the batch counts all of it from there."""

    def mutated(self):
        batch = self._batch
        calls = self._calls(0, len(batch.scored.columns), self.counted)
        self._requested.extend(calls)
        return calls

    return [patch.object(Counting, "_request", mutated)]


def redis_that_went_back_unnoticed():
    """A lower cursor in Redis is taken as it is, and what lies between is not read again."""

    def mutated(self, answer):
        if not self._requested:
            return CursorState.KNOWN, []
        self._requested.popleft()
        if answer.cursor is None:
            return CursorState.LOST, []
        self.cursor = answer.cursor
        if self._requested or self._batch is None or self.counted >= self._batch.position:
            self._batch = self._batch if self._requested else None
            return CursorState.KNOWN, []
        return CursorState.KNOWN, self._request()

    return [patch.object(Counting, "applied", mutated)]


def report_that_moves_the_cursor():
    """A report says where the worker reads, not what it has counted."""

    def make(report):
        def mutated(self, watermark_ms, *, paused, proof_t0_ms):
            end = max(self.counted, self.log_end)
            call = Apply(
                self._partition, self.counted, end, watermark_ms, self.log_end, None, paused, proof_t0_ms
            )
            self._requested.append(call)
            return [call]

        return mutated

    return [swap(Counting, "report", make)]


def calls_cut_without_their_watermark():
    """A batch that is cut says the watermark behind all of it in each of its calls."""

    def make(calls_of):
        def mutated(self, first, last, expected):
            calls = calls_of(self, first, last, expected)
            for call in calls:
                call.watermark_ms = self._batch.watermark_ms
            return calls

        return mutated

    return [swap(Counting, "_calls", make)]


# What a poll brought


def polled_before_a_seek():
    """What a poll brought is taken after a seek that followed it."""

    def mutated(self):
        return self.machine.takes_records and not (self.stopped or self.interrupted)

    return [patch.object(OwnedPartition, "takes_records", property(mutated))]


def polled_elsewhere():
    """Records that do not rise from where the client was sought are handed over, and taken."""

    def mutated(offsets, expected):
        return len(offsets)

    return [patch.object(machine, "rising_from", mutated), patch.object(broker, "rising_from", mutated)]


def records_that_nobody_took_are_dropped():
    """Records that came while Redis owed an answer are not read again."""

    def mutated(self, number):
        owned = self.owned.get(number)
        return owned if owned is None or owned.takes_records else None

    return [patch.object(EffectRunner, "taker", mutated)]


def end_that_ends_nothing():
    """Offsets without a record before the log's end are waited for."""

    def make(end_reached):
        def mutated(self, offset, now_s):
            return end_reached(self, min(offset, self.position), now_s)

        return mutated

    return [swap(PartitionMachine, "_end_reached", make)]


def day_of_a_minute():
    """After a loss of Redis a minute is counted again, not a day."""

    def make(start):
        def mutated(plans, **more):
            with patch.object(recovery, "DAY_MS", 1_000):
                return start(plans, **more)

        return mutated

    return [swap(machine, "lost_redis_start", make)]

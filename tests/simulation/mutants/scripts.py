"""Mutants of the scripts, by their memory twin: cursors and counting.

Each function returns patches; its first line says what is broken.
"""

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from tests.fakes import redis_aggregates
from tests.fakes.redis_aggregates import MemoryAggregates
from tests.fakes.redis_state import CursorRow, StoredMinute
from tests.simulation.mutants.patches import swap


@contextmanager
def _without(ctl, name):
    """A field of `ctl` is 0 for a while."""
    kept = getattr(ctl, name)
    setattr(ctl, name, 0)
    yield
    setattr(ctl, name, kept)


def increments_without_compare_and_set():
    """A delta is added whatever cursor is stored."""

    def make(apply):
        def mutated(self, call):
            stored = self._row(call.partition).next
            return apply(self, call if stored is None else replace(call, expected=stored))

        return mutated

    return [swap(MemoryAggregates, "_apply", make)]


def absent_cursor_read_as_zero():
    """A script that finds no cursor takes it for 0."""

    def make(apply):
        def mutated(self, call):
            rows = self.state.cursors.setdefault(self._log.name, {})
            row = rows.setdefault(call.partition, CursorRow())
            row.next = row.next or 0
            return apply(self, call)

        return mutated

    return [swap(MemoryAggregates, "_apply", make)]


def cursor_off_by_one():
    """The cursor moves one offset further than what was counted."""

    def make(apply):
        def mutated(self, call):
            answer = apply(self, call)
            if answer.applied and call.next > call.expected:
                self._row(call.partition).next += 1
            return answer

        return mutated

    return [swap(MemoryAggregates, "_apply", make)]


def cursor_created_over_another():
    """Whoever starts creates the cursor, also where there is one."""

    def make(create):
        def mutated(self, partition, *args):
            self._row(partition).next = None
            return create(self, partition, *args)

        return mutated

    return [swap(MemoryAggregates, "create_cursor", make)]


def jump_without_compare_and_set():
    """A jump moves the cursor wherever it stands."""

    def make(advance_cursor):
        def mutated(self, partition, expected, *args):
            stored = self._row(partition).next
            return advance_cursor(self, partition, expected if stored is None else stored, *args)

        return mutated

    return [swap(MemoryAggregates, "advance_cursor", make)]


def watermark_that_goes_back():
    """The stored watermark is the last one reported, not the highest."""

    def make(apply):
        def mutated(self, call):
            row = self._row(call.partition)
            if row.next == call.expected:
                row.watermark = 0
            return apply(self, call)

        return mutated

    return [swap(MemoryAggregates, "_apply", make)]


def watermark_not_moved_by_a_jump():
    """A jump moves the cursor and leaves the watermark of before."""

    def make(advance_cursor):
        return lambda self, partition, expected, to, watermark_ms, complete_from_ms: advance_cursor(
            self, partition, expected, to, 0, complete_from_ms
        )

    return [swap(MemoryAggregates, "advance_cursor", make)]


def no_seal():
    """Deltas of a sealed minute are counted on time."""

    def make(count):
        def mutated(self, call):
            with _without(self.state.ctl, "sealed"):
                return count(self, call)

        return mutated

    return [swap(MemoryAggregates, "_count", make)]


def no_floor():
    """After a loss of Redis no minute is called incompletely held."""

    def mutated(self, complete_from_ms):
        self.state.ctl.floor = self.state.ctl.floor or 0

    return [patch.object(MemoryAggregates, "_raise_floor", mutated)]


def floor_not_raised_by_a_jump():
    """A jump over lost records leaves the floor where it was."""

    def make(advance_cursor):
        return lambda self, partition, expected, to, watermark_ms, complete_from_ms: advance_cursor(
            self, partition, expected, to, watermark_ms, 0
        )

    return [swap(MemoryAggregates, "advance_cursor", make)]


def counted_below_the_floor():
    """Minutes that Redis does not hold wholly are counted all the same."""

    def make(count):
        def mutated(self, call):
            with _without(self.state.ctl, "floor"):
                return count(self, call)

        return mutated

    return [swap(MemoryAggregates, "_count", make)]


def late_counted_twice():
    """A late cell is added to the on-time fields as well."""

    def make(add_cell):
        def mutated(self, tally, sums, model, *, late):
            if late:
                add_cell(self, tally, sums, model, late=False)
            return add_cell(self, tally, sums, model, late=late)

        return mutated

    return [swap(StoredMinute, "add_cell", make)]


def late_missing_in_history():
    """What comes after the close corrects the minute, and not the history."""

    def make(count):
        def mutated(self, call):
            with patch.object(redis_aggregates, "add_history", lambda *_: ()):
                return count(self, call)

        return mutated

    return [swap(MemoryAggregates, "_count", make)]


def model_not_noted():
    """A minute does not know which models scored it."""

    def make(add_cell):
        def mutated(self, *args, **more):
            damaged = add_cell(self, *args, **more)
            del self.models[1:]
            return damaged

        return mutated

    return [swap(StoredMinute, "add_cell", make)]


def first_minute_of_a_brand_not_lowered():
    """A brand begins with the minute that was counted first, not with the earliest."""

    def make(admit):
        def mutated(register, limit, name, minute):
            before = register.get(name)
            admitted = admit(register, limit, name, minute)
            if before is not None:
                register[name] = before
            return admitted

        return mutated

    return [swap(redis_aggregates, "admit", make)]


def brands_without_limit():
    """Every brand is admitted."""

    def make(admit):
        return lambda register, limit, name, minute: admit(register, 10_000, name, minute)

    return [swap(redis_aggregates, "admit", make)]

"""Mutants of the flags, the dedup window and the watermark.

Each function returns patches; its first line says what is broken.
"""

from copy import deepcopy
from unittest.mock import patch

import numpy as np

from stream_worker.core.partition import machine
from stream_worker.core.records import dedup
from stream_worker.core.records.decode import take
from stream_worker.core.records.dedup import DedupWindow
from tests.simulation.mutants.patches import swap


def memory_kept_over_a_seek():
    """The memory of the dedup window survives a seek."""

    def make(clear):
        def mutated(self):
            if not hasattr(self, "begun"):
                self.begun = True
                clear(self)

        return mutated

    return [swap(DedupWindow, "clear", make)]


def flags_that_depend_on_earlier_flags():
    """A duplicate is not remembered: later flags depend on its own."""

    def make(add):
        def one(self, columns, row):
            before = {name: value for name, value in vars(self).items() if name != "_keys"}
            before = deepcopy(before)
            flags = [flag[0] for flag in add(self, take(columns, [row]))]
            if flags[0]:
                vars(self).update(before)
            return flags

        def mutated(self, columns):
            flags = [one(self, columns, row) for row in range(len(columns))]
            return tuple(np.array(flags, bool).reshape(-1, 3).T)

        return mutated

    return [swap(DedupWindow, "add", make)]


def horizon_one_offset_short():
    """The dedup window ends one offset too early."""

    def make(init):
        return lambda self, dedup_window_offsets, dedup_window_ms, keys: init(
            self, dedup_window_offsets - 1, dedup_window_ms, keys
        )

    return [swap(DedupWindow, "__init__", make)]


def horizon_without_time():
    """The dedup window has no limit in time."""

    def make(init):
        return lambda self, dedup_window_offsets, dedup_window_ms, keys: init(
            self, dedup_window_offsets, 10**15, keys
        )

    return [swap(DedupWindow, "__init__", make)]


def four_voices():
    """An author has four voices on a brand within the dedup."""
    return [patch.object(dedup, "VOICE_MENTIONS_MAX", 4)]


def watermark_without_record_time():
    """The watermark follows the event times alone: one post moves it ahead."""

    def mutated(columns, watermark_ms, lateness_ms):
        reached = columns.event_times_ms - lateness_ms
        after = np.maximum.accumulate(np.concatenate(([watermark_ms], reached)))
        return after[:-1], int(after[-1])

    return [patch.object(machine, "watermarks_ms", mutated)]


def late_only_after_the_seal():
    """A mention behind its own partition's watermark counts on time while its minute is open."""
    return [patch.object(machine, "late", lambda columns, before: np.zeros(len(columns), bool))]

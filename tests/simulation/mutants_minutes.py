"""Mutants of judging and closing.

Each function returns patches; its first line says what is broken.
"""

from dataclasses import replace
from unittest.mock import patch

from stream_worker.core import episodes, judge
from stream_worker.core.shards import Shard
from stream_worker.minutes import Minutes
from stream_worker.sinks import memory_rolling
from stream_worker.sinks.memory_rolling import MemoryRolling
from tests.simulation.mutants_patches import swap

# Closing


def _close_that_takes(**of):
    """A close that compares less: `of` names what it takes over from what is stored."""

    def make(close):
        def mutated(self, call):
            shard, minute = self.state.shards[call.shard], self.state.minutes.get(call.minute_ms)
            stored = {
                "expected_closed_ms": shard.closed_ms,
                "expected_version": shard.version,
                "mark": call.mark if minute is None else minute.mark,
            }
            return close(self, replace(call, **{name: stored[name] for name in of}))

        return mutated

    return [swap(MemoryRolling, "close", make)]


def close_without_comparing_the_mark():
    """A judgement of one seal is written over another one."""
    return _close_that_takes(mark=True)


def repeated_close_accepted():
    """A close that was done already is done again."""
    return _close_that_takes(expected_version=True, expected_closed_ms=True)


def history_added_twice():
    """A close adds its sums to history twice."""

    def make(close):
        def mutated(self, call):
            done = close(self, call)
            for brand, sums in call.sums.items() if done else ():
                memory_rolling.add_history(self.state.by_minute, brand, call.minute_ms, sums)
            return done

        return mutated

    return [swap(MemoryRolling, "close", make)]


def refused_close_not_read_anew():
    """Whose close was refused goes on from what it had read."""

    def mutated(self, shard, minute):
        call = judge.judge(
            shard, minute, self._brands, self._detector, lambda brand: self._past(brand, minute)
        )
        self._rolling.close(call)
        after = Shard(shard.number, minute.start_ms + 60_000, call.mark, call.detector, {}, {})
        self._shards[shard.number] = after

    return [patch.object(Minutes, "_close", mutated)]


# Judging


def incomplete_minutes_teach():
    """A minute that a partition is missing from teaches the baseline."""

    def make(observe):
        return lambda last, minute, tally, *, complete, episode: observe(
            last, minute, tally, complete=True, episode=episode
        )

    return [swap(judge, "_observe", make)]


def open_episodes_teach():
    """The baseline learns from the spike itself."""
    return [patch.object(episodes, "is_frozen", lambda episode, minute_ms: False)]


def no_zeros_for_quiet_brands():
    """A brand of which nobody spoke in a complete minute has no tally there."""

    def make(sums):
        return lambda number, minute, brands: sums(number, minute, {})

    return [swap(judge, "_sums", make)]


def minutes_of_two_models_are_judged():
    """A minute scored by two models is judged like any other."""

    def make(judge_):
        def mutated(shard, minute, *args):
            minute.models = minute.models[:1]
            return judge_(shard, minute, *args)

        return mutated

    from stream_worker import minutes

    return [swap(minutes, "judge", make)]


def episode_resolved_too_early():
    """An episode ends after twenty quiet minutes."""
    return [patch.object(episodes, "CLOSE_AFTER_MINUTES", 20)]

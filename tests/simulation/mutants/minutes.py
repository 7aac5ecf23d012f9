"""Mutants of judging and closing.

Each function returns patches; its first line says what is broken.
"""

from dataclasses import replace
from unittest.mock import patch

from stream_worker.core.aggregates.encoding import frozen_tallies
from stream_worker.core.detection import episodes, evaluate
from stream_worker.worker import window_lifecycle
from tests.fakes import redis_aggregates
from tests.fakes.redis_aggregates import MemoryAggregates
from tests.simulation.mutants.patches import swap

# Closing


def _close_that_takes(**of):
    """A close that compares less: `of` names what it takes over from what is stored."""

    def make(close):
        def mutated(self, call):
            shard, minute = self.state.shards[call.shard], self.state.minutes.get(call.minute_ms)
            stored = {
                "expected_closed_ms": shard.closed_ms,
                "expected_state_id": shard.state_id,
                "seal_id": call.seal_id if minute is None else minute.seal_id,
            }
            return close(self, replace(call, **{name: stored[name] for name in of}))

        return mutated

    return [swap(MemoryAggregates, "close_shard", make)]


def close_without_comparing_the_mark():
    """A judgement of one seal is written over another one."""
    return _close_that_takes(seal_id=True)


def repeated_close_accepted():
    """A close that was done already is done again."""
    return _close_that_takes(expected_state_id=True, expected_closed_ms=True)


def history_added_twice():
    """A close adds its sums to history twice."""

    def make(close):
        def mutated(self, call):
            done = close(self, call)
            for brand, sums in call.sums.items() if done else ():
                redis_aggregates.add_history(self.state, "hm", brand, call.minute_ms, sums)
            return done

        return mutated

    return [swap(MemoryAggregates, "close_shard", make)]


# Judging


def _observation(**changed):
    """What a detector is fed, with other values."""

    def make(observation):
        def mutated(*values, **named):
            return observation(*values, **named)._replace(**changed)

        return mutated

    return [swap(evaluate, "Observation", make)]


def incomplete_minutes_teach():
    """A minute that a partition is missing from teaches the baseline."""
    return _observation(complete=True)


def gap_not_told():
    """A detector does not hear how many minutes before this one were not judged."""
    return _observation(gap_minutes=0)


def model_not_told():
    """A detector does not hear which model scored a minute."""
    return _observation(model="")


def no_zeros_for_quiet_brands():
    """A brand of which nobody spoke in a complete minute has no tally there."""

    def make(sums):
        return lambda number, minute, brands: sums(number, minute, {})

    return [swap(evaluate, "_sums", make)]


def minutes_of_two_models_are_judged():
    """A minute scored by two models is judged like any other."""

    def make(judge_):
        def mutated(shard, minute, *args, **more):
            minute.models = minute.models[:1]
            return judge_(shard, minute, *args, **more)

        return mutated

    from stream_worker.worker import window_lifecycle

    return [swap(window_lifecycle, "evaluate", make)]


def episode_resolved_too_early():
    """An episode ends after twenty quiet window_lifecycle."""
    return [patch.object(episodes, "CLOSE_AFTER_MINUTES", 20)]


# Damage


def damage_ends_the_evaluation():
    """A damaged episode record stops the whole shard, and not its brand."""

    def make(evaluate_shard):
        def mutated(shard, *args, **options):
            for record in shard.episodes.values():
                episodes.decode(record)
            return evaluate_shard(shard, *args, **options)

        return mutated

    return [swap(window_lifecycle, "evaluate", make)]


def damaged_counts_are_zeros():
    """A count that cannot be read is taken for zero."""

    def make(_):
        def mutated(fields):
            sound = {name: value if isinstance(value, int) else 0 for name, value in fields.items()}
            return frozen_tallies(sound), {}

        return mutated

    return [swap(redis_aggregates, "readable_tallies", make)]

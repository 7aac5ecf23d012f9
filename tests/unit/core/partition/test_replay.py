"""Any cut into micro-batches, any interleaving and any trouble end in the same archive and the same counts.

What is there in the end is compared with brute force over the log (`exactness.py`): rows with their flags,
letters, outcomes, watermarks, and per cell the on-time and late counts of Redis together.
"""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.inputs import BufferDropped
from tests.builders import NOON_MS, mention
from tests.unit.core.partition.driving import Runner, World
from tests.unit.core.partition.exactness import check_exact

pytestmark = pytest.mark.timeout(120)

PARTITIONS = 2
POSTS = list(
    product("abc", ["acme", "x:y"], ["one", "one ", "two"], [None, "ann"], [0, -20, -100, -2_000, 100])
)


@st.composite
def logs(draw):
    """(partition, value, record time): few of everything, so that much is repeated, late or rejected."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, PARTITIONS - 1),
                st.sampled_from(POSTS),
                st.sampled_from([0, 1, 5, 40, 90]),
                st.sampled_from([True] * 8 + [False]),
            ),
            min_size=1,
            max_size=40,
        )
    )
    now_s, log = 0, []
    for partition, (identity, brand, text, author, age_s), step_s, good in rows:
        now_s += step_s
        value = mention(
            id=identity, brand=brand, text=text, author=author, event_time=NOON_MS + (now_s + age_s) * 1_000
        )
        log.append((partition, value if good else b"bad", NOON_MS + now_s * 1_000))
    return log


@given(logs(), st.lists(st.tuples(st.integers(0, 1), st.integers(1, 7), st.booleans()), max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_cut_and_any_interleaving_of_partitions_end_in_the_same(log, turns):
    # Given a log of two partitions
    world = World(PARTITIONS)
    for partition, value, time_ms in log:
        world.append(value, partition, time_ms)
    runners = [Runner(world, partition).settle() for partition in range(PARTITIONS)]

    # When they are read in any turns, in micro-batches of any size, with minutes sealed in between
    for number, count, seal in turns:
        runners[number].poll(count)
        runners[number].settle()
        if seal:
            world.seal()
    for runner in runners:
        runner.run(flush=True)

    # Then the end is that of the log alone
    check_exact(world)


ACTIONS = [
    "append",
    "append",
    "poll",
    "poll",
    "poll",
    "end",
    "redis",
    "redis",
    "store",
    "store",
    "settle",
    "tick",
    "wait",
    "report",
    "seal",
    "lose redis's answer",
    "lose store's answer",
    "kill",
    "zombie",
    "forget",
    "snapshot",
    "go back",
    "empty",
    "leave out",
    "flush",
]


class History:
    """A world in which anything may happen at any time."""

    def __init__(self, log):
        self.world, self.log = World(PARTITIONS, roll_limits=RollLimits(rows_max=5, span_max=9)), list(log)
        self.runners = [Runner(self.world, partition) for partition in range(PARTITIONS)]
        self.snapshot = self.world.state.copy()

    def append(self, count):
        for partition, value, time_ms in self.log[:count]:
            self.world.append(value, partition, time_ms)
        del self.log[:count]

    def step(self, action, number, amount):  # noqa: C901, PLR0912 - a table
        world, runner = self.world, self.runners[number % len(self.runners)]
        match action:
            case "append":
                self.append(amount)
            case "poll":
                runner.poll(amount)
            case "end":
                runner.see_end()
            case "redis":
                runner.answer_redis()
            case "store":
                runner.answer_store()
            case "settle":
                runner.settle()
            case "tick" | "flush":
                runner.tick(flush=action == "flush")
            case "wait":
                world.now_s += 61
                world.now_ms += 61_000
            case "report":
                runner.report()
            case "seal":
                if world.cursor() is not None:
                    world.seal()
            case "lose redis's answer":
                runner.answer_redis(lost=True)
            case "lose store's answer":
                runner.answer_store(lost=True)
            case "kill":
                self.runners[number % len(self.runners)] = Runner(world, runner.number)
            case "zombie":
                self.runners.append(Runner(world, runner.number))
            case "forget":
                if runner.machine.archiving.on_its_way:
                    runner.deliver(BufferDropped())
            case "snapshot":
                self.snapshot = world.state.copy()
            case "go back":
                world.state.restore(self.snapshot)
            case "empty":
                world.state.clear()
            case "leave out":
                world.topic.leave_out(runner.number, amount)

    def finish(self, *, afresh):
        """All that is left comes, to who is there or to new owners; late requests of the others follow."""
        self.append(len(self.log))
        for _ in range(2):
            for partition in range(PARTITIONS):
                owners = [runner for runner in self.runners if runner.number == partition]
                owner = Runner(self.world, partition) if afresh or not owners else owners[0]
                owner.run(flush=True)
            check_exact(self.world)
            for runner in self.runners:
                runner.settle()


@given(
    logs(),
    st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5), st.sampled_from([1, 1, 2, 3, 5, 9])),
        max_size=80,
    ),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_kills_zombies_lost_answers_and_a_redis_that_goes_back_change_nothing(log, steps, afresh):
    history = History(log)

    for step in steps:
        history.step(*step)

    history.finish(afresh=afresh)

"""The transition table of a partition: random histories visit every row of it, and no other."""

import random
from collections import Counter

from stream_worker.core.archive.layout import Manifest, Outcomes, Plan
from stream_worker.core.partition.inputs import BufferDropped, LogEndRead, ReadAgain
from stream_worker.core.partition.states import TRANSITIONS
from tests.builders import NOON_MS, mention
from tests.unit.core.partition.driving import Runner, World

HISTORIES = 400
STEPS = 150


class History:
    """One partition with one worker after another, a Redis that goes back, and a log that loses records."""

    def __init__(self, seed):
        self.rng, self.world = random.Random(seed), World()
        self.snapshot = self.world.state.copy()
        self.runner = Runner(self.world)

    def step(self):
        steps = {
            self.append: 4,
            self.read: 8,
            self.reply: 16,
            self.let_time_pass: 4,
            self.disturb_redis: 2,
            self.lose_records: 2,
            self.plan_beside_us: 3,
            self.restart: 2,
        }
        self.rng.choices(list(steps), list(steps.values()))[0]()

    def append(self):
        for _ in range(self.rng.randrange(1, 8)):
            k = len(self.world.log[0])
            at_ms = NOON_MS + k * 20_000
            value = mention(id=str(k), text=f"t{k % 5}", event_time=at_ms) if k % 9 else b"not JSON"
            self.world.append(value, time_ms=at_ms)

    def read(self):
        self.runner.poll(self.rng.randrange(1, 8))
        self.runner.see_end()

    def reply(self):
        self.rng.choice((self.runner.answer_redis, self.runner.answer_store))()

    def let_time_pass(self):
        if not self.runner.machine.reads:
            return
        self.runner.deliver(LogEndRead(self.world.topic.position(0).log_end))
        if self.rng.random() < 0.1:
            self.runner.deliver(ReadAgain())
        if self.runner.machine.archiving.on_its_way and self.rng.random() < 0.2:
            self.runner.deliver(BufferDropped())
        self.runner.report()
        self.runner.tick(flush=self.rng.random() < 0.3)

    def disturb_redis(self):
        what = self.rng.choice(("keep", "keep", "go back", "empty"))
        if what == "keep":
            self.snapshot = self.world.state.copy()
        elif what == "go back":
            self.world.state.restore(self.snapshot)
        else:
            self.world.state.clear()

    def lose_records(self):
        """Retention; whose position is gone begins anew, as the loop has it."""
        log_end = self.world.topic.position(0).log_end
        self.world.topic.delete_before(0, self.rng.randrange(log_end + 1))
        if self.runner.out_of_range:
            self.restart()

    def plan_beside_us(self):
        """A zombie plans the next chunk, or an operator skips records; the manifest may be left to us."""
        store, log_end = self.world.store, self.world.topic.position(0).log_end
        found = store.find_plan_log(0)
        if found.last is None or not found.finished or found.last.end >= log_end:
            return
        start, watermark_ms = found.last.end, found.last.watermark_end
        skipped = self.rng.random() < 0.5
        plan = Plan(
            kind="skipped" if skipped else "data",
            start=start,
            end=self.rng.randrange(start, log_end) + 1,
            watermark_start=watermark_ms,
            watermark_end=watermark_ms,
            limits=self.world.limits,
            why="because" if skipped else None,
        )
        store.plans[0, start] = plan
        if skipped and self.rng.random() < 0.5:
            lost = Outcomes(lost=plan.end - plan.start)
            store.create_manifest(0, plan, Manifest(objects=[], outcomes=lost, late=0, partial=False))

    def restart(self):
        self.runner = Runner(self.world)


def test_random_histories_visit_every_row_of_the_table(monkeypatch):
    # Given machines that are watched
    visited = Counter()
    handle = Runner.deliver

    def watched(self, event):
        before = self.machine.state
        handle(self, event)
        visited[before, type(event), self.machine.state] += 1

    monkeypatch.setattr(Runner, "deliver", watched)

    # When they live through histories of every kind
    for seed in range(HISTORIES):
        history = History(seed)
        for _ in range(STEPS):
            history.step()

    # Then the table holds what happened, which the machine checks, and nothing that never happens
    never = [
        f"{state.value}: {event.__name__} -> {to.value}"
        for state, inputs in TRANSITIONS.items()
        for event, states in inputs.items()
        for to in states
        if not visited[state, event, to]
    ]
    assert never == []

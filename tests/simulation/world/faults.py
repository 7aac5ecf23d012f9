"""Faults: what can go wrong between a process and a server, how often, and a count of what did.

Rules:
1. One random generator per history makes every choice: one seed is one history.
2. A fault hits a request: lost, answered in vain, late, repeated, torn, or its sender is killed or frozen
   before or after it. A late request arrives after an unknown time, whatever became of its sender.
3. `Killed` and `Violation` are no `Exception`: nothing in the worker may catch them.
"""

from dataclasses import dataclass, field

from stream_worker.errors import Unavailable


class Killed(BaseException):
    """kill -9: the process is gone at this very point."""


class Violation(BaseException):
    """The oracle found something wrong."""

    def __init__(self, check, detail):
        super().__init__(f"{check}: {detail}")
        self.check = check


@dataclass(slots=True)
class Profile:
    """What a history is made of: sizes, limits, and how often each fault happens."""

    steps: int = 220
    partitions: int = 3
    workers: int = 2
    dedup_window_offsets: int = 8
    dedup_window_ms: int = 120_000
    lateness_ms: int = 5_000
    max_hold_ms: int = 40_000
    alignment_ms: int = 240_000
    rows_max: int = 6
    span_max: int = 12
    seconds_max: float = 8.0
    memory_max_bytes: int = 1 << 20
    max_brands: int = 10_000
    day_ms: int = 86_400_000  # how much is counted again when Redis was lost
    increments_max: int = 5_000
    start: str = "earliest"
    backlog: int = 6  # records per partition before the first start
    past_hours: int = 0  # over which the backlog is spread
    quiet_minutes: int = 0  # after the end of all input: time for episodes to end
    fetch: tuple = (1, 2, 3, 5, 9)  # records a poll may bring of a partition
    end_with_records: float = 0.5  # chance that a poll brings the last records and the end at once
    stall: float = 0.0  # share of polls after which a fetch takes long
    request: float = 0.0  # share of requests that a fault hits
    events: dict = field(default_factory=dict)  # name of a method of `World` -> weight


KINDS = {
    "lost_request": 4,
    "lost_answer": 5,
    "late_request": 5,
    "repeated_request": 4,
    "kill_before": 1,
    "kill_after": 1.5,
    "late_and_kill": 1,
    "freeze_before": 1,
    "freeze_after": 1,
}

RARE = {  # requests that few histories make often: a fault hits them so many times as often
    "create_cursor": 8,
    "advance_cursor": 60,
    "history": 4,
    "create head": 8,
    "create plan": 15,
    "create manifest": 6,
    "create rows": 4,
    "read plan": 3,
    "read manifest": 3,
    "read rows": 40,
    "send letter": 8,
    "seal": 2,
}
SHARE_MAX = 0.4


class Wire:
    """What lies between one process and the servers."""

    def __init__(self, world, process):
        self._world, self._process = world, process
        self._kinds, self._weights = list(KINDS), list(KINDS.values())

    def ask(self, server, what, effect):
        """Have a server do something. Raises Unavailable; the process may die or freeze here."""
        world, process = self._world, self._process
        if process.dead:
            raise Killed
        if world.is_down(server):
            world.bites[f"{server} was away"] += 1
            raise Unavailable(f"{server} is down")
        if world.planned.get(what):
            return getattr(self, f"_{world.planned[what].pop(0)}")(effect)
        share = min(SHARE_MAX, world.profile.request * RARE.get(what, 1))
        if not world.hostile or world.rng.random() >= share:
            return effect()
        kind = world.rng.choices(self._kinds, self._weights)[0]
        world.bites[kind] += 1
        world.bites[f"fault at {what}"] += 1
        return getattr(self, f"_{kind}")(effect)

    def ask_in_order(self, server, what, effects):
        """Have a server do a list of things in one round trip, which may break anywhere."""
        world = self._world
        if len(effects) > 1 and world.hostile and world.rng.random() < world.profile.request:
            world.bites["torn pipeline"] += 1
            cut = world.rng.randrange(1, len(effects))

            def rest():
                for effect in effects[cut:]:
                    effect()

            for effect in effects[:cut]:
                effect()
            if world.rng.random() < 0.5:
                world.late.append(rest)
            raise Unavailable(f"{server} broke off")
        return self.ask(server, what, lambda: [effect() for effect in effects])

    def _lost_request(self, effect):
        raise Unavailable("the request was lost")

    def _lost_answer(self, effect):
        effect()
        raise Unavailable("the answer was lost")

    def _late_request(self, effect):
        self._world.late.append(effect)
        raise Unavailable("the request is under way")

    def _repeated_request(self, effect):
        answer = effect()
        self._world.late.append(effect)
        return answer

    def _kill_before(self, effect):
        self._world.kill(self._process)
        raise Killed

    def _kill_after(self, effect):
        effect()
        self._world.kill(self._process)
        raise Killed

    def _late_and_kill(self, effect):
        self._world.late.append(effect)
        self._world.kill(self._process)
        raise Killed

    def _freeze_before(self, effect):
        self._world.freeze(self._process)
        return effect()

    def _freeze_after(self, effect):
        answer = effect()
        self._world.freeze(self._process)
        return answer


class Said:
    """Stands for a module's log: counts what it says."""

    def __init__(self, bites):
        self._bites = bites

    def info(self, event, **_):
        self._bites[f"said: {event}"] += 1

    warning = error = info

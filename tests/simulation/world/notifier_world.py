"""A world for the notifier: the shipped loop, machine and logs; a small generator closes minutes.

Rules:
1. Redis is the memory twin's state, so that it goes back as a whole. Each time it does, the minutes after it
   are evaluated a little differently: another opening, another end, none at all. That is a new *life*.
2. Everything else is as in `world.py`: one random generator, faults at every request, freezing is nesting.
"""

from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from unittest.mock import patch

from stream_worker.adapters.object_store.notification_log import StoredNotificationLogs
from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.alerting.retry_queue import SendOutcome
from stream_worker.errors import Unavailable
from stream_worker.notifier import dependencies, effects
from stream_worker.notifier.loop import Notifier
from tests.fakes.redis_outbox import MemoryOutbox
from tests.fakes.redis_state import MemoryState
from tests.simulation.oracle.notifier import Oracle
from tests.simulation.world.faults import Killed, Said, Wire
from tests.simulation.world.notifier_closer import BEGIN_MS, BRANDS, MINUTE_MS, Closer

NESTED_MAX = 2
ROUNDS_MAX = 150


@dataclass(slots=True)
class Profile:
    """What a history is made of."""

    steps: int = 160
    notifiers: int = 2
    request: float = 0.03
    spikes: bool = True  # new ones, by chance
    store_away_max_ms: int = 40_000
    events: dict = field(default_factory=dict)


class SimulatedOutbox:
    """`ports.Outbox` for one process: each call is a request."""

    def __init__(self, world, process, wire):
        self._world, self._process, self._wire = world, process, wire
        self._twin = MemoryOutbox(world.clock_ms, world.redis)

    def read(self, brands):
        def effect():
            self._world.oracle.snapshot_read(self._process)
            return self._twin.read(brands)

        return self._wire.ask("redis", "read outbox", effect)

    def freeze(self, entry, message):
        def effect():
            frozen = self._twin.freeze(entry, message)
            if frozen is not None:
                self._world.oracle.message_frozen(frozen)
            return frozen

        return self._wire.ask("redis", "freeze", effect)

    def remove(self, entry, episode_record):
        return self._wire.ask("redis", "remove", lambda: self._twin.remove(entry, episode_record))

    def publish(self, message):
        return self._wire.ask("redis", "publish", lambda: self._twin.publish(message))

    def lease(self, *args):
        return self._wire.ask("redis", "lease", lambda: self._twin.lease(*args))


class SimulatedObjects:
    """Stands for the adapter's `Objects`, for one process."""

    def __init__(self, world, process, wire):
        self._world, self._process, self._wire = world, process, wire

    def create(self, name, body):
        seen, objects = self._process.seen, self._world.objects
        kind = "notification" if name.startswith("_alerts/") else "receipt"

        def effect():
            self._world.now_ms += 5
            if name in objects:
                self._world.bites[f"{kind} refused"] += 1
                return False
            if kind == "notification":
                self._world.oracle.notification_created(name, body, seen)
            objects[name] = body
            return True

        return self._wire.ask("store", f"create {kind}", effect)

    def read(self, name):
        return self._wire.ask("store", "read notification", lambda: self._world.objects.get(name))

    def names(self, prefix, after=None):
        objects = self._world.objects
        found = lambda: sorted(n for n in objects if n.startswith(prefix) and n > (after or ""))  # noqa: E731
        return self._wire.ask("store", "list notifications", found)


class SimulatedNotificationLogs(StoredNotificationLogs):
    """The notification logs as they are shipped, but for threads."""

    def __init__(self, objects):
        self._objects = objects

    def _read_all(self, names):
        return [self._read(name) for name in names]


class SimulatedChannel:
    """A receiver of webhooks."""

    name = "webhook"

    def __init__(self, world, wire):
        self._world, self._wire = world, wire

    def send(self, message):
        try:
            self._wire.ask(
                "channel", "send", lambda: self._world.oracle.message_received(message.id, message.body)
            )
        except Unavailable as error:
            return SendOutcome("failed", str(error))
        return SendOutcome("delivered")


class Silent:
    """Stands for the recorder: nothing is measured here."""

    def __getattr__(self, name):
        return lambda *_, **__: None


class Process:
    """One notifier from its start to its death."""

    def __init__(self, world, number):
        self.world, self.number = world, number
        self.dead, self.frozen, self.seen = False, 0, {}
        wire = Wire(world, self)
        self.notifier = Notifier(
            outbox=SimulatedOutbox(world, self, wire),
            logs=SimulatedNotificationLogs(SimulatedObjects(world, self, wire)),
            channels=[SimulatedChannel(world, wire)],
            give_up_s=1e9,
            owner=f"n{number}",
            recorder=Silent(),
            now_s=world.monotonic,
        )

    @property
    def runs(self):
        return not self.dead and not self.frozen

    def turn(self):
        with suppress(Killed):
            self.notifier.turn()


class NotifierWorld:
    """Everything of one history."""

    def __init__(self, profile, seed):
        self.profile, self.rng = profile, Random(seed)
        self.now_ms = BEGIN_MS
        self.bites = Counter()
        self.hostile = False
        self.late, self.planned, self.processes = [], {}, []
        self.objects = {}
        self.redis = MemoryState()
        self.oracle = Oracle(self)
        self.closer = Closer(self)
        self._snapshots, self._down_until_ms = [], {}
        self._depth = self._started = 0
        for brand in BRANDS:
            self.redis.shards[shard_of(brand)].closed_ms = BEGIN_MS
        events = {"turn": 45, "close": 25, "deliver": 5} | profile.events
        self._events, self._weights = list(events), list(events.values())

    @contextmanager
    def clock(self):
        """The notifier's logs are counted."""
        with ExitStack() as stack:
            for module in (dependencies, effects):
                stack.enter_context(patch.object(module, "log", Said(self.bites)))
            yield

    def monotonic(self):
        return self.now_ms / 1000

    def clock_ms(self):
        self.now_ms += 1
        return self.now_ms

    # The history

    def run(self):
        """Live through the history. Raises Violation."""
        with self.clock():
            self.snapshot()
            self.hostile = True
            for _ in range(self.profile.steps):
                self.step()
            self.calm()

    def step(self):
        chance, rng = self.rng.random(), self.rng
        if chance < 0.55:
            self.now_ms += rng.randint(5, 3_000)
        else:
            self.now_ms += rng.randint(3_000, 60_000) if chance < 0.97 else rng.randint(60_000, 900_000)
        getattr(self, rng.choices(self._events, self._weights)[0])()

    def calm(self):
        """All faults end; everything must be reported without further input."""
        self.hostile = self.closer.away = False
        self._down_until_ms.clear()
        self.rng.shuffle(self.late)
        while self.late:
            self.deliver()
        if not self._running():
            self.start()
        for _ in range(ROUNDS_MAX):
            self.now_ms += 20_000
            self.closer.close(1_000)
            for process in self._running():
                process.turn()
            if not (waits_for := self.oracle.waits_for()):
                break
        self.oracle.check(not waits_for, "liveness", waits_for)
        self.oracle.check_all()

    # What may happen

    def turn(self):
        if running := self._running():
            self.rng.choice(running).turn()
        else:
            self.start()

    def close(self):
        if not self.closer.away and not self.is_down("redis"):
            self.closer.close(self.rng.choice((1, 1, 5, 60)))

    def deliver(self):
        if self.late:
            self.bites["late request arrived"] += 1
            with suppress(Unavailable):
                self.late.pop(self.rng.randrange(len(self.late)))()

    def start(self):
        if len(self._running()) < self.profile.notifiers:
            self._started += 1
            self.processes.append(Process(self, self._started))

    def kill_one(self):
        if running := self._running():
            self.kill(self.rng.choice(running))

    def kill(self, process):
        process.dead = True
        self.bites["kill"] += 1
        if process in self.processes:
            self.processes.remove(process)

    def freeze(self, process):
        """The process stands still in the middle of a call; the world goes on."""
        if self._depth >= NESTED_MAX:
            return
        self.bites["freeze"] += 1
        self._depth += 1
        process.frozen += 1
        for _ in range(self.rng.randint(1, 30)):
            self.step()
        process.frozen -= 1
        self._depth -= 1
        if process.dead:
            raise Killed

    def snapshot(self):
        self._snapshots.append((self.redis.copy(), self.oracle.life()))
        del self._snapshots[:-6]

    def roll_back(self, snapshot=None):
        """Redis goes back; the minutes after are evaluated anew."""
        state, life = snapshot or self.rng.choice(self._snapshots)
        self.bites["redis rolled back"] += 1
        self.redis.restore(state)
        self.oracle.goes_back(life)
        self.closer.life += 1

    def empty_redis(self):
        self.bites["redis emptied"] += 1
        self.redis.clear()
        self.oracle.goes_back([])
        self.closer.life += 1

    def outage(self):
        server = self.rng.choice(("redis", "store", "store", "channel"))
        longest_ms = {"redis": 60_000, "store": self.profile.store_away_max_ms, "channel": 600_000}[server]
        self._down_until_ms[server] = self.now_ms + self.rng.randint(500, longest_ms)

    def stop_workers(self):
        self.closer.away = not self.closer.away
        self.bites["workers away"] += 1

    def sleep(self):
        """No notifier runs for a while."""
        for process in self._running():
            self.kill(process)
        for _ in range(self.rng.randint(1, 60)):
            self.now_ms += MINUTE_MS
            self.close()
        self.bites["notifiers away"] += 1

    def is_down(self, server):
        return self.now_ms < self._down_until_ms.get(server, 0)

    def _running(self):
        return [process for process in self.processes if process.runs]

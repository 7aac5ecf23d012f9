"""The Redis of a simulated world: the memory twin of the scripts, watched by the oracle."""

import pickle
from functools import partial

from tests.fakes.redis_aggregates import MemoryAggregates
from tests.fakes.redis_state import MemoryState


class SimulatedRedis:
    """One server. Its clock moves with every script, so that no two seals share a mark."""

    def __init__(self, world):
        self._world = world
        self.state = MemoryState()
        self.snapshots = []

    def now_ms(self):
        self._world.now_ms += 1
        return self._world.now_ms

    def snapshot(self):
        seen = self._world.oracle.aggregates.seen
        self.snapshots.append(pickle.dumps((self.state, seen)))  # five times as fast as a deep copy
        del self.snapshots[:-6]

    def restore(self, snapshot):
        fresh, self._world.oracle.aggregates.seen = pickle.loads(snapshot)
        for name in self.state.__slots__:
            setattr(self.state, name, getattr(fresh, name))

    def empty(self):
        self.state.clear()
        self._world.oracle.aggregates.clear()


class SimulatedRolling:
    """`ports.Rolling` for one process of one log: each call is a request."""

    def __init__(self, world, wire, log, owner):
        self._world, self._wire, self._log = world, wire, log
        redis = world.redis
        self._twin = MemoryAggregates(
            log, redis.now_ms, redis.state, max_brands=world.profile.max_brands, owner=owner
        )

    def create_cursor(self, *args):
        return self._watched("create_cursor", *args)

    def advance_cursor(self, *args):
        return self._watched("advance_cursor", *args)

    def seal(self, *args):
        return self._watched("seal", *args)

    def close(self, *calls):
        closed = self._wire.ask_in_order(
            "redis", "close", [partial(self._run, "close", call) for call in calls]
        )
        return set().union(*closed)

    def apply(self, calls):
        return self._wire.ask_in_order(
            "redis", "apply", [partial(self._run, "apply_one", call) for call in calls]
        )

    def _watched(self, name, *args):
        return self._wire.ask("redis", name, partial(self._run, name, *args))

    def _run(self, name, *args):
        """Run a script on the server, under the eyes of the oracle."""
        oracle = self._world.oracle.aggregates
        oracle.script_runs()
        look = oracle.look(self._log.name, name, args)
        answer = self._twin.apply(args)[0] if name == "apply_one" else getattr(self._twin, name)(*args)
        getattr(oracle, name)(self._log.name, look, answer, *args)
        return answer

    def _read(self, name, *args):
        """Ask by a script that changes nothing the oracle keeps an account of, but that it ran."""

        def effect():
            self._world.oracle.aggregates.script_runs()
            return getattr(self._twin, name)(*args)

        return self._wire.ask("redis", name, effect)

    def cursor(self, partition):
        return self._wire.ask("redis", "cursor", lambda: self._twin.cursor(partition))

    def brands(self):
        return self._wire.ask("redis", "brands", self._twin.brands)

    def shard(self, number):
        return self._wire.ask("redis", "shard", lambda: self._twin.shard(number))

    def next_sealed(self, after_ms):
        return self._read("next_sealed", after_ms)

    def history(self, brand, hours_ms):
        return self._wire.ask("redis", "history", lambda: self._twin.history(brand, hours_ms))

    def lease(self, name, owner, ttl_ms):
        return self._read("lease", name, owner, ttl_ms)

    def publish_change(self, kind, minutes_ms, brands):
        """Nothing judges or counts by notices; they are tested elsewhere."""

    def refresh_view(self, brands):
        """A view that nothing judges or counts by; it is tested elsewhere."""

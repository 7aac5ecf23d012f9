"""Replay of a recorded history against real servers: the shipped scripts, and create-only objects.

Rules:
1. Only the scripts' first line, which sets `now`, is another one: it reads the recorded time.
2. After each step the answer is the recorded one, and the keys that the step changed hold what they held in
   the simulation; after the last one, all keys do.
"""

import msgspec
import numpy as np

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.core.aggregates.measures import Delta
from stream_worker.core.aggregates.shard import Close
from stream_worker.core.archive.layout import Log
from stream_worker.core.partition.effects import Apply
from tests.contracts.aggregates.worlds import RedisWorld
from tests.simulation.world.recording import READS, SCRIPTS, plain

UNANSWERED = ("lease",)  # its time to live is real time; nothing judges or counts by it


class Difference(Exception):
    """A real server did something else than the simulated one."""


class RedisReplay:
    """One history on a real Redis, below a prefix of its own."""

    def __init__(self, url, recording):
        self._world, self._recording = RedisWorld(url), recording
        self._workers, self._snapshots, self._expected = {}, {}, {}
        self._times = iter([step.now_ms for step in recording.steps if step.now_ms])

    def run(self):
        """Play all steps that were asked of Redis. Raises Difference."""
        self._world.advance(next(self._times, self._world.now_ms) - self._world.now_ms)
        for number, step in enumerate(self._recording.steps):
            if step.name in SCRIPTS or step.name in READS:
                self._ask(f"step {number}, {step.name} of {step.worker[2]}", step)
            elif step.name == "snapshot":
                self._snapshots[step.args[0]] = self._world.snapshot(), dict(self._expected)
            elif step.name == "restore":
                stored, expected = self._snapshots[step.args[0]]
                self._world.restore(stored)
                self._expected = dict(expected)
            elif step.name == "empty":
                self._world.empty()
                self._expected.clear()
        _compare("at the end", self._world.dump(), self._expected)

    def close(self):
        self._world.close()

    def _ask(self, where, step):
        answer = plain(getattr(self._worker(step.worker), step.name)(*_arguments(step)))
        if step.name not in UNANSWERED and answer != step.answer:
            raise Difference(f"{where}: it answered {answer}, not {step.answer}")
        if step.name in SCRIPTS:
            _compare(where, self._stored(step.keys), {k: v for k, v in step.keys.items() if v is not None})
        for key, value in step.keys.items():
            if value is None:
                self._expected.pop(key, None)
            else:
                self._expected[key] = value

    def _stored(self, keys):
        """What these keys hold; those that hold nothing are left out. Moves the clock to the next step."""
        prefix = self._world.prefix
        pipe = self._world.client.pipeline(transaction=False)
        for key in keys:
            name = f"{prefix}:{key}"
            pipe.zrange(name, 0, -1) if key == "minutes" else pipe.hgetall(name)
        if now_ms := next(self._times, None):
            pipe.set(f"{prefix}:clock", now_ms)
        found = {key: _decoded(stored) for key, stored in zip(keys, pipe.execute(), strict=False)}
        for name in ("trimmed", "expired"):  # a zero and an absent count mean the same
            if found.get("ctl", {}).get(name) == "0":
                del found["ctl"][name]
        return {key: value for key, value in found.items() if value}

    def _worker(self, worker):
        if worker not in self._workers:
            topic, incarnation, owner = worker
            self._workers[worker] = self._world.aggregates(
                Log(topic, incarnation), owner=owner, max_brands=self._recording.header.max_brands
            )
        return self._workers[worker]


def _decoded(stored):
    if isinstance(stored, dict):
        return {name.decode(): value.decode() for name, value in stored.items()}
    return [member.decode() for member in stored]


def _arguments(step):
    """The arguments of a step, as the port takes them."""
    if step.name == "apply":
        return [[_apply(told) for told in step.args[0]]]
    if step.name == "close":
        return [msgspec.convert(step.args[0], Close)]
    return step.args


def _apply(told):
    told = dict(told)
    if (delta := told.pop("delta")) is not None:
        delta = Delta(
            np.array(delta["minutes_ms"], np.int64),
            np.array(delta["late"], bool),
            delta["networks"],
            delta["brands"],
            np.array(delta["measures"], np.int64).reshape(-1, 10),
            delta["model"],
        )
    return Apply(**told, delta=delta)


def _compare(where, found, expected):
    if found != expected:
        keys = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
        key = keys[0]
        raise Difference(f"{where}: {key} holds {found.get(key)}, not {expected.get(key)} ({len(keys)} keys)")


class StoreReplay:
    """One history on a real store, in a place of its own."""

    def __init__(self, store, recording):
        self._objects, self._recording, self._expected = Objects(store), recording, {}

    def run(self):
        """Play all steps that were asked of the store. Raises Difference."""
        for number, step in enumerate(self._recording.steps):
            if step.name == "create":
                self._create(f"step {number}", *step.args, step.answer)
            elif step.name == "list":
                _same(f"step {number}: the list of {step.args}", self._objects.names(*step.args), step.answer)
            elif step.name == "read":
                _same(f"step {number}: {step.args[0]}", self._read(step.args[0]), step.answer)
        _same("at the end: the objects", self._objects.names(""), sorted(self._expected))
        for name, body in self._expected.items():
            _same(f"at the end: {name}", self._read(name), body)

    def _create(self, where, name, body, created):
        _same(f"{where}: creating {name}", self._objects.create(name, body.encode()), created)
        self._expected.setdefault(name, body)
        _same(f"{where}: {name}", self._read(name), self._expected[name])

    def _read(self, name):
        body = self._objects.read(name)
        return None if body is None else body.decode()


def _same(where, found, expected):
    if found != expected:
        raise Difference(f"{where} is {found}, not {expected}")

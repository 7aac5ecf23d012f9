"""Recording: what the servers of one simulated history saw, request by request, with every answer.

Rules:
1. A step is what a server did, in the order in which it did it. A late or repeated request is a step when it
   arrives; a lost one is none. Redis gone back or emptied is a step too.
2. A script's step says which keys it changed and what they hold now, as `dump` of the contract suite does.
3. Rows are tuples in the simulator; here they are bytes like every other object.
"""

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import numpy as np

from tests.contracts.aggregates.worlds import dump_memory
from tests.fakes.redis_aggregates import MemoryAggregates
from tests.simulation.histories import NoHistory
from tests.simulation.world import redis as simulated_redis
from tests.simulation.world.store import SimulatedObjects
from tests.simulation.world.world import World

VERSION = 1
SCRIPTS = ("create_cursor", "advance_cursor", "apply", "seal", "close", "next_sealed", "lease")
READS = ("cursor", "brands", "shard", "history")
NAMES = {*SCRIPTS, *READS, "snapshot", "restore", "empty", "create", "read", "list"}


class Step(msgspec.Struct, omit_defaults=True):
    """One thing that a server did."""

    name: str  # of a script or a read of `ports.Rolling`; snapshot, restore, empty; create, read, list
    args: list[Any] = []
    answer: Any = None
    worker: tuple[str, str, str] = ("", "", "")  # topic, incarnation, owner
    now_ms: int = 0
    keys: dict[str, Any] = {}  # what a script changed: key -> what it holds; None: nothing any more


class Header(msgspec.Struct, tag_field="what", tag="recorded history"):
    """The first line of a recording: the history, and what the servers had to know before."""

    v: int
    seed: int
    max_brands: int


class Recording(NamedTuple):
    """What the servers of one history saw; `bites` counts its faults."""

    header: Header
    steps: list[Step]
    bites: Counter


def write(path, recording) -> None:
    """Write a recording: JSON lines, first the header, then a line a step. Raises OSError."""
    lines = [msgspec.json.encode(line) for line in (recording.header, *recording.steps)]
    Path(path).write_bytes(b"\n".join(lines) + b"\n")


def read(path) -> Recording:
    """Read a recording. Raises NoHistory."""
    try:
        first, *lines = Path(path).read_bytes().splitlines() or [b""]
    except OSError as error:
        raise NoHistory(f"cannot read {path}: {error.strerror}; --record writes a recording") from None
    try:
        header = msgspec.json.decode(first, type=Header)
    except msgspec.MsgspecError as error:
        raise NoHistory(f"{path} is no recording: its first line is no header ({error})") from None
    if header.v != VERSION:
        raise NoHistory(f"{path} has version {header.v}, this reads {VERSION}: record it again")
    steps = []
    for number, line in enumerate(lines, 2):
        try:
            step = msgspec.json.decode(line, type=Step)
        except msgspec.MsgspecError as error:
            raise NoHistory(f"{path}, line {number}, is no step: {error}") from None
        if step.name not in NAMES:
            raise NoHistory(f"{path}, line {number}: no server does {step.name!r}")
        steps.append(step)
    if not steps:
        raise NoHistory(f"{path} holds no step: it was cut off; record it again")
    return Recording(header, steps, Counter())


def record(seed, profile) -> Recording:
    """Live through a history and write down what the servers saw. Raises Violation."""
    world = World(profile, seed)
    recorder = Recorder(world)
    with recorder.listening():
        world.run()
    kept = {step.args[0] for step in recorder.steps if step.name == "restore"}
    steps = [step for step in recorder.steps if step.name != "snapshot" or step.args[0] in kept]
    return Recording(Header(VERSION, seed, profile.max_brands), steps, world.bites)


def plain(value):
    """A value as JSON gives it back."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_plain_array))


def _plain_array(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(type(value))  # what msgspec asks of a hook that does not know a type


class Recorder:
    """Stands between a world and its servers, and writes down."""

    def __init__(self, world):
        self.world, self.steps = world, []
        self._keys, self._snapshots = {}, []

    @contextmanager
    def listening(self):
        """Hear everything that the servers of the world are asked from here on."""
        redis, store, read = self.world.redis, self.world.store, SimulatedObjects.read
        with (
            patch.object(simulated_redis, "MemoryAggregates", self._twin),
            patch.object(redis, "snapshot", self._snapshot),
            patch.object(redis, "restore", self._restore),
            patch.object(redis, "empty", self._empty),
            patch.object(store, "create", self._create),
            patch.object(store, "names", self._names),
            patch.object(SimulatedObjects, "read", lambda objects, name: self._read(objects, name, read)),
        ):
            yield

    def _changed(self):
        """The keys that differ from those after the last script, and what they hold."""
        before, self._keys = self._keys, dump_memory(self.world.redis.state)
        now = self._keys
        return {key: now.get(key) for key in before.keys() | now.keys() if before.get(key) != now.get(key)}

    # Redis

    def _twin(self, log, now_ms, state, *, max_brands, owner):
        twin = MemoryAggregates(log, now_ms, state, max_brands=max_brands, owner=owner)
        return _Heard(self, twin, (log.topic, log.incarnation, owner))

    def script(self, worker, name, args, answer):
        now_ms = self.world.redis.state.ctl.last_script_ms
        self.steps.append(Step(name, plain(args), plain(answer), worker, now_ms, plain(self._changed())))

    def read(self, worker, name, args, answer):
        self.steps.append(Step(name, plain(args), plain(answer), worker))

    def _snapshot(self):
        type(self.world.redis).snapshot(self.world.redis)
        self._snapshots.append(self.world.redis.snapshots[-1])
        self.steps.append(Step("snapshot", [len(self._snapshots) - 1]))

    def _restore(self, snapshot):
        number = next(n for n, taken in enumerate(self._snapshots) if taken is snapshot)
        type(self.world.redis).restore(self.world.redis, snapshot)
        self._changed()
        self.steps.append(Step("restore", [number]))

    def _empty(self):
        type(self.world.redis).empty(self.world.redis)
        self._changed()
        self.steps.append(Step("empty"))

    # The store

    def _create(self, name, body):
        created = type(self.world.store).create(self.world.store, name, body)
        self.steps.append(Step("create", [name, _text(body)], created))
        return created

    def _names(self, prefix, after):
        names = type(self.world.store).names(self.world.store, prefix, after)
        self.steps.append(Step("list", [prefix, after], names))
        return names

    def _read(self, objects, name, read):
        body = read(objects, name)
        self.steps.append(Step("read", [name], None if body is None else _text(body)))
        return body


def _text(body):
    return body.decode() if isinstance(body, bytes) else msgspec.json.encode(body).decode()


class _Heard:
    """A worker's connection to Redis, overheard."""

    def __init__(self, recorder, twin, worker):
        self._recorder, self._twin, self._worker = recorder, twin, worker
        self.state = twin.state

    def __getattr__(self, name):
        call = getattr(self._twin, name)
        heard = self._recorder.script if name in SCRIPTS else self._recorder.read

        def overheard(*args):
            answer = call(*args)
            heard(self._worker, name, args, answer)
            return answer

        return overheard

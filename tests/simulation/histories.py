"""Histories: which faults a seed brings, how one history ends, and history files."""

import gc
import json
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from random import Random

from tests.simulation.world.faults import Profile, Violation
from tests.simulation.world.world import World

REQUESTS = (
    *(
        "apply",
        "cursor",
        "create_cursor",
        "advance_cursor",
        "seal",
        "close",
        "shard",
        "brands",
        "next_sealed",
        "history",
    ),
    *("create head", "create plan", "create rows", "create manifest", "list plans", "read plan"),
    *("read head", "read manifest", "read rows", "send letter", "position", "starts", "topic"),
)

MUST_BITE = (
    *("kill between steps", "kill_before", "kill_after", "late_and_kill", "freeze_before", "freeze_after"),
    *("lost_request", "lost_answer", "late_request", "late request arrived", "repeated_request"),
    *("torn pipeline", "zombie", "rebalance", "everybody slept", "the group returned", "fetch stalled"),
    "client read elsewhere",
    *("redis was away", "store was away", "broker was away", "letters was away"),
    *("redis rolled back", "redis found behind", "redis emptied", "no cursor found", "sealed again"),
    *("cursor created after a loss", "CAS miss", "adopted plan", "adopted head", "object was there"),
    *("rows of another model", "minute of two models", "offsets reset forward", "offsets reset back"),
    *("topic recreated", "worker saw another log", "partition added", "skipped on the record"),
    *("retention ate what was not archived", "manifest with lost offsets", "partial manifest"),
    *("cursor jumped", "said: partition out of range", "said: rows forgotten", "offset without a record"),
    *("duplicate", "repeat", "expired", "brand refused", "the group was taken from an older log"),
    *("rejected: event time", "rejected: not JSON", "rejected: tombstone", "rejected: too large"),
    "late, and its minute is in history only",
    *("late by its own watermark", "late after the seal", "sealed incomplete", "partition held"),
    *("proof of idleness", "pause of a partition that is ahead", "close refused"),
    *("episode opened", "episode resolved"),
    *("episode damaged", "history damaged", "count damaged", "field mended"),
    *("a damaged count was left out", "a damaged brand was not evaluated"),
    *(f"fault at {what}" for what in REQUESTS),
)
"""What must have happened in any three hundred histories, or they show less than they say."""


@dataclass(slots=True)
class Outcome:
    """How a history ended. `wrong` is None when all was right."""

    seed: int
    wrong: str | None = None
    trace: str = ""
    bites: Counter = field(default_factory=Counter)


EVENTS = {  # name of a method of `World` -> weight; a turn of some loop has 40
    "kill_one": 1.2,
    "start": 2.5,
    "rebalance": 1.5,
    "leave": 0.6,
    "deafen": 1.5,
    "snapshot": 1.5,
    "roll_back": 0.7,
    "empty_redis": 0.25,
    "reset_offsets": 1.0,
    "outage": 0.6,
    "sleep": 0.3,
    "upgrade": 0.6,
}
DAMAGE = {"damage_field": 1.0, "mend_field": 0.4}
SELDOM = {  # these blur what can be recounted, or replace it: few histories have them
    "retain": 1.2,
    "skip": 1.2,
    "recreate_topic": 0.3,
    "add_partition": 0.3,
}


def profile_of(seed):
    """Draw what the history is made of: a random share of all faults, so that rare ones meet undisturbed."""
    rng = Random(f"profile {seed}")
    events = {name: weight for name, weight in EVENTS.items() if rng.random() < 0.7}
    events |= {name: weight for name, weight in SELDOM.items() if rng.random() < 0.15}
    if Random(f"damage {seed}").random() < 0.3:
        events |= DAMAGE
    return Profile(
        partitions=rng.choice((3, 3, 4)),
        workers=rng.choice((1, 2, 3)),
        lateness_ms=rng.choice((5_000, 5_000, 30_000)),
        dedup_window_ms=rng.choice((20_000, 120_000, 3_600_000)),
        rows_max=rng.choice((3, 6, 15)),
        span_max=rng.choice((4, 12, 30)),
        memory_max_bytes=rng.choice((1 << 20, 1 << 20, 600)),
        max_brands=rng.choice((10_000, 10_000, 2)),
        increments_max=rng.choice((5_000, 5_000, 12)),
        alignment_ms=rng.choice((240_000, 30_000)),
        start=rng.choice(("earliest", "earliest", "latest")),
        backlog=rng.choice((0, 6, 15)),
        past_hours=rng.choice((0,) * 11 + (5,)),
        quiet_minutes=rng.choice((0, 0, 0, 0, 35)),
        request=rng.choice((0.002, 0.01, 0.03, 0.06)),
        stall=rng.choice((0.0, 0.03, 0.1)),
        day_ms=rng.choice((86_400_000, 120_000)),
        events=events,
    )


def live(seed, profile=None):
    """Live through the history of a seed."""
    outcome = Outcome(seed)
    world = World(profile or profile_of(seed), seed)
    gc.disable()  # a world is small and all cycles; to look for them all the time costs a fifth
    try:
        world.run()
    except Violation as violation:
        outcome.wrong, outcome.trace = str(violation), traceback.format_exc()
    except Exception as crash:  # noqa: BLE001 - a bug of the worker, or of the simulator
        outcome.wrong, outcome.trace = f"crash: {crash!r}", traceback.format_exc()
    finally:
        gc.enable()
    outcome.bites = world.bites
    return outcome


class NoHistory(Exception):
    """The file is no history; the message says why and how to mend it."""


def write_history(path, seed, profile):
    """Write a history file. Raises OSError."""
    Path(path).write_text(json.dumps({"v": 1, "seed": seed, "profile": asdict(profile)}, indent=1) + "\n")


def read_history(path):
    """Read a history file; returns seed and profile. Raises NoHistory."""
    try:
        told = json.loads(Path(path).read_text())
    except OSError as error:
        raise NoHistory(f"cannot read {path}: {error.strerror}; --save writes a history file") from None
    except ValueError as error:
        raise NoHistory(f"{path} is not JSON: {error}") from None
    if not isinstance(told, dict) or told.get("v") != 1 or not {"seed", "profile"} <= told.keys():
        raise NoHistory(f"{path} is no history file: it must hold v (1), seed and profile")
    seed, profile = told["seed"], told["profile"]
    if type(seed) is not int or seed < 0:
        raise NoHistory(f"{path}: a seed is a whole number from 0 on, not {seed!r}")
    return seed, _profile_from(path, profile)


def _profile_from(path, told):
    usual = Profile()
    if not isinstance(told, dict):
        raise NoHistory(f"{path}: a profile is an object, not {told!r}")
    if unknown := told.keys() - {field.name for field in fields(Profile)}:
        raise NoHistory(f"{path}: a profile has no {', '.join(sorted(unknown))}")
    for name, value in told.items():
        kind = type(getattr(usual, name))
        wanted = {int: (int,), float: (int, float), tuple: (list,)}.get(kind, (kind,))
        if type(value) not in wanted:
            raise NoHistory(
                f"{path}: {name} must be {' or '.join(w.__name__ for w in wanted)}, not {value!r}"
            )
    if nothing := [name for name in told.get("events", {}) if not callable(getattr(World, name, None))]:
        raise NoHistory(f"{path}: nothing happens by the name of {', '.join(nothing)}")
    return Profile(**(told | {"fetch": tuple(told.get("fetch", usual.fetch))}))

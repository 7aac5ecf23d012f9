"""The archive's layout: names and the small JSON documents beside the rows (docs/design.md#the-archive).

Rules:
1. Everything is create-only; a name never depends on a clock, a process or chance.
2. Offsets in names have 20 digits, so that names sort as offsets do.
3. Ranges are half-open `[start, end)` over possibly sparse offsets (docs/design.md#r4).
"""

import datetime as dt
from typing import Literal

import msgspec

from stream_worker.core.records.limits import Limits

FORMAT_VERSION = 1
TEXT_KEY_VERSION = 1
ROW_SCHEMA_VERSION = 1


class Log(msgspec.Struct, frozen=True):
    """One incarnation of a topic: a recreated topic is another log."""

    topic: str
    incarnation: str  # the last 8 hex digits of the topic id

    @property
    def name(self) -> str:
        """`<topic>.<inc>`, as it stands in every name."""
        return f"{self.topic}.{self.incarnation}"


class LogOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """The first start of a log, decided once: the starting offset of every partition that existed."""

    v: int = FORMAT_VERSION
    policy: Literal["earliest", "latest"]
    starts: list[int]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One chunk of the archive covers `[start, end)` of a partition; watermarks at both ends, in ms."""

    v: int = FORMAT_VERSION
    kind: Literal["data", "skipped"] = "data"
    start: int
    end: int
    watermark_start: int
    watermark_end: int
    text_key: int = TEXT_KEY_VERSION
    limits: Limits
    why: str | None = None


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object of rows as it lies in the store."""

    name: str
    rows: int
    bytes: int
    sha256: str
    model: str


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """Where every offset of a chunk went; they sum to `end - start`."""

    counted: int = 0
    duplicate: int = 0
    rejected: int = 0
    absent: int = 0
    lost: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk is done: its objects and what became of its offsets."""

    v: int = FORMAT_VERSION
    objects: list[StoredObject]
    outcomes: Outcomes
    late: int
    partial: bool  # the horizon before the chunk was cut short by the log's start


def head_name(log: Log) -> str:
    """Name of the log's one head object."""
    return f"_plans/{log.name}/head.json"


def plans_prefix(log: Log, partition: int) -> str:
    """Prefix of the plans of a partition."""
    return f"_plans/{log.name}/{partition}/"


def plan_name(log: Log, partition: int, start: int) -> str:
    """Name of the plan that begins at `start`; names sort as starts do."""
    return f"{plans_prefix(log, partition)}{start:020d}.json"


def plan_start(name: str) -> int:
    """Start offset in the name of a plan."""
    return int(name.rsplit("/", 1)[1].removesuffix(".json"))


def manifest_name(log: Log, partition: int, plan: Plan) -> str:
    """Name of the manifest of a plan."""
    return f"_manifests/{log.name}/{partition}/{plan.start:020d}-{plan.end:020d}.json"


def rows_name(log: Log, partition: int, plan: Plan, hour_ms: int) -> str:
    """Name of the rows of one event hour of a chunk; `hour_ms` is the hour's start."""
    hour = dt.datetime.fromtimestamp(hour_ms / 1000, dt.UTC)
    folder = f"dt={hour:%Y-%m-%d}/hour={hour:%H}"
    return f"{folder}/{log.name}+{partition}+{plan.start:020d}-{plan.end:020d}.parquet"


def dead_value_name(log: Log, partition: int, offset: int) -> str:
    """Where a dead letter's value is kept when the broker refuses it."""
    return f"_dead/{log.name}/{partition}/{offset:020d}"

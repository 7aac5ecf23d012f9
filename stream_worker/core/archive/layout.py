"""The archive's layout: its names, and the small JSON documents beside the rows (docs/design.md#the-archive).

Rules:
1. Everything is create-only; a name never depends on a clock, a process or chance.
2. Offsets in names have 20 digits, so that names sort as offsets do.
3. Ranges are half-open `[start, end)` over possibly sparse offsets (docs/design.md#r4).
"""

import datetime as dt
import re
from hashlib import sha256
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from stream_worker.core.records.limits import Limits
from stream_worker.core.time import HOUR_MS, day_start_ms

FORMAT_VERSION = 1
TEXT_KEY_VERSION = 1
ROW_SCHEMA_VERSION = 1


class Log(msgspec.Struct, frozen=True):
    """One incarnation of a topic: a recreated topic is another log."""

    topic: str
    incarnation: str  # the last 8 hex digits of the topic id

    @property
    def name(self) -> str:
        """`<topic>.<inc>`, as every name has it."""
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
    """One object of rows in the store."""

    name: str
    rows: int
    bytes: int
    sha256: str
    model: str


def is_whole(stored: StoredObject, body: bytes) -> bool:
    """Whether these are the bytes that were stored, by size and SHA-256."""
    return len(body) == stored.bytes and sha256(body).hexdigest() == stored.sha256


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
    partial: bool  # the log no longer held the whole dedup window before the chunk


# ------------------------------------------------------------ names
#
# Each kind of name is built and parsed here. `parse_…` returns None for whatever was not built here: people
# may keep objects of their own beside ours.

PLANS: Final = "_plans"
MANIFESTS: Final = "_manifests"
DEAD: Final = "_dead"
DAYS: Final = "_days"
ALERTS: Final = "_alerts"
RECEIPTS: Final = "_receipts"
PROFILES: Final = "_profiles"
PROBE_NAME: Final = "_probe/create-only"

_LOG: Final = r"(?P<topic>[^/]+)\.(?P<incarnation>[^/+.]+)"
_PARTITION: Final = r"(?P<partition>0|[1-9]\d*)"
_RANGE: Final = r"(?P<start>\d{20})-(?P<end>\d{20})"
_DATE: Final = r"(?P<date>\d{4}-\d\d-\d\d)"
_HOUR: Final = rf"dt={_DATE}/hour=(?P<hour>[01]\d|2[0-3])"
_NOTIFICATION: Final = r"(?P<key>[^/]+)/(?P<n>\d{8,})\.json"


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(name, re.ASCII)


_LOG_FOLDER: Final = _pattern(rf"{PLANS}/{_LOG}")
_PARTITION_FOLDER: Final = _pattern(rf"{PLANS}/{_LOG}/{_PARTITION}")
_ORIGIN_NAME: Final = _pattern(rf"{PLANS}/{_LOG}/head\.json")
_PLAN_NAME: Final = _pattern(rf"{PLANS}/{_LOG}/{_PARTITION}/(?P<start>\d{{20}})\.json")
_MANIFEST_NAME: Final = _pattern(rf"{MANIFESTS}/{_LOG}/{_PARTITION}/{_RANGE}\.json")
_ROWS_NAME: Final = _pattern(rf"{_HOUR}/{_LOG}\+{_PARTITION}\+{_RANGE}\.parquet")
_IN_HOUR: Final = _pattern(rf"{_HOUR}/.+")
_DAY_FOLDER: Final = _pattern(rf"dt={_DATE}")
_DEAD_VALUE_NAME: Final = _pattern(rf"{DEAD}/{_LOG}/{_PARTITION}/(?P<offset>\d{{20}})")
_MARKER_NAME: Final = _pattern(rf"{DAYS}/{_DATE}\.json")
_PROFILES_NAME: Final = _pattern(rf"{PROFILES}/{_DATE}\.json")
_NOTIFICATION_NAME: Final = _pattern(rf"{ALERTS}/{_NOTIFICATION}")
_RECEIPT_NAME: Final = _pattern(rf"{RECEIPTS}/{_NOTIFICATION}")


class OffsetRange(Protocol):
    """Whatever covers the offsets `[start, end)`: a plan, a chunk."""

    @property
    def start(self) -> int:
        """The first offset."""

    @property
    def end(self) -> int:
        """The first offset behind it."""


class PlanCoordinates(NamedTuple):
    """The plan of a partition that begins at `start`."""

    log: Log
    partition: int
    start: int


class ChunkCoordinates(NamedTuple):
    """The chunk of a partition that covers `[start, end)`."""

    log: Log
    partition: int
    start: int
    end: int


def chunk_of(log: Log, partition: int, plan: Plan) -> ChunkCoordinates:
    """Return which chunk a plan of a partition plans."""
    return ChunkCoordinates(log, partition, plan.start, plan.end)


class RowsCoordinates(NamedTuple):
    """The rows of a chunk whose event time lies in the hour that starts at `hour_ms`."""

    chunk: ChunkCoordinates
    hour_ms: int


class DeadValueCoordinates(NamedTuple):
    """The record whose value was kept here."""

    log: Log
    partition: int
    offset: int


class NotificationCoordinates(NamedTuple):
    """Notification n, from 1 on, of the notification log `key`; or its receipt."""

    key: str
    n: int


def origin_name(log: Log) -> str:
    """Name of the log's one origin document."""
    return f"{PLANS}/{log.name}/head.json"


def parse_origin_name(name: str) -> Log | None:
    """Return the log whose origin document this is."""
    found = _ORIGIN_NAME.fullmatch(name)
    return None if found is None else _log(found)


def log_folder(log: Log) -> str:
    """Folder of the plans of a log."""
    return f"{PLANS}/{log.name}"


def parse_log_folder(folder: str) -> Log | None:
    """Return the log whose plans are in this folder."""
    found = _LOG_FOLDER.fullmatch(folder)
    return None if found is None else _log(found)


def plans_prefix(log: Log, partition: int) -> str:
    """Prefix of the plans of a partition."""
    return f"{log_folder(log)}/{partition}/"


def parse_plans_prefix(folder: str) -> tuple[Log, int] | None:
    """Return the log and the partition whose plans are below this prefix, or in this folder."""
    found = _PARTITION_FOLDER.fullmatch(folder.removesuffix("/"))
    return None if found is None else (_log(found), int(found["partition"]))


def plan_name(log: Log, partition: int, start: int) -> str:
    """Name of the plan that begins at `start`; names sort as starts do."""
    return f"{plans_prefix(log, partition)}{start:020d}.json"


def parse_plan_name(name: str) -> PlanCoordinates | None:
    """Return which plan this is."""
    found = _PLAN_NAME.fullmatch(name)
    return (
        None if found is None else PlanCoordinates(_log(found), int(found["partition"]), int(found["start"]))
    )


def manifests_prefix(log: Log, partition: int) -> str:
    """Prefix of the manifests of a partition."""
    return f"{MANIFESTS}/{log.name}/{partition}/"


def manifests_from(log: Log, partition: int, start: int) -> str:
    """Offset of a LIST: manifests that begin at `start` or later sort behind it, all others before it."""
    return f"{manifests_prefix(log, partition)}{start:020d}"


def manifest_name(log: Log, partition: int, chunk: OffsetRange) -> str:
    """Name of the manifest of a chunk."""
    return f"{manifests_prefix(log, partition)}{_range(chunk)}.json"


def parse_manifest_name(name: str) -> ChunkCoordinates | None:
    """Return of which chunk this is the manifest."""
    found = _MANIFEST_NAME.fullmatch(name)
    return None if found is None else _chunk(found)


def day_folder(date: dt.date) -> str:
    """Folder of the rows of a day of event time."""
    return f"dt={date}"


def parse_day_folder(folder: str) -> dt.date | None:
    """Return the day whose rows are in this folder."""
    found = _DAY_FOLDER.fullmatch(folder)
    return None if found is None else _date(found)


def rows_name(log: Log, partition: int, chunk: OffsetRange, hour_ms: int) -> str:
    """Name of the rows of one event hour of a chunk; `hour_ms` is the hour's start."""
    hour = dt.datetime.fromtimestamp(hour_ms / 1000, dt.UTC)
    return f"{day_folder(hour.date())}/hour={hour:%H}/{log.name}+{partition}+{_range(chunk)}.parquet"


def parse_rows_name(name: str) -> RowsCoordinates | None:
    """Return which rows these are."""
    found = _ROWS_NAME.fullmatch(name)
    hour_ms = None if found is None else _hour_ms(found)
    return None if found is None or hour_ms is None else RowsCoordinates(_chunk(found), hour_ms)


def parse_hour(name: str) -> int | None:
    """Return the start of the event hour, ms, in whose folder an object is, whoever named the object."""
    found = _IN_HOUR.fullmatch(name)
    return None if found is None else _hour_ms(found)


def dead_value_name(log: Log, partition: int, offset: int) -> str:
    """Name under which the value of a dead letter is kept when the broker refuses it."""
    return f"{DEAD}/{log.name}/{partition}/{offset:020d}"


def parse_dead_value_name(name: str) -> DeadValueCoordinates | None:
    """Return the record whose value this is."""
    found = _DEAD_VALUE_NAME.fullmatch(name)
    if found is None:
        return None
    return DeadValueCoordinates(_log(found), int(found["partition"]), int(found["offset"]))


def marker_name(date: dt.date) -> str:
    """Name of the marker of a complete day."""
    return f"{DAYS}/{date}.json"


def parse_marker_name(name: str) -> dt.date | None:
    """Return the day that this marker says is complete."""
    found = _MARKER_NAME.fullmatch(name)
    return None if found is None else _date(found)


def profiles_name(date: dt.date) -> str:
    """Name of the profiles of a day; names sort as days do."""
    return f"{PROFILES}/{date}.json"


def parse_profiles_name(name: str) -> dt.date | None:
    """Return the day through which these profiles learned."""
    found = _PROFILES_NAME.fullmatch(name)
    return None if found is None else _date(found)


def notification_name(key: str, n: int) -> str:
    """Name of notification n of a log; names sort as numbers do."""
    return f"{ALERTS}/{key}/{n:08d}.json"


def parse_notification_name(name: str) -> NotificationCoordinates | None:
    """Return which notification of which log this is."""
    return _notification(_NOTIFICATION_NAME.fullmatch(name))


def receipt_name(key: str, n: int) -> str:
    """Name of the receipt of notification n of a log."""
    return f"{RECEIPTS}/{key}/{n:08d}.json"


def parse_receipt_name(name: str) -> NotificationCoordinates | None:
    """Return of which notification this is the receipt."""
    return _notification(_RECEIPT_NAME.fullmatch(name))


def _range(chunk: OffsetRange) -> str:
    return f"{chunk.start:020d}-{chunk.end:020d}"


def _log(found: re.Match[str]) -> Log:
    return Log(found["topic"], found["incarnation"])


def _chunk(found: re.Match[str]) -> ChunkCoordinates:
    return ChunkCoordinates(_log(found), int(found["partition"]), int(found["start"]), int(found["end"]))


def _notification(found: re.Match[str] | None) -> NotificationCoordinates | None:
    return None if found is None else NotificationCoordinates(found["key"], int(found["n"]))


def _date(found: re.Match[str]) -> dt.date | None:
    """Return the date of a name; None if no calendar has it."""
    try:
        return dt.date.fromisoformat(found["date"])
    except ValueError:
        return None


def _hour_ms(found: re.Match[str]) -> int | None:
    date = _date(found)
    return None if date is None else day_start_ms(date) + int(found["hour"]) * HOUR_MS

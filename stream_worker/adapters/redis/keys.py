"""The format in Redis, once: keys, fields, limits and how long things are kept (docs/redis.md).

Rules:
1. A member's name is the word of the code; its value is what is stored, and it never changes.
2. A name that ends in a colon is continued by what its comment says; a brand always comes last.
3. `as_lua` renders all of it as the head of every script; no Lua file spells any of it again.
4. Measures, windows, shards and the retention of history are rules of the core; here they only get names.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from stream_worker.core.aggregates.encoding import NETWORKS_MAX, SHARDS, WINDOWS, ZEROS, encode_sums
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.reconcile.redis_position import DAYS_OF_HOURS_MS, HOURS_OF_MINUTES_MS
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS

FORMAT_VERSION: Final = "1"

# ------------------------------------------------------------ keys


class Key(StrEnum):
    """What follows the prefix in a key."""

    CONTROL = ":ctl"
    CURSORS = ":cursors:"  # name of the log
    MINUTES = ":minutes"
    MINUTE = ":m:"  # its start
    MODEL_CHANGES = ":models"
    BRANDS = ":brands"
    NETWORKS = ":networks"
    HISTORY_OF_MINUTES = ":hm:"  # start of the hour, colon, brand
    HISTORY_OF_HOURS = ":hd:"  # start of the day, colon, brand
    VIEW = ":now:"  # brand
    SHARD = ":shard:"  # its number
    OUTBOX = ":outbox"
    FROZEN = ":fixed"
    ALERTS = ":alerts"
    CHANGES = ":changes"
    LEASE = ":lease:"  # name of the lease


class Keys:
    """The keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        self.control = f"{prefix}{Key.CONTROL}"
        self.minutes = f"{prefix}{Key.MINUTES}"
        self.model_changes = f"{prefix}{Key.MODEL_CHANGES}"
        self.brands = f"{prefix}{Key.BRANDS}"
        self.networks = f"{prefix}{Key.NETWORKS}"
        self.outbox = f"{prefix}{Key.OUTBOX}"
        self.alerts = f"{prefix}{Key.ALERTS}"
        self.changes = f"{prefix}{Key.CHANGES}"
        self.prefix = prefix

    def below_prefix(self, key: str) -> str:
        """Return a key without the prefix, as damage is named."""
        return key.removeprefix(f"{self.prefix}:")

    def roots(self, log: str) -> list[str]:
        """Return the five keys that every script of the workers gets, in the order of `prelude.lua`."""
        return [self.control, self.cursors(log), self.minutes, self.brands, self.networks]

    def cursors(self, log: str) -> str:
        """Return the hash of the cursors of a log."""
        return f"{self.prefix}{Key.CURSORS}{log}"

    def minute(self, start_ms: int | str) -> str:
        """Return the hash of a minute."""
        return f"{self.prefix}{Key.MINUTE}{start_ms}"

    def history_of_minutes(self, hour_ms: int, brand: str) -> str:
        """Return the hash of the closed minutes of an hour."""
        return f"{self.prefix}{Key.HISTORY_OF_MINUTES}{hour_ms}:{brand}"

    def history_of_hours(self, day_ms: int, brand: str) -> str:
        """Return the hash of the hours of a day."""
        return f"{self.prefix}{Key.HISTORY_OF_HOURS}{day_ms}:{brand}"

    def view(self, brand: str) -> str:
        """Return the hash of a brand's rolling view."""
        return f"{self.prefix}{Key.VIEW}{brand}"

    def shard(self, number: int) -> str:
        """Return the hash of a shard."""
        return f"{self.prefix}{Key.SHARD}{number}"


# ------------------------------------------------------------ fields


class ControlField(StrEnum):
    """Fields of `Key.CONTROL`."""

    FORMAT_VERSION = "v"
    LOG = "incarnation"
    PARTITIONS = "partitions"
    SEALED = "sealed"
    COMPLETE_FROM = "floor"
    TRIMMED = "trimmed"
    NEWEST = "newest"
    NEWEST_SEALED_WITH_MENTIONS = "last_data"
    MODELS = "models"
    EXPIRED = "expired"
    LAST_SCRIPT_MS = "last_script_ms"
    RETURNED_MS = "returned_ms"


class CursorField(StrEnum):
    """Fields of `Key.CURSORS`; each is continued by the partition."""

    NEXT = "next:"
    WATERMARK = "wm:"
    END = "end:"
    REPORTED = "rep:"
    ALIVE = "alive:"
    PROOF = "proof:"
    SEEN = "seen:"
    OWNER = "owner:"

    def of(self, partition: int) -> str:
        """Return the field of a partition."""
        return f"{self}{partition}"


class MinuteField(StrEnum):
    """Fields of `Key.MINUTE` beside its cells `<measure>:<network>:<brand>`."""

    LATE = "late_"  # a measure, or MENTIONS
    MENTIONS = "mentions"
    LATE_MENTIONS = f"{LATE}{MENTIONS}"
    MODEL = "model:"  # id of the model
    MODELS = "models"
    SEAL_ID = "mark"
    COMPLETE = "complete"
    SEALED_AT_MS = "sealed_ms_at"


class ShardField(StrEnum):
    """Fields of `Key.SHARD`."""

    CLOSED = "closed"
    STATE_ID = "version"
    DETECTOR = "detector"
    STATE = "numbers:"  # brand
    EPISODE = "episode:"  # brand


class ViewField(StrEnum):
    """Fields of `Key.VIEW` beside those of its windows."""

    NEWEST = "newest"
    AS_OF_MS = "as_of_ms"
    SEALED = "sealed"
    CLOSED = "closed"
    MODELS = "models"


class ChangeField(StrEnum):
    """Fields of an entry of `Key.CHANGES`."""

    KIND = "kind"
    MINUTES = "minutes"
    BRANDS = "brands"
    AT_MS = "at"


class AlertField(StrEnum):
    """Fields of an entry of `Key.ALERTS`."""

    ID = "id"
    BODY = "body"


ALL_BRANDS: Final = "*"
"""What a change notice has for brands when there are too many to name."""


def cell_field(measure: str, network: str, brand: str, *, late: bool = False) -> str:
    """Return the field of one measure of a cell in the hash of its minute."""
    return f"{MinuteField.LATE if late else ''}{measure}:{network}:{brand}"


def window_field(window: str, measure: str) -> str:
    """Return the field of one measure of a window in the rolling view."""
    assert window in WINDOWS, "a window of the view"
    return f"{window}:{measure}"


# ------------------------------------------------------------ numbers


class Limit:
    """At most so many."""

    SHARDS: Final = SHARDS
    NETWORKS: Final = NETWORKS_MAX
    MODEL_CHANGES: Final = 1_000
    CHANGES: Final = 10_000  # about: a stream is trimmed by whole nodes
    ALERTS: Final = 1_000  # about
    SEALS: Final = 240  # minutes that one call seals: Redis serves nobody while a script runs
    TRIMS: Final = 500  # minutes that one call trims
    OUTBOX_ENTRIES: Final = 1_000  # that one call reads
    MINUTES_AT_ONCE: Final = 100  # that are listed by one command
    DAMAGED_FIELDS: Final = 100  # that one reply names
    FIELDS_AT_ONCE: Final = 1_000  # of one command: Lua's stack takes no more than 8,000 values
    BRAND_KEY_CHARS: Final = 16  # the hash of the brand that an outbox id begins with


class KeptMs:
    """How long something lasts: in event time, but for GAP, which is Redis TIME."""

    MINUTE: Final = 2 * HOUR_MS  # behind the slowest close
    HISTORY_OF_MINUTES: Final = HOURS_OF_MINUTES_MS
    HISTORY_OF_HOURS: Final = DAYS_OF_HOURS_MS
    HOLE_AFTER: Final = DAY_MS  # without a mention; from then on empty minutes are passed in one step
    GAP: Final = 30_000  # without a script; whoever comes then has come back


class TtlS:
    """Times to live from the last write: a safety net, far behind what `KeptMs` says."""

    MINUTE: Final = 7 * 86_400
    HISTORY_OF_MINUTES: Final = 8 * 86_400
    HISTORY_OF_HOURS: Final = 70 * 86_400
    MODEL_CHANGES: Final = 70 * 86_400
    VIEW: Final = 2 * 86_400
    CHANGES: Final = 2 * 86_400
    ALERTS: Final = 35 * 86_400


# ------------------------------------------------------------ for Lua


def as_lua() -> str:
    """Render names and numbers as Lua tables, one line each."""
    groups: Mapping[str, Mapping[str, str | int]] = {
        "KEY": _members(Key),
        "CONTROL": _members(ControlField),
        "CURSOR": _members(CursorField),
        "MINUTE": _members(MinuteField),
        "SHARD": _members(ShardField),
        "CHANGE": _members(ChangeField),
        "ALERT": _members(AlertField),
        "LIMIT": _numbers(Limit),
        "KEPT_MS": _numbers(KeptMs),
        "TTL_S": _numbers(TtlS),
    }
    tables = [f"local {name} = {{{_fields(members)}}}\n" for name, members in groups.items()]
    measures = ", ".join(map(_literal, MEASURES))
    return "".join(
        [
            *tables,
            f"local MEASURES, ZEROS = {{{measures}}}, {_literal(encode_sums(ZEROS))}\n",
            f"local FORMAT_VERSION = {_literal(FORMAT_VERSION)}\n",
            f"local MINUTE_MS, HOUR_MS, DAY_MS = {MINUTE_MS}, {HOUR_MS}, {DAY_MS}\n",
        ]
    )


def _members(group: type[StrEnum]) -> dict[str, str]:
    return {member.name: member.value for member in group}


def _numbers(group: type) -> dict[str, int]:
    return {name: value for name, value in vars(group).items() if name.isupper()}


def _fields(members: Mapping[str, str | int]) -> str:
    return ", ".join(f"{name} = {_literal(value)}" for name, value in members.items())


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"

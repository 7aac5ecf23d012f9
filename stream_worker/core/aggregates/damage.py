"""Damage: fields of Redis that cannot be read as what they must be.

Rules:
1. Damage is contained to what the field belongs to: a brand, a minute, a shard or a partition. The rest of
   the group goes on; what is counted, evaluated and closed meanwhile is exact.
2. Nothing is guessed from a damaged field and nothing is added to it: it stays as it is until somebody mends
   it (docs/operations.md#a-field-of-redis-is-damaged).
3. A damaged control key cannot be contained; everybody waits for it, as for a Redis that is away.
"""

from typing import Final, Literal, NamedTuple, get_args

from stream_worker.errors import Unreadable

DamageKind = Literal[
    "brand", "control", "count", "cursor", "episode", "history", "minute", "outbox", "profile", "shard"
]
KINDS: Final[tuple[DamageKind, ...]] = get_args(DamageKind)

_LOST_BY_MENDING: Final[dict[DamageKind, str]] = {
    "brand": "the brand's first minute; it is noted anew",
    "control": "see docs/redis.md before",
    "count": "what was counted in this field; the archive has it",
    "cursor": "nothing, if it is what the partition was counted to; else mentions count twice, or not at all",
    "episode": "the open episode; its alert is withdrawn, or the next one opens",
    "history": "what this field held; the archive has it",
    "minute": "the counts of this minute; the archive has them",
    "outbox": "this message",
    "profile": "nothing: the next day has new profiles",
    "shard": "nothing, if `closed` is set to the end of its last closed minute",
}


class Damage(NamedTuple):
    """One damaged field. `key` is the name of the key below the prefix; of a profile, that of the object."""

    kind: DamageKind
    key: str
    field: str = ""  # empty: the key as a whole, which is of another type

    def name(self, prefix: str) -> str:
        """Return the full name of the key or object."""
        return self.key if self.kind == "profile" else f"{prefix}:{self.key}"

    def mend(self, prefix: str) -> str:
        """Return how to mend it, and what is lost by that, as one line for people."""
        return f"{self._command(self.name(prefix))} (lost by that: {_LOST_BY_MENDING[self.kind]})"

    def _command(self, name: str) -> str:
        if self.kind == "profile":
            return f"remove {name}"
        if self.kind in ("cursor", "shard"):
            return (
                f"HSET {name} {self.field} <its value>" if self.field else f"DEL {name}, then HSET its fields"
            )
        return f"HDEL {name} {self.field}" if self.field else f"DEL {name}"


class DamagedField(Unreadable):
    """A field of Redis cannot be read; `damage` says which."""

    def __init__(self, damage: Damage, prefix: str = "{sw}") -> None:
        super().__init__(
            f"{damage.name(prefix)}{' field ' + damage.field if damage.field else ''} cannot be read; "
            f"mend it: {damage.mend(prefix)}; see docs/operations.md"
        )
        self.damage = damage

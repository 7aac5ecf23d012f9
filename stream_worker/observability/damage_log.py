"""Damaged fields: each in the log once in a while, and all of them counted."""

from typing import Final, Protocol

import structlog

from stream_worker.core.aggregates.damage import Damage, DamageKind
from stream_worker.observability.logs import Repeats

REPEAT_S: Final = 3_600.0
"""A field that nobody mends is named again after this long."""

log = structlog.get_logger()


class DamageRecorder(Protocol):
    """Where damage is counted."""

    def damaged(self, kind: DamageKind) -> None:
        """A field that cannot be read was left out."""


class DamageLog:
    """The damaged fields that one process met; `prefix` is that of the keys in Redis."""

    def __init__(self, prefix: str, recorder: DamageRecorder) -> None:
        self._prefix, self._recorder = prefix, recorder
        self._repeats = Repeats(REPEAT_S)

    def note(self, damage: Damage) -> None:
        """Count a damaged field that was left out; log it unless that was done lately."""
        self._recorder.damaged(damage.kind)
        quiet = self._repeats.kept_quiet(f"{damage.key}\0{damage.field}")
        if quiet is not None:
            log.error(
                "field damaged",
                kind=damage.kind,
                key=damage.name(self._prefix),
                field=damage.field,
                mend=damage.mend(self._prefix),
                repeated=quiet,
            )

"""How the notifier reports its work: facts for metrics and health, and trouble with a server in the log."""

from collections.abc import Callable
from typing import Protocol

import structlog

from stream_worker.core.aggregates.damage import DamageKind
from stream_worker.errors import Unavailable, Unreadable
from stream_worker.observability.logs import Repeats

log = structlog.get_logger()


class NotifierRecorder(Protocol):
    """Facts of the loop, as they happen."""

    def turned(self, *, leads: bool, pending: int) -> None:
        """A turn ended with this many messages on their way."""

    def notification_created(self, kind: str) -> None:
        """A message of this kind is in its notification log."""

    def sent(self, channel: str, outcome: str, took_s: float) -> None:
        """An attempt on a channel ended."""

    def dependency(self, name: str, *, up: bool, detail: str = "") -> None:
        """A server answered, or did not."""

    def damaged(self, kind: DamageKind) -> None:
        """A field that cannot be read was left out."""


class Dependencies:
    """Whether Redis and the store answer. Trouble is logged once for each time that `Repeats` allows."""

    def __init__(self, recorder: NotifierRecorder, now_s: Callable[[], float]) -> None:
        self._recorder, self._repeats = recorder, Repeats(now_s=now_s)

    def answered(self, name: str) -> None:
        """A server answered."""
        self._recorder.dependency(name, up=True)

    def failed(self, name: str, error: Unavailable | Unreadable) -> None:
        """A server gave no answer, or one that cannot be read."""
        self._recorder.dependency(name, up=False, detail=str(error))
        if (repeated := self._repeats.kept_quiet(str(error))) is not None:
            log.warning("notifier troubled", what=name, error=str(error), repeated=repeated)

    def unreadable_entry(self, entry: str) -> None:
        """An outbox entry cannot be read; it stays where it is."""
        self._recorder.damaged("outbox")
        if self._repeats.kept_quiet(entry) is not None:
            log.error("outbox entry unreadable", entry=entry)

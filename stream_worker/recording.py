"""Records what the loop does as metrics, in one place, so that the loop reads as what it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream_worker.core.layout import Manifest
from stream_worker.core.operations import Applied, Apply
from stream_worker.core.shards import Close
from stream_worker.ports import Sealed, Source


class Recorder:
    """Facts of the loop, as they happen."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage of a step: poll, partition, redis, score, seal or draw."""
        yield

    def applied(self, call: Apply, answer: Applied) -> None:
        """The apply script answered."""

    def chunk(self, manifest: Manifest) -> None:
        """A chunk is complete but for its manifest."""

    def sealed(self, sealed: Sealed) -> None:
        """The seal script answered."""

    def closed(self, call: Close) -> None:
        """A minute of a shard was closed by this worker."""

    def turned(self) -> None:
        """The loop turned."""

    def partitions(self, performer: Any, source: Source, now_s: float) -> None:
        """Describe all partitions, once a second."""

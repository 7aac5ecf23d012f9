"""`stream-worker dead-letters`: the newest dead letters, where each came from and why."""

import datetime as dt
from collections.abc import Iterator
from typing import NamedTuple

from stream_worker.adapters.kafka.dead_letters import read_dead_letters
from stream_worker.settings.kafka import client_properties
from stream_worker.settings.schema import Settings


class RejectedRecord(NamedTuple):
    """A dead letter as it is listed: all texts as its headers have them; the size of its record's value."""

    topic: str
    partition: str
    offset: str
    time: str
    reason: str
    field: str
    error: str
    bytes: int | None  # None: the record has no value


def newest_dead_letters(settings: Settings, limit: int) -> Iterator[RejectedRecord]:
    """Yield the newest dead letters, oldest first: where each came from and why, without its value."""
    client = client_properties(settings.kafka)
    for letter in read_dead_letters(client, settings.kafka.dead_letter_topic, limit):
        headers = {name.removeprefix("sw-"): text for name, text in letter.headers.items()}
        at = dt.datetime.fromtimestamp(letter.time_ms / 1000, dt.UTC)
        yield RejectedRecord(
            topic=headers.get("topic", ""),
            partition=headers.get("partition", ""),
            offset=headers.get("offset", ""),
            time=at.isoformat(timespec="milliseconds"),
            reason=headers.get("reason", ""),
            field=headers.get("field", ""),
            error=headers.get("error", ""),
            bytes=letter.value_bytes,
        )

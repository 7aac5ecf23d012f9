"""`stream-worker dead-letters`: the newest dead letters, where each came from and why."""

from collections.abc import Iterator
from typing import NamedTuple

from stream_worker.adapters.kafka.dead_letter_reader import read_newest_dead_letters
from stream_worker.adapters.kafka.dead_letters import DeadLetterHeader
from stream_worker.core.time import rfc3339
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
    for letter in read_newest_dead_letters(client, settings.kafka.dead_letter_topic, limit):
        headers = letter.headers
        yield RejectedRecord(
            topic=headers.get(DeadLetterHeader.TOPIC, ""),
            partition=headers.get(DeadLetterHeader.PARTITION, ""),
            offset=headers.get(DeadLetterHeader.OFFSET, ""),
            time=rfc3339(letter.time_ms, fraction="always", zone="+00:00"),
            reason=headers.get(DeadLetterHeader.REASON, ""),
            field=headers.get(DeadLetterHeader.FIELD, ""),
            error=headers.get(DeadLetterHeader.ERROR, ""),
            bytes=letter.value_bytes,
        )

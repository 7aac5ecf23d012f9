"""`stream-worker dead-letters`: the newest dead letters, where each came from and why."""

from collections.abc import Iterator
from typing import Any

from stream_worker.adapters.kafka.dead_letters import read_dead_letters
from stream_worker.core.time import rfc3339
from stream_worker.settings.kafka import client_properties
from stream_worker.settings.schema import Settings


def newest_dead_letters(settings: Settings, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the newest dead letters, oldest first: where each came from and why, not what it says."""
    client = client_properties(settings.kafka)
    for letter in read_dead_letters(client, settings.kafka.dead_letter_topic, limit):
        said = {name.removeprefix("sw-"): text for name, text in letter.headers.items()}
        yield {
            "topic": said.get("topic", ""),
            "partition": said.get("partition", ""),
            "offset": said.get("offset", ""),
            "time": rfc3339(letter.time_ms, fraction="always", zone="+00:00"),
            "reason": said.get("reason", ""),
            "field": said.get("field", ""),
            "error": said.get("error", ""),
            "bytes": letter.value_bytes,
        }

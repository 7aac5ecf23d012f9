"""Rejected records, and a place to send them."""

import pytest

from stream_worker.adapters.kafka.dead_letters import KafkaDeadLetters
from stream_worker.core.archive.layout import Log
from stream_worker.core.records.batch import Rejected

LOG = Log("mentions", "0a1b2c3d")


def client_of(kafka):
    """Settings of a client that logs nothing."""
    return {"bootstrap.servers": kafka.bootstrap, "log_level": 0}


def letters_to(client, topic, kept, **options):
    """Dead letters; what the broker refuses is put into `kept`: (partition, offset) -> value."""

    def keep(partition, offset, value):
        kept[partition, offset] = value
        return f"_dead/{partition}/{offset}"

    return KafkaDeadLetters(client, LOG, topic, "9.9.9", keep, **options)


def rejected(offset=5, value=b"{bad", error="expected an object"):
    return Rejected(offset, 1_790_078_400_123, value, "not_json", "text", error)


def needs_real(kafka):
    if not kafka.is_real:
        pytest.skip(f"{kafka.kind} has no message size limit and tells no settings")

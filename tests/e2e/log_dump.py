"""Read a topic from its beginning to its end with a plain consumer: what the oracle recounts."""

import time
import uuid

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.e2e.oracle import Record

DUMP_WITHIN_S = 60


def dump(bootstrap, topic):
    """Records by partition, in order, and the end of each partition as its end-of-partition event tells."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"oracle-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.message.max.bytes": 8_000_000,
            "fetch.max.bytes": 16_000_000,
            "receive.message.max.bytes": 20_000_000,
        }
    )
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        return _read(consumer, topic, partitions)
    finally:
        consumer.close()


def _read(consumer, topic, partitions):
    records = {partition: [] for partition in partitions}
    ends = {}
    deadline = time.monotonic() + DUMP_WITHIN_S
    while len(ends) < len(partitions):
        assert time.monotonic() < deadline, (
            f"{topic}: no end of {set(partitions) - set(ends)} after {DUMP_WITHIN_S} s"
        )
        for message in consumer.consume(5_000, timeout=1):
            if message.error() is None:
                records[message.partition()].append(_record(message))
                ends.pop(message.partition(), None)  # an end before the last record is none
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ends[message.partition()] = message.offset()
            else:
                raise AssertionError(f"{topic}: {message.error()}")
    return records, ends


def _record(message):
    return Record(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
    )


def log_name(bootstrap, topic):
    """`<topic>.<last 8 hex digits of its topic id>`."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    told = admin.describe_topics(TopicCollection([topic]), request_timeout=20)[topic].result(30)
    return f"{topic}.{told.topic_id.get_least_significant_bits() & 0xFFFFFFFF:08x}"

"""A dump of the topic, so that anybody can count the demo again from the log alone.

One JSON object a line: `partition`, `offset`, `record_time_ms`, `key` and `value` (null for none). Bytes that
are no UTF-8 stand as `{"base64": …}`.
"""

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from confluent_kafka import Consumer, KafkaError, TopicPartition

from stream_worker.errors import Unavailable

BATCH: Final = 5_000
POLL_S: Final = 0.2
WAIT_S: Final = 10.0
"""The longest wait for a record."""


def dump(client: Mapping[str, str | int | float | bool], topic: str, partitions: int, path: Path) -> int:
    """Write all records of a topic, partition by partition; returns how many. Raises Unavailable."""
    properties = {"enable.auto.commit": False, "enable.partition.eof": True, "fetch.queue.backoff.ms": 5}
    consumer = Consumer({**client, "group.id": "dump", **properties})
    records = 0
    try:
        with path.open("w", encoding="utf-8") as lines:
            for partition in range(partitions):
                consumer.assign([TopicPartition(topic, partition, 0)])
                records += _dump_partition(consumer, partition, lines)
    finally:
        consumer.close()
    return records


def _dump_partition(consumer: Consumer, partition: int, lines: TextIO) -> int:
    records, give_up_s = 0, time.monotonic() + WAIT_S
    while time.monotonic() < give_up_s:
        for message in consumer.consume(BATCH, POLL_S):  # waits for a full batch, or as long as this
            give_up_s = time.monotonic() + WAIT_S
            error = message.error()
            if error is None:
                record = {
                    "partition": partition,
                    "offset": message.offset(),
                    "record_time_ms": message.timestamp()[1],
                    "key": _readable(message.key()),
                    "value": _readable(message.value()),
                }
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
                records += 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public constant
                return records
    raise Unavailable(f"partition {partition} did not come to its end: the demo's log was not dumped whole")


def _readable(data: bytes | str | None) -> str | dict[str, str] | None:
    if data is None or isinstance(data, str):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}

"""Where the dead letters came from: the coordinates in the headers of all that their topic still holds."""

import time
from array import array
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_worker.core.records.batch import Int64
from stream_worker.errors import Unavailable

LETTERS_MAX: Final = 5_000_000
"""So many coordinates are kept; beyond it none is compared."""

ANSWER_S: Final = 20.0
_AT_ONCE: Final = 5_000


class DeadLetterOffsets(NamedTuple):
    """Offsets (rising, each once) by partition of the main topic, and whether older letters are gone."""

    offsets: dict[int, Int64]
    truncated: bool  # retention removed some, or there were more than LETTERS_MAX


def read_places(config: Mapping[str, Any], letters_topic: str, topic: str) -> DeadLetterOffsets:
    """Read all letters of a topic, joining no group. Raises Unavailable."""
    consumer = Consumer(
        {
            **config,
            "group.id": "stream-worker-audit",  # the client wants one; it is never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        known = consumer.list_topics(timeout=ANSWER_S).topics.get(letters_topic)
        if known is None:
            return DeadLetterOffsets({}, truncated=False)  # no worker has had to send one
        starts = [
            consumer.get_watermark_offsets(TopicPartition(letters_topic, number), timeout=ANSWER_S)[0]
            for number in known.partitions
        ]
        consumer.assign(
            [TopicPartition(letters_topic, n, low) for n, low in zip(known.partitions, starts, strict=True)]
        )
        found, cut = _read(consumer, set(known.partitions), letters_topic, topic)
    except KafkaException as error:
        raise Unavailable(f"dead letters: {letters_topic} cannot be read: {error.args[0].str()}") from error
    finally:
        consumer.close()
    offsets = {partition: np.unique(np.frombuffer(these, np.int64)) for partition, these in found.items()}
    return DeadLetterOffsets(offsets, truncated=cut or any(low > 0 for low in starts))


def _read(
    consumer: Consumer, unread: set[int], letters_topic: str, topic: str
) -> tuple[dict[int, "array[int]"], bool]:
    """Read to the end; returns the offsets by partition, and whether there were too many."""
    found: dict[int, array[int]] = {}
    count, heard_s = 0, time.monotonic()
    while unread:
        messages = consumer.consume(_AT_ONCE, timeout=0.2)
        if messages:
            heard_s = time.monotonic()
        elif time.monotonic() - heard_s > ANSWER_S:
            raise Unavailable(
                f"dead letters: {letters_topic} was not read to its end in time; check the brokers"
            )
        for message in messages:
            error = message.error()
            if error is None:
                count += _take(message, topic, found)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  the library names it so
                unread.discard(message.partition() or 0)
            else:
                raise KafkaException(error)
        if count > LETTERS_MAX:
            return {}, True
    return found, False


def _take(message: Message, topic: str, found: dict[int, "array[int]"]) -> int:
    headers = dict(message.headers() or ())
    place = (_text(headers.get("sw-partition")), _text(headers.get("sw-offset")))
    if _text(headers.get("sw-topic")) != topic or not all(part.isdecimal() for part in place):
        return 0
    found.setdefault(int(place[0]), array("q")).append(int(place[1]))
    return 1


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""

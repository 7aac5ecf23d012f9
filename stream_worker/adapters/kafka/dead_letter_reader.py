"""Dead letters as they are in their topic: the newest ones for people, the coordinates of all for the audit.

Rules:
1. No group is joined and nothing is committed: reading changes nothing.
2. A topic is read to the ends that it has while it is read. Every error of the client leaves as
   `Unavailable`; whoever repeats reads from the beginning.
3. Values are never read out: they may hold what people wrote.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, NamedTuple

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_worker.adapters.kafka.dead_letters import DeadLetterHeader
from stream_worker.core.records.batch import Int64
from stream_worker.errors import Unavailable

ANSWER_TIMEOUT_S: Final = 20.0
COORDINATES_MAX: Final = 5_000_000
"""So many coordinates are kept; of more, none is compared."""

_MESSAGES_AT_ONCE: Final = 5_000
_WAIT_S: Final = 0.2


class DeadLetter(NamedTuple):
    """A dead letter without its value."""

    headers: dict[str, str]
    value_bytes: int | None  # None: the record was a tombstone
    time_ms: int


class DeadLetterOffsets(NamedTuple):
    """Offsets (rising, each once) by partition of the main topic, and whether older dead letters are gone."""

    offsets: dict[int, Int64]
    truncated: bool  # retention removed some, or there were more than COORDINATES_MAX


def read_newest_dead_letters(
    config: Mapping[str, Any], topic: str, limit: int, *, timeout_s: float = ANSWER_TIMEOUT_S
) -> Iterator[DeadLetter]:
    """Yield the newest `limit` dead letters, oldest first. Raises Unavailable, also for a missing topic."""
    newest: deque[DeadLetter] = deque(maxlen=limit)
    with _consumer(config, topic) as consumer:
        bounds = _bounds(consumer, topic, timeout_s)
        if bounds is None:
            raise Unavailable(f"dead letters: there is no topic {topic}, or this user may not Describe it")
        # An end that a broker reports too low costs nothing: what is behind it is read as well.
        starts = {partition: max(low, high - limit) for partition, (low, high) in bounds.items()}
        for message in _read_to_end(consumer, topic, starts, timeout_s):
            value = message.value()
            size = None if value is None else len(value)
            newest.append(DeadLetter(_headers(message), size, message.timestamp()[1]))
    yield from newest


def read_dead_letter_offsets(config: Mapping[str, Any], topic: str, main_topic: str) -> DeadLetterOffsets:
    """Read from which records of the main topic there are dead letters. Raises Unavailable."""
    found: dict[int, array[int]] = {}
    count = 0
    with _consumer(config, topic) as consumer:
        bounds = _bounds(consumer, topic, ANSWER_TIMEOUT_S)
        if bounds is None:
            return DeadLetterOffsets({}, truncated=False)  # no worker has had to send one
        starts = {partition: low for partition, (low, _) in bounds.items()}
        for message in _read_to_end(consumer, topic, starts, ANSWER_TIMEOUT_S):
            coordinates = _coordinates(message, main_topic)
            if coordinates is not None:
                found.setdefault(coordinates[0], array("q")).append(coordinates[1])
                count += 1
            if count > COORDINATES_MAX:
                return DeadLetterOffsets({}, truncated=True)
    offsets = {partition: np.unique(np.frombuffer(those, np.int64)) for partition, those in found.items()}
    return DeadLetterOffsets(offsets, truncated=any(low > 0 for low in starts.values()))


# ------------------------------------------------------------ a topic, to its end


@contextmanager
def _consumer(config: Mapping[str, Any], topic: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            **config,
            "group.id": "stream-worker-dead-letters",  # the client needs one; it is never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        yield consumer
    except KafkaException as error:
        raise Unavailable(f"dead letters: {topic} cannot be read: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _bounds(consumer: Consumer, topic: str, timeout_s: float) -> dict[int, tuple[int, int]] | None:
    """Return the first and the next offset of every partition; None when there is no such topic."""
    known = consumer.list_topics(timeout=timeout_s).topics.get(topic)
    if known is None:
        return None
    return {
        partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_s)
        for partition in known.partitions
    }


def _read_to_end(
    consumer: Consumer, topic: str, starts: Mapping[int, int], timeout_s: float
) -> Iterator[Message]:
    """Yield the messages from `starts` to the end of each partition.

    Raises Unavailable when the brokers say nothing for `timeout_s`.
    """
    consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in starts.items()])
    unread = set(starts)
    deadline_s = monotonic() + timeout_s
    while unread:
        messages = consumer.consume(_MESSAGES_AT_ONCE, timeout=_WAIT_S)
        if messages:
            deadline_s = monotonic() + timeout_s
        elif monotonic() > deadline_s:
            raise Unavailable(f"dead letters: {topic} was not read to its end in time; check the brokers")
        for message in messages:
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  the library names it so
                unread.discard(message.partition() or 0)
            else:
                raise KafkaException(error)


def _headers(message: Message) -> dict[str, str]:
    pairs = dict(message.headers() or ()).items()
    return {key: text.decode(errors="replace") for key, text in pairs if isinstance(text, bytes)}


def _coordinates(message: Message, main_topic: str) -> tuple[int, int] | None:
    """Return partition and offset of the record; None for a foreign message."""
    headers = _headers(message)
    partition = headers.get(DeadLetterHeader.PARTITION, "")
    offset = headers.get(DeadLetterHeader.OFFSET, "")
    if headers.get(DeadLetterHeader.TOPIC) != main_topic or not (
        partition.isdecimal() and offset.isdecimal()
    ):
        return None
    return int(partition), int(offset)

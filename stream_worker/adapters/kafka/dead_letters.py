"""Dead letters: rejected records with their unchanged bytes, in a Kafka topic of their own.

See docs/design.md#kafka.

Rules:
1. The value is never changed: a tombstone stays one. A letter has no key; its identity is the coordinates
   in its headers, and a letter that was sent twice is one letter.
2. `send` returns when the broker has confirmed every letter. One that is not is unknown (docs/design.md#r5):
   `Unavailable`.
3. A value the broker refuses as too large is kept in the archive, and a letter with its name is sent instead.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from stream_worker.core.archive.layout import Log
from stream_worker.core.records.batch import Rejected
from stream_worker.errors import Unavailable

ERROR_CHARS_MAX = 500
SEND_TIMEOUT_S = 30.0
ADMIN_TIMEOUT_S = 20.0
ROOM_BYTES = 65_536  # what a letter may be larger than its record: headers
_PRODUCER_BYTES_MAX = 1_000_000_000  # librdkafka's highest; the broker decides, not the client
_SETTLE_S = 5.0
_TAIL_BASE = -2000  # librdkafka's RD_KAFKA_OFFSET_TAIL(n) is this less n: n before the end, or the beginning
_FORBIDDEN: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


class _Outgoing(NamedTuple):
    offset: int
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]


class KafkaDeadLetters:
    """`ports.DeadLetters` over Kafka. `config` has the client's settings: servers, security, log."""

    def __init__(
        self,
        config: Mapping[str, Any],
        log: Log,
        topic: str,
        version: str,
        keep_dead_value: Callable[[int, int, bytes], str],
        *,
        timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self._config = {
            **config,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "message.max.bytes": _PRODUCER_BYTES_MAX,
            "message.timeout.ms": int(timeout_s * 1000),
        }
        self._main_topic = log.topic
        self._topic = topic
        self._version = version
        self._keep_dead_value = keep_dead_value
        self._timeout_s = timeout_s
        self._producer: Producer | None = None  # made at the first letter: most logs never have one

    def send(self, partition: int, rejected: Sequence[Rejected]) -> None:
        """Produce and flush; when it returns every letter is stored. Raises Unavailable."""
        letters = [self._letter(partition, one) for one in rejected]
        # The broker refuses a batch of letters as a whole, so those are tried again one by one.
        for letter in self._produce(letters):
            if self._produce([letter]):
                self._send_without_value(partition, letter)

    def _send_without_value(self, partition: int, letter: _Outgoing) -> None:
        """Keep the value in the archive, and send where it is."""
        if letter.value is not None:
            name = self._keep_dead_value(partition, letter.offset, letter.value)
            headers = [*letter.headers, ("sw-value-at", name.encode())]
            if not self._produce([letter._replace(value=b"", headers=headers)]):
                return
        raise Unavailable(
            f"dead letters: {self._topic} refuses a letter even without value: raise its max.message.bytes"
        )

    def _letter(self, partition: int, one: Rejected) -> _Outgoing:
        headers = {
            "sw-reason": one.reason,
            "sw-field": one.field,
            "sw-error": one.error[:ERROR_CHARS_MAX],
            "sw-topic": self._main_topic,
            "sw-partition": str(partition),
            "sw-offset": str(one.offset),
            "sw-record-time": str(one.record_time_ms),
            "sw-version": self._version,
        }
        return _Outgoing(one.offset, one.value, [(key, _bytes(text)) for key, text in headers.items()])

    def _produce(self, letters: Sequence[_Outgoing]) -> list[_Outgoing]:
        """Produce and flush; returns the letters that are too large. Any other failure: Unavailable."""
        too_large: list[_Outgoing] = []
        failures: list[KafkaError] = []
        confirmed = 0

        def settle(letter: _Outgoing, error: KafkaError | None) -> None:
            nonlocal confirmed
            if error is None:
                confirmed += 1
            elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                too_large.append(letter)
            else:
                failures.append(error)

        producer = self._open()
        deadline_s = monotonic() + self._timeout_s
        for letter in letters:
            self._enqueue(producer, letter, settle, deadline_s)
        producer.flush(max(0.0, deadline_s - monotonic()) + _SETTLE_S)
        if confirmed + len(too_large) < len(letters):
            self._discard()
            why = failures[0].str() if failures else "no answer in time"
            raise Unavailable(
                f"dead letters: {len(letters) - confirmed} of {len(letters)} letters to {self._topic} "
                f"are unconfirmed: {why}; check the brokers and the right Write on that topic"
            )
        return too_large

    def _enqueue(
        self,
        producer: Producer,
        letter: _Outgoing,
        settle: Callable[[_Outgoing, KafkaError | None], None],
        deadline_s: float,
    ) -> None:
        """Hand a letter to the producer; waits while its queue is full."""
        while True:
            try:
                producer.produce(
                    self._topic,
                    value=letter.value,
                    headers=letter.headers,
                    on_delivery=lambda error, _message: settle(letter, error),
                )
            except BufferError:
                if monotonic() > deadline_s:
                    self._discard()
                    raise Unavailable(
                        f"dead letters: the brokers do not take letters for {self._topic}"
                    ) from None
                producer.poll(0.1)
            except KafkaException as error:
                settle(letter, error.args[0])
                return
            else:
                producer.poll(0)
                return

    def _open(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(self._config)
        return self._producer

    def _discard(self) -> None:
        """Forget the producer: what it still holds would be sent a second time when `send` is repeated."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(_SETTLE_S)
            self._producer = None


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def ensure_topic(
    config: Mapping[str, Any], topic: str, main_topic: str, *, timeout_s: float = ADMIN_TIMEOUT_S
) -> bool:
    """Create the topic of dead letters if it is missing; True: it was created. Raises Unavailable.

    One partition, the broker's replication, and room for the largest record of the main topic and the
    headers of its letter; brokers that do not tell the main topic's limit leave their own default.
    """
    admin = AdminClient(dict(config))
    try:
        # All topics: asking for one by name would have it created by a broker that does so on request.
        if topic in admin.list_topics(timeout=timeout_s).topics:
            return False
        settings = _letter_limit(admin, main_topic, timeout_s)
        new = NewTopic(topic, num_partitions=1, replication_factor=-1, config=settings)
        admin.create_topics([new], operation_timeout=timeout_s)[topic].result(timeout_s + _SETTLE_S)
    except (KafkaException, TimeoutError) as error:
        code = error.args[0].code() if isinstance(error, KafkaException) else None
        if code == KafkaError.TOPIC_ALREADY_EXISTS:  # another worker was faster
            return False
        raise Unavailable(_why_not_created(topic, code, error)) from error
    return True


def _letter_limit(admin: AdminClient, main_topic: str, timeout_s: float) -> dict[str, str]:
    """Settings for the largest letter, if the broker tells the limit of the main topic."""
    resource = ConfigResource(ResourceType.TOPIC, main_topic)
    try:
        told = admin.describe_configs([resource], request_timeout=timeout_s)[resource].result(timeout_s)
    except KafkaException as error:
        if error.args[0].code() in {*_FORBIDDEN, KafkaError.UNKNOWN_TOPIC_OR_PART}:
            return {}  # the right DescribeConfigs is a convenience; larger values go to the archive
        raise
    limit = told.get("max.message.bytes")
    if limit is None or limit.value is None:
        return {}
    return {"max.message.bytes": str(int(limit.value) + ROOM_BYTES)}


def _why_not_created(topic: str, code: int | None, error: Exception) -> str:
    if code in _FORBIDDEN:
        return (
            f"dead letters: the topic {topic} is missing, or hidden from this user, and may not be created: "
            f"grant Describe, Create and Write on it, or create it with one partition"
        )
    why = error.args[0].str() if code is not None else "no answer in time"
    mend = "check the brokers (setting kafka.bootstrap_servers)"
    return f"dead letters: the topic {topic} cannot be created: {why}; {mend}"


class DeadLetter(NamedTuple):
    """A letter as it lies in the topic, without its value (it may hold what people wrote)."""

    headers: dict[str, str]
    value_bytes: int | None  # None: the record was a tombstone
    time_ms: int


def read_dead_letters(
    config: Mapping[str, Any], topic: str, limit: int, *, timeout_s: float = ADMIN_TIMEOUT_S
) -> Iterator[DeadLetter]:
    """Yield the newest `limit` letters, oldest first, joining no group. Raises Unavailable."""
    consumer = Consumer(
        {
            **config,
            "group.id": "stream-worker-dead-letters",  # the client wants one; it is never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        open_partitions = _assign_tail(consumer, topic, limit, timeout_s)
        newest: deque[DeadLetter] = deque(maxlen=limit)
        deadline_s = monotonic() + timeout_s
        while open_partitions:
            message = consumer.poll(0.2)
            if message is not None:
                deadline_s = monotonic() + timeout_s
                _take_letter(message, newest, open_partitions)
            elif monotonic() > deadline_s:
                raise Unavailable(f"dead letters: {topic} was not read to its end in time; check the brokers")
    except KafkaException as error:
        raise Unavailable(f"dead letters: {topic} cannot be read: {error.args[0].str()}") from error
    finally:
        consumer.close()
    yield from newest


def _assign_tail(consumer: Consumer, topic: str, limit: int, timeout_s: float) -> set[int]:
    """Assign all partitions at `limit` before their ends; returns the partitions."""
    known = consumer.list_topics(timeout=timeout_s).topics.get(topic)
    if known is None:
        raise Unavailable(f"dead letters: there is no topic {topic}, or this user may not Describe it")
    starts = []
    for partition in known.partitions:
        at = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(
            at, timeout=timeout_s
        )  # Tansu's end is too low: reads more
        starts.append(TopicPartition(topic, partition, max(low, high - limit)))
    consumer.assign(starts)
    return set(known.partitions)


def _take_letter(message: Message, newest: deque[DeadLetter], open_partitions: set[int]) -> None:
    error = message.error()
    if error is not None:
        if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  the library names it so
            raise KafkaException(error)
        open_partitions.discard(message.partition())
        return
    value = message.value()
    pairs = dict(message.headers() or ()).items()
    headers = {key: text.decode(errors="replace") for key, text in pairs if isinstance(text, bytes)}
    newest.append(DeadLetter(headers, None if value is None else len(value), message.timestamp()[1]))

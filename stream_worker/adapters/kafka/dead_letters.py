"""Dead dead letters: rejected records with their unchanged bytes, in a Kafka topic of their own.

See docs/design.md#kafka.

Rules:
1. The value is never changed: a tombstone stays one. A dead letter has no key; its identity is the
   coordinates in its headers, and one that was sent twice is one.
2. `send` returns when the broker has confirmed every dead letter. One that is not confirmed is unknown
   (docs/design.md#r5): `Unavailable`.
3. The archive keeps a value that the broker refuses as too large; a dead letter with its name is sent
   instead.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from time import monotonic
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from stream_worker.core.archive.layout import Log
from stream_worker.core.records.batch import Rejected
from stream_worker.errors import Unavailable

ERROR_CHARS_MAX = 500
SEND_TIMEOUT_S = 30.0
ADMIN_TIMEOUT_S = 20.0
ROOM_BYTES = 65_536  # what a dead letter may be larger than its record: headers
_PRODUCER_BYTES_MAX = 1_000_000_000  # librdkafka's highest; the broker decides, not the client
_SETTLE_S = 5.0
_FORBIDDEN: Final = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


class DeadLetterHeader(StrEnum):
    """The headers of a dead letter."""

    REASON = "sw-reason"
    FIELD = "sw-field"
    ERROR = "sw-error"
    TOPIC = "sw-topic"
    PARTITION = "sw-partition"
    OFFSET = "sw-offset"
    RECORD_TIME = "sw-record-time"
    VERSION = "sw-version"
    VALUE_AT = "sw-value-at"  # name in the archive of a value that the broker refused


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
        self._producer: Producer | None = None  # made at the first dead letter: most logs never have one

    def send(self, partition: int, rejected: Sequence[Rejected]) -> None:
        """Produce and flush; when it returns every dead letter is stored. Raises Unavailable."""
        dead_letters = [self._dead_letter(partition, one) for one in rejected]
        # The broker refuses a batch of dead letters as a whole, so those are tried again one by one.
        for dead_letter in self._produce(dead_letters):
            if self._produce([dead_letter]):
                self._send_without_value(partition, dead_letter)

    def _send_without_value(self, partition: int, dead_letter: _Outgoing) -> None:
        """Keep the value in the archive, and send where it is."""
        if dead_letter.value is not None:
            name = self._keep_dead_value(partition, dead_letter.offset, dead_letter.value)
            headers = [*dead_letter.headers, (DeadLetterHeader.VALUE_AT.value, name.encode())]
            if not self._produce([dead_letter._replace(value=b"", headers=headers)]):
                return
        raise Unavailable(
            f"dead letters: {self._topic} refuses a letter even without value: raise its max.message.bytes"
        )

    def _dead_letter(self, partition: int, one: Rejected) -> _Outgoing:
        headers = {
            DeadLetterHeader.REASON: one.reason,
            DeadLetterHeader.FIELD: one.field,
            DeadLetterHeader.ERROR: one.error[:ERROR_CHARS_MAX],
            DeadLetterHeader.TOPIC: self._main_topic,
            DeadLetterHeader.PARTITION: str(partition),
            DeadLetterHeader.OFFSET: str(one.offset),
            DeadLetterHeader.RECORD_TIME: str(one.record_time_ms),
            DeadLetterHeader.VERSION: self._version,
        }
        return _Outgoing(one.offset, one.value, [(key.value, _bytes(text)) for key, text in headers.items()])

    def _produce(self, dead_letters: Sequence[_Outgoing]) -> list[_Outgoing]:
        """Produce and flush; returns the dead letters that are too large. Any other failure: Unavailable."""
        too_large: list[_Outgoing] = []
        failures: list[KafkaError] = []
        confirmed = 0

        def settle(dead_letter: _Outgoing, error: KafkaError | None) -> None:
            nonlocal confirmed
            if error is None:
                confirmed += 1
            elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                too_large.append(dead_letter)
            else:
                failures.append(error)

        producer = self._open()
        deadline_s = monotonic() + self._timeout_s
        for dead_letter in dead_letters:
            self._enqueue(producer, dead_letter, settle, deadline_s)
        producer.flush(max(0.0, deadline_s - monotonic()) + _SETTLE_S)
        if confirmed + len(too_large) < len(dead_letters):
            self._discard()
            why = failures[0].str() if failures else "no answer in time"
            raise Unavailable(
                f"dead letters: {len(dead_letters) - confirmed} of {len(dead_letters)} letters to "
                f"{self._topic} are unconfirmed: {why}; check the brokers and the right Write on that topic"
            )
        return too_large

    def _enqueue(
        self,
        producer: Producer,
        dead_letter: _Outgoing,
        settle: Callable[[_Outgoing, KafkaError | None], None],
        deadline_s: float,
    ) -> None:
        """Hand a dead letter to the producer; waits while its queue is full."""
        while True:
            try:
                producer.produce(
                    self._topic,
                    value=dead_letter.value,
                    headers=dead_letter.headers,
                    on_delivery=lambda error, _message: settle(dead_letter, error),
                )
            except BufferError:
                if monotonic() > deadline_s:
                    self._discard()
                    raise Unavailable(
                        f"dead letters: the brokers do not take letters for {self._topic}"
                    ) from None
                producer.poll(0.1)
            except KafkaException as error:
                settle(dead_letter, error.args[0])
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
    headers of its dead letter; brokers that do not report the main topic's limit leave their own default.
    """
    admin = AdminClient(dict(config))
    try:
        # All topics: asking for one by name would have it created by a broker that does so on request.
        if topic in admin.list_topics(timeout=timeout_s).topics:
            return False
        settings = _size_limit(admin, main_topic, timeout_s)
        new = NewTopic(topic, num_partitions=1, replication_factor=-1, config=settings)
        admin.create_topics([new], operation_timeout=timeout_s)[topic].result(timeout_s + _SETTLE_S)
    except (KafkaException, TimeoutError) as error:
        code = error.args[0].code() if isinstance(error, KafkaException) else None
        if code == KafkaError.TOPIC_ALREADY_EXISTS:  # another worker was faster
            return False
        raise Unavailable(_why_not_created(topic, code, error)) from error
    return True


def _size_limit(admin: AdminClient, main_topic: str, timeout_s: float) -> dict[str, str]:
    """Settings for the largest dead letter, if the broker reports the limit of the main topic."""
    resource = ConfigResource(ResourceType.TOPIC, main_topic)
    try:
        limits = admin.describe_configs([resource], request_timeout=timeout_s)[resource].result(timeout_s)
    except KafkaException as error:
        if error.args[0].code() in {*_FORBIDDEN, KafkaError.UNKNOWN_TOPIC_OR_PART}:
            return {}  # the right DescribeConfigs is a convenience; larger values go to the archive
        raise
    limit = limits.get("max.message.bytes")
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

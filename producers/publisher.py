"""Sends records to Kafka, and counts the outcome of each.

Rules:
1. Idempotent, acknowledged by all replicas, in order per brand: `key = brand`.
2. Each record ends as delivered, failed (a clear no, or never sent) or unknown (sent, and no answer came:
   it may be there).
3. One record that fails does not stop the others. A failure that would meet them all does: no answer in
   time, no such topic, no right to write, a fatal error of the client.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.errors import Unusable

# ruff: noqa: SLF001 - the client gives its own error codes, as opposed to the broker's, an underscore
_UNKNOWN = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_INFLIGHT, KafkaError._TIMED_OUT})
_FOR_ALL = frozenset(
    {
        KafkaError._FATAL,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._AUTHENTICATION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_POLL_S = 0.1
_PURGE_S = 1.0


@dataclass
class Counts:
    """Records that were handed over, by outcome."""

    sent: int = 0
    delivered: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Why records were not delivered, in the client's words."""

    @property
    def unknown(self) -> int:
        """Records that nobody has answered for: they may be on the topic or not."""
        return self.sent - self.delivered - self.failed

    @property
    def not_delivered(self) -> int:
        """Records that are not known to be on the topic."""
        return self.sent - self.delivered


class Publisher:
    """A Kafka producer for one topic, with a bounded queue."""

    def __init__(self, settings: Mapping[str, str], topic: str) -> None:
        self.counts = Counts()
        self.trouble = ""
        """Why nothing more can be sent; empty while sending works."""
        self.last_error = ""
        """The client's last word about its connections, for a message that ends in 'because'."""
        self._topic = topic
        try:
            self._producer = Producer(
                {
                    **settings,
                    "error_cb": self._on_error,
                    "on_delivery": self._on_delivery,
                    "logger": silent_logger(),
                }
            )
        except KafkaException as error:
            raise Unusable(f"the producer refuses its settings: {error.args[0].str()}") from error

    def publish(self, key: str, value: bytes, record_ms: int | None = None) -> bool:
        """Queue one record; return False, after a short wait, while the queue is full.

        `record_ms` is its time (ms since 1970), by default that of sending.
        """
        try:
            # 0 is the client's word for "now".
            self._producer.produce(self._topic, value, key, timestamp=record_ms or 0)
        except BufferError:
            self._producer.poll(_POLL_S)
            return False
        except KafkaException as error:
            self.counts.sent += 1
            self._not_delivered(error.args[0])
            return True
        self.counts.sent += 1
        self._producer.poll(0)
        return True

    def wait(self, seconds: float) -> None:
        """Let time pass, and count the answers for earlier records."""
        self._producer.poll(seconds)

    def flush(self, seconds: float) -> bool:
        """Wait for all answers, `seconds` at most; return whether they are in."""
        return self._producer.flush(seconds) == 0

    def close(self) -> None:
        """Give up what is still queued or on its way: afterwards `counts` is final."""
        if len(self._producer):
            self._producer.purge(in_queue=True, in_flight=True, blocking=False)
            self._producer.flush(_PURGE_S)

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.counts.delivered += 1
        else:
            self._not_delivered(error)

    def _not_delivered(self, error: KafkaError) -> None:
        reason = error.str().removeprefix("Unable to produce message: ")
        self.counts.reasons[reason] += 1
        if error.code() not in _UNKNOWN:
            self.counts.failed += 1
        if error.fatal() or error.code() in _FOR_ALL:
            self.trouble = self.trouble or reason

    def _on_error(self, error: KafkaError) -> None:
        self.last_error = error.str()
        if error.fatal():
            self.trouble = self.trouble or error.str()


def silent_logger() -> logging.Logger:
    """Return a logger that keeps the client library's own lines off the terminal."""
    logger = logging.Logger("librdkafka")  # noqa: LOG001 - private to us, in no hierarchy
    logger.addHandler(logging.NullHandler())
    return logger

"""Makes sure, before the first record, that a broker answers and the topic is there.

Rules:
1. A topic is created only on request. A broker that creates topics by itself would choose their
   partitions and limits for us, and a misspelt name would be a new topic.
2. The topic is made so that a producer's wrong clock cannot push the worker's time ahead: the broker
   refuses records more than five minutes in its future. It is never compacted: each record counts.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from producers.errors import Unreachable, Unusable
from producers.publisher import silent_logger
from stream_worker.quantity import quantity

ANSWER_S = 5.0
"""A broker that has not answered for so long is not there."""
TOPIC_CONFIG = {"cleanup.policy": "delete", "message.timestamp.after.max.ms": "300000"}
_NO_CONFIG = frozenset(
    {KafkaError.INVALID_CONFIG, KafkaError.INVALID_REQUEST, KafkaError.UNSUPPORTED_VERSION}
)
_POLL_S = 0.1


class Creation(NamedTuple):
    """How to create the topic if it is missing."""

    partitions: int
    replication: int
    """-1 is the broker's default."""


def prepare_topic(
    settings: Mapping[str, str], topic: str, creation: Creation | None, say: Callable[[str], None]
) -> None:
    """Return when `topic` can be published to; raise `Unreachable` or `Unusable` when it cannot."""
    errors: deque[str] = deque(maxlen=1)
    callbacks = {"error_cb": lambda error: errors.append(error.str()), "logger": silent_logger()}
    client_settings: Any = {**settings, **callbacks}  # the stubs know no call-backs here
    try:
        admin = AdminClient(client_settings)
    except KafkaException as error:
        raise Unusable(f"the producer refuses its settings: {error.args[0].str()}") from error
    where = settings["bootstrap.servers"]
    partitions = _partitions(admin, topic, where, errors)
    if partitions:
        if creation is not None and creation.partitions != partitions:
            there = quantity(partitions, "partition")
            say(f"topic {topic!r} exists with {there}; --partitions was not applied")
    elif creation is None:
        raise Unusable(
            f"topic {topic!r} does not exist at {where}, or may not be seen; create it, or add --create-topic"
        )
    else:
        _create(admin, topic, creation, say)
        _await_topic(admin, topic, where, errors)


def _partitions(admin: AdminClient, topic: str, where: str, errors: deque[str]) -> int:
    """Return how many partitions `topic` has; 0 means it is not there."""
    try:
        found = admin.list_topics(timeout=ANSWER_S).topics.get(topic)
    except KafkaException as error:
        admin.poll(0)
        why = errors[-1] if errors else error.args[0].str()
        raise Unreachable(
            f"no broker answers at {where}: {why}; is it running? Name it with --bootstrap-servers"
        ) from error
    return 0 if found is None or found.error is not None else len(found.partitions)


def _create(admin: AdminClient, topic: str, creation: Creation, say: Callable[[str], None]) -> None:
    error = _try_create(admin, topic, creation, TOPIC_CONFIG)
    if error is not None and error.code() in _NO_CONFIG:
        say(f"the broker knows no such topic settings ({error.str()}); topic {topic!r} is made with its own")
        error = _try_create(admin, topic, creation, {})
    if error is not None and error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
        raise Unusable(f"topic {topic!r} cannot be created: {error.str()}")
    say(f"created topic {topic!r} with {quantity(creation.partitions, 'partition')}")


def _try_create(
    admin: AdminClient, topic: str, creation: Creation, config: dict[str, str]
) -> KafkaError | None:
    new = NewTopic(topic, creation.partitions, creation.replication, config=config)
    creating = admin.create_topics([new], operation_timeout=ANSWER_S)[topic]
    try:
        creating.result(timeout=2 * ANSWER_S)
    except KafkaException as error:
        refusal: KafkaError = error.args[0]
        return refusal
    return None


def _await_topic(admin: AdminClient, topic: str, where: str, errors: deque[str]) -> None:
    """Wait until the new topic is known: a record sent before that would be refused."""
    give_up = time.monotonic() + ANSWER_S
    while not _partitions(admin, topic, where, errors):
        if time.monotonic() > give_up:
            raise Unreachable(
                f"topic {topic!r} was created, but {where} does not show it after {ANSWER_S:.0f} s"
            )
        time.sleep(_POLL_S)

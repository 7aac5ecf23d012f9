"""What the broker says of the topic: its incarnation, its partitions, and whether it can carry the guarantee.

Rules:
1. Names carry the topic's incarnation: a recreated topic is another log.
2. A topic that is compacted, or keeps less than the dedup window, is refused: verdicts could not be found
   again.
3. What a broker does not report is not a fault: small brokers answer without a configuration.
"""

import base64
from collections.abc import Mapping
from typing import Literal, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType

from stream_worker.errors import Misconfigured, Unavailable

ANSWER_TIMEOUT_S = 10.0
FUTURE_MS_MAX = 300_000
BrokerTime = Literal["require", "warn", "ignore"]


class Topic(NamedTuple):
    """A topic as its broker describes it. `settings` is empty when the broker does not report."""

    name: str
    incarnation: str
    partitions: int
    settings: dict[str, str]


def open_admin(properties: Mapping[str, str | int | float | bool]) -> AdminClient:
    """Open a client for questions to the broker; it connects at the first one."""
    return AdminClient(dict(properties))


def describe(admin: AdminClient, topic: str, bootstrap: str) -> Topic:
    """Describe the topic. Raises Unavailable when the broker is away or the topic does not exist yet."""
    try:
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_TIMEOUT_S)[topic]
        answer = described.result(ANSWER_TIMEOUT_S + 1)
        if not answer.partitions:
            raise Unavailable(f"topic {topic} at {bootstrap} (kafka.topic) has no partitions yet")
        resource = ConfigResource(ResourceType.TOPIC, topic)
        configs = admin.describe_configs([resource], request_timeout=ANSWER_TIMEOUT_S)[resource]
        settings = {name: str(entry.value) for name, entry in configs.result(ANSWER_TIMEOUT_S + 1).items()}
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise Unavailable(
                f"topic {topic} (kafka.topic) does not exist at {bootstrap}: create it, or start a producer "
                f"with `produce-mentions … --create-topic`"
            ) from None
        raise Unavailable(f"Kafka at {bootstrap} (kafka.bootstrap_servers): {error.str()}") from None
    except TimeoutError:
        raise Unavailable(
            f"Kafka at {bootstrap} (kafka.bootstrap_servers): no answer in {ANSWER_TIMEOUT_S:.0f} s"
        ) from None
    return Topic(topic, incarnation_of(str(answer.topic_id)), len(answer.partitions), settings)


def create_topic(
    admin: AdminClient, topic: str, partitions: int, settings: Mapping[str, str], bootstrap: str
) -> None:
    """Create a topic with one replica. Raises Unavailable, also when it exists."""
    new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(settings))
    try:
        created = admin.create_topics([new], operation_timeout=ANSWER_TIMEOUT_S)[topic]
        created.result(ANSWER_TIMEOUT_S + 1)
    except (KafkaException, TimeoutError) as failure:
        raise Unavailable(f"the topic {topic} was not created at {bootstrap}: {failure}") from None


def log_end(admin: AdminClient, topic: str, partition: int, bootstrap: str) -> int:
    """Ask for the next offset of a partition. Raises Unavailable."""
    at = TopicPartition(topic, partition)
    try:
        answer = admin.list_offsets({at: OffsetSpec.latest()}, request_timeout=ANSWER_TIMEOUT_S)[at]
        return int(answer.result(ANSWER_TIMEOUT_S + 1).offset)
    except (KafkaException, TimeoutError) as failure:
        raise Unavailable(f"Kafka at {bootstrap} (kafka.bootstrap_servers): {failure}") from None


def incarnation_of(topic_id: str) -> str:
    """Return the last 8 hex digits of a topic id, which the client prints as base64."""
    padded = topic_id.replace("-", "+").replace("_", "/") + "=" * (-len(topic_id) % 4)
    return base64.b64decode(padded).hex()[-8:]


def refuse_unfit(topic: Topic, dedup_window_ms: int, broker_time: BrokerTime) -> str | None:
    """Raise Misconfigured when the topic cannot carry the guarantee; return a warning when it may lie."""
    policy = topic.settings.get("cleanup.policy", "")
    if "compact" in policy:
        raise Misconfigured(
            f"topic {topic.name} is compacted (cleanup.policy={policy}): records would vanish and verdicts "
            f"could not be found again; set cleanup.policy=delete"
        )
    retention_ms = int(topic.settings.get("retention.ms", -1))
    if 0 <= retention_ms < dedup_window_ms:
        raise Misconfigured(
            f"topic {topic.name} keeps records for {retention_ms} ms (retention.ms), less than the horizon "
            f"of {dedup_window_ms} ms (windows.horizon): raise the one or lower the other"
        )
    if broker_time == "ignore" or not topic.settings:
        return None
    log_append = topic.settings.get("message.timestamp.type") == "LogAppendTime"
    after_max_ms = int(topic.settings.get("message.timestamp.after.max.ms", 2**63 - 1))
    if log_append or after_max_ms <= FUTURE_MS_MAX:
        return None
    warning = (
        f"topic {topic.name} lets a producer with a wrong clock move time ahead: set message.timestamp.type="
        f"LogAppendTime or message.timestamp.after.max.ms<={FUTURE_MS_MAX} (kafka.broker_time)"
    )
    if broker_time == "require":
        raise Misconfigured(warning)
    return warning

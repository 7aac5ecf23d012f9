"""The publisher against a real broker: what was sent, what became of it, and in which order."""

import collections
import json
import secrets

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import ConfigResource, ResourceType

from producers.connection import producer_settings
from producers.errors import Unreachable, Unusable
from producers.publisher import Publisher
from producers.topics import Creation, prepare_topic
from stream_worker.devservers.child_process import free_port

PATIENCE_S = 20.0


def settings_for(bootstrap, *pairs):
    return producer_settings(bootstrap, pairs, None)


def read_all(bootstrap, topic, expected):
    """Every record of `topic` as (partition, key, value), in order per partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    records = []
    while len(records) < expected and (batch := consumer.consume(expected, timeout=PATIENCE_S)):
        assert all(record.error() is None for record in batch)
        records += [(record.partition(), record.key().decode(), record.value()) for record in batch]
    more = consumer.consume(1, timeout=0.5)
    consumer.close()
    return records + [(record.partition(), record.key(), record.value()) for record in more]


def publish_all(publisher, records):
    for key, value in records:
        while not publisher.publish(key, value):
            pass


def test_all_are_delivered_once_keyed_by_brand_and_in_order(kafka):
    # Given 5,000 records of seven brands, and a queue for a fiftieth of them
    topic = kafka.new_topic(partitions=3)
    records = [(f"brand {number % 7}", b"%d" % number) for number in range(5_000)]
    publisher = Publisher(settings_for(kafka.bootstrap, "queue.buffering.max.messages=100"), topic)

    # When
    publish_all(publisher, records)
    assert publisher.flush(PATIENCE_S)
    publisher.close()

    # Then
    counts = publisher.counts
    assert (counts.sent, counts.delivered, counts.failed, counts.unknown) == (5_000, 5_000, 0, 0)
    found = read_all(kafka.bootstrap, topic, 5_000)
    assert sorted((key, value) for _, key, value in found) == sorted(records)
    by_brand = collections.defaultdict(list)
    for partition, key, value in found:
        by_brand[key].append((partition, int(value)))
    for seen in by_brand.values():
        assert len({partition for partition, _ in seen}) == 1
        assert seen == sorted(seen)


def test_one_record_that_is_refused_does_not_stop_the_others(kafka):
    # Given a record that is too large for the client itself
    topic = kafka.new_topic()
    publisher = Publisher(settings_for(kafka.bootstrap, "message.max.bytes=2000"), topic)

    # When
    publish_all(publisher, [("a", b"1"), ("a", b"x" * 3_000), ("a", b"3")])
    assert publisher.flush(PATIENCE_S)
    publisher.close()

    # Then
    counts = publisher.counts
    assert (counts.sent, counts.delivered, counts.failed, counts.unknown) == (3, 2, 1, 0)
    assert list(counts.reasons) == ["Broker: Message size too large"]
    assert not publisher.trouble
    assert [value for _, _, value in read_all(kafka.bootstrap, topic, 2)] == [b"1", b"3"]


def test_what_the_broker_refuses_is_counted_as_failed(kafka):
    if not kafka.is_real:
        pytest.skip(f"{kafka} takes records of any size")
    # Given a topic that takes small batches only, and a value that no compression makes small
    topic = kafka.new_topic(max_message_bytes=1_000)
    large = secrets.token_bytes(3_000)
    publisher = Publisher(settings_for(kafka.bootstrap, "linger.ms=0"), topic)

    # When
    for key, value in [("a", b"1"), ("a", large), ("a", b"3")]:
        publish_all(publisher, [(key, value)])
        assert publisher.flush(PATIENCE_S)
    publisher.close()

    # Then
    counts = publisher.counts
    assert (counts.sent, counts.delivered, counts.failed, counts.unknown) == (3, 2, 1, 0)
    assert [value for _, _, value in read_all(kafka.bootstrap, topic, 2)] == [b"1", b"3"]


def test_what_a_silent_broker_has_not_confirmed_is_unknown_not_failed(private_kafka):
    # Given a broker that stops answering after the first record
    kafka = private_kafka()
    topic = kafka.new_topic()
    publisher = Publisher(settings_for(kafka.bootstrap, "message.timeout.ms=1500"), topic)
    publish_all(publisher, [("a", b"1")])
    assert publisher.flush(PATIENCE_S)
    kafka.child.freeze()

    # When
    publish_all(publisher, [("a", b"2"), ("a", b"3")])
    publisher.flush(PATIENCE_S)
    publisher.close()

    # Then
    counts = publisher.counts
    assert (counts.sent, counts.delivered, counts.failed, counts.unknown) == (3, 1, 0, 2)
    assert publisher.trouble


def test_records_that_never_left_are_failed_when_given_up():
    # Given no broker at all
    publisher = Publisher(settings_for(f"127.0.0.1:{free_port()}"), "mentions")

    # When
    publish_all(publisher, [("a", b"1"), ("a", b"2")])
    assert not publisher.flush(0.3)
    publisher.close()

    # Then
    assert (publisher.counts.sent, publisher.counts.failed, publisher.counts.unknown) == (2, 2, 0)


def test_a_topic_is_made_on_request_with_limits_on_producers_clocks(kafka):
    # Given
    said = []
    topic = kafka.new_topic(prefix="other")[:-1] + "-new"
    settings = settings_for(kafka.bootstrap)

    # When
    prepare_topic(settings, topic, Creation(partitions=3, replication=-1), said.append)

    # Then
    admin = kafka.admin()
    assert len(admin.list_topics(timeout=PATIENCE_S).topics[topic].partitions) == 3
    assert said[-1] == f"created topic {topic!r} with 3 partitions"
    if kafka.is_real:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        config = admin.describe_configs([resource])[resource].result(PATIENCE_S)
        assert config["message.timestamp.after.max.ms"].value == "300000"
        assert config["message.timestamp.type"].value == "CreateTime"
        assert config["cleanup.policy"].value == "delete"


def test_a_topic_that_exists_is_left_as_it_is(kafka):
    said = []
    topic = kafka.new_topic(partitions=2)
    prepare_topic(settings_for(kafka.bootstrap), topic, Creation(partitions=5, replication=-1), said.append)
    assert said == [f"topic {topic!r} exists with 2 partitions; --partitions was not applied"]


def test_a_topic_that_is_missing_is_not_made_by_accident(kafka):
    with pytest.raises(Unusable, match=r"'mentoins' does not exist .* --create-topic"):
        prepare_topic(settings_for(kafka.bootstrap), "mentoins", None, print)
    assert "mentoins" not in kafka.admin().list_topics(timeout=PATIENCE_S).topics


def test_no_broker_is_an_error_that_says_where_and_why():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable, match=f"no broker answers at {address}: .*refused.*--bootstrap-servers"):
        prepare_topic(settings_for(address), "mentions", None, print)


@pytest.mark.parametrize("pair", ["no.such=1", "retries=0"])
def test_a_property_that_the_client_refuses_is_an_error_with_its_reason(pair):
    with pytest.raises(Unusable, match="the producer refuses its settings: .*" + pair.partition("=")[0]):
        Publisher(settings_for("127.0.0.1:1", pair), "mentions")


def test_values_are_published_as_they_are(kafka):
    topic = kafka.new_topic()
    publisher = Publisher(settings_for(kafka.bootstrap), topic)
    values = [b"", b"\xff\x00", json.dumps({"text": "é😀"}).encode()]
    publish_all(publisher, [("Nimbrook & Söhne", value) for value in values])
    assert publisher.flush(PATIENCE_S)
    assert read_all(kafka.bootstrap, topic, 3) == [(0, "Nimbrook & Söhne", value) for value in values]

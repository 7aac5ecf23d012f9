"""What is peculiar to Kafka: transactions, the client, and a broker that is away."""

import time

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_worker.adapters.kafka.consumer import CONSUMER_PROPERTIES, KafkaSource
from stream_worker.adapters.kafka.topic import describe, log_end
from stream_worker.devservers.child_process import free_port
from stream_worker.errors import Unavailable
from tests.builders import NOON_MS

pytestmark = pytest.mark.timeout(90)

HOUR_MS = 3_600_000
WITHIN_S = 30.0


def client_of(kafka):
    return {"bootstrap.servers": kafka.bootstrap, "log_level": 0, "fetch.wait.max.ms": 20}


def needs_real(kafka):
    if not kafka.is_real:
        pytest.skip("the embedded broker tells no settings and has no transactions")


@pytest.fixture
def source_of(kafka):
    made = []

    def make(topic, **client):
        made.append(
            KafkaSource(
                client_of(kafka) | client,
                topic,
                f"{topic}-group",
                session_timeout_ms=6_000,
                records_max=500,
                partitions=1,
                on_trouble=lambda _: None,
            )
        )
        return made[-1]

    yield make
    for source in made:
        source.close()


def read_until(source, condition):
    """Poll until the condition of (offsets, last end) holds; returns both."""
    offsets, end, deadline_s = [], None, time.monotonic() + WITHIN_S
    while not condition(offsets, end):
        assert time.monotonic() < deadline_s, (offsets, end)
        poll = source.poll(0.05)
        for partition in poll.assigned:
            source.seek(partition, 0)
        if 0 in poll.records:
            offsets += poll.records[0].offsets
        end = poll.ends.get(0, end)
    return offsets, end


# Transactions


def test_the_marker_of_a_transaction_is_no_record_and_the_end_lies_behind_it(kafka, source_of):
    needs_real(kafka)
    name = kafka.new_topic()
    producer = Producer(client_of(kafka) | {"transactional.id": name})
    producer.init_transactions(20)
    producer.begin_transaction()
    for value in (b"1", b"2"):
        producer.produce(name, value, partition=0, timestamp=NOON_MS)
    producer.commit_transaction(20)

    offsets, end = read_until(source_of(name), lambda _, end: end == 3)

    assert (offsets, end) == ([0, 1], 3)


def test_what_was_aborted_is_never_read_and_what_is_open_holds_the_end_back(kafka, source_of):
    # offset   0  1 aborted   2 marker   3 open …
    needs_real(kafka)
    name = kafka.new_topic()
    source = source_of(name)
    producer = Producer(client_of(kafka) | {"transactional.id": name})
    producer.init_transactions(20)
    producer.begin_transaction()
    for value in (b"1", b"2"):
        producer.produce(name, value, partition=0)
    producer.flush(20)
    producer.abort_transaction(20)
    producer.begin_transaction()
    producer.produce(name, b"3", partition=0)
    assert producer.flush(20) == 0

    offsets, end = read_until(source, lambda _, end: end == 3)

    # Then the broker's end is further, so that nobody is proved idle
    assert (offsets, end) == ([], 3)
    assert source.position(0).log_end == 4
    producer.commit_transaction(20)
    assert read_until(source, lambda _, end: end == 5) == ([3], 5)


# The client


def test_what_the_protocol_rests_on_cannot_be_taken_from_the_client(kafka):
    assert CONSUMER_PROPERTIES["enable.auto.commit"] is False
    assert CONSUMER_PROPERTIES["enable.auto.offset.store"] is False
    assert CONSUMER_PROPERTIES["auto.offset.reset"] == "error"
    assert CONSUMER_PROPERTIES["enable.partition.eof"] is True


def test_a_seek_that_comes_with_the_assignment_is_made_as_soon_as_the_client_can(kafka, source_of):
    # Given a log of which two records are gone, and a look-up that answers at once
    name = kafka.new_topic()
    producer = Producer(client_of(kafka))
    for value in (b"1", b"2", b"3"):
        producer.produce(name, value, partition=0)
    assert producer.flush(20) == 0
    if kafka.is_real:
        admin = kafka.admin()
        at = TopicPartition(name, 0, 2)
        admin.delete_records([at])[at].result(20)

    source, offsets, deadline_s = source_of(name), [], time.monotonic() + WITHIN_S
    while not offsets:
        assert time.monotonic() < deadline_s
        poll = source.poll(0.05)
        assert poll.out_of_range == []
        for partition in poll.assigned:
            source.seek(partition, 2)
        offsets += poll.records[0].offsets if 0 in poll.records else []

    assert offsets == [2]


def test_questions_to_a_broker_that_is_away_are_unavailable_and_name_the_setting(monkeypatch):
    monkeypatch.setattr("stream_worker.adapters.kafka.consumer.ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("stream_worker.adapters.kafka.topic.ANSWER_TIMEOUT_S", 0.5)
    bootstrap = f"127.0.0.1:{free_port()}"
    client, said = {"bootstrap.servers": bootstrap, "log_level": 0}, []
    source = KafkaSource(
        client,
        "mentions",
        "group",
        session_timeout_ms=6_000,
        records_max=10,
        partitions=1,
        on_trouble=said.append,
    )

    for ask in (
        lambda: source.position(0),
        source.topic,
        lambda: source.starts("latest"),
        lambda: describe(AdminClient(client), "mentions", bootstrap),
        lambda: log_end(AdminClient(client), "mentions", 0, bootstrap),
    ):
        with pytest.raises(Unavailable, match=rf"Kafka at {bootstrap} \(kafka.bootstrap_servers\)"):
            ask()
    poll = source.poll(0.1)
    assert (poll.assigned, poll.records, poll.ends) == ([], {}, {})
    assert all(bootstrap in line for line in said)
    assert not source.joined()
    source.close()

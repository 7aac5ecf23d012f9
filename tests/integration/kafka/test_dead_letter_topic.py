"""The topic of dead letters: made when it is missing, and read for people."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import ConfigResource, ResourceType

from stream_worker.adapters.kafka.dead_letter_reader import read_newest_dead_letters
from stream_worker.adapters.kafka.dead_letters import _why_not_created, ensure_topic
from stream_worker.devservers.child_process import free_port
from stream_worker.errors import Unavailable
from tests.contracts.letters import client_of, letters_to, needs_real, rejected

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def client(kafka):
    return client_of(kafka)


def settings_of(kafka, topic):
    admin = kafka.admin()
    resource = ConfigResource(ResourceType.TOPIC, topic)
    told = admin.describe_configs([resource])[resource].result(20)
    return {name: entry.value for name, entry in told.items()}


def test_the_topic_is_made_once_with_one_partition(kafka, client):
    main = kafka.new_topic(partitions=3)
    topic = f"{main}.dead-letters"

    assert ensure_topic(client, topic, main) is True
    assert ensure_topic(client, topic, main) is False

    deadline_s = time.monotonic() + 10
    while topic not in (topics := kafka.admin().list_topics(timeout=10).topics):
        assert time.monotonic() < deadline_s
    assert len(topics[topic].partitions) == 1


def test_the_topic_has_room_for_the_largest_record_and_its_headers(kafka, client):
    needs_real(kafka)
    main = kafka.new_topic(max_message_bytes=200_000)
    topic = f"{main}.dead-letters"

    ensure_topic(client, topic, main)

    assert settings_of(kafka, topic)["max.message.bytes"] == str(200_000 + 65_536)
    kept = {}
    letters_to(client, topic, kept).send(0, [rejected(1, bytes(200_000), error="e" * 500)])
    assert kept == {}


def test_workers_that_make_the_topic_at_once_agree(kafka, client):
    main = kafka.new_topic()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: ensure_topic(client, f"{main}.dead", main), range(4)))

    assert made.count(True) == 1


def test_a_main_topic_that_is_not_there_yet_is_no_obstacle(kafka, client):
    main = kafka.new_topic()

    assert ensure_topic(client, f"{main}.dead", f"{main}-missing") is True


def test_the_missing_right_is_named():
    message = _why_not_created("x.dead", KafkaError.TOPIC_AUTHORIZATION_FAILED, Exception())

    assert "grant Describe, Create and Write" in message
    assert "x.dead" in message


def test_without_a_broker_the_topic_is_unavailable():
    client = {"bootstrap.servers": f"127.0.0.1:{free_port()}", "log_level": 0}

    with pytest.raises(Unavailable, match=r"topic dead cannot be created.*check the brokers"):
        ensure_topic(client, "dead", "mentions", timeout_s=1.0)


def test_the_newest_letters_are_listed_without_their_values(kafka, client):
    topic = kafka.new_topic(prefix="letters")
    letters = letters_to(client, topic, {})
    for offset in range(6):
        letters.send(0, [rejected(offset, b"v" * offset)])
    letters.send(0, [rejected(6, None)])

    listed = list(read_newest_dead_letters(client, topic, 3))

    assert [letter.headers["sw-offset"] for letter in listed] == ["4", "5", "6"]
    assert [letter.value_bytes for letter in listed] == [4, 5, None]
    assert all(abs(letter.time_ms / 1000 - time.time()) < 600 for letter in listed)


def test_more_are_asked_for_than_there_are(kafka, client):
    topic = kafka.new_topic(partitions=3, prefix="letters")
    assert list(read_newest_dead_letters(client, topic, 10)) == []

    letters_to(client, topic, {}).send(0, [rejected(offset) for offset in range(4)])

    assert len(list(read_newest_dead_letters(client, topic, 10))) == 4


def test_messages_of_others_in_the_topic_are_listed_as_they_are(kafka, client):
    topic = kafka.new_topic(prefix="letters")
    producer = Producer(client)
    producer.produce(topic, b"x", headers=[("odd", None), ("sw-reason", b"\xff")])
    assert producer.flush(20) == 0

    [letter] = read_newest_dead_letters(client, topic, 10)

    assert letter.headers == {"sw-reason": "\ufffd"}


def test_a_topic_that_is_not_there_is_said(kafka, client):
    with pytest.raises(Unavailable, match="there is no topic nowhere-at-all"):
        list(read_newest_dead_letters(client, "nowhere-at-all", 10))

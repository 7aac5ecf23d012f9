"""The contract of `ports.DeadLetters`, against a broker."""

import random
import time

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream_worker.adapters.kafka.dead_letter_reader import read_newest_dead_letters
from stream_worker.devservers.child_process import free_port
from stream_worker.errors import Unavailable
from tests.contracts.letters import client_of, letters_to, needs_real, rejected

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def client(kafka):
    return client_of(kafka)


def stored(client, topic, n):
    """The first n messages of the topic: (key, value, headers)."""
    consumer = Consumer({**client, "group.id": "tests", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages, deadline_s = [], time.monotonic() + 30
        while len(messages) < n and time.monotonic() < deadline_s:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                messages.append((message.key(), message.value(), dict(message.headers() or [])))
        extra = consumer.poll(0.3)
        return messages if extra is None else [*messages, extra]
    finally:
        consumer.close()


def test_a_letter_has_the_bytes_of_its_record_and_says_where_and_why(kafka, client):
    # Given
    topic = kafka.new_topic(prefix="letters")
    value = bytes(range(256))

    # When
    letters_to(client, topic, {}).send(3, [rejected(42, value, error="ü" * 600)])

    # Then
    assert stored(client, topic, 1) == [
        (
            None,
            value,
            {
                "sw-reason": b"not_json",
                "sw-field": b"text",
                "sw-error": ("ü" * 500).encode(),
                "sw-topic": b"mentions",
                "sw-partition": b"3",
                "sw-offset": b"42",
                "sw-record-time": b"1790078400123",
                "sw-version": b"9.9.9",
            },
        )
    ]


def test_a_tombstone_stays_one_and_an_empty_value_stays_empty(kafka, client):
    topic = kafka.new_topic(prefix="letters")

    letters_to(client, topic, {}).send(0, [rejected(1, None), rejected(2, b"")])

    assert [value for _, value, _ in stored(client, topic, 2)] == [None, b""]


def test_an_error_with_half_a_character_is_no_obstacle(kafka, client):
    topic = kafka.new_topic(prefix="letters")

    letters_to(client, topic, {}).send(0, [rejected(error="a \ud800 b")])

    assert stored(client, topic, 1)[0][2]["sw-error"] == b"a ? b"


def test_nothing_rejected_sends_nothing_and_asks_no_broker():
    client = {"bootstrap.servers": "nowhere.invalid:1", "log_level": 0}

    letters_to(client, "no-such-topic", {}, timeout_s=0.1).send(0, [])


def test_letters_sent_twice_are_the_same_by_their_coordinates(kafka, client):
    topic = kafka.new_topic(prefix="letters")
    letters = letters_to(client, topic, {})

    for _ in range(2):
        letters.send(1, [rejected(7), rejected(8)])

    headers = [headers for _, _, headers in stored(client, topic, 4)]
    assert [one["sw-offset"] for one in headers] == [b"7", b"8", b"7", b"8"]


def test_many_letters_all_arrive(kafka, client):
    topic = kafka.new_topic(prefix="letters")

    letters_to(client, topic, {}).send(0, [rejected(offset, b"x" * 300) for offset in range(5000)])

    offsets = [int(headers["sw-offset"]) for _, _, headers in stored(client, topic, 5000)]
    assert sorted(offsets) == list(range(5000))


def test_a_value_too_large_for_the_topic_is_kept_and_its_letter_says_where(kafka, client):
    needs_real(kafka)
    # Given a topic that takes less than one of the values, tombstones and small ones in the same batch
    topic = kafka.new_topic(prefix="letters", max_message_bytes=5000)
    large = random.Random(1).randbytes(10_000)
    values = [b"small", large, None, b"small too"]

    # When
    kept = {}
    letters_to(client, topic, kept).send(2, [rejected(offset, value) for offset, value in enumerate(values)])

    # Then
    by_offset = {headers["sw-offset"]: (value, headers) for _, value, headers in stored(client, topic, 4)}
    assert len(by_offset) == 4
    assert [by_offset[b"%d" % k][0] for k in range(4)] == [b"small", b"", None, b"small too"]
    assert by_offset[b"1"][1]["sw-value-at"] == b"_dead/2/1"
    assert by_offset[b"1"][1]["sw-reason"] == b"not_json"
    assert kept == {(2, 1): large}


def test_values_that_fit_alone_but_not_together_are_all_sent_whole(kafka, client):
    needs_real(kafka)
    # The broker compares its limit with a batch, and the client does not split one that was refused
    topic = kafka.new_topic(prefix="letters", max_message_bytes=3000)
    incompressible = [random.Random(seed).randbytes(1200) for seed in range(8)]

    kept = {}
    letters_to(client, topic, kept).send(
        0, [rejected(offset, value) for offset, value in enumerate(incompressible)]
    )

    values = {value for _, value, _ in stored(client, topic, 8)}
    assert values == set(incompressible)
    assert kept == {}


def test_a_topic_too_small_for_any_letter_is_said(kafka, client):
    needs_real(kafka)
    topic = kafka.new_topic(prefix="letters", max_message_bytes=50)

    with pytest.raises(Unavailable, match=r"even without value: raise its max\.message\.bytes"):
        letters_to(client, topic, {}).send(0, [rejected()])


def test_brokers_that_are_away_are_unknown_and_the_letters_are_not_lost(private_kafka):
    # Given a broker that is frozen
    server = private_kafka()
    client = client_of(server)
    topic = server.new_topic(prefix="letters")
    letters = letters_to(client, topic, {}, timeout_s=2.0)
    letters.send(0, [rejected(1)])
    server.child.freeze()

    # When
    try:
        with pytest.raises(Unavailable, match=rf"2 of 2 letters to {topic} are unconfirmed"):
            letters.send(0, [rejected(2), rejected(3)])
    finally:
        server.child.thaw()

    # Then the same is asked again, and each letter is there at least once
    for _ in range(20):
        try:
            letters.send(0, [rejected(2), rejected(3)])
            break
        except Unavailable:
            continue
    listed = [letter.headers["sw-offset"] for letter in read_newest_dead_letters(client, topic, 100)]
    assert set(listed) == {"1", "2", "3"}


def test_no_broker_at_all_is_said_in_time_and_in_one_line():
    client = {"bootstrap.servers": f"127.0.0.1:{free_port()}", "log_level": 0}
    letters = letters_to(client, "letters", {}, timeout_s=1.0)

    started_s = time.monotonic()
    with pytest.raises(Unavailable, match=r"1 of 1 letters to letters.*check the brokers") as caught:
        letters.send(0, [rejected()])

    assert time.monotonic() - started_s < 15
    assert "\n" not in str(caught.value)

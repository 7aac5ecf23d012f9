"""Topics of Kafka and their settings, and which of them are refused."""

import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from stream_worker.adapters.kafka.topic import Topic, describe, incarnation_of, log_end, refuse_unfit
from stream_worker.errors import Misconfigured, Unavailable

pytestmark = pytest.mark.timeout(90)

HOUR_MS = 3_600_000
WITHIN_S = 30.0


def client_of(kafka):
    return {"bootstrap.servers": kafka.bootstrap, "log_level": 0, "fetch.wait.max.ms": 20}


def needs_real(kafka):
    if not kafka.is_real:
        pytest.skip("the embedded broker tells no settings and has no transactions")


@pytest.mark.parametrize(
    ("topic_id", "incarnation"),
    [
        ("AAAAAAAAAAAAAAAAAAAAAA", "00000000"),
        ("AAAAAAAAAAAAAAAAChssPQ", "0a1b2c3d"),
        ("__________-_AAAAAP_-7w", "00fffeef"),
        ("_____________________w==", "ffffffff"),
    ],
)
def test_an_incarnation_is_the_last_eight_hex_digits_of_the_topic_id(topic_id, incarnation):
    assert incarnation_of(topic_id) == incarnation


def test_a_topic_is_described_by_its_broker(kafka):
    name = kafka.new_topic(3, retention_ms=7 * HOUR_MS)

    topic = describe(kafka.admin(), name, kafka.bootstrap)

    assert (topic.name, topic.partitions) == (name, 3)
    assert len(topic.incarnation) == 8
    assert int(topic.incarnation, 16) >= 0
    if kafka.is_real:
        assert topic.settings["retention.ms"] == str(7 * HOUR_MS)
        assert topic.settings["cleanup.policy"] == "delete"


def described(admin, name, kafka, *, there):
    """Ask until the broker has heard that the topic is there, or gone; returns the topic."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        assert time.monotonic() < deadline_s
        try:
            topic = describe(admin, name, kafka.bootstrap)
        except Unavailable:
            topic = None
        if (topic is not None) == there:
            return topic


def test_a_topic_that_is_made_anew_is_another_incarnation(kafka):
    needs_real(kafka)
    name, admin = kafka.new_topic(), kafka.admin()
    before = describe(admin, name, kafka.bootstrap)

    # When it is deleted and made anew under its name
    admin.delete_topics([name])[name].result(20)
    described(admin, name, kafka, there=False)
    admin.create_topics([NewTopic(name, num_partitions=1)])[name].result(20)

    after = described(admin, name, kafka, there=True)
    assert after.incarnation != before.incarnation


def test_a_topic_that_is_not_there_is_waited_for_with_a_line_that_says_how_to_create_it(kafka):
    needs_real(kafka)

    with pytest.raises(Unavailable, match=r"no-such-topic \(kafka.topic\) does not exist .*--create-topic"):
        describe(kafka.admin(), "no-such-topic", kafka.bootstrap)


def test_the_end_of_a_log_is_the_next_offset(kafka):
    name = kafka.new_topic()
    producer = Producer(client_of(kafka))
    producer.produce(name, b"1", partition=0)
    assert producer.flush(20) == 0

    assert log_end(kafka.admin(), name, 0, kafka.bootstrap) == 1


# What a topic must be like


def topic_with(**settings):
    fit = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": "300000",
    }
    return Topic("mentions", "0a1b2c3d", 1, fit | {key.replace("_", "."): it for key, it in settings.items()})


@pytest.mark.parametrize("policy", ["compact", "compact,delete", "delete,compact"])
@pytest.mark.parametrize("broker_time", ["require", "warn", "ignore"])
def test_a_compacted_topic_is_refused(policy, broker_time):
    with pytest.raises(Misconfigured, match=f"compacted .cleanup.policy={policy}"):
        refuse_unfit(topic_with(cleanup_policy=policy), HOUR_MS, broker_time)


@pytest.mark.parametrize(
    ("retention_ms", "refused"), [("-1", False), ("3600000", False), ("3599999", True), ("0", True)]
)
def test_a_retention_shorter_than_the_horizon_is_refused(retention_ms, refused):
    topic = topic_with(retention_ms=retention_ms)

    if refused:
        with pytest.raises(Misconfigured, match=r"retention.ms.*windows.horizon"):
            refuse_unfit(topic, HOUR_MS, "ignore")
    else:
        assert refuse_unfit(topic, HOUR_MS, "require") is None


@pytest.mark.parametrize(
    ("settings", "fit"),
    [
        ({}, True),
        ({"message_timestamp_after_max_ms": "300001"}, False),
        ({"message_timestamp_after_max_ms": "3600000"}, False),
        ({"message_timestamp_after_max_ms": "3600000", "message_timestamp_type": "LogAppendTime"}, True),
    ],
)
def test_a_topic_on_which_a_wrong_clock_moves_time_is_warned_of_or_refused(settings, fit):
    topic = topic_with(**settings)

    assert refuse_unfit(topic, HOUR_MS, "ignore") is None
    if fit:
        assert refuse_unfit(topic, HOUR_MS, "warn") is None
        assert refuse_unfit(topic, HOUR_MS, "require") is None
    else:
        assert "message.timestamp.after.max.ms<=300000" in refuse_unfit(topic, HOUR_MS, "warn")
        with pytest.raises(Misconfigured, match=r"kafka\.broker_time"):
            refuse_unfit(topic, HOUR_MS, "require")


def test_a_broker_too_old_to_bound_timestamps_counts_as_one_that_does_not():
    topic = topic_with()
    del topic.settings["message.timestamp.after.max.ms"]

    assert refuse_unfit(topic, HOUR_MS, "warn") is not None


def test_a_broker_that_tells_no_settings_is_not_at_fault():
    assert refuse_unfit(Topic("mentions", "0a1b2c3d", 1, {}), HOUR_MS, "require") is None


def test_settings_of_real_topics_are_read_as_they_are(kafka):
    needs_real(kafka)

    def judged(broker_time="warn", **settings):
        name = kafka.new_topic(**settings)
        return refuse_unfit(describe(kafka.admin(), name, kafka.bootstrap), HOUR_MS, broker_time)

    assert judged("require", message_timestamp_after_max_ms=300_000) is None
    assert judged("require", message_timestamp_type="LogAppendTime") is None
    assert judged() is not None  # the broker's own setting is an hour or more
    for unfit in ({"cleanup_policy": "compact"}, {"retention_ms": HOUR_MS - 1}):
        with pytest.raises(Misconfigured):
            judged(**unfit)

"""Parts of the demo by themselves: the folder, the receiver of webhooks, and the probes."""

import datetime as dt
import json
import re
import subprocess
import sys
import time

import httpx2
import pytest
from confluent_kafka import Consumer, TopicPartition
from standardwebhooks.webhooks import Webhook

from stream_worker.demo.account import RecordAccount
from stream_worker.demo.latency_probes import NETWORK, Probes, VisibleLatency
from stream_worker.demo.narration import Ending
from stream_worker.demo.webhook_receiver import Receiver
from tests.checkout import CHECKOUT

SECRET = "whsec_dGhpcyBpcyBhIHNlY3JldA=="
BODY = json.dumps({"id": "1-20260716T1207.opened", "kind": "opened", "brand": "acme"})


@pytest.fixture
def receiver(tmp_path):
    with Receiver(SECRET, tmp_path) as made:
        yield made


def post(receiver, body=BODY, *, secret=SECRET):
    name, at = "1-20260716T1207.opened", dt.datetime.now(dt.UTC)
    signature = Webhook(secret).sign(name, at, body)
    headers = {"webhook-id": name, "webhook-timestamp": str(int(at.timestamp()))}
    return httpx2.post(receiver.url, content=body, headers={**headers, "webhook-signature": signature})


def test_a_message_with_a_good_signature_is_kept_once_as_it_came(receiver, tmp_path):
    assert post(receiver).status_code == 204
    first = receiver.receipts["1-20260716T1207.opened"]
    assert post(receiver).status_code == 204

    assert list(receiver.receipts.values()) == [first]
    assert first.body["brand"] == "acme"
    (kept,) = [json.loads(path.read_text()) for path in tmp_path.iterdir()]
    assert kept["body"] == BODY


def test_a_message_that_somebody_else_signed_is_refused(receiver, tmp_path):
    other = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA=="

    assert post(receiver, secret=other).status_code == 401

    assert (receiver.receipts, receiver.refused, list(tmp_path.iterdir())) == ({}, 1, [])


def test_probes_wait_from_when_they_were_due_until_their_minute_counts_them(
    kafka, redis_server, redis_prefix
):
    # Given somebody who counts what is on the topic into the hash of its minute, once a while has passed
    topic = kafka.new_topic()
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": topic, "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    client = {"bootstrap.servers": kafka.bootstrap, "log_level": "0"}
    counted, deadline_s = 0, time.monotonic() + 60
    with (
        Probes(client, topic, "acme", redis_server.url, redis_prefix) as probes,
        redis_server.client() as redis,
    ):
        probes.begin()
        while probes.visible.seen < 3 and time.monotonic() < deadline_s:
            for message in consumer.consume(10, 0.1):
                time.sleep(0.1)
                at = dt.datetime.fromisoformat(json.loads(message.value())["event_time"])
                minute_ms = int(at.timestamp()) // 60 * 60_000
                redis.hincrby(f"{redis_prefix}:m:{minute_ms}", f"n:{NETWORK}:acme", 1)
                counted += 1
        probes.stop()
        visible = probes.visible
    consumer.close()

    assert 3 <= visible.seen <= counted <= probes.published
    assert probes.unknown == 0
    assert 100 <= visible.p50_ms <= visible.p99_ms


def test_one_of_a_kind_is_told_in_the_singular():
    account = RecordAccount(9, 0, 8, 0, 0, 1, 8, dead_letters=1, differences=[])
    ending = Ending(1, 0, 0, None, VisibleLatency(1, 20.0, 20.0))

    assert any(line.endswith("cannot be used: 1 dead letter") for line in account.lines())
    assert any(line.endswith("99 of 100, of 1 probe") for line in ending.lines())


def test_a_folder_that_cannot_be_made_is_one_line_that_says_how_to_mend_it(tmp_path):
    # Given a file where the folder is to be
    (tmp_path / "file").write_text("")

    # When the demo is asked to keep what it writes there
    done = subprocess.run(
        [sys.executable, "-m", "stream_worker", "demo", "--keep", str(tmp_path / "file" / "kept")],
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    # Then nothing has begun
    assert (done.returncode, done.stdout) == (69, "")
    assert re.fullmatch(
        r"stream-worker: the demo cannot make its folder \(--keep .*\): Not a directory; .* --keep\n",
        done.stderr,
    )

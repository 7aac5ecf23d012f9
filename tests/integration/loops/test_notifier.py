"""The notifier on real servers: from the outbox of a real Redis, through a real store, to a receiver."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import msgspec
import pytest

from stream_worker.adapters.channels.webhook import Webhook
from stream_worker.adapters.object_store.notification_log import StoredNotificationLogs
from stream_worker.adapters.object_store.objects import Objects, open_store
from stream_worker.adapters.redis.outbox import RedisOutbox
from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.alerting.notification_log import key_of
from stream_worker.core.archive.layout import notification_name, receipt_name
from stream_worker.notifier.loop import Notifier
from stream_worker.observability.health import Health
from stream_worker.observability.metrics import Metrics
from stream_worker.observability.notifier_recorder import NotifierMetrics
from tests.contracts.archive.conftest import s3_store
from tests.unit.channels.receivers import SECRET, Receiver

BRAND = "Bär"
KEY = key_of(BRAND)
MINUTE_MS = 60_000


class Workers:
    """Writes to Redis as workers do: an episode of one brand opens and ends."""

    def __init__(self, client, prefix):
        self._client, self._prefix = client, prefix
        self.opened_ms = (int(time.time()) // 60 - 2) * MINUTE_MS

    @property
    def episode(self):
        return f"{KEY}-{time.strftime('%Y%m%dT%H%M', time.gmtime(self.opened_ms / 1000))}"

    def close(self, *kinds, record=True, minute_ms=None, score=12.3):
        """Close the minute two minutes ago, with these entries."""
        at = self.opened_ms if minute_ms is None else minute_ms
        record_text = json.dumps({"id": self.episode, "opened_ms": self.opened_ms, "peak_score": 12.3})
        shard = f"{self._prefix}:shard:{shard_of(BRAND)}"
        self._client.hset(shard, "closed", int(time.time() * 1000) // MINUTE_MS * MINUTE_MS)
        if record:
            self._client.hset(shard, f"episode:{BRAND}", record_text)
        else:
            self._client.hdel(shard, f"episode:{BRAND}")
        for kind in kinds:
            body = {
                "v": 1,
                "id": f"{self.episode}.{kind}",
                "kind": kind,
                "episode": self.episode,
                "brand": BRAND,
                "opened": rfc3339(self.opened_ms),
                "minute": rfc3339(at),
                "score": score,
            }
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
            self._client.hsetnx(f"{self._prefix}:outbox", body["id"], text)


def rfc3339(time_ms):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ms / 1000))


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def workers(redis_server, redis_prefix):
    with redis_server.client() as client:
        yield Workers(client, redis_prefix)


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path):
    if request.param == "folder":
        return open_store((tmp_path / "archive").as_uri())
    return s3_store(request.getfixturevalue("s3"))


class Clock:
    """A clock that a test can move."""

    def __init__(self):
        self.ahead_s = 0.0

    def __call__(self):
        return time.monotonic() + self.ahead_s


class DyingChannel:
    """A channel whose process dies in the middle of an attempt."""

    name = "webhook"

    def send(self, message):
        raise KeyboardInterrupt


class OutboxForAll(RedisOutbox):
    """An outbox that grants its lease to every notifier."""

    def lease(self, name, owner, ttl_ms):
        return True


class LaterOutbox(RedisOutbox):
    """An outbox of a Redis whose clock a test can move."""

    ahead_ms = 0

    def read(self, brands):
        snapshot = super().read(brands)
        return snapshot._replace(now_ms=snapshot.now_ms + self.ahead_ms)


class LogsAtOnce(StoredNotificationLogs):
    """Notification logs whose notifiers create their notifications at the same moment."""

    def __init__(self, store, barrier):
        super().__init__(store)
        self._barrier = barrier

    def create(self, key, notification):
        self._barrier.wait()
        return super().create(key, notification)


@pytest.fixture
def start(redis_server, redis_prefix, store, receiver):
    """Start notifiers: `start("n1")` returns the notifier, `start.clock` moves its clock."""
    opened = []

    def make(owner="n1", *, outbox=RedisOutbox, logs=None, channel=None):
        webhook = Webhook(receiver.url, [SECRET], timeout_s=5)
        made = outbox(redis_server.url, prefix=redis_prefix)
        opened.extend((webhook, made._client))
        return Notifier(
            outbox=made,
            logs=logs or StoredNotificationLogs(store),
            channels=[channel or webhook],
            give_up_s=600,
            owner=owner,
            recorder=NotifierMetrics(make.metrics, Health(required=())),
            now_s=make.clock,
        )

    make.clock, make.metrics = Clock(), Metrics()
    yield make
    for one in opened:
        one.close()


def notifications(store):
    objects = Objects(store)
    return [json.loads(objects.read(name)) for name in objects.names(f"_alerts/{KEY}/")]


def outbox(redis_server, redis_prefix):
    with redis_server.client() as client:
        return client.hgetall(f"{redis_prefix}:outbox")


def test_an_episode_goes_from_the_outbox_to_a_receiver_that_verifies_it(
    start, workers, store, receiver, redis_server, redis_prefix
):
    # Given an episode that opened
    notifier = start()
    workers.close("opened")

    # When the notifier takes a turn
    notifier.turn()

    # Then it is logged, sent as it is logged, receipted and shown, and has left the outbox
    (notification,) = notifications(store)
    assert (notification["v"], notification["n"], notification["kind"], notification["brand"]) == (
        1,
        1,
        "opened",
        BRAND,
    )
    assert [json.loads(one.body) for one in receiver.arrived] == receiver.verify()
    assert (receiver.ids(), receiver.arrived[0].body) == ([notification["id"]], notification["body"])
    receipt = json.loads(Objects(store).read(receipt_name(KEY, 1)))
    assert (receipt["id"], receipt["channels"]) == (notification["id"], {"webhook": "delivered"})
    assert outbox(redis_server, redis_prefix) == {}
    shown = RedisOutbox(redis_server.url, prefix=redis_prefix).shown(10)
    assert shown == [(notification["id"], notification["body"])]

    # And its end follows
    workers.close("resolved", record=False)
    notifier.turn()
    assert receiver.ids() == [f"{workers.episode}.opened", f"{workers.episode}.resolved"]
    assert start.metrics.registry.get_sample_value("stream_worker_alerts_total", {"kind": "resolved"}) == 1


def test_a_receiver_that_fails_gets_the_message_again_in_order_and_when_it_asks(
    start, workers, receiver, store
):
    # Given a receiver that is busy
    receiver.answers = [(503, {"retry-after": "20"}), 500]
    notifier = start()
    workers.close("opened", "escalated")

    # When the notifier takes turns before and after the requested time
    notifier.turn()
    start.clock.ahead_s = 19
    notifier.turn()
    assert len(receiver.arrived) == 1
    start.clock.ahead_s = 21
    notifier.turn()
    start.clock.ahead_s = 100
    notifier.turn()

    # Then the opening was tried until it was taken, and nothing overtook it
    assert receiver.ids() == [f"{workers.episode}.opened"] * 3 + [f"{workers.episode}.escalated"]
    assert len({one.body for one in receiver.arrived[:3]}) == 1


def test_a_receiver_that_is_gone_is_left_alone_on_the_record(
    start, workers, receiver, store, redis_server, redis_prefix
):
    receiver.answers = [410]
    notifier = start()
    workers.close("opened", "escalated")

    for _ in range(3):
        notifier.turn()

    assert len(receiver.arrived) == 1
    receipts = [json.loads(Objects(store).read(receipt_name(KEY, n))) for n in (1, 2)]
    assert [receipt["channels"] for receipt in receipts] == [{"webhook": "disabled"}] * 2
    assert outbox(redis_server, redis_prefix) == {}


def test_a_message_that_nobody_takes_is_given_up_on_the_record(start, workers, receiver, store):
    receiver.answers = [500] * 9
    notifier = start()
    workers.close("opened")

    for ahead_s in (0, 100, 700, 701):
        start.clock.ahead_s = ahead_s
        notifier.turn()

    receipt = json.loads(Objects(store).read(receipt_name(KEY, 1)))
    assert receipt["channels"] == {"webhook": "given up after 3 attempts: status 500"}


def test_a_successor_sends_the_logged_body_whatever_the_outbox_holds_by_then(
    start, workers, receiver, store, redis_server, redis_prefix
):
    # Given a notifier that died in the first attempt
    dead = start("dead", channel=DyingChannel())
    workers.close("opened")
    with pytest.raises(KeyboardInterrupt):
        dead.turn()
    assert (len(notifications(store)), receiver.arrived) == (1, [])

    # When Redis went back, and has other words for the same episode
    with redis_server.client() as client:
        client.delete(f"{redis_prefix}:outbox", f"{redis_prefix}:lease:notifier")
    workers.close("opened", score=99.9)
    start("successor").turn()

    # Then those of the notification are sent, once
    assert [json.loads(one.body)["score"] for one in receiver.arrived] == [12.3]
    assert outbox(redis_server, redis_prefix) == {}


def test_two_notifiers_at_once_page_once(start, workers, receiver, store):
    # Given two of them, both of which read the outbox before either writes
    logs = LogsAtOnce(store, threading.Barrier(2, timeout=30))
    notifiers = [start(owner, outbox=OutboxForAll, logs=logs) for owner in ("one", "two")]
    workers.close("opened")
    threads = [threading.Thread(target=notifier.turn) for notifier in notifiers]

    # When they create their notifications at the same moment
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    # Then there is one notification, and every request that arrived holds it
    assert len(notifications(store)) == 1
    assert {(arrived.id, arrived.body) for arrived in receiver.arrived} == {
        (notifications(store)[0]["id"], notifications(store)[0]["body"])
    }


def test_a_damaged_notification_is_an_error_with_its_name_and_the_page_goes_out_a_minute_later(
    start, workers, receiver, store, redis_server, redis_prefix, capsys, monkeypatch
):
    # Given a notification log that cannot be read
    Objects(store).create(notification_name(KEY, 1), b"{")
    workers.close("opened")
    notifier = start(outbox=LaterOutbox)
    notifier.turn()
    assert "restore it from a copy" in "".join(capsys.readouterr())
    assert receiver.arrived == []

    # When that has been so for a minute
    monkeypatch.setattr(LaterOutbox, "ahead_ms", MINUTE_MS)
    notifier.turn()

    # Then people get the message that is frozen in Redis
    assert receiver.ids() == [f"{workers.episode}.opened"]
    with redis_server.client() as client:
        frozen = client.hgetall(f"{redis_prefix}:fixed")
    assert msgspec.json.decode(*frozen.values())["body"] == receiver.arrived[0].body


def test_the_command_notifies_in_time_stops_at_sigterm_and_lists_its_messages(
    workers, receiver, redis_server, redis_prefix, tmp_path
):
    # Given the command
    settings = {
        "STREAM_WORKER_REDIS__URL": redis_server.url,
        "STREAM_WORKER_REDIS__PREFIX": redis_prefix,
        "STREAM_WORKER_ARCHIVE__URL": (tmp_path / "archive").as_uri(),
        "STREAM_WORKER_NOTIFY__WEBHOOK_URL": receiver.url,
        "STREAM_WORKER_NOTIFY__WEBHOOK_SECRET": SECRET,
        "STREAM_WORKER_HTTP__PORT": "0",
    }
    environment = {**os.environ, **settings}
    command = [sys.executable, "-m", "stream_worker"]
    process = subprocess.Popen(
        [*command, "notify"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    # When an episode opens
    try:
        workers.close("opened")
        deadline_s = time.monotonic() + 60
        while not receiver.arrived and time.monotonic() < deadline_s:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)

    # Then both channels got it, no secret was printed, and the command ended in order
    assert (process.returncode, receiver.ids()) == (0, [f"{workers.episode}.opened"])
    assert json.loads(out)["brand"] == BRAND
    assert "notifier stopped" in err
    assert "token=" not in err
    assert SECRET not in err
    shown = subprocess.run(
        [*command, "alerts", "list", "--json"], env=environment, capture_output=True, text=True, check=True
    )
    assert [message["id"] for message in json.loads(shown.stdout)] == [f"{workers.episode}.opened"]


def test_a_damaged_outbox_is_waited_for_and_its_entries_go_out_when_it_is_mended(
    start, workers, receiver, redis_server, redis_prefix
):
    # Given an entry, and an outbox that somebody replaced
    notifier = start()
    workers.close("opened")
    with redis_server.client() as client:
        client.rename(f"{redis_prefix}:outbox", f"{redis_prefix}:kept")
        client.set(f"{redis_prefix}:outbox", "foreign")

        # When the notifier takes turns, then it waits
        notifier.turn()
        notifier.turn()
        assert receiver.arrived == []

        # And when the outbox is back, the page goes out
        client.rename(f"{redis_prefix}:kept", f"{redis_prefix}:outbox")
    notifier.turn()
    assert len(receiver.arrived) == 1


def test_a_damaged_entry_or_record_withdraws_nothing_and_is_counted(
    start, workers, receiver, redis_server, redis_prefix
):
    # Given an open alert; then its episode's record and an entry become rubbish
    notifier = start()
    workers.close("opened")
    notifier.turn()
    with redis_server.client() as client:
        client.hset(f"{redis_prefix}:shard:{shard_of(BRAND)}", f"episode:{BRAND}", "rubbish")
        client.hset(f"{redis_prefix}:outbox", f"{workers.episode}.escalated", "rubbish")

    # When the notifier goes on
    notifier.turn()
    notifier.turn()

    # Then people get nothing that is not so
    assert len(receiver.arrived) == 1
    assert start.metrics.damaged_fields_total.labels("outbox")._value.get() == 2

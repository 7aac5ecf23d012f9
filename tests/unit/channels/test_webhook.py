"""Webhooks against a real receiver: what it gets, and what its answers mean."""

import datetime as dt
import socket
import threading
from contextlib import suppress
from email.utils import format_datetime

import pytest

from stream_worker.adapters.channels.webhook import Webhook
from stream_worker.core.alerting.notification_log import Message
from stream_worker.devservers.child_process import free_port
from stream_worker.errors import Misconfigured
from tests.unit.channels.receivers import OTHER_SECRET, SECRET, Receiver, body_of

BODY = body_of(reason="24 of 33 voices, ünd mehr")
MESSAGE = Message(id="e.opened", kind="opened", brand="Bär", episode="e", body=BODY)


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def webhook(receiver):
    made = Webhook(receiver.url, [SECRET], timeout_s=5)
    yield made
    made.close()


def test_a_message_arrives_signed_with_its_id_and_byte_for_byte(receiver, webhook):
    outcome = webhook.send(MESSAGE)

    assert outcome.kind == "delivered"
    (arrived,) = receiver.arrived
    assert (arrived.id, arrived.body) == ("e.opened", BODY)
    assert arrived.headers["content-type"] == "application/json"
    assert receiver.verify()[0]["brand"] == "Bär"


def test_every_attempt_has_the_same_id_and_body(receiver, webhook):
    receiver.answers = [500, 204]

    outcomes = [webhook.send(MESSAGE).kind for _ in range(2)]

    assert outcomes == ["failed", "delivered"]
    assert len({(one.id, one.body) for one in receiver.arrived}) == 1
    assert len(receiver.verify()) == 2


def test_while_a_receiver_changes_its_secret_both_are_right(receiver):
    webhook = Webhook(receiver.url, [SECRET, OTHER_SECRET], timeout_s=5)

    webhook.send(MESSAGE)

    assert receiver.verify(SECRET) == receiver.verify(OTHER_SECRET)
    webhook.close()


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_2xx_is_delivered(receiver, webhook, status):
    receiver.answers = [status]

    assert webhook.send(MESSAGE).kind == "delivered"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 408, 429, 500, 503])
def test_any_other_answer_is_a_failure_and_no_redirect_is_followed(receiver, webhook, status):
    receiver.answers = [(status, {"location": receiver.url})]

    outcome = webhook.send(MESSAGE)

    assert (outcome.kind, outcome.why) == ("failed", f"status {status}")
    assert len(receiver.arrived) == 1


def test_gone_disables_the_receiver(receiver, webhook):
    receiver.answers = [410]

    assert webhook.send(MESSAGE).kind == "disabled"


def test_retry_after_in_seconds_and_as_a_date(receiver, webhook):
    soon = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90), usegmt=True)
    receiver.answers = [
        (429, {"retry-after": "17"}),
        (503, {"retry-after": soon}),
        (503, {"retry-after": "?"}),
        (503, {"retry-after": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}),
    ]

    asked = [webhook.send(MESSAGE).after_s for _ in range(4)]

    assert asked[0] == 17
    assert 60 < asked[1] < 91
    assert asked[2:] == [None, None]


def test_a_receiver_that_hangs_or_hangs_up_fails_in_time(receiver):
    webhook = Webhook(receiver.url, [SECRET], timeout_s=0.2)
    receiver.answers = [("hang", 1.0), ("hang up", None)]

    hung, gone = webhook.send(MESSAGE), webhook.send(MESSAGE)

    assert hung.kind == "failed"
    assert hung.why in ("ReadTimeout", "no whole answer within 0.2 s")
    assert gone.kind == "failed"
    webhook.close()


def test_a_receiver_that_drips_its_answer_does_not_hold_the_loop(webhook):
    # Given one that sends a line of headers now and then, each sooner than a read times out
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip():
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not stop.wait(0.05):
                    connection.sendall(b"x-more: 1\r\n")

        dripping = threading.Thread(target=drip)
        dripping.start()
        slow = Webhook(f"http://127.0.0.1:{server.getsockname()[1]}/", [SECRET], timeout_s=0.5)

        # When it is sent a message
        outcome = slow.send(MESSAGE)
        stop.set()
        dripping.join()
        slow.close()

    # Then the attempt has failed, and another receiver can be told
    assert (outcome.kind, outcome.why) == ("failed", "no whole answer within 0.5 s")
    assert webhook.send(MESSAGE).kind == "delivered"


def test_a_failure_tells_neither_address_nor_secret():
    webhook = Webhook(f"http://127.0.0.1:{free_port()}/hook?token=hidden", [SECRET], timeout_s=1)

    outcome = webhook.send(MESSAGE)

    assert outcome.kind == "failed"
    assert "ConnectError" in outcome.why
    assert "hidden" not in outcome.why
    webhook.close()


@pytest.mark.parametrize("url", ["ftp://host/", "host/path", "http://", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(Misconfigured, match=r"notify\.webhook_url"):
        Webhook(url, [SECRET], timeout_s=1)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_dG9vIHNob3J0", SECRET.removeprefix("whsec_"), "whsec_ü"])
def test_a_secret_that_is_none_is_refused_and_not_shown(secret):
    with pytest.raises(Misconfigured, match=r"notify\.webhook_secret") as refused:
        Webhook("https://host/", [secret], timeout_s=1)

    assert secret == "whsec_" or secret not in str(refused.value)


def test_only_public_targets_means_https_and_no_private_address():
    with pytest.raises(Misconfigured, match="public_only"):
        Webhook("http://host/", [SECRET], timeout_s=1, public_only=True)

    for host in ("localhost", "127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]"):
        webhook = Webhook(f"https://{host}:1/", [SECRET], timeout_s=1, public_only=True)
        assert "public" in webhook.send(MESSAGE).why, host
        webhook.close()

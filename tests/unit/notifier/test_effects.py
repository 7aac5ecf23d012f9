"""The dispatcher of effects: each effect gets the reply that it declares, or its failure."""

import pytest

from stream_worker.core.alerting.effects import (
    CreateNotification,
    FreezeMessage,
    PublishAlert,
    ReadNotificationLog,
    RemoveOutboxEntry,
    SendMessage,
    WriteReceipt,
)
from stream_worker.core.alerting.notification_log import Message, OutboxEntry, Receipt, notification_of
from stream_worker.core.alerting.retry_queue import SendOutcome
from stream_worker.errors import Unavailable, Unreadable
from stream_worker.notifier.dependencies import Dependencies
from stream_worker.notifier.effects import DeliveryEffects

MESSAGE = Message(id="e.opened", kind="opened", brand="acme", episode="e", body="{}")
ENTRY = OutboxEntry("e.opened", "opened", "e", "acme", 0, 0, "{}")
NOTIFICATION = notification_of(MESSAGE, 1)

ON_STORE = [
    ReadNotificationLog("k", 0),
    CreateNotification("k", NOTIFICATION),
    WriteReceipt("k", 1, Receipt(id="e.opened", at_ms=0, channels={})),
]
ON_REDIS = [
    FreezeMessage("k", ENTRY, MESSAGE),
    RemoveOutboxEntry("k", ENTRY, None),
    PublishAlert("k", MESSAGE),
]
SEND = SendMessage("k", "pager", MESSAGE, 1)


class Outbox:
    """Redis, or an error in its place."""

    def __init__(self, error=None):
        self.error = error

    def _answer(self, value):
        if self.error is not None:
            raise self.error
        return value

    def freeze(self, entry, message):
        return self._answer(message)

    def remove(self, entry, episode_record):
        return self._answer(None)

    def publish(self, message):
        return self._answer(None)


class Logs(Outbox):
    """The store, or an error in its place."""

    def read(self, key, after):
        return self._answer(([NOTIFICATION], [1]))

    def create(self, key, notification):
        return self._answer(value=True)

    def write_receipt(self, key, n, receipt):
        return self._answer(None)


class Pager:
    """A channel whose receiver is away."""

    name = "pager"

    def send(self, message):
        return SendOutcome("failed", "status 500")


class Recorder:
    """Keeps the facts that it gets."""

    def __init__(self):
        self.facts = []

    def notification_created(self, kind):
        self.facts.append(("created", kind))

    def sent(self, channel, outcome, took_s):
        self.facts.append(("sent", channel, outcome, took_s))

    def damaged(self, kind):
        self.facts.append(("damaged", kind))

    def dependency(self, name, *, up, detail=""):
        self.facts.append((name, up))


def runner(*, redis=None, store=None):
    recorder, clock = Recorder(), iter(range(100))
    made = DeliveryEffects(
        outbox=Outbox(redis),
        logs=Logs(store),
        channels=[Pager()],
        recorder=recorder,
        dependencies=Dependencies(recorder, lambda: 0.0),
        now_s=lambda: float(next(clock)),
    )
    return made, recorder


@pytest.mark.parametrize("effect", [*ON_STORE, *ON_REDIS, SEND], ids=lambda effect: type(effect).__name__)
def test_an_effect_gets_the_reply_that_it_declares(effect):
    made, _ = runner()

    reply = made.run(effect)

    assert type(reply) is type(effect).reply
    assert reply.key == "k"


@pytest.mark.parametrize("error", [Unavailable("away"), Unreadable("damaged")], ids=str)
@pytest.mark.parametrize("effect", ON_STORE, ids=lambda effect: type(effect).__name__)
def test_an_effect_on_the_store_without_an_answer_is_its_failure(effect, error):
    made, recorder = runner(store=error)

    assert made.run(effect) == type(effect).failure("k")
    assert recorder.facts == [("archive", False)]


@pytest.mark.parametrize("effect", ON_REDIS, ids=lambda effect: type(effect).__name__)
def test_an_effect_on_redis_without_an_answer_is_its_failure(effect):
    made, recorder = runner(redis=Unavailable("away"))

    assert made.run(effect) == type(effect).failure("k")
    assert recorder.facts == [("redis", False)]


def test_a_created_notification_is_counted_by_its_kind():
    made, recorder = runner()

    made.run(CreateNotification("k", NOTIFICATION))

    assert recorder.facts == [("created", "opened"), ("archive", True)]


def test_a_failed_attempt_is_a_reply_with_its_time_and_is_measured():
    made, recorder = runner()

    reply = made.run(SEND)

    assert (reply.outcome, reply.at_s) == (SendOutcome("failed", "status 500"), 1.0)
    assert recorder.facts == [("sent", "pager", "failed", 1.0)]

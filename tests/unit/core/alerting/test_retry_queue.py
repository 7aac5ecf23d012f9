"""In which order messages go out, when they are tried again, and when they are given up."""

import pytest

from stream_worker.core.alerting.notification_log import Message
from stream_worker.core.alerting.retry_queue import BrandQueue, RetryQueue, SendOutcome

DELIVERED, FAILED, GONE = (
    SendOutcome("delivered"),
    SendOutcome("failed", "status 500"),
    SendOutcome("disabled", "410"),
)


def message(name, kind="opened", episode="e"):
    return Message(id=name, kind=kind, brand="b", episode=episode, body="{}")


def retries(*channels, give_up_s=600.0):
    return RetryQueue(channels or ("a",), give_up_s=give_up_s)


def due(retry_queue, queue, now_s):
    """The channel and the id that are due."""
    found = retry_queue.due(queue, now_s)
    return None if found is None else (found.channel, found.message.id)


def test_messages_of_an_episode_wait_for_each_other_and_others_do_not():
    retry_queue, queue = retries(), BrandQueue()
    for one in (message("1"), message("2"), message("3", episode="f")):
        retry_queue.enqueue(queue, one, 1)

    retry_queue.record_outcome(queue, "a", message("1"), FAILED, 0.0)

    assert due(retry_queue, queue, 0.5) is None
    assert due(retry_queue, queue, 1.0) == ("a", "1")
    retry_queue.record_outcome(queue, "a", message("1"), DELIVERED, 1.0)
    assert due(retry_queue, queue, 1.0) == ("a", "2")


def test_one_channel_does_not_wait_for_another():
    retry_queue, queue = retries("a", "b"), BrandQueue()
    retry_queue.enqueue(queue, message("1"), 1)

    retry_queue.record_outcome(queue, "a", message("1"), FAILED, 0.0)

    assert due(retry_queue, queue, 0.0) == ("b", "1")


def test_the_pause_grows_up_to_five_minutes_and_longer_if_the_receiver_asks():
    retry_queue, queue = retries(give_up_s=1e9), BrandQueue()
    retry_queue.enqueue(queue, message("1"), 1)
    pauses, now_s = [], 0.0
    for _ in range(11):
        retry_queue.record_outcome(queue, "a", message("1"), FAILED, now_s)
        wait_s = next(s for s in range(400) if due(retry_queue, queue, now_s + s))
        pauses.append(wait_s)
        now_s += wait_s

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    retry_queue.record_outcome(queue, "a", message("1"), SendOutcome("failed", "429", 900.0), now_s)
    assert due(retry_queue, queue, now_s + 899) is None
    assert due(retry_queue, queue, now_s + 900) == ("a", "1")


def test_a_bad_message_does_not_starve_the_others():
    # Given a message of one episode that the receiver never takes, before many good ones
    retry_queue, queue = retries(give_up_s=1e9), BrandQueue()
    retry_queue.enqueue(queue, message("bad"), 1)
    for n in range(20):
        retry_queue.enqueue(queue, message(f"good {n}", episode=f"f{n}"), n + 2)

    # When a quarter of an hour passes, one attempt at most each second
    taken = []
    for now_s in range(900):
        found = due(retry_queue, queue, float(now_s))
        if found is not None:
            bad = found[1] == "bad"
            retry_queue.record_outcome(
                queue,
                "a",
                message(found[1], episode="e" if bad else found[1].replace("good ", "f")),
                FAILED if bad else DELIVERED,
                float(now_s),
            )
            taken += [now_s] if not bad else []

    # Then all good ones were taken within the first minute
    assert len(taken) == 20
    assert taken[-1] < 60


@pytest.mark.parametrize("requested_s", [1e9, 3_600.0])
def test_no_receiver_may_ask_for_more_than_an_hour(requested_s):
    retry_queue, queue = retries(give_up_s=1e9), BrandQueue()
    retry_queue.enqueue(queue, message("1"), 1)

    retry_queue.record_outcome(queue, "a", message("1"), SendOutcome("failed", "503", requested_s), 0.0)

    assert due(retry_queue, queue, 3_600.0) == ("a", "1")


def test_a_message_that_no_channel_takes_is_given_up_on_the_record():
    retry_queue, queue = retries(give_up_s=10.0), BrandQueue()
    retry_queue.enqueue(queue, message("1"), 4)

    for now_s in (0.0, 5.0, 10.0):
        retry_queue.record_outcome(queue, "a", message("1"), FAILED, now_s)

    ready = queue.finished()
    assert (ready.n, ready.outcomes) == (4, {"a": "given up after 3 attempts: status 500"})


def test_a_channel_that_is_gone_gets_nothing_more():
    retry_queue, queue = retries(), BrandQueue()
    for n, one in enumerate((message("1"), message("2")), 1):
        retry_queue.enqueue(queue, one, n)

    retry_queue.record_outcome(queue, "a", message("1"), GONE, 0.0)

    assert due(retry_queue, queue, 0.0) is None
    assert queue.finished().outcomes == {"a": "disabled"}
    queue.remove([1])
    assert queue.finished().outcomes == {"a": "disabled"}


def test_a_missed_episode_is_not_sent_and_gets_its_receipt():
    retry_queue, queue = retries(), BrandQueue()

    retry_queue.enqueue(queue, message("1", "missed"), 1)

    assert due(retry_queue, queue, 0.0) is None
    assert queue.finished().outcomes == {}


def test_a_message_without_a_number_is_sent_and_gets_its_receipt_once_it_has_one():
    retry_queue, queue = retries(), BrandQueue()
    assert retry_queue.enqueue(queue, message("1"), None)
    retry_queue.record_outcome(queue, "a", message("1"), DELIVERED, 0.0)
    assert queue.finished() is None
    assert queue.unlogged() == [message("1")]

    assert not retry_queue.enqueue(queue, message("1"), 9)

    assert queue.finished().n == 9

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


def posts(*channels, give_up_s=600.0):
    return RetryQueue(channels or ("a",), give_up_s=give_up_s)


def due(made, line, now_s):
    """The channel and the id that are due."""
    found = made.due(line, now_s)
    return None if found is None else (found[0], found[1].id)


def test_messages_of_an_episode_wait_for_each_other_and_others_do_not():
    made, line = posts(), BrandQueue()
    for one in (message("1"), message("2"), message("3", episode="f")):
        made.enqueue(line, one, 1)

    made.take(line, "a", message("1"), FAILED, 0.0)

    assert due(made, line, 0.5) is None
    assert due(made, line, 1.0) == ("a", "1")
    made.take(line, "a", message("1"), DELIVERED, 1.0)
    assert due(made, line, 1.0) == ("a", "2")


def test_one_channel_does_not_wait_for_another():
    made, line = posts("a", "b"), BrandQueue()
    made.enqueue(line, message("1"), 1)

    made.take(line, "a", message("1"), FAILED, 0.0)

    assert due(made, line, 0.0) == ("b", "1")


def test_the_pause_grows_up_to_five_minutes_and_longer_if_the_receiver_asks():
    made, line = posts(give_up_s=1e9), BrandQueue()
    made.enqueue(line, message("1"), 1)
    pauses, now_s = [], 0.0
    for _ in range(11):
        made.take(line, "a", message("1"), FAILED, now_s)
        wait_s = next(s for s in range(400) if due(made, line, now_s + s))
        pauses.append(wait_s)
        now_s += wait_s

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    made.take(line, "a", message("1"), SendOutcome("failed", "429", 900.0), now_s)
    assert due(made, line, now_s + 899) is None
    assert due(made, line, now_s + 900) == ("a", "1")


def test_a_bad_message_does_not_starve_the_others():
    # Given a message of one episode that the receiver never takes, before many good ones
    made, line = posts(give_up_s=1e9), BrandQueue()
    made.enqueue(line, message("bad"), 1)
    for n in range(20):
        made.enqueue(line, message(f"good {n}", episode=f"f{n}"), n + 2)

    # When a quarter of an hour passes, one attempt at most each second
    taken = []
    for now_s in range(900):
        found = due(made, line, float(now_s))
        if found is not None:
            bad = found[1] == "bad"
            made.take(
                line,
                "a",
                message(found[1], episode="e" if bad else found[1].replace("good ", "f")),
                FAILED if bad else DELIVERED,
                float(now_s),
            )
            taken += [now_s] if not bad else []

    # Then all good ones were taken within the first minute
    assert len(taken) == 20
    assert taken[-1] < 60


@pytest.mark.parametrize("asked_s", [1e9, 3_600.0])
def test_nobody_may_ask_for_more_than_an_hour(asked_s):
    made, line = posts(give_up_s=1e9), BrandQueue()
    made.enqueue(line, message("1"), 1)

    made.take(line, "a", message("1"), SendOutcome("failed", "503", asked_s), 0.0)

    assert due(made, line, 3_600.0) == ("a", "1")


def test_what_is_not_taken_is_given_up_on_the_record():
    made, line = posts(give_up_s=10.0), BrandQueue()
    made.enqueue(line, message("1"), 4)

    for now_s in (0.0, 5.0, 10.0):
        made.take(line, "a", message("1"), FAILED, now_s)

    ready = line.complete()
    assert (ready.n, ready.outcomes) == (4, {"a": "given up after 3 attempts: status 500"})


def test_a_channel_that_is_gone_gets_nothing_more():
    made, line = posts(), BrandQueue()
    for n, one in enumerate((message("1"), message("2")), 1):
        made.enqueue(line, one, n)

    made.take(line, "a", message("1"), GONE, 0.0)

    assert due(made, line, 0.0) is None
    assert line.complete().outcomes == {"a": "disabled"}
    line.receipted([1])
    assert line.complete().outcomes == {"a": "disabled"}


def test_what_was_missed_goes_nowhere_and_gets_its_receipt():
    made, line = posts(), BrandQueue()

    made.enqueue(line, message("1", "missed"), 1)

    assert due(made, line, 0.0) is None
    assert line.complete().outcomes == {}


def test_a_message_without_link_is_sent_and_waits_for_it():
    made, line = posts(), BrandQueue()
    assert made.enqueue(line, message("1"), None)
    made.take(line, "a", message("1"), DELIVERED, 0.0)
    assert line.complete() is None
    assert line.unlinked() == [message("1")]

    assert not made.enqueue(line, message("1"), 9)

    assert line.complete().n == 9

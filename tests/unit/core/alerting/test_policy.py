"""The next message about a brand: pure decisions over its log, its outbox entries and its snapshot."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.alerting.notification_log import (
    KINDS,
    NotificationLog,
    decode_notification,
    encode_notification,
    key_of,
    notification_of,
    read_entries,
)
from stream_worker.core.alerting.policy import AGE_MAX_MS, BrandSnapshot, next_message, withdrawal
from stream_worker.core.archive.layout import notification_name
from stream_worker.errors import Unreadable

MINUTE_MS = 60_000
NOON = 1_763_812_800_000  # 2025-11-22 12:00 UTC


def instant(number):
    return f"{datetime.fromtimestamp(NOON / 1000 + number * 60, UTC):%Y-%m-%dT%H:%M:%SZ}"


def episode(opened):
    return f"{key_of('acme')}-{datetime.fromtimestamp(NOON / 1000 + opened * 60, UTC):%Y%m%dT%H%M}"


def entry(kind, opened, at=None, **more):
    """An outbox entry of the episode that opened in a minute after noon, led to by minute `at`."""
    body = {
        "id": f"{episode(opened)}.{kind}",
        "kind": kind.split(".")[0],
        "episode": episode(opened),
        "brand": "acme",
        "opened": instant(opened),
        "minute": instant(opened if at is None else at),
        **more,
    }
    return read_entries({body["id"]: json.dumps(body)})[0]["acme"][0]


def snapshot(now, closed=None, open_since=None):
    """Redis at a minute after noon, closed up to now by default; an episode is open since a minute."""
    record = None if open_since is None else json.dumps({"id": episode(open_since)})
    return BrandSnapshot(
        NOON + now * MINUTE_MS, NOON + (now if closed is None else closed) * MINUTE_MS, record
    )


def report(log, *messages):
    for message in messages:
        log.append(notification_of(message, log.last + 1))
    return log


def decide(log, one, seen, *others):
    return next_message(log, one, [one, *others], seen)


def log_with_opening(opened=5):
    page = decide(NotificationLog(), entry("opened", opened), snapshot(opened, open_since=opened))
    return report(NotificationLog(), page)


def test_an_open_episode_is_paged_by_the_body_of_its_entry():
    one = entry("opened", 5)

    message = decide(NotificationLog(), one, snapshot(200, open_since=5))

    assert (message.id, message.kind, message.body) == (one.id, "opened", one.body)


@pytest.mark.parametrize(("now", "kind"), [(15, "opened"), (16, "missed")])
def test_an_episode_that_is_over_is_paged_up_to_ten_minutes_and_missed_after(now, kind):
    assert AGE_MAX_MS == 10 * MINUTE_MS

    message = decide(NotificationLog(), entry("opened", 5), snapshot(now))

    assert (message.id, message.kind) == (f"{episode(5)}.{kind}", kind)
    assert json.loads(message.body)["id"] == message.id


def test_no_message_is_reported_twice():
    log = log_with_opening()
    escalated = decide(log, entry("escalated", 5, 9), snapshot(9, open_since=5))
    report(log, escalated)

    assert decide(log, entry("opened", 5), snapshot(9, open_since=5)) is None
    assert decide(log, entry("escalated", 5, 9), snapshot(9, open_since=5)) is None


def test_an_episode_that_was_missed_has_no_end_for_people():
    log = report(NotificationLog(), decide(NotificationLog(), entry("opened", 5), snapshot(60)))

    assert decide(log, entry("opened", 5), snapshot(60)) is None
    assert decide(log, entry("resolved", 5, 40), snapshot(60)) is None


def test_an_episode_that_was_missed_and_goes_on_this_time_is_paged():
    log = report(NotificationLog(), decide(NotificationLog(), entry("opened", 5), snapshot(60)))

    assert decide(log, entry("opened", 5), snapshot(60, open_since=5)).kind == "opened"


def test_an_end_is_reported_however_old_and_a_reminder_only_while_it_goes_on():
    log = log_with_opening()

    assert decide(log, entry("resolved", 5, 40), snapshot(500)).kind == "resolved"
    assert decide(log, entry("reminder.1", 5, 40), snapshot(500)) is None
    assert decide(log, entry("reminder.1", 5, 40), snapshot(500, open_since=5)).id.endswith(".reminder.1")


def test_after_the_end_nothing_follows():
    log = log_with_opening()
    report(log, decide(log, entry("resolved", 5, 40), snapshot(40)))

    assert decide(log, entry("expired", 5, 41), snapshot(41)) is None
    assert decide(log, entry("escalated", 5, 41), snapshot(41)) is None


def test_an_episode_adopts_the_open_alert_and_its_end_is_the_alerts_end():
    # Given an alert, and the same episode a minute later in another life
    log = log_with_opening(5)
    again = decide(log, entry("opened", 6), snapshot(8, open_since=6))
    assert (again.id, again.again_for) == (f"{episode(5)}.opened", episode(6))
    assert again.body == log.latest.opened.body

    # When that ends
    end = decide(report(log, again), entry("resolved", 6, 40, score=1.5), snapshot(40))

    # Then the alert ends, under its own name
    body = json.loads(end.body)
    assert end.id == body["id"] == f"{episode(5)}.resolved"
    assert (body["episode"], body["opened"], body["minute"]) == (episode(5), instant(5), instant(40))
    assert body["score"] == 1.5


@pytest.mark.parametrize(("opened", "adopts"), [(39, True), (40, True), (41, False)])
def test_an_alert_that_is_over_is_adopted_up_to_the_minute_that_ended_it(opened, adopts):
    log = log_with_opening(5)
    report(log, decide(log, entry("resolved", 5, 40), snapshot(40)))

    message = decide(log, entry("opened", opened), snapshot(45, open_since=opened))

    assert (message.again_for is not None) is adopts


def test_a_withdrawn_alert_is_not_adopted():
    log = log_with_opening(5)
    report(log, withdrawal(log, snapshot(20)))

    assert decide(log, entry("opened", 6), snapshot(20, open_since=6)).id == f"{episode(6)}.opened"


def test_an_episode_does_not_adopt_an_alert_that_came_after_it():
    log = log_with_opening(30)

    message = decide(log, entry("opened", 5), snapshot(35, open_since=30), entry("resolved", 5, 20))

    assert message.kind == "missed"


def test_a_page_without_the_store_is_an_alert_of_its_own_and_the_alert_before_is_withdrawn():
    # Given an alert that an episode has adopted, and its page by a notifier that could not know
    log = log_with_opening(5)
    one = entry("opened", 6)
    report(log, decide(log, one, snapshot(8, open_since=6)))
    report(log, decide(NotificationLog(), one, snapshot(8, open_since=6)))

    # Then the episode goes on under its own name, and the other alert is withdrawn
    assert [alert.episode for alert in log.alerts] == [episode(5), episode(6)]
    assert log.alert_of(episode(6)) is log.latest
    end = withdrawal(log, snapshot(9, open_since=6))
    assert end.id == f"{episode(5)}.withdrawn"
    assert withdrawal(report(log, end), snapshot(9, open_since=6)) is None


def test_an_alert_whose_opening_is_logged_after_its_end_is_over():
    # Given an end that was sent while the store was away, and its opening, which was logged later
    before = log_with_opening(5)
    end = decide(before, entry("resolved", 5, 40), snapshot(40))

    log = report(NotificationLog(), end, before.latest.opened)

    assert log.latest.end == "resolved"
    assert decide(log, entry("resolved", 5, 41, score=2.0), snapshot(41)) is None
    assert withdrawal(log, snapshot(60)) is None


def test_an_open_alert_of_a_quiet_brand_is_withdrawn_once_its_opening_is_closed():
    log = log_with_opening(5)

    assert withdrawal(log, snapshot(8, closed=5)) is None  # its opening may still be evaluated
    assert withdrawal(log, snapshot(8, open_since=6)) is None  # it goes on, or another one adopts it
    end = withdrawal(log, snapshot(8, closed=7))
    assert (end.kind, json.loads(end.body)["minute"]) == ("withdrawn", instant(6))
    assert withdrawal(report(log, end), snapshot(9)) is None


def test_a_record_that_cannot_be_read_withdraws_nothing():
    broken = snapshot(8)._replace(episode_record="{")

    assert withdrawal(log_with_opening(5), broken) is None
    assert (
        decide(NotificationLog(), entry("opened", 5), broken._replace(now_ms=NOON + 60 * MINUTE_MS)).kind
        == "missed"
    )


def test_unreadable_entries_are_named_and_passed_over():
    good = entry("opened", 5)
    outbox = {good.id: good.body, "x": good.body, "y": "{", "z": "[]"}

    entries, unreadable = read_entries(outbox)

    assert ([one.id for one in entries["acme"]], sorted(unreadable)) == ([good.id], ["x", "y", "z"])


def test_a_notification_is_read_as_it_was_written_and_a_broken_one_is_named():
    notification = notification_of(decide(NotificationLog(), entry("opened", 5), snapshot(5)), 7)

    assert decode_notification("n", encode_notification(notification)) == notification
    assert list(json.loads(encode_notification(notification))) == [
        "v",
        "n",
        "id",
        "kind",
        "brand",
        "episode",
        "body",
    ]
    assert notification_name("k", 7) == "_alerts/k/00000007.json"
    for broken in (b"", b"{", b"{}", encode_notification(notification).replace(b'"v":1', b'"v":2')):
        with pytest.raises(Unreadable, match="the notification n"):
            decode_notification("n", broken)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["opened", "escalated", "reminder.1", "resolved", "expired", "withdraw"]),
            st.integers(0, 12),
            st.integers(0, 30),
        ),
        max_size=30,
    )
)
def test_whatever_closes_say_an_alert_has_one_opening_one_end_and_no_neighbour(steps):
    """Any entries of any lives in any order, with Redis open or quiet at random."""
    log = NotificationLog()
    for kind, opened, later in steps:
        seen = snapshot(opened + later, open_since=opened if later % 2 else None)
        if kind == "withdraw":
            message = withdrawal(log, seen)
        else:
            message = decide(log, entry(kind, opened, opened + later), seen)
        if message is not None:
            report(log, message)
            assert message.kind in KINDS
    assert [alert for alert in log.alerts[:-1] if alert.end is None] == []
    assert len({alert.episode for alert in log.alerts}) == len(log.alerts)
    ends = [
        name for name, _ in log.reported if name.rsplit(".", 1)[1] in ("resolved", "expired", "withdrawn")
    ]
    assert len(ends) == len({name.split(".")[0] for name in ends})

"""What is told next of a brand: pure decisions over its chain, its events and how Redis stands."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.alerting.notification_log import (
    KINDS,
    NotificationLog,
    decode_link,
    encode_link,
    key_of,
    link_name,
    link_of,
    read_events,
)
from stream_worker.core.alerting.policy import AGE_MAX_MS, BrandSnapshot, next_message, withdrawal
from stream_worker.errors import Unreadable

MINUTE_MS = 60_000
NOON = 1_763_812_800_000  # 2025-11-22 12:00 UTC


def instant(number):
    return f"{datetime.fromtimestamp(NOON / 1000 + number * 60, UTC):%Y-%m-%dT%H:%M:%SZ}"


def episode(opened):
    return f"{key_of('acme')}-{datetime.fromtimestamp(NOON / 1000 + opened * 60, UTC):%Y%m%dT%H%M}"


def event(kind, opened, at=None, **more):
    """An event of the episode that opened in a minute after noon, led to by minute `at`."""
    body = {
        "id": f"{episode(opened)}.{kind}",
        "kind": kind.split(".")[0],
        "episode": episode(opened),
        "brand": "acme",
        "opened": instant(opened),
        "minute": instant(opened if at is None else at),
        **more,
    }
    return read_events({body["id"]: json.dumps(body)})[0]["acme"][0]


def view(now, closed=None, open_since=None):
    """Redis at a minute after noon; closed up to now unless said; an episode is open since a minute."""
    record = None if open_since is None else json.dumps({"id": episode(open_since)})
    return BrandSnapshot(
        NOON + now * MINUTE_MS, NOON + (now if closed is None else closed) * MINUTE_MS, record
    )


def tell(chain, *messages):
    for message in messages:
        chain.take(link_of(message, chain.last + 1))
    return chain


def told(chain, one, seen, *others):
    return next_message(chain, one, [one, *others], seen)


def opened_chain(opened=5):
    return tell(
        NotificationLog(), told(NotificationLog(), event("opened", opened), view(opened, open_since=opened))
    )


def test_an_open_episode_is_paged_by_the_body_of_its_event():
    one = event("opened", 5)

    message = told(NotificationLog(), one, view(200, open_since=5))

    assert (message.id, message.kind, message.body) == (one.id, "opened", one.body)


@pytest.mark.parametrize(("now", "kind"), [(15, "opened"), (16, "missed")])
def test_what_is_over_is_paged_up_to_ten_minutes_and_missed_after(now, kind):
    assert AGE_MAX_MS == 10 * MINUTE_MS

    message = told(NotificationLog(), event("opened", 5), view(now))

    assert (message.id, message.kind) == (f"{episode(5)}.{kind}", kind)
    assert json.loads(message.body)["id"] == message.id


def test_nothing_is_told_twice():
    chain = opened_chain()
    escalated = told(chain, event("escalated", 5, 9), view(9, open_since=5))
    tell(chain, escalated)

    assert told(chain, event("opened", 5), view(9, open_since=5)) is None
    assert told(chain, event("escalated", 5, 9), view(9, open_since=5)) is None


def test_an_episode_that_was_missed_has_no_end_for_people():
    chain = tell(NotificationLog(), told(NotificationLog(), event("opened", 5), view(60)))

    assert told(chain, event("opened", 5), view(60)) is None
    assert told(chain, event("resolved", 5, 40), view(60)) is None


def test_an_episode_that_was_missed_and_goes_on_this_time_is_paged():
    chain = tell(NotificationLog(), told(NotificationLog(), event("opened", 5), view(60)))

    assert told(chain, event("opened", 5), view(60, open_since=5)).kind == "opened"


def test_an_end_is_told_however_old_and_a_reminder_only_while_it_goes_on():
    chain = opened_chain()

    assert told(chain, event("resolved", 5, 40), view(500)).kind == "resolved"
    assert told(chain, event("reminder.1", 5, 40), view(500)) is None
    assert told(chain, event("reminder.1", 5, 40), view(500, open_since=5)).id.endswith(".reminder.1")


def test_after_the_end_nothing_follows():
    chain = opened_chain()
    tell(chain, told(chain, event("resolved", 5, 40), view(40)))

    assert told(chain, event("expired", 5, 41), view(41)) is None
    assert told(chain, event("escalated", 5, 41), view(41)) is None


def test_an_episode_adopts_the_open_alert_and_its_end_is_the_alerts_end():
    # Given an alert, and the same episode a minute later in another life
    chain = opened_chain(5)
    again = told(chain, event("opened", 6), view(8, open_since=6))
    assert (again.id, again.again_for) == (f"{episode(5)}.opened", episode(6))
    assert again.body == chain.latest.opened.body

    # When that ends
    end = told(tell(chain, again), event("resolved", 6, 40, score=1.5), view(40))

    # Then the alert ends, under its own name
    body = json.loads(end.body)
    assert end.id == body["id"] == f"{episode(5)}.resolved"
    assert (body["episode"], body["opened"], body["minute"]) == (episode(5), instant(5), instant(40))
    assert body["score"] == 1.5


@pytest.mark.parametrize(("opened", "adopts"), [(39, True), (40, True), (41, False)])
def test_an_alert_that_is_over_is_adopted_up_to_the_minute_that_ended_it(opened, adopts):
    chain = opened_chain(5)
    tell(chain, told(chain, event("resolved", 5, 40), view(40)))

    message = told(chain, event("opened", opened), view(45, open_since=opened))

    assert (message.again_for is not None) is adopts


def test_what_was_taken_back_is_not_adopted():
    chain = opened_chain(5)
    tell(chain, withdrawal(chain, view(20)))

    assert told(chain, event("opened", 6), view(20, open_since=6)).id == f"{episode(6)}.opened"


def test_an_episode_does_not_adopt_an_alert_that_came_after_it():
    chain = opened_chain(30)

    message = told(chain, event("opened", 5), view(35, open_since=30), event("resolved", 5, 20))

    assert message.kind == "missed"


def test_what_was_paged_without_the_store_is_an_alert_of_its_own_and_the_one_before_is_taken_back():
    # Given an alert that an episode has adopted, and the page of the same episode by one who did not know
    chain = opened_chain(5)
    one = event("opened", 6)
    tell(chain, told(chain, one, view(8, open_since=6)))
    tell(chain, told(NotificationLog(), one, view(8, open_since=6)))

    # Then the episode goes on under its own name, and the other alert is taken back
    assert [alert.episode for alert in chain.alerts] == [episode(5), episode(6)]
    assert chain.alert_of(episode(6)) is chain.latest
    end = withdrawal(chain, view(9, open_since=6))
    assert end.id == f"{episode(5)}.withdrawn"
    assert withdrawal(tell(chain, end), view(9, open_since=6)) is None


def test_an_alert_whose_opening_is_linked_after_its_end_is_over():
    # Given an end that was told while the store was away, and its opening, which got its link later
    told_before = opened_chain(5)
    end = told(told_before, event("resolved", 5, 40), view(40))

    chain = tell(NotificationLog(), end, told_before.latest.opened)

    assert chain.latest.end == "resolved"
    assert told(chain, event("resolved", 5, 41, score=2.0), view(41)) is None
    assert withdrawal(chain, view(60)) is None


def test_an_open_alert_of_a_quiet_brand_is_withdrawn_once_its_opening_is_closed():
    chain = opened_chain(5)

    assert withdrawal(chain, view(8, closed=5)) is None  # its opening may still be judged
    assert withdrawal(chain, view(8, open_since=6)) is None  # it goes on, or another one adopts it
    end = withdrawal(chain, view(8, closed=7))
    assert (end.kind, json.loads(end.body)["minute"]) == ("withdrawn", instant(6))
    assert withdrawal(tell(chain, end), view(9)) is None


def test_a_record_that_cannot_be_read_withdraws_nothing():
    broken = view(8)._replace(record="{")

    assert withdrawal(opened_chain(5), broken) is None
    assert (
        told(NotificationLog(), event("opened", 5), broken._replace(now_ms=NOON + 60 * MINUTE_MS)).kind
        == "missed"
    )


def test_entries_that_are_none_of_ours_are_named_and_passed_over():
    good = event("opened", 5)
    outbox = {good.id: good.body, "x": good.body, "y": "{", "z": "[]"}

    events, unreadable = read_events(outbox)

    assert ([one.id for one in events["acme"]], sorted(unreadable)) == ([good.id], ["x", "y", "z"])


def test_a_link_is_read_as_it_was_written_and_a_broken_one_is_named():
    link = link_of(told(NotificationLog(), event("opened", 5), view(5)), 7)

    assert decode_link("n", encode_link(link)) == link
    assert list(json.loads(encode_link(link))) == ["v", "n", "id", "kind", "brand", "episode", "body"]
    assert link_name("k", 7) == "_alerts/k/00000007.json"
    for broken in (b"", b"{", b"{}", encode_link(link).replace(b'"v":1', b'"v":2')):
        with pytest.raises(Unreadable, match="the link n"):
            decode_link("n", broken)


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
    """Any events of any lives in any order, with Redis open or quiet at random."""
    chain = NotificationLog()
    for kind, opened, later in steps:
        seen = view(opened + later, open_since=opened if later % 2 else None)
        if kind == "withdraw":
            message = withdrawal(chain, seen)
        else:
            message = told(chain, event(kind, opened, opened + later), seen)
        if message is not None:
            tell(chain, message)
            assert message.kind in KINDS
    assert [alert for alert in chain.alerts[:-1] if alert.end is None] == []
    assert len({alert.episode for alert in chain.alerts}) == len(chain.alerts)
    ends = [name for name, _ in chain.told if name.rsplit(".", 1)[1] in ("resolved", "expired", "withdrawn")]
    assert len(ends) == len({name.split(".")[0] for name in ends})

"""Directed histories of the notifier; chance finds some of them rarely or never."""

import json
from contextlib import ExitStack

import pytest

from tests.simulation.world.notifier_stage import BRAND, NotifierStage, minute


@pytest.fixture
def it():
    """A stage with one brand, and every minute closed as it ends."""
    with ExitStack() as stack:
        made = NotifierStage()
        stack.enter_context(made.world.clock())
        yield made


def test_an_episode_is_paged_at_once_and_resolved_once(it):
    # Given a spike of ten minutes
    it.spike((5, 15))
    notifier = it.notifier()

    # When everything goes well
    it.run(notifier, minutes=30)

    # Then people were notified of its beginning, that it goes on, and its end
    assert it.received() == [f"{minute(5)}.{kind}" for kind in ("opened", "escalated", "resolved")]
    it.calm()


def test_a_notifier_that_sleeps_before_its_write_over_a_rollback_decides_again(it):
    # Given a notifier that has decided to page, and fell asleep before it created the notification
    before = it.snapshot()
    it.spike((5, 30))
    sleeper, other = it.notifier(), it.notifier()

    def meanwhile():
        # When Redis goes back, the episode opens a minute later, and somebody else pages that
        it.go_back(before, (6, 30))
        it.run(other, minutes=2)

    it.while_frozen("create notification", meanwhile)
    it.run(sleeper, minutes=8)

    # Then the refused notification is given up, and one alert stands for both
    assert it.notifications()[0] == f"{minute(6)}.opened"
    assert [name for name in it.received() if name.endswith("opened")] == [f"{minute(6)}.opened"]
    it.calm()


def test_a_notification_that_lands_after_its_episode_is_gone_is_sent_and_withdrawn(it):
    # Given a notifier that fell asleep before it created the notification
    before = it.snapshot()
    it.spike((5, 30))
    sleeper = it.notifier()

    # When Redis goes back and nothing spikes this time
    it.while_frozen("create notification", lambda: (it.go_back(before), it.run(minutes=5)))
    it.run(sleeper, minutes=12)

    # Then people get the page, and its withdrawal
    assert it.received() == [f"{minute(5)}.opened", f"{minute(5)}.withdrawn"]
    it.calm()


def test_the_body_in_the_notification_log_is_sent_whatever_the_outbox_holds_by_then(it):
    # Given a notifier that died between the notification and the first attempt
    before = it.snapshot()
    it.spike((5, 30))
    dead = it.notifier()
    it.fail("send", "kill_before")
    it.run(dead, minutes=7)
    assert it.notifications() == [f"{minute(5)}.opened"]
    assert not it.received()

    # When Redis goes back, and the same episode is found with other words
    it.go_back(before, (5, 30))
    it.run(it.notifier(), minutes=2)

    # Then the words of the notification are sent
    notification = it.world.oracle.accounts[BRAND].notifications[0]
    assert it.world.oracle.received[notification["id"]] == notification["body"]
    assert json.loads(notification["body"])["score"] == 10
    it.calm()


def test_an_episode_adopts_the_alert_of_a_time_that_redis_has_left(it):
    # Given an episode that was paged
    before = it.snapshot()
    it.spike((5, 20))
    notifier = it.notifier()
    it.run(notifier, minutes=8)

    # When Redis goes back, and it opens two minutes later this time
    it.go_back(before, (7, 20))
    it.run(notifier, minutes=25)

    # Then nobody is paged twice, and its end is the end of that alert
    assert f"{minute(5)}.opened for {minute(7)}" in it.notifications()
    assert [name for name in it.received() if "escalated" not in name] == [
        f"{minute(5)}.opened",
        f"{minute(5)}.resolved",
    ]
    it.calm()


def test_an_old_episode_does_not_adopt_the_alert_that_came_after_it(it):
    # Given two episodes, the first one over and reported, the second one open
    before = it.snapshot()
    it.spike((5, 8), (20, 60))
    notifier = it.notifier()
    it.run(notifier, minutes=24)

    # When Redis goes back, and the first one opens a minute later, the second one as before
    it.go_back(before, (6, 8), (20, 60))
    it.run(notifier, minutes=2)

    # Then the first one stands for the first one, and the second alert stays open
    assert f"{minute(5)}.opened for {minute(6)}" in it.notifications()
    assert f"{minute(20)}.resolved" not in it.received()
    it.calm()


def test_an_alert_without_an_episode_in_redis_is_withdrawn_once(it):
    # Given an episode that was paged
    before = it.snapshot()
    it.spike((5, 20))
    notifier = it.notifier()
    it.run(notifier, minutes=8)

    # When Redis goes back, and nothing spikes this time
    it.go_back(before)
    it.workers = False
    it.run(notifier, minutes=3)
    assert it.received() == [f"{minute(5)}.opened"]  # not before closes are past its opening
    it.workers = True
    it.run(notifier, it.notifier(), minutes=20)

    # Then people get one withdrawal
    assert it.received() == [f"{minute(5)}.opened", f"{minute(5)}.withdrawn"]
    it.calm()


def test_an_episode_that_was_over_before_a_notifier_ran_is_recorded_and_not_paged(it):
    # Given an episode that came and went while no notifier ran
    it.spike((5, 8))
    it.run(minutes=40)

    # When one starts
    it.run(it.notifier(), minutes=2)

    # Then it is in the notification log, and nobody was woken
    assert it.notifications() == [f"{minute(5)}.missed"]
    assert not it.received()
    it.calm()


def test_an_open_episode_is_paged_however_late(it):
    it.spike((5, 60))
    it.run(minutes=25)

    it.run(it.notifier(), minutes=1)

    assert it.received()[0] == f"{minute(5)}.opened"
    it.calm()


def test_workers_that_catch_up_page_nothing_before_they_are_near_now(it):
    # Given workers that were away for an hour, and are in the middle of it
    it.spike((5, 25))
    notifier = it.notifier()
    it.workers = False
    it.run(notifier, minutes=60, step_ms=60_000)
    it.world.closer.close(10)
    it.run(notifier, minutes=1)
    assert not it.notifications()

    # When they have caught up
    it.workers = True
    it.run(notifier, minutes=1)

    # Then the episode is known to be over
    assert it.notifications() == [f"{minute(5)}.missed"]
    it.calm()


def test_with_the_store_away_a_page_goes_out_after_a_minute_and_is_logged_later(it):
    # Given the store away, and an episode that opens
    it.spike((5, 60))
    notifier = it.notifier()
    it.run(notifier, minutes=5)
    it.away("store", minutes=20)

    # When a minute has passed since the notifier first missed it
    it.run(notifier, minutes=1.5)
    assert not it.received()
    it.run(notifier, minutes=2)

    # Then people know, and the notification log holds it when the store is back
    assert it.received() == [f"{minute(5)}.opened"]
    assert not it.notifications()
    it.run(notifier, minutes=25)
    assert it.notifications()[0] == f"{minute(5)}.opened"
    assert it.world.bites["message frozen"]
    it.calm()


def test_a_page_without_the_store_is_never_recorded_as_missed(it):
    # Given a page that went out while the store was away, by a notifier that died
    it.spike((5, 8))
    notifier = it.notifier()
    it.run(notifier, minutes=5)
    it.away("store", minutes=40)
    it.run(notifier, minutes=10)
    assert it.received()[0] == f"{minute(5)}.opened"
    it.world.kill(notifier)

    # When the store is back long after the episode
    it.run(minutes=40, step_ms=60_000)
    it.run(it.notifier(), minutes=2)

    # Then the notification log holds the page
    assert it.notifications()[0] == f"{minute(5)}.opened"
    it.calm()


def test_a_page_without_the_store_is_logged_even_if_redis_forgets_it(it):
    # Given a page that went out while the store was away
    it.spike((5, 60))
    notifier = it.notifier()
    it.run(notifier, minutes=5)
    before = it.snapshot()
    it.away("store", minutes=10)
    it.run(notifier, minutes=5)
    assert it.received() == [f"{minute(5)}.opened"]

    # When Redis goes back before it, and nothing spikes this time
    it.go_back(before)
    it.run(notifier, minutes=20)

    # Then the notification log holds the page, and people get its withdrawal
    assert it.notifications() == it.received() == [f"{minute(5)}.opened", f"{minute(5)}.withdrawn"]
    it.calm()


def test_without_the_store_nothing_is_decided_on_a_log_that_others_extended(it):
    # Given a notifier that stood still while another one reported the end of an episode
    it.spike((5, 10), (40, 80))
    sleeper, other = it.notifier(), it.notifier()
    it.run(sleeper, minutes=8)
    it.run(other, minutes=30)
    assert it.received()[-1] == f"{minute(5)}.resolved"
    it.world.kill(other)

    # When it wakes up and the store is away
    it.away("store", minutes=20)
    it.run(sleeper, minutes=20)

    # Then the next episode is paged as its own
    assert it.received()[3:5] == [f"{minute(40)}.opened", f"{minute(40)}.escalated"]
    it.calm()


def test_a_logged_message_that_is_sent_again_without_the_store_is_logged_once(it):
    # Given a page that was logged and sent, and an entry that nobody could remove yet
    it.spike((5, 60))
    first, second = it.notifier(), it.notifier()
    it.fail("remove", *["lost_request"] * 100)
    it.run(first, minutes=7)
    it.run(second, minutes=1)
    assert it.notifications() == it.received() == [f"{minute(5)}.opened"]
    assert it.world.redis.outbox

    # When the first one goes on without the store, and cannot know the work of the second one
    it.world.kill(second)
    it.world.planned.clear()
    it.away("store", minutes=10)
    it.run(first, minutes=9)
    assert it.world.bites["message frozen"]

    # Then nothing is left when the store is back, and the log has the page once
    it.calm()
    assert it.notifications()[0] == f"{minute(5)}.opened"
    assert it.notifications().count(f"{minute(5)}.opened") == 1


def test_a_notification_of_a_dead_notifier_is_found_and_sent(it):
    # Given a request for a notification that was under way when its sender died, and Redis gone back since
    before = it.snapshot()
    it.spike((5, 30))
    dead = it.notifier()
    it.fail("create notification", "late_and_kill")
    it.run(dead, minutes=7)
    it.go_back(before)
    living = it.notifier()
    it.run(living, minutes=3)

    # When it arrives
    it.world.deliver()
    it.run(living, minutes=15)

    # Then people get the page, and its withdrawal
    assert it.received() == [f"{minute(5)}.opened", f"{minute(5)}.withdrawn"]
    it.calm()


def test_an_entry_is_not_removed_for_its_state_in_another_life(it):
    # Given an episode that was over before a notifier ran
    it.spike((5, 8))
    it.run(minutes=6)
    before = it.snapshot()
    it.run(minutes=30)
    sleeper = it.notifier()

    def meanwhile():
        # When the notifier sleeps before it removes the entry, and this time it goes on
        it.go_back(before, (5, 90))
        it.run(minutes=1)

    it.while_frozen("remove", meanwhile)
    it.run(sleeper, minutes=2)

    # Then it is paged after all
    assert it.notifications()[:2] == [f"{minute(5)}.missed", f"{minute(5)}.opened"]
    assert it.received()[0] == f"{minute(5)}.opened"
    it.calm()

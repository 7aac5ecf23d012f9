"""Chains of alerts and their receipts, in memory, in a folder and in a bucket."""

import json

import pytest

from stream_worker.adapters.object_store.notification_log import NOTIFICATIONS_MAX, StoredNotificationLogs
from stream_worker.adapters.object_store.objects import Objects
from stream_worker.core.alerting.notification_log import Message, Receipt, key_of, notification_of
from stream_worker.core.archive.layout import notification_name
from stream_worker.errors import Unreadable
from tests.unit.channels.receivers import body_of

KEY = key_of("Bär")
RECEIPT = Receipt(id="x", at_ms=1, channels={"webhook": "delivered"})


def link(n, name="opened"):
    body = body_of(name)
    told = json.loads(body)
    return notification_of(
        Message(id=told["id"], kind=told["kind"], brand=told["brand"], episode=told["episode"], body=body), n
    )


@pytest.fixture
def chains(store):
    return StoredNotificationLogs(store)


def test_nothing_is_there_at_first(chains):
    assert chains.list_logs() == ({}, set())
    assert chains.read(KEY, 0) == ([], [])


def test_a_link_is_created_once_and_stays(chains):
    assert chains.create(KEY, link(1))
    assert not chains.create(KEY, link(1, "resolved"))

    assert chains.read(KEY, 0) == ([link(1)], [])


def test_links_are_read_in_order_behind_one(chains):
    for n in (1, 2, 3):
        chains.create(KEY, link(n, f"reminder.{n}"))

    links, _ = chains.read(KEY, 1)

    assert [one.n for one in links] == [2, 3]


def test_the_list_says_how_far_chains_go_and_which_want_a_receipt(chains):
    # Given two chains, one of them with all its receipts
    for n in (1, 2):
        chains.create(KEY, link(n))
    chains.create("0" * 16, link(1))
    chains.write_receipt(KEY, 1, RECEIPT)
    assert chains.list_logs() == ({KEY: 2, "0" * 16: 1}, {KEY, "0" * 16})

    # When the last link gets its own, twice
    chains.write_receipt(KEY, 2, RECEIPT)
    chains.write_receipt(KEY, 2, RECEIPT)

    # Then only the other chain wants one
    assert chains.list_logs() == ({KEY: 2, "0" * 16: 1}, {"0" * 16})
    assert sorted(chains.read(KEY, 0)[1]) == [1, 2]


def test_a_link_that_cannot_be_read_is_named(chains, store):
    Objects(store).create(notification_name(KEY, 1), b"{")

    with pytest.raises(Unreadable, match=notification_name(KEY, 1)):
        chains.read(KEY, 0)


def test_only_the_newest_links_of_a_long_chain_are_read():
    from stream_worker.adapters.object_store.objects import open_store

    chains = StoredNotificationLogs(open_store("memory:///"))
    for n in range(1, NOTIFICATIONS_MAX + 10):
        chains.create(KEY, link(n, f"reminder.{n}"))

    links, _ = chains.read(KEY, 0)

    assert [links[0].n, links[-1].n, len(links)] == [10, NOTIFICATIONS_MAX + 9, NOTIFICATIONS_MAX]

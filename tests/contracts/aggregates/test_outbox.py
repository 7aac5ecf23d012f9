"""The notifier's side of the rolling picture: the same contract in memory, on Redis and on Valkey."""

import json

import pytest

from stream_worker.adapters.redis.keys import Limit
from stream_worker.adapters.redis.outbox import RedisOutbox
from stream_worker.core.aggregates.damage import Damage
from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.alerting.notification_log import Message, read_entries
from tests.contracts.aggregates.worlds import CLOCK, NOON, Feeder, MemoryWorld, close_call, minute
from tests.fakes.redis_outbox import MemoryOutbox

BRAND = "Bär:1"
EPISODE = "0123456789abcdef-20251122T1200"
RECORD = json.dumps({"id": EPISODE, "opened_ms": NOON, "peak_score": 12.0})


@pytest.fixture
def outbox(world):
    if isinstance(world, MemoryWorld):
        yield MemoryOutbox(lambda: world.now_ms, world.state)
    else:
        made = RedisOutbox(world.url, prefix=world.prefix, clock=CLOCK)
        yield made
        made._client.close()


def body_of(name="opened", brand=BRAND, episode=EPISODE, **more):
    told = {"id": f"{episode}.{name}", "kind": name.split(".")[0], "episode": episode, "brand": brand}
    times = {"opened": "2025-11-22T12:00:00Z", "minute": "2025-11-22T12:00:00Z"}
    return json.dumps(told | times | more, ensure_ascii=False)


def put(world, *bodies, brand=BRAND, record=RECORD):
    """Close a minute with these entries, as a worker does."""
    aggregates = world.aggregates()
    feeder = Feeder(aggregates)
    feeder.apply((NOON, brand, 3), wm=minute(1))
    feeder.seal()
    shard = aggregates.shard(shard_of(brand))
    entries = {json.loads(body)["id"]: body for body in bodies}
    assert aggregates.close(
        close_call(shard, aggregates.next_sealed(NOON), episodes={brand: record}, outbox=entries)
    )


def event(outbox, name=f"{EPISODE}.opened"):
    events, _ = read_entries(outbox.read([]).outbox)
    return next(one for entries in events.values() for one in entries if one.id == name)


def message_of(one):
    return Message(id=one.id, kind=one.kind, brand=one.brand, episode=one.episode, body=one.body)


def test_a_look_says_what_waits_and_how_its_brands_stand(world, outbox):
    # Given an entry of one brand
    put(world, body_of())

    # When somebody looks, and asks for a quiet brand too
    look = outbox.read(["quiet"])

    # Then both views are of the same moment
    assert look.now_ms == world.now_ms
    assert look.outbox == {f"{EPISODE}.opened": body_of()}
    assert look.frozen == {}
    assert look.brands[BRAND] == (world.now_ms, minute(1), RECORD)
    assert look.brands["quiet"] == (world.now_ms, -1, None)


def test_a_look_at_nothing_says_nothing(outbox):
    look = outbox.read([])

    assert (look.outbox, look.frozen, look.brands) == ({}, {}, {})


def test_the_first_message_that_is_fixed_stays(world, outbox):
    # Given an entry, and a message that was fixed for it
    put(world, body_of())
    one = event(outbox)
    first = message_of(one)
    assert outbox.freeze(one, first) == first

    # When somebody else fixes another one
    other = Message(id="x", kind="opened", brand=BRAND, episode="x", body=body_of(id="x"), again_for=EPISODE)

    # Then he gets the first
    assert outbox.freeze(one, other) == first
    assert outbox.read([]).frozen == {one.id: first}


def test_nothing_is_fixed_for_an_entry_that_is_not_what_was_read(world, outbox):
    put(world, body_of())
    one = event(outbox)._replace(body=body_of(score=1))

    assert outbox.freeze(one, message_of(one)) is None
    assert outbox.read([]).frozen == {}


def test_an_entry_leaves_with_what_was_fixed_for_it(world, outbox):
    # Given two entries, one of them fixed
    put(world, body_of(), body_of("escalated"))
    one = event(outbox)
    outbox.freeze(one, message_of(one))

    # When it is removed, twice
    outbox.remove(one, RECORD)
    outbox.remove(one, RECORD)

    # Then the other one stays
    look = outbox.read([])
    assert list(look.outbox) == [f"{EPISODE}.escalated"]
    assert look.frozen == {}


@pytest.mark.parametrize(
    ("more", "record"), [({"body": body_of(score=1)}, RECORD), ({}, None), ({}, RECORD + " ")]
)
def test_an_entry_stays_when_it_or_the_record_is_not_what_was_read(world, outbox, more, record):
    put(world, body_of())
    one = event(outbox)

    outbox.remove(one._replace(**more), record)

    assert list(outbox.read([]).outbox) == [one.id]


def test_an_entry_of_a_quiet_brand_is_removed_while_it_is_quiet(world, outbox):
    put(world, body_of(), record=None)
    one = event(outbox)

    outbox.remove(one, None)

    assert outbox.read([]).outbox == {}


def test_people_see_messages_in_their_order(world, outbox):
    # Given two messages
    put(world, body_of(), body_of("resolved"))
    for name in (f"{EPISODE}.opened", f"{EPISODE}.resolved"):
        outbox.publish(message_of(event(outbox, name)))

    # Then the stream has them
    assert world.dump()["alerts"] == [
        {"id": f"{EPISODE}.opened", "body": body_of()},
        {"id": f"{EPISODE}.resolved", "body": body_of("resolved")},
    ]


def test_a_notifier_is_no_sign_of_the_workers(world, outbox):
    # Given a group that worked last a while ago
    put(world, body_of())
    before = world.dump()["ctl"]
    world.advance(20_000)

    # When a notifier looks, fixes, removes, shows and takes its lease
    one = event(outbox)
    outbox.freeze(one, message_of(one))
    outbox.publish(message_of(one))
    outbox.lease("notifier", "n1", 5_000)
    outbox.remove(one, RECORD)

    # Then nothing says that a script of theirs ran
    assert world.dump()["ctl"] == before


def test_one_notifier_at_a_time_has_the_lease(world, outbox):
    assert outbox.lease("notifier", "n1", 5_000)
    assert outbox.lease("notifier", "n1", 5_000)
    assert not outbox.lease("notifier", "n2", 5_000)


def test_a_long_outbox_is_read_by_whole_brands(redis_server, redis_prefix):
    # Given more entries than one look may bring, nine of each brand
    outbox = RedisOutbox(redis_server.url, prefix=redis_prefix)
    names = ["opened", *(f"reminder.{count}" for count in range(8))]
    with redis_server.client() as client:
        for number in range(Limit.OUTBOX_ENTRIES // 9 + 5):
            episode = f"{number:016x}-20251122T1200"
            entries = {f"{episode}.{name}": body_of(name, f"b{number}", episode) for name in names}
            client.hset(f"{redis_prefix}:outbox", mapping=entries)

    # When somebody looks
    look = outbox.read([])

    # Then no brand is cut in two
    entries, unreadable = read_entries(look.outbox)
    assert not unreadable
    assert {len(of_brand) for of_brand in entries.values()} == {9}
    assert Limit.OUTBOX_ENTRIES - 9 < len(look.outbox) <= Limit.OUTBOX_ENTRIES
    outbox._client.close()


# Damage


def test_a_brand_with_a_damaged_frozen_message_is_left_out_and_named(world, outbox):
    # Given entries of two brands, and a frozen message of one that became rubbish
    put(world, body_of(), body_of(brand="other", episode="fedcba9876543210-20251122T1200"))
    first = event(outbox)
    outbox.freeze(first, message_of(first))
    world.damage("fixed", first.id)

    snapshot = outbox.read([])

    # Then nothing is decided about that brand, and its entry stays
    assert snapshot.damaged == (Damage("outbox", "fixed", first.id),)
    assert set(snapshot.brands) == {"other"}
    assert set(snapshot.outbox) == {first.id, "fedcba9876543210-20251122T1200.opened"}


def test_the_brands_of_a_damaged_shard_are_left_out_and_named(world, outbox):
    other = next(name for name in ("a", "b", "c") if shard_of(name) != shard_of(BRAND))
    put(world, body_of())
    world.damage(f"shard:{shard_of(BRAND)}", "closed")

    snapshot = outbox.read([other])

    assert snapshot.damaged == (Damage("shard", f"shard:{shard_of(BRAND)}", "closed"),)
    assert set(snapshot.brands) == {other}

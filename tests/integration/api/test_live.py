"""The live feed: snapshot, changes, resume, limits, and a Redis that goes away and comes back."""

import asyncio
import secrets
import time

import pytest

from stream_worker.api.live_feed import QUEUE_MAX, Client, FeedEvent
from stream_worker.api.redis_reader import RedisReader
from stream_worker.api.schemas import Brand, Brands, Freshness
from stream_worker.api.snapshot import id_key
from tests.integration.api.conftest import served, wait_for
from tests.integration.api.scene import Scene, brand

SMALL = {"acme": brand(40, 0.3, 0.3), "globex": brand(40, 0.2, 0.4)}


def test_a_client_gets_a_snapshot_first_and_then_what_changes(api, scene):
    with api.listen() as events:
        # When it connects, the first event is all there is
        first = events.next()
        assert first.name == "snapshot"
        Brands.model_validate(first.data, extra="forbid")
        before = {row["brand"]: row["mentions"] for row in first.data["brands"]}
        assert events.next("alerts").data["open"] == 1

        # And when mentions are counted, those brands come with their newest minutes
        scene.live(share=0.5)
        while True:  # a change of before may come first, and be of no brand that is there
            changed = events.next("changed")
            Freshness.model_validate(changed.data["freshness"], extra="forbid")
            rows = {row["brand"]: row for row in changed.data["brands"]}
            if "Fennmark" in rows and rows["Fennmark"]["mentions"] != before["Fennmark"]:
                break
        assert set(rows) == set(scene.town)
        for row in rows.values():
            Brand.model_validate(row, extra="forbid")
            assert len(row["last_hour"]["mentions"]) == 4


def test_a_snapshot_holds_what_a_notice_announced_however_young_the_last_one_is(redis_server, redis_prefix):
    # Given a snapshot that was taken just before mentions were counted
    scene = Scene(redis_server.url, redis_prefix, SMALL).play(4)

    async def both():
        reader = RedisReader(
            redis_server.url, "redis", prefix=redis_prefix, lateness_ms=30_000, socket_timeout_s=5.0
        )
        before = await reader.snapshot()
        scene.live(share=0.5)
        (*_, notice) = await reader.changes(before.revision, wait=False)

        # When one is needed for the notice of that
        after = await reader.snapshot(notice.id)
        await reader.close()
        return before, notice, after

    before, notice, after = asyncio.run(both())

    # Then it is not the one that is kept for a moment: a client would be shown it under the notice's id
    assert id_key(before.revision) < id_key(notice.id) <= id_key(after.revision)
    scene.aggregates._client.close()


def test_a_client_chooses_its_window(api, scene):
    with api.listen("/api/v1/live?window=1h") as events:
        assert events.next("snapshot").data["window"] == "1h"
        scene.live()
        while not (rows := events.next("changed").data["brands"]):
            pass  # a change of before may come first, and be of no brand that is there
        assert {row["window"] for row in rows} == {"1h"}


def test_with_its_last_id_a_client_goes_on_where_it_was(api, scene):
    # Given a client that left, and changes of one brand since
    newest = scene.aggregates._client.xrevrange(f"{scene.prefix}:changes", count=1)[0][0]
    wait_for(lambda: api.ask("/api/v1/brands").json["revision"] == newest)
    with api.listen() as events:
        events.next("snapshot")
    last_id = events.last_id
    scene.aggregates.publish_change("counted", [scene.now_minute], ["Fennmark"])

    # When it comes back with its last id, by header as browsers do or in the address
    for how in ({"Last_Event_ID": last_id}, {}):
        address = "/api/v1/live" if how else f"/api/v1/live?after={last_id}"
        with api.listen(address, **how) as events:
            first = events.next()

        # Then it gets what changed since, and no snapshot
        assert first.name == "changed"
        assert [row["brand"] for row in first.data["brands"]] == ["Fennmark"]
        assert first.id > last_id


@pytest.mark.parametrize("last_id", ["1-0", "99999999999999-0", "no id", "0-0", "-", "1795383892419"])
def test_an_id_that_nobody_knows_gets_a_snapshot(api, last_id):
    with api.listen(Last_Event_ID=last_id) as events:
        assert events.next().name == "snapshot"


def test_the_feed_says_how_fresh_it_is_although_nothing_happens(api):
    with api.listen() as events:
        events.next("snapshot")
        assert events.next("freshness").data["behind_s"] is not None
    assert events.headers["content-type"].startswith("text/event-stream")
    assert events.headers["cache-control"] == "no-cache"


def test_a_further_client_is_told_to_come_later(api):
    wait_for(lambda: api.feed.clients == 0)
    places = [api.listen() for _ in range(6)]  # api.clients_max
    for place in places:
        place.__enter__().next("snapshot")

    answer = api.ask("/api/v1/live")

    assert answer.status == 503
    assert answer.headers["retry-after"]
    assert "clients_max" in answer.json["detail"]

    # And when one leaves, its place is free again
    for place in places:
        place.__exit__(None, None, None)
    wait_for(lambda: api.feed.clients == 0)
    with api.listen() as events:
        events.next("snapshot")


def test_a_client_that_does_not_keep_up_loses_its_queue_and_asks_for_a_snapshot():
    client = Client("15m")
    for number in range(QUEUE_MAX):
        client.put(FeedEvent("changed", "{}", f"1-{number}"))
    assert client.waiting.qsize() == QUEUE_MAX

    client.put(FeedEvent("changed", "{}", "2-0"))

    assert client.waiting.qsize() == 1
    assert client.waiting.get_nowait() is None


def test_redis_away_is_said_and_nothing_is_lost_when_it_is_back(private_redis):
    # Given a feed that runs
    server = private_redis(keep=True)
    scene = Scene(server.url, town=SMALL).play(4)
    with (
        served(redis__url=server.url, redis__socket_timeout="500ms") as api,
        api.listen() as events,
    ):
        events.next("snapshot")

        # When Redis is killed
        server.child.kill()

        # Then the feed says so, and questions are problems that say when to come again
        stale = events.next("stale")
        assert stale.data["why"] == "redis"
        assert stale.data["as_of"]
        answer = api.ask("/api/v1/brands")
        assert (answer.status, answer.json["status"], answer.headers["retry-after"]) == (503, 503, "2")
        assert "redis.url" in answer.json["detail"]
        wait_for(lambda: api.ask("/readyz").status == 503)  # a look is kept for a moment
        assert (api.ask("/").status, api.ask("/livez").status) == (200, 200)

        # And when it is back, everybody gets a snapshot
        server.child.start()
        assert {row["brand"] for row in events.next("snapshot").data["brands"]} == set(SMALL)
    scene.aggregates._client.close()


def test_a_redis_that_went_back_in_time_gives_a_snapshot(redis_server):
    # Given a client that has seen changes
    prefix = f"{{t{secrets.token_hex(6)}}}"
    scene = Scene(redis_server.url, prefix, SMALL).play(4)
    with (
        redis_server.client() as client,
        served(redis__url=redis_server.url, redis__prefix=prefix) as api,
        api.listen() as events,
    ):
        events.next("snapshot")

        # When the stream of changes is gone
        client.delete(f"{prefix}:changes")

        # Then a snapshot comes by itself, and changes after it
        assert events.next("snapshot").id == "0-0"
        scene.live()
        assert events.next("changed").data["brands"]
        for key in client.scan_iter(f"{prefix}*", count=1000):
            client.delete(key)
    scene.aggregates._client.close()


def test_feeds_end_in_order_when_the_server_stops(redis_server):
    with served(redis__url=redis_server.url) as api, api.listen() as events:
        events.next("snapshot")
        begun_s = time.monotonic()
        api.serving.stop()
        wait_for(lambda: not api.serving.server.servers or api.feed.clients == 0)
        assert time.monotonic() - begun_s < 3

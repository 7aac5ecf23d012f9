"""Damaged fields in Redis: their brand is shown as a data problem, and every other answer is as before."""

import secrets

import pytest

from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.time import HOUR_MS
from tests.integration.api.conftest import served, wait_for
from tests.integration.api.scene import MINUTE_MS, Scene, brand

NAMES = ["episode", "history", "count", "fine"]
PATHS = ["/api/v1/brands", "/api/v1/brands?window=24h", "/api/v1/alerts", "/api/v1/pipeline", "/"]
PATHS_OF_A_BRAND = ["/api/v1/brands/{}", "/api/v1/brands/{}?window=1h", "/api/v1/brands/{}/minutes?span=1h"]


@pytest.fixture
def scene(redis_server):
    prefix = f"{{t{secrets.token_hex(6)}}}"
    made = Scene(redis_server.url, prefix, {name: brand(30, 0.3, 0.3) for name in NAMES}).play(20)
    made.prefix = prefix
    yield made
    with redis_server.client() as client:
        for key in list(client.scan_iter(f"{prefix}*", count=1000)):
            client.delete(key)
    made.aggregates._client.close()


@pytest.fixture
def api(redis_server, scene):
    with served(redis__url=redis_server.url, redis__prefix=scene.prefix) as client:
        yield client


def states(api):
    return {row["brand"]: row["state"] for row in api.ask("/api/v1/brands").json["brands"]}


def every_path():
    return [*PATHS, *(path.format(name) for path in PATHS_OF_A_BRAND for name in NAMES)]


def test_each_damaged_brand_is_a_data_problem_and_everything_answers(redis_server, scene, api):
    # Given an episode record, a minute of history and a count that are rubbish
    closed_ms = scene.now_minute - 10 * MINUTE_MS
    with redis_server.client() as client:
        client.hset(f"{scene.prefix}:shard:{shard_of('episode')}", "episode:episode", "rubbish")
        hour_ms = closed_ms - closed_ms % HOUR_MS
        client.hset(f"{scene.prefix}:hm:{hour_ms}:history", closed_ms, "1,2")
        client.hset(f"{scene.prefix}:m:{scene.now_minute}", "n:x:count", "many")

    # Then these brands say so, and nothing else changes
    answers = {path: api.ask(path).status for path in every_path()}
    assert answers == dict.fromkeys(every_path(), 200)
    wait_for(lambda: states(api)["episode"] == "data")
    found = states(api)
    assert {name for name, state in found.items() if state == "data"} == {"episode", "history", "count"}


@pytest.mark.parametrize("key", ["shard", "hm", "m", "now"])
def test_a_key_of_another_type_fails_no_answer(redis_server, scene, api, key):
    name = {
        "shard": f"shard:{shard_of('history')}",
        "hm": f"hm:{scene.now_minute - scene.now_minute % HOUR_MS}:history",
        "m": f"m:{scene.now_minute}",
        "now": "now:history",
    }[key]
    with redis_server.client() as client:
        client.set(f"{scene.prefix}:{name}", "foreign")

    assert {path: api.ask(path).status for path in PATHS} == dict.fromkeys(PATHS, 200)
    fine = [path.format("fine") for path in PATHS_OF_A_BRAND]
    assert {path: api.ask(path).status for path in fine} == dict.fromkeys(fine, 200)


def test_damaged_cursors_and_closes_fail_no_answer(redis_server, scene, api):
    with redis_server.client() as client:
        log = client.hget(f"{scene.prefix}:ctl", "incarnation").decode()
        cursors = f"{scene.prefix}:cursors:{log}"
        client.hset(cursors, mapping={"next:0": "abc", "wm:1": "abc", "rep:2": "abc"})
        client.hset(f"{scene.prefix}:shard:{shard_of('fine')}", "closed", "abc")

    assert {path: api.ask(path).status for path in every_path()} == dict.fromkeys(every_path(), 200)
    wait_for(lambda: api.ask("/api/v1/pipeline").json["partitions"][0]["state"] == "unknown")

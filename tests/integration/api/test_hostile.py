"""Names and bodies that nobody expects: in addresses, in JSON, in what lies in Redis."""

import json
import secrets
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from tests.integration.api.conftest import served, wait_for
from tests.integration.api.scene import Scene, brand

NAMES = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a/b/minutes",
    "50 % off?x=1&y#z",
    "…/../../etc/passwd",
    "colon:in:it",
    "日本の珈琲 ☕️",
    "שלום",
    "'; DROP TABLE brands; --",
    "{{7*7}}${7*7}",
    "line\nend\ttab",
    "w" * 200,
    "%2F%00",
    " ",
]


@pytest.fixture(scope="module")
def hostile(redis_server):
    prefix = f"{{t{secrets.token_hex(6)}}}"
    scene = Scene(redis_server.url, prefix, {name: brand(30, 0.3, 0.3) for name in NAMES}).play(5)
    with served(redis__url=redis_server.url, redis__prefix=prefix) as api:
        api.prefix = prefix
        yield api
    with redis_server.client() as client:
        for key in list(client.scan_iter(f"{prefix}*", count=1000)):
            client.delete(key)
    scene.aggregates._client.close()


def test_every_name_comes_back_as_it_is(hostile):
    listed = hostile.ask("/api/v1/brands").json

    assert {row["brand"] for row in listed["brands"]} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_asked_for(hostile, name):
    address = f"/api/v1/brands/{quote(name, safe='')}"

    assert hostile.ask(address).json["brand"]["brand"] == name
    minutes = hostile.ask(f"{address}/minutes?span=10m").json
    assert minutes["brand"] == name
    assert sum(minute["mentions"] for minute in minutes["minutes"]) > 0
    page = hostile.ask(f"/brands/{quote(name, safe='')}")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert name.encode() not in page.body or name == " "


def test_a_name_that_is_not_there_is_not_written_into_the_answer_as_markup(hostile):
    answer = hostile.ask("/api/v1/brands/%3Cb%3Enobody%0A%3C%2Fb%3E")

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "\n" not in answer.json["detail"]


def test_messages_that_cannot_be_read_are_left_out_and_unknown_fields_are_kept(hostile, redis_server):
    # Given an outbox with rubbish, and one message with a kind and a field of a later version
    told = {
        "id": "e-1.rumoured",
        "kind": "rumoured",
        "episode": "e-1",
        "brand": NAMES[0],
        "more": [1, {"a": 2}],
        "opened": "2026-07-16T12:07:00Z",
        "minute": "2026-07-16T12:09:00Z",
        "peak_score": "high",
    }
    rubbish = {
        "r1": "",
        "r2": "not json",
        "r3": "[]",
        "r4": "{}",
        "r5": '{"id": 1}',
        "r6": "\ud83d".encode("utf-8", "surrogatepass"),
    }
    with redis_server.client() as client:
        client.hset(f"{hostile.prefix}:outbox", mapping={"e-1.rumoured": json.dumps(told), **rubbish})

        # When what was sent says something else of the same message
        sent = {**told, "reason": "as it was sent"}
        client.xadd(f"{hostile.prefix}:alerts", {"id": "e-1.rumoured", "body": json.dumps(sent)})
        client.xadd(f"{hostile.prefix}:alerts", {"foreign": "entry"})

    # Then the newest wins, and nothing fails
    alerts = hostile.ask("/api/v1/alerts").json["alerts"]
    found = next(alert for alert in alerts if alert["id"] == "e-1")
    assert found["messages"] == [sent]
    assert (found["state"], found["peak_score"], found["brand"]) == ("open", None, NAMES[0])


def test_an_episode_ends_with_its_last_message(hostile, redis_server):
    body = {"episode": "e-2", "brand": "x", "opened": "2026-07-16T12:07:00Z", "peak_score": 12.5}
    with redis_server.client() as client:
        for kind, minute in (
            ("resolved", "13:10"),
            ("opened", "12:07"),
            ("escalated", "12:20"),
            ("reminder", "12:50"),
        ):
            message = {**body, "id": f"e-2.{kind}", "kind": kind, "minute": f"2026-07-16T{minute}:00Z"}
            client.xadd(f"{hostile.prefix}:alerts", {"id": message["id"], "body": json.dumps(message)})

    found = hostile.ask("/api/v1/alerts/e-2.reminder").json

    assert [message["kind"] for message in found["messages"]] == [
        "opened",
        "escalated",
        "reminder",
        "resolved",
    ]
    assert (found["state"], found["ended"]) == ("resolved", "2026-07-16T13:10:00Z")
    assert found["peak_score"] == 12.5
    assert found["final"]


def brands_of_a_day(api):
    answer = api.ask("/api/v1/brands?window=24h")
    return answer.status, [row["brand"] for row in answer.json["brands"]]


def test_what_is_not_ours_in_redis_is_a_problem_and_not_a_crash(redis_prefix, redis_server):
    scene = Scene(redis_server.url, redis_prefix, {"acme": brand(30, 0.3, 0.3)}).play(4)
    with (
        redis_server.client() as client,
        served(redis__url=redis_server.url, redis__prefix=redis_prefix) as api,
    ):
        # A view that cannot be read is as one that is not there yet: the next refresh writes it anew
        assert brands_of_a_day(api) == (200, ["acme"])
        client.hset(f"{redis_prefix}:now:acme", "24h:n", "many")
        assert brands_of_a_day(api) == (200, [])
        client.delete(f"{redis_prefix}:now:acme")
        client.set(f"{redis_prefix}:now:acme", "a string")
        assert brands_of_a_day(api) == (200, [])
        client.delete(f"{redis_prefix}:now:acme")

        # What belongs to everybody is a problem
        client.hset(f"{redis_prefix}:ctl", "v", "2")
        wait_for(lambda: api.ask("/api/v1/brands").status == 500)  # a look is kept for a moment
        assert "format 2" in api.ask("/api/v1/brands").json["detail"]
    scene.aggregates._client.close()


def test_the_log_holds_no_name_when_something_is_broken(hostile, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("<script>secret</script>")

    monkeypatch.setattr("stream_worker.api.queries.Queries.alerts", broken)
    with capture_logs() as said:
        answer = hostile.ask("/api/v1/alerts")
        wait_for(lambda: said)  # it is logged behind the answer

    assert (answer.status, answer.json["title"]) == (500, "Something is broken on this side")
    assert "secret" not in answer.body.decode()
    assert [(one["event"], one["error"]) for one in said] == [("request failed", "RuntimeError")]
    assert "secret" not in str(said)

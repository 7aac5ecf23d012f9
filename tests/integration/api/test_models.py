"""A change of model, from the API's side: who scored which minute, and where that changed."""

import secrets

import pytest

from stream_worker.api.model_changes import changes_in, in_order, models_at
from stream_worker.core.time import HOUR_MS, MINUTE_MS
from tests.integration.api.conftest import served
from tests.integration.api.scene import Scene, brand

OLD, NEW = "0123456789ab-k1", "ba9876543210-k1"
MINUTES, BOTH, ALONE = 150, 140, 139  # minutes ago: the first of both models, the first of the new one alone


class Restarted(Scene):
    """A town whose workers were restarted one after the other, with another model."""

    def apply(self, rows, partition=0, watermark_ms=0, model=OLD):
        ago = (self.now_minute - rows[0][0]) // MINUTE_MS if rows else MINUTES
        newer = ago <= ALONE or (ago == BOTH and partition == 0)
        super().apply(rows, partition, watermark_ms, NEW if newer else model)


def _storm(minutes):
    """Hundreds of negative voices in one minute, so many minutes ago."""
    return lambda ago: {"rate": 1_500, "neg": 0.9, "pos": 0.0} if ago == minutes else {}


@pytest.fixture(scope="module")
def restarted(redis_server):
    prefix = f"{{t{secrets.token_hex(6)}}}"
    storms = {minutes: brand(60, 0.2, 0.3, shape=_storm(minutes)) for minutes in (BOTH, BOTH - 20)}
    town = {"acme": brand(60, 0.2, 0.3), "in both": storms[BOTH], "in one": storms[BOTH - 20]}
    Restarted(redis_server.url, prefix, town).play(MINUTES)
    with served(redis__url=redis_server.url, redis__prefix=prefix) as api:
        yield api, prefix
    with redis_server.client() as client:
        client.delete(*client.scan_iter(f"{prefix}*", count=1000))


def test_every_minute_says_who_scored_it_and_the_series_says_where_that_changed(restarted):
    api, _ = restarted

    answer = api.ask("/api/v1/brands/acme/minutes?span=4h").json

    # Then each change is there with its first minute, however long ago its hash was trimmed
    assert [(it["models"], it["judged"]) for it in answer["models"]] == [
        ([OLD], True),
        ([OLD, NEW], False),
        ([NEW], True),
    ]
    by_start = {minute["start"]: minute["model"] for minute in answer["minutes"]}
    changed = [it["since"] for it in answer["models"]]
    assert [by_start[since] for since in changed] == [OLD, f"{OLD},{NEW}", NEW]
    assert by_start[answer["minutes"][-1]["start"]] == NEW
    # … and a span that begins later begins with the model of its beginning
    later = api.ask("/api/v1/brands/acme/minutes?span=1h").json
    assert [it["models"] for it in later["models"]] == [[NEW]]


def test_minutes_of_two_models_are_counted_and_no_part_of_what_is_learned(restarted, redis_server):
    api, prefix = restarted
    answer = api.ask("/api/v1/brands/acme/minutes?span=4h").json
    both = next(minute for minute in answer["minutes"] if "," in (minute["model"] or ""))

    assert both["mentions"] > 0
    assert both["final"]
    with redis_server.client(decode_responses=True) as client:
        shards = [client.hget(f"{prefix}:shard:{k}", "numbers:acme") for k in range(16)]
    assert any(f'"{NEW.partition("-")[0]}"' in text for text in shards if text)


def test_a_storm_in_a_minute_of_two_models_opens_nothing_and_one_a_little_later_does(restarted):
    api, _ = restarted

    assert {alert["brand"] for alert in api.ask("/api/v1/alerts").json["alerts"]} == {"in one"}


def test_changes_are_in_order_and_what_says_the_same_is_none():
    noted = {2 * HOUR_MS: "b", HOUR_MS: "a", 3 * HOUR_MS: "b", 4 * HOUR_MS: "a,b"}

    changes = in_order(noted)

    assert changes == [(HOUR_MS, "a"), (2 * HOUR_MS, "b"), (4 * HOUR_MS, "a,b")]
    assert [models_at(changes, hour * HOUR_MS) for hour in range(1, 6)] == ["a", "b", "b", "a,b", "a,b"]
    assert models_at(changes, 0) is None
    assert [it.models for it in changes_in(changes, 3 * HOUR_MS, 5 * HOUR_MS)] == [["b"], ["a", "b"]]
    assert changes_in(changes, 0, HOUR_MS) == []
    assert changes_in([], 0, HOUR_MS) == []

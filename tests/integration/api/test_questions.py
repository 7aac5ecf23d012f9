"""What the API answers, over a real Redis: numbers, states, freshness, problems."""

import datetime as dt

import pytest

from stream_worker.api.schemas import Alert, Alerts, BrandDetail, Brands, Minutes, Pipeline
from stream_worker.core.aggregates.measures import MEASURES
from tests.integration.api.scene import CRISIS_MINUTES


def rows(api, query=""):
    return {row["brand"]: row for row in api.ask(f"/api/v1/brands{query}").json["brands"]}


def seconds(text):
    return dt.datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/api/v1/brands", Brands),
        ("/api/v1/brands/Fennmark", BrandDetail),
        ("/api/v1/brands/Fennmark/minutes", Minutes),
        ("/api/v1/alerts", Alerts),
        ("/api/v1/pipeline", Pipeline),
    ],
)
def test_every_answer_has_its_shape_and_says_how_fresh_it_is(api, path, shape):
    answer = api.ask(path)

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    shape.model_validate(answer.json, extra="forbid")
    assert {"as_of", "final", "revision", "coverage", "model"} <= set(answer.json)
    assert abs(seconds(answer.json["as_of"]) - dt.datetime.now(dt.UTC).timestamp()) < 5


def test_the_brand_in_a_spike_comes_first_and_says_since_when(api, scene):
    found = api.ask("/api/v1/brands").json["brands"]

    assert [row["brand"] for row in found[:1]] == ["Kestrel Coffee"]
    assert found[0]["state"] == "spike"
    ago = scene.now_minute / 1000 - seconds(found[0]["since"])
    assert 0 < ago <= CRISIS_MINUTES * 60
    assert found[0]["alert"].startswith("d87db24ebe4b7f7a-")


def test_states_say_what_is_unusual(api):
    states = {name: row["state"] for name, row in rows(api).items()}

    assert states["Saltmarsh Crisps"] in ("data", "usual")  # a few unscored ones: by chance
    assert states["Tidewater Bank"] == "copies"
    assert states["Quillon Games"] == "good"
    assert states["Aldertree Health"] in ("few", "none")
    assert states["Fennmark"] == "usual"


def test_numbers_equal_the_view_in_redis_to_the_last_digit(api, scene, redis_server):
    row = rows(api, "?window=1h")["Fennmark"]
    with redis_server.client(decode_responses=True) as client:
        view = client.hgetall(f"{scene.prefix}:now:Fennmark")
    sums = {measure: int(view[f"1h:{measure}"]) for measure in MEASURES}

    assert (row["mentions"], row["negative"], row["copies"]) == (sums["n"], sums["neg"], sums["repeats"])
    scored = sums["n"] - sums["unscored"]
    assert row["net"] == round(sums["sum"] / 1e6 / scored, 4)
    assert row["negative_share"] == round(sums["neg"] / scored, 4)
    assert row["coverage"] == round(scored / sums["n"], 4)


def test_minutes_add_up_to_the_window(api):
    # Given the minutes of an hour and the window of an hour: both end with the newest minute
    minutes = api.ask("/api/v1/brands/Kestrel%20Coffee/minutes?span=1h").json
    row = rows(api, "?window=1h")["Kestrel Coffee"]

    # Then they are the same mentions
    assert minutes["until"] == row["window_to"]
    for name in ("mentions", "negative", "positive", "unscored", "copies", "voices"):
        assert sum(minute[name] for minute in minutes["minutes"]) == row[name], name


def test_minutes_say_which_of_them_may_still_change(api):
    found = api.ask("/api/v1/brands/Fennmark/minutes?span=10m").json
    states = [minute["state"] for minute in found["minutes"]]

    assert len(states) == 10
    assert states[0] == "final"
    assert states[-1] in ("filling", "provisional")
    assert [minute["final"] for minute in found["minutes"]] == [
        minute["start"] < found["final_to"] for minute in found["minutes"]
    ]
    assert found["final"] is False


def test_a_late_mention_corrects_a_final_minute_and_raises_its_revision(api, scene):
    # Given a final minute
    before = api.ask("/api/v1/brands/Petra%20Motors/minutes?span=20m").json["minutes"][5]
    assert before["final"]
    start_ms = int(seconds(before["start"]) * 1000)

    # When two mentions of it come late
    scene.apply([(start_ms, "x", "Petra Motors", (2, 1, 1, 0, 0, 0, -800_000, 0, 2, 1), True)])

    # Then it is shown with them, as corrected
    after = next(
        minute
        for minute in api.ask("/api/v1/brands/Petra%20Motors/minutes?span=30m").json["minutes"]
        if minute["start"] == before["start"]
    )
    assert (after["mentions"], after["revision"]) == (before["mentions"] + 2, before["revision"] + 2)
    assert after["state"] == "corrected"
    assert after["final"]


def test_networks_add_up_to_the_brand(api):
    found = api.ask("/api/v1/brands/Fennmark?window=15m").json

    assert {row["network"] for row in found["networks"]} <= {"x", "reddit", "instagram", "bluesky", "youtube"}
    for name in ("mentions", "negative", "voices"):
        assert sum(row[name] for row in found["networks"]) == found["brand"][name]
    assert 0 < found["share_of_all"] < 1


def test_a_window_of_a_day_has_no_networks_rather_than_wrong_ones(api):
    assert api.ask("/api/v1/brands/Fennmark?window=24h").json["networks"] is None


def test_an_alert_is_found_by_its_episode_and_by_its_message(api):
    listed = api.ask("/api/v1/alerts").json
    alert = listed["alerts"][0]

    assert (listed["open"], alert["brand"], alert["state"]) == (1, "Kestrel Coffee", "escalated")
    message = alert["messages"][0]
    for name in (alert["id"], message["id"]):
        found = api.ask(f"/api/v1/alerts/{name}").json
        Alert.model_validate(found, extra="forbid")
        assert found["messages"] == alert["messages"]
    assert "are negative" in message["reason"]


def test_the_pipeline_knows_every_partition(api):
    found = api.ask("/api/v1/pipeline").json

    assert [row["partition"] for row in found["partitions"]] == [0, 1, 2]
    assert found["log"] == "mentions.0a1b2c3d"
    assert found["lag"] == 0
    assert {row["owner"] for row in found["partitions"]} == {"worker-a:4711"}
    assert sum(row["slowest"] for row in found["partitions"]) in (0, 1, 2)
    assert len(found["freshness"]["minutes"]) == 8


def test_brands_can_be_found_and_limited(api):
    assert set(rows(api, "?find=COFFEE")) == {"Kestrel Coffee", "Halden Coffee"}
    assert len(rows(api, "?limit=3")) == 3
    assert api.ask("/api/v1/brands?limit=3").json["total"] == 12


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/v1/brands?window=3m", 400, "window"),
        ("/api/v1/brands?limit=0", 400, "limit"),
        ("/api/v1/brands?limit=201", 400, "limit"),
        (f"/api/v1/brands?find={'a' * 201}", 400, "find"),
        ("/api/v1/brands/Fennmark/minutes?span=49h", 400, "48"),
        ("/api/v1/brands/Fennmark/minutes?span=ever", 400, "span"),
        ("/api/v1/brands/Fennmark/minutes?span=99999h", 400, "span"),
        ("/api/v1/brands/%ff%fe", 400, "UTF-8"),
        ("/api/v1/brands/nobody", 404, "nobody"),
        ("/api/v1/brands/nobody/minutes", 404, "nobody"),
        ("/api/v1/alerts/none", 404, "none"),
        ("/api/v1/nothing", 404, "openapi.json"),
        ("/docs", 404, "openapi.json"),
        ("/page/../app.py", 404, "file"),
        ("/page/%2e%2e%2fapp.py", 404, "file"),
    ],
)
def test_a_wrong_question_is_answered_with_a_problem(api, path, status, says):
    answer = api.ask(path)

    assert answer.status == answer.json["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json["detail"]
    assert answer.json["title"]


def test_only_get_is_answered(api):
    answer = api.ask("/api/v1/brands", method="POST")

    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json["status"] == 405


def test_every_answer_is_kept_in_its_bounds(api):
    for path in ("/", "/api/v1/brands", "/nothing", "/page/style.css"):
        headers = api.ask(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::2]"])
def test_a_foreign_name_is_refused_on_loopback(api, host):
    answer = api.ask("/api/v1/brands", Host=host)

    assert answer.status == 421
    assert "api.hosts" in answer.json["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080"])
def test_a_name_of_this_machine_is_answered(api, host):
    assert api.ask("/api/v1/brands", Host=host).status == 200


def test_probes_and_metrics_stand_beside_the_api(api):
    assert api.ask("/livez").json == {"status": "alive"}
    assert api.ask("/readyz").json == {"status": "ready"}
    api.ask("/nothing")
    said = api.ask("/metrics")

    assert said.headers["content-type"].startswith("text/plain")
    assert b'stream_worker_api_requests_total{status="4xx"}' in said.body
    assert b"stream_worker_api_live_clients 0.0" in said.body


def test_the_description_is_whole(api):
    described = api.ask("/api/v1/openapi.json").json
    addresses = {
        "/api/v1/brands",
        "/api/v1/brands/{brand}",
        "/api/v1/brands/{brand}/minutes",
        "/api/v1/alerts",
        "/api/v1/alerts/{alert}",
        "/api/v1/pipeline",
        "/api/v1/live",
        "/api/v1/explain",
    }

    assert described["openapi"].startswith("3.")
    assert set(described["paths"]) == addresses
    for address, item in described["paths"].items():
        operation = item["get"]
        assert operation["description"], address
        assert {"200", "400", "503"} <= set(operation["responses"]), address
        assert all("description" in answer for answer in operation["responses"].values())
        assert set(operation["responses"]["400"]["content"]) == {"application/problem+json"}
        named = {of["name"] for of in operation.get("parameters", []) if of["in"] == "path"}
        assert all(f"{{{name}}}" in address for name in named)


def test_every_reference_in_the_description_leads_somewhere(api):
    described = api.ask("/api/v1/openapi.json").json

    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            node = list(node.values())
        if isinstance(node, list):
            for item in node:
                yield from references(item)

    found = set(references(described))
    assert len(found) > 10
    for reference in found:
        at = described
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
        assert at

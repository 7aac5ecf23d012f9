"""What net sentiment is told to be, by whom the windows were scored: over a real Redis, through the API."""

import json
import secrets

import pytest

from stream_worker.api.model_changes import ModelChange, models_over
from stream_worker.api.snapshot import MinuteTotals
from stream_worker.core.sentiment.correction import ConfusionMatrix
from stream_worker.core.sentiment.estimate import BOTH, SAMPLING
from stream_worker.core.time import MINUTE_MS
from tests.integration.api.conftest import served, wait_for
from tests.integration.api.scene import Scene, brand

PIN = "5e" * 32
OURS, OTHER = f"{PIN[:12]}-k1", "0123456789ab-k1"
MISTAKES = [[690, 230, 30, 50, 0], [230, 880, 220, 105, 3], [35, 170, 830, 62, 0]]
MINUTES, CHANGED = 80, 25  # minutes ago: the first of all, the first that ours scored


class Changed(Scene):
    """A town whose model was changed between two minutes."""

    def apply(self, rows, partition=0, watermark_ms=0, model=OURS):
        ago = (self.now_minute - rows[0][0]) // MINUTE_MS if rows else 0
        super().apply(rows, partition, watermark_ms, OTHER if ago > CHANGED else model)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "ours.joblib"
    path.with_suffix(".json").write_text(json.dumps({"v": 2, "sha256": PIN, "labels_by_truth": MISTAKES}))
    return path


@pytest.fixture(scope="module")
def town(redis_server):
    prefix = f"{{t{secrets.token_hex(6)}}}"
    Changed(redis_server.url, prefix, {"acme": brand(60, 0.2, 0.3)}).play(MINUTES)
    yield {"redis__url": redis_server.url, "redis__prefix": prefix}
    with redis_server.client() as client:
        client.delete(*client.scan_iter(f"{prefix}*", count=1000))


@pytest.fixture(scope="module")
def api(town, manifest):
    with served(**town, model__path=manifest, model__pin=PIN) as api:
        yield api


def tally(row):
    names = ("mentions", "negative", "neutral", "positive", "uncertain", "unscored")
    return (*(row[name] for name in names), 0, row["copies"], 0, 0)


def test_a_window_of_the_configured_model_is_corrected_for_what_it_mistakes(api):
    row = api.ask("/api/v1/brands/acme?window=15m").json["brand"]

    # Then it is the estimate for exactly these counts
    expected = ConfusionMatrix(MISTAKES).intervals([tally(row)])[0]
    told = [row[name] for name in ("net_estimate", "net_low", "net_high")]
    assert told == pytest.approx(expected, abs=1e-4)
    assert row["interval_holds"] == BOTH
    assert row["net_margin"] == pytest.approx((row["net_high"] - row["net_low"]) / 2, abs=1e-4)
    # and the plain mean stands beside it
    assert row["net"] not in (None, row["net_estimate"])


def test_networks_are_corrected_as_the_brand_is(api):
    networks = api.ask("/api/v1/brands/acme?window=15m").json["networks"]

    assert {row["interval_holds"] for row in networks} == {BOTH}
    expected = ConfusionMatrix(MISTAKES).intervals([tally(row) for row in networks])
    assert [row["net_estimate"] for row in networks] == pytest.approx(
        [of.estimate for of in expected], abs=1e-4
    )


@pytest.mark.parametrize("window", ["1h", "24h"])
def test_a_window_of_two_models_says_sampling_only(api, window):
    row = api.ask(f"/api/v1/brands/acme?window={window}").json["brand"]

    assert row["interval_holds"] == SAMPLING
    assert row["net_estimate"] == row["net"]
    assert row["net_low"] < row["net"] < row["net_high"]


def test_each_minute_says_what_its_interval_holds_and_so_do_its_last_five(api):
    minutes = api.ask("/api/v1/brands/acme/minutes?span=50m").json["minutes"]

    final = [minute for minute in minutes if minute["final"]]
    by_ours = [minute["model"] == OURS for minute in final]
    assert any(by_ours)
    assert not all(by_ours)
    assert [minute["interval_holds"] == BOTH for minute in final] == by_ours
    # Then the first minutes of the span have their five, too, and five of two models are told as of none
    holds = [minute["last_five"]["interval_holds"] for minute in final]
    first = by_ours.index(True)
    assert set(holds[: first + 4]) == {SAMPLING}
    assert set(holds[first + 4 :]) == {BOTH}
    # and they are those of the five added up
    five = [sum(column) for column in zip(*map(tally, final[-5:]), strict=True)]
    assert final[-1]["last_five"]["net_estimate"] == pytest.approx(
        ConfusionMatrix(MISTAKES).intervals([five])[0].estimate, abs=1e-4
    )
    assert minutes[-1]["last_five"] is None or minutes[-1]["state"] != "filling"


def test_what_is_usual_is_on_the_scale_of_the_estimate(api, town):
    def row(api):
        return api.ask("/api/v1/brands/acme?window=5m").json["brand"]

    def width(api):
        usual = row(api)["usual"]
        return usual["net_high"] - usual["net_low"]

    # Given the same windows, seen with and without what is known of the model
    with served(**town) as plain:
        for asked in (plain, api):
            wait_for(lambda asked=asked: row(asked)["usual"], 20)

        # Then the labels say less than there is, and the range of what is usual is the wider one
        assert width(api) > 1.3 * width(plain)
    assert row(api)["state"] == "usual"


def test_without_a_manifest_every_interval_says_sampling(town, tmp_path):
    with served(**town, model__path=tmp_path / "none.joblib", model__pin=PIN) as api:
        assert "none.json cannot be read: No such file" in api.serving.intervals
        row = api.ask("/api/v1/brands/acme?window=15m").json["brand"]
        minutes = api.ask("/api/v1/brands/acme/minutes?span=10m").json["minutes"]

    assert {row["interval_holds"], *(minute["interval_holds"] for minute in minutes[:-1])} == {SAMPLING}
    assert row["net_estimate"] == row["net"]


def test_the_live_feed_tells_the_same(api):
    with api.listen("/api/v1/live?window=15m") as events:
        row = events.next("snapshot").data["brands"][0]

    assert row["interval_holds"] == BOTH
    assert row["net_low"] < row["net_estimate"] < row["net_high"]


def test_the_models_of_a_window_are_all_that_scored_in_it():
    changes = [ModelChange(0, "a"), ModelChange(100, "a,b"), ModelChange(200, "b")]
    totals = {300: MinuteTotals(5, 0, False, True, "c", None), 400: MinuteTotals(0, 0, False, True, "", None)}

    assert models_over(changes, totals, 50, 90) == "a"
    assert models_over(changes, totals, 50, 101) == "a,b"
    assert models_over(changes, totals, 200, 300) == "b"
    assert models_over(changes, totals, 200, 500) == "b,c"
    assert models_over([], {}, 0, 500) is None

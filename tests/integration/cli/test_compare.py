"""`model compare`: two models over the same archive, against what a few lines of plain Python find."""

import datetime as dt
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from stream_worker.adapters.object_store.parquet import SCHEMA
from stream_worker.core.time import MINUTE_MS
from tests.integration.cli.test_models import store, stream_worker

__all__ = ["stream_worker"]
FIRST_MS = 1_800_000_000_000 // 86_400_000 * 86_400_000  # a midnight
LABELS = ("negative", "neutral", "positive", "uncertain", "unscored")
WORDS = {"bad": 0, "fact": 1, "good": 2, "meh": 0}


class ByWord(ClassifierMixin, BaseEstimator):
    """The first word decides; `strict` calls `meh` negative, else nobody knows."""

    def __init__(self, strict=False):
        self.strict = strict

    def fit(self, texts, labels=None):
        self.classes_ = np.arange(3)
        return self

    def predict_proba(self, texts):
        made = np.full((len(texts), 3), 0.05)
        for row, text in enumerate(texts):
            word = text.split()[0]
            if word == "meh" and not self.strict:
                made[row] = [0.34, 0.33, 0.33]
            else:
                made[row, WORDS[word]] = 0.9
        return made


@pytest.fixture
def models(tmp_path):
    """`PATH@PIN` of a lenient and of a strict model."""
    return [
        store(tmp_path / f"{name}.joblib", make_pipeline(FunctionTransformer(), ByWord(strict).fit([])))
        for name, strict in (("lenient", False), ("strict", True))
    ]


def row(minute, brand, text, **more):
    at = dt.datetime.fromtimestamp((FIRST_MS + minute * MINUTE_MS) / 1000, dt.UTC)
    return {
        "topic": "mentions",
        "partition": 0,
        "offset": 0,
        "record_time": at,
        "event_time": at,
        "id": "i",
        "brand": brand,
        "network": "x",
        "author": None,
        "text": text,
        "duplicate": False,
        "repeat": False,
        "voice": True,
        "late": False,
        "label": 1,
        "model": "old-sk",
        "schema": 1,
    } | more


def archive(folder, rows):
    """Write rows as the archive has them, an object for each hour."""
    hours = {}
    for number, one in enumerate(rows):
        hours.setdefault(one["event_time"].replace(minute=0), []).append(one | {"offset": number})
    for hour, some in hours.items():
        place = folder / f"dt={hour:%Y-%m-%d}" / f"hour={hour:%H}"
        place.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(some, SCHEMA), place / f"mentions.00+0+{0:020}-{1:020}.parquet")
    (folder / "_plans").mkdir()
    (folder / "_plans" / "head.json").write_text("{}")
    return folder


def compared(stream_worker, *arguments):
    code, out, err = stream_worker("model", "compare", *map(str, arguments), "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_labels_brands_and_texts_are_what_plain_python_finds(stream_worker, models, tmp_path):
    # Given mentions of two brands, one of them called meh in every third, and a duplicate
    texts = ["bad day", "meh \x1b[2J\u202e thing", "good day", "fact of day"]
    rows = [
        row(i % 120, "acme" if i % 3 else "zeta", f"{texts[i % 4]} {i}", late=i % 7 == 0) for i in range(900)
    ]
    rows.append(row(5, "acme", "meh again", duplicate=True))
    folder = archive(tmp_path / "archive", rows)

    # When the two are compared
    found = compared(stream_worker, *models, "--on", folder, "--examples", 2)

    # Then the duplicate is left out, and meh is what changes
    count = Counter(one["text"].split()[0] for one in rows[:-1])
    assert found["rows"] == 900
    changes = {(a, b): n for a, of in found["changes"].items() for b, n in of.items() if n}
    assert changes == {
        ("negative", "negative"): count["bad"],
        ("neutral", "neutral"): count["fact"],
        ("positive", "positive"): count["good"],
        ("uncertain", "negative"): count["meh"],
    }
    assert found["agree"] == round(1 - count["meh"] / 900, 4)
    brands = {one["brand"]: one for one in found["brands"]}
    meh = sum(one["brand"] == "zeta" and one["text"].startswith("meh") for one in rows[:-1])
    assert brands["zeta"]["mentions"] == 300
    assert brands["zeta"]["share_a"]["uncertain"] == round(meh / 300, 4)
    assert brands["zeta"]["net_difference"] == pytest.approx(-meh / 300 * (0.85 - 0.01), abs=0.001)
    assert [(one["a"], one["b"]) for one in found["examples"]] == [("uncertain", "negative")] * 2
    assert len({one["text"] for one in found["examples"]}) == 2

    # And people are shown the same, without drawing what somebody wrote
    code, out, _ = stream_worker("model", "compare", *models, "--on", str(folder))
    assert code == 0
    assert "75.0% get the same label" in out
    assert "meh ?[2J? thing" in out
    assert "\x1b" not in out


def test_alerts_that_only_one_model_would_tell_are_named(stream_worker, models, tmp_path):
    # minute    0 … 599             600 … 659
    # acme      20 facts, 2 bad     20 facts, 2 bad, 30 meh
    rows = [row(minute, "acme", text) for minute in range(660) for text in ["fact"] * 20 + ["bad"] * 2]
    rows += [row(minute, "acme", f"meh {n}") for minute in range(600, 660) for n in range(30)]
    rows += [row(minute, "acme", "bad", late=True) for minute in range(300, 320) for _ in range(90)]
    folder = archive(tmp_path / "archive", rows)

    alerts = compared(stream_worker, *models, "--on", folder)["alerts"]

    assert (alerts["a"], alerts["b"], alerts["only_a"]) == (0, 1, [])
    (only,) = alerts["only_b"]
    opened = (dt.datetime.fromisoformat(only["opened_at"]).timestamp() * 1000 - FIRST_MS) / MINUTE_MS
    assert (only["brand"], 600 <= opened < 610) == ("acme", True)
    # … and a sample has none
    sample = compared(stream_worker, *models, "--on", folder, "--sample", 0.2)
    assert sample["alerts"] is None
    assert sample["rows"] == pytest.approx(len(rows) * 0.2, rel=0.1)
    assert compared(stream_worker, *models, "--on", folder, "--sample", 0.2) == sample


def test_a_span_is_days_or_hours_and_its_end_is_left_out(stream_worker, models, tmp_path):
    folder = archive(tmp_path / "archive", [row(60 * hour, "acme", "fact") for hour in range(72)])
    day = dt.datetime.fromtimestamp(FIRST_MS / 1000, dt.UTC)
    second = f"{day + dt.timedelta(days=1):%Y-%m-%d}"

    def rows(*span):
        return compared(stream_worker, *models, "--on", folder, *span)["rows"]

    assert rows("--from", second) == 48
    assert rows("--to", second) == 24
    assert rows("--from", f"{second}T06", "--to", f"{second}T09") == 3
    assert rows("--from", "2040-01-01") == 0
    assert stream_worker("model", "compare", *models, "--on", str(folder), "--from", "yesterday")[0] == 2


def test_what_cannot_be_compared_is_one_line(stream_worker, models, tmp_path):
    code, _, err = stream_worker("model", "compare", models[0], f"{models[1][:-1]}x", "--on", str(tmp_path))
    assert (code, len(err.splitlines())) == (78, 1)
    code, _, err = stream_worker("model", "compare", *models, "--on", str(tmp_path / "nowhere"))
    assert (code, "neither a folder nor the URL" in err) == (78, True)
    folder = tmp_path / "archive" / "dt=2027-01-15" / "hour=00"
    folder.mkdir(parents=True)
    (folder / "rows.parquet").write_bytes(b"no parquet")
    code, _, err = stream_worker("model", "compare", *models, "--on", str(tmp_path / "archive"))
    assert (code, "not readable as Parquet" in err) == (1, True)

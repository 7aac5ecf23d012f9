"""`model list|verify` and `explain`: what people see, and one clear line for whatever is refused."""

import datetime as dt
import hashlib
import io
import json
import os
import sys

import joblib
import msgspec
import pytest
import sklearn
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.pipeline import make_pipeline

from models import registry
from stream_worker.cli import app

TEXTS = ["bad bad day", "the store opens", "good good day"]


@pytest.fixture
def stream_worker(monkeypatch, capsys, tmp_path):
    for name in [name for name in os.environ if name.startswith("STREAM_WORKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def call(*arguments, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(sys, "argv", ["stream-worker", *arguments])
        with pytest.raises(SystemExit) as left:
            app.main()
        return left.value.code or 0, *capsys.readouterr()

    return call


def store(path, model, **changes):
    """Write an artefact with a manifest that fits, but for the changes; returns `PATH@PIN`."""
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    pin = hashlib.sha256(buffer.getvalue()).hexdigest()
    made = registry.ModelManifest(
        name=path.stem,
        sha256=pin,
        created=dt.date(2026, 1, 2),
        languages=["en"],
        uncertain_below=0.4,
        libraries={"scikit-learn": sklearn.__version__},
        classes=["negative", "neutral", "positive"],
        training={},
        data=[],
        quality={},
    )
    path.write_bytes(buffer.getvalue())
    path.with_suffix(".json").write_bytes(msgspec.json.encode(msgspec.structs.replace(made, **changes)))
    return f"{path}@{pin}"


def tiny(classifier=None, labels=(0, 1, 2)):
    return make_pipeline(CountVectorizer(), classifier or LogisticRegression()).fit(TEXTS, list(labels))


def test_list_has_the_shipped_models_and_the_configured_one(stream_worker, tmp_path):
    # Given a model of one's own in the settings
    path, _, pin = store(tmp_path / "mine.joblib", tiny()).rpartition("@")

    code, out, _ = stream_worker(
        "model", "list", "--json", STREAM_WORKER_MODEL__PATH=path, STREAM_WORKER_MODEL__PIN=pin
    )

    # Then it is the one that is used
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert (rows["mine"]["used"], rows["mine"]["pin"], rows["mine"]["refusal"]) == (True, pin, None)
    assert rows["sentiment-en"]["used"] is False
    assert rows["sentiment-en"]["macro_recall"]
    assert rows["sentiment-en"]["languages"] == ["en"]
    assert "sentiment-en" in stream_worker("model", "list")[1]


def test_verify_says_everything_that_was_checked_and_which_path_scores(stream_worker, tmp_path):
    code, out, err = stream_worker("model", "verify")
    assert (code, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["true"] * 7

    mine = store(tmp_path / "mine.joblib", tiny())
    code, out, _ = stream_worker("model", "verify", mine, "--json")
    checks = {one["name"]: one for one in json.loads(out)}
    assert code == 0
    assert mine[-64:] in checks["bytes"]["detail"]
    assert checks["path"]["detail"].startswith(f"{mine[-64:][:12]}-")


def refusals(folder):
    """Models that must not score, and what is said of them."""
    mine = folder / "mine.joblib"
    yield "no such file", f"{folder / 'nowhere.joblib'}@{'0' * 64}"
    store(mine, tiny())
    yield "no pin", str(mine)
    yield "64 hex digits", f"{mine}@123"
    yield "is pinned", f"{mine}@{'0' * 64}"
    yield "made with scikit-learn 0.1", store(mine, tiny(), libraries={"scikit-learn": "0.1"})
    yield "its classes are", store(mine, tiny(), classes=["bad", "good"])
    yield "speaks of another file", store(mine, tiny(), sha256="f" * 64)
    yield "the classes ['1', '2', '3']", store(mine, tiny(labels=(1, 2, 3)))
    yield "predict_proba", store(mine, tiny(Perceptron()))
    yield "predict_proba", store(mine, {"no": "model"})
    whole = store(mine, tiny())
    mine.write_bytes(mine.read_bytes()[:-100])
    yield "is pinned", whole
    pin = hashlib.sha256(mine.read_bytes()).hexdigest()
    made = json.loads(mine.with_suffix(".json").read_bytes()) | {"sha256": pin}
    mine.with_suffix(".json").write_text(json.dumps(made))
    yield "does not load", f"{mine}@{pin}"
    mine.with_suffix(".json").write_text("{}")
    yield "model manifest", f"{mine}@{pin}"


def test_what_does_not_fit_is_refused_with_one_line_and_exit_code_78(stream_worker, tmp_path):
    for says, model in refusals(tmp_path):
        code, out, err = stream_worker("model", "verify", model)
        assert code == 78, says
        assert says in err
        assert len(err.splitlines()) == 1
        assert "false" in out


def test_a_huge_file_is_refused_by_its_size_and_never_opened_by_joblib(stream_worker, tmp_path, monkeypatch):
    # Given a file of three gigabytes (a sparse one) with a manifest, and a joblib that must not be called
    model = store(tmp_path / "mine.joblib", tiny())
    with (tmp_path / "mine.joblib").open("r+b") as file:
        file.truncate(3 << 30)
    monkeypatch.setattr(registry.joblib, "load", None)

    code, _, err = stream_worker("model", "verify", model)

    assert code == 78
    assert "larger than" in err


def test_explain_prints_what_each_word_did(stream_worker):
    code, out, err = stream_worker("explain", "worst phone ever 😡")
    assert (code, err) == (0, "")
    assert out.startswith("negative; negative ")
    assert [line.split()[0] for line in out.splitlines()[3:]] == ["worst", "phone", "ever", "😡"]

    code, out, _ = stream_worker("explain", "worst phone ever 😡", "--json")
    found = json.loads(out)
    total = sum(of["weight"] for of in found["words"]) + found["rest"]
    assert total == pytest.approx(found["log_odds"], abs=0.001)


def test_explain_reads_standard_input_and_draws_nothing_of_a_hostile_text(stream_worker, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("bad \x1b[2J worst\u202e day\n"))
    code, out, _ = stream_worker("explain", "-")

    assert code == 0
    assert "worst" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_explain_refuses_a_long_text_as_usage_and_no_model_as_78(stream_worker):
    assert stream_worker("explain", "x" * 1_001)[0] == 2
    assert stream_worker("explain", "bytes \udcff that are no text")[0] == 0
    code, _, err = stream_worker("explain", "x", STREAM_WORKER_MODEL__SCORER="none")
    assert code == 78
    assert "model.scorer is none" in err

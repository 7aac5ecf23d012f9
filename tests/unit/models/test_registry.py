"""An artefact is code: what is loaded, what is refused, and that nothing runs before it is known."""

import datetime as dt
import hashlib
import io
import pathlib
import pickle

import joblib
import msgspec
import numpy as np
import pytest
import sklearn
from joblib import numpy_pickle
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from models import registry
from models.errors import ModelRefused
from models.scorers.scores import NEGATIVE, POSITIVE
from models.training.dataset import ORIGINS

SHIPPED_BYTES_MAX = 15 * 1024 * 1024


def manifest(content, **changes):
    """A manifest that fits these bytes, but for the changes."""
    fitting = registry.ModelManifest(
        name="mine",
        sha256=hashlib.sha256(content).hexdigest(),
        created=dt.date(2026, 1, 2),
        libraries={"scikit-learn": sklearn.__version__},
        classes=["negative", "neutral", "positive"],
        languages=["en"],
        uncertain_below=0.4,
        training={},
        data=[],
        quality={},
    )
    return msgspec.structs.replace(fitting, **changes)


def dumped(model):
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    return buffer.getvalue()


def tiny(labels=(0, 1, 2)):
    texts = ["bad bad day", "the store opens", "good good day"]
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, list(labels))


@pytest.fixture
def stored(tmp_path):
    """Writes an artefact with its manifest; returns its path and the pin that fits."""

    def store(content, **changes):
        path = tmp_path / "mine.joblib"
        path.write_bytes(content)
        path.with_suffix(".json").write_bytes(msgspec.json.encode(manifest(content, **changes)))
        return path, hashlib.sha256(content).hexdigest()

    return store


class Malicious:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_the_shipped_model_loads_and_knows_good_from_bad():
    # Given the artefact, manifest and pin of this repository
    scorer = registry.load()
    # When plain texts are scored
    scores = scorer.score(["I love it, great service, thank you!", "terrible, I hate it, worst app ever"])
    # Then the labels are the obvious ones and the version names the pin
    assert scores.label.tolist() == [POSITIVE, NEGATIVE]
    assert scorer.version.startswith(f"{registry.describe().pin[:12]}-")


def test_the_shipped_artefact_is_small_and_its_manifest_is_complete():
    # Given the shipped artefact
    described = registry.describe()
    # When its size and manifest are read
    shipped = described.manifest
    # Then it fits the limit, and says what it was made of, by what and how well it does
    assert described.refusal is None
    assert described.path.stat().st_size <= SHIPPED_BYTES_MAX
    assert {source.name for source in shipped.data} == set(ORIGINS)
    assert all(source.licence and source.attribution and source.rows > 0 for source in shipped.data)
    assert {"python", "scikit-learn", "numpy", "scipy", "joblib"} <= shipped.libraries.keys()
    assert shipped.quality.keys() == {"tse_test", "goemotions_dev", "semeval_val", "semeval_train_held_out"}
    assert all(one.macro_recall > 0.5 for one in shipped.quality.values())


def test_the_shipped_artefact_holds_nothing_but_library_classes(monkeypatch):
    # Given an unpickler that notes what it is asked for
    asked = set()
    find_class = numpy_pickle.NumpyUnpickler.find_class

    def noting(self, module, name):
        asked.add(module.split(".")[0])
        return find_class(self, module, name)

    monkeypatch.setattr(numpy_pickle.NumpyUnpickler, "find_class", noting)
    # When the shipped artefact is loaded
    registry.load()
    # Then no class of ours was needed, so that renaming our code cannot break it
    assert "sklearn" in asked
    assert asked <= {"sklearn", "numpy", "joblib", "builtins", "collections", "_codecs"}


def test_a_pickle_with_another_sha256_never_runs(stored, tmp_path):
    # Given a pickle that makes a file, and the pin of another artefact
    made = tmp_path / "made"
    path, pin = stored(pickle.dumps(Malicious(made)))
    other = hashlib.sha256(b"another").hexdigest()
    # When it is loaded
    with pytest.raises(ModelRefused) as refused:
        registry.load(path, other)
    # Then it is refused, in one line that names both, and did not run
    assert pin in str(refused.value)
    assert other in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 78
    assert not made.exists()
    # And the same pickle does run when it is pinned: a pin is trust, and this test can fail
    with pytest.raises(ModelRefused):
        registry.load(path, pin)
    assert made.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"libraries": {"scikit-learn": "0.24.2"}}, f"0.24.2 but {sklearn.__version__} is installed"),
        ({"libraries": {}}, "made with scikit-learn unknown"),
        ({"classes": ["positive", "negative", "neutral"]}, "its classes are"),
        ({"sha256": "0" * 64}, "its manifest speaks of another file"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_before_the_pickle_runs(stored, tmp_path, changes, message):
    # Given a pinned pickle that makes a file, whose manifest does not fit
    made = tmp_path / "made"
    path, pin = stored(pickle.dumps(Malicious(made)), **changes)
    # When it is loaded
    with pytest.raises(ModelRefused, match=message):
        registry.load(path, pin)
    # Then it did not run, and the description says the same
    assert not made.exists()
    assert message in registry.describe(path, pin).refusal


def test_a_truncated_artefact_is_refused(stored):
    # Given an artefact that lost its last byte after it was pinned
    content = dumped(tiny())
    path, pin = stored(content)
    path.write_bytes(content[:-1])
    # When it is loaded, then its sha256 is not the pin's
    with pytest.raises(ModelRefused, match="is pinned"):
        registry.load(path, pin)


def test_a_truncated_artefact_that_was_pinned_as_such_is_refused_too(stored):
    # Given half an artefact and its own pin
    path, pin = stored(dumped(tiny())[:1_000])
    # When it is loaded, then the pickle's failure is one line
    with pytest.raises(ModelRefused, match="does not load") as refused:
        registry.load(path, pin)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (tiny(labels=("bad", "none", "good")), "bad"),
        (make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["a bc", "de f"], [0, 1]), "'0', '1'"),
        ({"no": "model"}, "dict"),
    ],
    ids=["other names", "two classes", "no classifier"],
)
def test_a_model_with_other_classes_than_ours_is_refused(stored, model, shown):
    # Given a pinned artefact that is no classifier of our three classes
    path, pin = stored(dumped(model))
    # When it is loaded, then it is refused and the line says what it is
    with pytest.raises(ModelRefused, match="the classes 0, 1, 2") as refused:
        registry.load(path, pin)
    assert shown in str(refused.value)


@pytest.mark.parametrize("labels", [(0, 1, 2), ("negative", "neutral", "positive")])
def test_a_pipeline_of_ones_own_loads_by_path_and_pin(stored, labels):
    # Given a pipeline with our classes, by number or by name
    path, pin = stored(dumped(tiny(labels)))
    # When it is loaded with its pin, written in capitals as some tools do
    scorer = registry.load(path, pin.upper())
    # Then it scores under its own version
    assert scorer.version == f"{pin[:12]}-k1"
    assert scorer.score(["good good day"]).label.tolist() == [POSITIVE]


def test_an_estimator_of_another_scikit_learn_is_refused_though_its_manifest_denies_it(stored, monkeypatch):
    # Given an artefact that really comes from another version
    monkeypatch.setattr("sklearn.base.__version__", "1.5.0")
    content = dumped(tiny())
    monkeypatch.undo()
    path, pin = stored(content)
    # When it is loaded, then what scikit-learn would only warn of is a refusal
    with pytest.raises(ModelRefused, match="InconsistentVersionWarning"):
        registry.load(path, pin)


def test_an_artefact_without_a_pin_is_refused(stored):
    # Given an artefact outside the shipped ones
    path, _ = stored(dumped(tiny()))
    # When no pin is given, or one that is no sha256, then it is refused
    with pytest.raises(ModelRefused, match="no pin"):
        registry.load(path)
    with pytest.raises(ModelRefused, match="64 hex digits"):
        registry.load(path, "abc")


def test_files_that_are_missing_too_large_or_no_manifest_are_refused(stored, tmp_path, monkeypatch):
    path, pin = stored(dumped(tiny()))
    # Given no artefact, and a folder in its place
    for nowhere in (tmp_path / "nowhere.joblib", tmp_path):
        with pytest.raises(ModelRefused, match="no such file"):
            registry.load(nowhere, pin)
    # Given a manifest that is none, then none at all
    path.with_suffix(".json").write_text('{"name": 3}')
    with pytest.raises(ModelRefused, match="model manifest"):
        registry.load(path, pin)
    path.with_suffix(".json").unlink()
    with pytest.raises(ModelRefused, match="cannot be read"):
        registry.load(path, pin)
    # Given an artefact past the limit
    monkeypatch.setattr(registry, "ARTEFACT_BYTES_MAX", 10)
    with pytest.raises(ModelRefused, match="larger than 10 bytes"):
        registry.load(path, pin)


def test_what_was_hashed_is_what_is_unpickled(stored, monkeypatch):
    # Given an artefact that is swapped for a malicious one right after it was read
    path, pin = stored(dumped(tiny()))
    made = path.with_name("made")
    read = registry._read

    def read_then_swap(which, bytes_max):
        content = read(which, bytes_max)
        if which == path:
            path.write_bytes(pickle.dumps(Malicious(made)))
        return content

    monkeypatch.setattr(registry, "_read", read_then_swap)
    # When it is loaded
    scorer = registry.load(path, pin)
    # Then the bytes that were hashed were used, not the file's new ones
    assert np.isfinite(scorer.score(["good day"]).probability).all()
    assert not made.exists()

"""What is known of the configured model, read from its manifest and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models import registry
from stream_worker.inference.confusion import SHIPPED, known_model
from stream_worker.settings.schema import ModelSettings

PIN = "0a" * 32
COUNTS = [[50, 9, 3, 4, 0], [8, 60, 9, 5, 1], [2, 9, 70, 6, 0]]


def configured(folder, **manifest):
    (folder / "mine.json").write_text(json.dumps(manifest))
    return ModelSettings(path=folder / "mine.joblib", pin=PIN)


def test_the_artefact_and_the_errors_come_from_the_manifest_of_a_model_that_is_not_even_there(tmp_path):
    known, why_not = known_model(configured(tmp_path, v=2, sha256=PIN, labels_by_truth=COUNTS, other="field"))

    assert (known.artefact, why_not) == (PIN[:12], "")
    assert known.errors.weights[0] < -1 < 1 < known.errors.weights[2]


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ({"sha256": PIN}, "has no labels_by_truth"),
        ({"sha256": PIN, "labels_by_truth": [[1, 2, 3]]}, "must be 3 x 5 counts"),
        ({"sha256": PIN, "labels_by_truth": [[1, 2, 3, 4, 5]] * 2 + [[1]]}, "is no manifest"),
        ({"sha256": PIN, "labels_by_truth": [[-1] * 5] * 3}, "must be 3 x 5 counts"),
        ({"sha256": 7, "labels_by_truth": COUNTS}, "is no manifest"),
    ],
)
def test_a_manifest_that_does_not_say_it_is_no_reason_to_stop(tmp_path, manifest, why):
    known, why_not = known_model(configured(tmp_path, **manifest))

    assert known is None
    assert why in why_not
    assert "\n" not in why_not


def test_without_a_model_or_a_manifest_nothing_is_known(tmp_path):
    assert known_model(ModelSettings(scorer="none"))[0] is None
    assert "cannot be read" in known_model(ModelSettings(path=tmp_path / "none.joblib", pin=PIN))[1]


def test_the_shipped_model_is_the_one_that_the_registry_ships():
    assert registry.named(registry.SHIPPED).resolve() == Path(SHIPPED).resolve()
    manifest = registry.read_manifest(SHIPPED)

    known, _ = known_model(ModelSettings())

    assert known is None or known.artefact == manifest.sha256[:12]
    assert (known is None) == (not getattr(manifest, "labels_by_truth", []))


def test_scikit_learn_is_not_loaded_for_it():
    code = "import sys, stream_worker.inference.confusion; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The artefact and the known errors of the configured model, from the manifest beside it.

Rules:
1. Only the manifest is read. Nothing is unpickled and scikit-learn is not imported: page, API and daily
   report need neither.
2. Without a manifest net sentiment is reported all the same, with intervals for sampling only.
"""

from pathlib import Path
from typing import Final

import msgspec

import models
from stream_worker.core.sentiment.correction import ConfusionMatrix
from stream_worker.core.sentiment.estimate import MeasuredModel
from stream_worker.settings.schema import ModelSettings

SHIPPED: Final = Path(models.__file__).parent / "artefacts" / "sentiment-en.joblib"
ARTEFACT_DIGITS: Final = 12
BYTES_MAX: Final = 1024 * 1024  # of a manifest, as in models/registry.py


class _Manifest(msgspec.Struct):
    """The fields that are read here; models/registry.py has them all."""

    sha256: str
    labels_by_truth: list[list[int]] = []


def known_model(model: ModelSettings) -> tuple[MeasuredModel | None, str]:
    """Return the known errors of the model that these settings name; or None, and why they are unknown."""
    if model.scorer == "none":
        return None, "no model scores (setting model.scorer)"
    path = (model.path or SHIPPED).with_suffix(".json")
    try:
        with path.open("rb") as file:
            manifest = msgspec.json.decode(file.read(BYTES_MAX), type=_Manifest)
        if not manifest.labels_by_truth:
            return None, f"{path} has no labels_by_truth: it is older than version 2 of manifests"
        return MeasuredModel(manifest.sha256[:ARTEFACT_DIGITS], ConfusionMatrix(manifest.labels_by_truth)), ""
    except OSError as error:
        return None, f"{path} cannot be read: {error.strerror or error}"
    except ValueError as error:  # errors of msgspec are, too
        return None, f"{path} is no manifest: {' '.join(str(error).split())[:200]}"

"""Which model runs: the artefact, its manifest and its pin.

Rules:
1. An artefact is a pickle, and a pickle is code. It is unpickled only after the SHA-256 of its bytes
   equals the pin, and from the very bytes that were hashed.
2. Before that its manifest must speak of the same bytes, of this scikit-learn and of our classes.
3. Whatever does not fit is a `ModelRefused` with one line that says what and how to mend it; there is no
   other model to fall back to.
"""

import datetime as dt
import hashlib
import io
import os
import tomllib
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import joblib
import msgspec
import sklearn
from msgspec import Meta
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from models.errors import ModelRefused
from models.evaluate import Quality
from models.scorers.compiled import CompiledScorer
from models.scorers.pipeline import PipelineScorer
from models.scorers.scores import CLASSES, OTHER, to_scores
from models.scorers.select import fastest

ARTEFACTS: Final = Path(__file__).parent / "artefacts"
PINS: Final = ARTEFACTS / "pins.toml"
SHIPPED: Final = "sentiment-en"

ARTEFACT_BYTES_MAX: Final = 64 * 1024 * 1024
MANIFEST_BYTES_MAX: Final = 1024 * 1024
COMPILED, INTERPRETED = "k1", "sk"
"""Scored by our kernel, by scikit-learn: the second half of a version (docs/design.md#model-names)."""

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class TrainingSet(msgspec.Struct, frozen=True, kw_only=True):
    """One set of labelled texts the model was trained on; `rows` are those that were used."""

    name: str
    rows: int
    licence: str
    attribution: str


class ModelManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an artefact is; lies beside it as `<name>.json`. Quality is per set of texts held out.

    Version 2 knows three more things. A fourth of `classes`, "other", is a language gate: a text that is it
    with at least the probability `unscored_from` is unscored. `labels_by_truth[i][j]` counts held-out texts
    of class i that got label j (negative, neutral, positive, uncertain, unscored): how the model errs.
    """

    v: int = 1
    name: str
    sha256: Sha256
    created: dt.date
    libraries: dict[str, str]
    classes: list[str]
    languages: list[str]
    uncertain_below: Annotated[float, Meta(ge=0.0, le=1.0)]
    unscored_from: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    labels_by_truth: list[list[int]] = []
    training: dict[str, str | int | float]
    data: list[TrainingSet]
    quality: dict[str, Quality]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What is known of an artefact before it is unpickled; `refusal` is None if it passes every check on it.

    `version` has no scoring path: which one it is shows once the artefact is loaded.
    """

    path: Path
    pin: str | None
    manifest: ModelManifest | None
    version: str | None
    refusal: str | None


def load(
    path: Path | None = None, pin: str | None = None, *, compiled: bool = True
) -> CompiledScorer | PipelineScorer:
    """Load an artefact as a scorer; without a path the shipped one. Raises ModelRefused.

    `pin` is the SHA-256, 64 hex digits, that the artefact must have. Without one it is looked up in
    `pins.toml` by name, which only the artefacts shipped there have. Without `compiled` scikit-learn scores,
    else the kernel where it can; the scorer's `reason` says why it cannot.
    """
    path, pin = _choose(path, pin)
    content, manifest = _checked(path, pin)
    pipeline = _unpickle(path, content)
    classes = [str(value) for value in getattr(pipeline, "classes_", ())]
    numbers = [str(number) for number in range(len(manifest.classes))]
    if classes not in (numbers, manifest.classes) or not hasattr(pipeline, "predict_proba"):
        raise ModelRefused(
            f"model {path}: a classifier with predict_proba and the classes {', '.join(numbers)} is needed; "
            f"this is a {type(pipeline).__name__} with the classes {classes[:5]}"
        )
    doubt, gate = manifest.uncertain_below, manifest.unscored_from
    otherwise = PipelineScorer(pipeline, _version(pin, INTERPRETED), doubt, gate)
    if not compiled:
        otherwise.reason = "asked for"
        return otherwise
    judge = partial(to_scores, uncertain_below=doubt, unscored_from=gate)
    return fastest(pipeline, otherwise, judge, _version(pin, COMPILED))


def describe(path: Path | None = None, pin: str | None = None) -> ModelDescription:
    """Say which artefact would be loaded and whether it would be refused; unpickles nothing, never raises."""
    manifest = None
    try:
        path, pin = _choose(path, pin)
        manifest = read_manifest(path)
        _checked(path, pin)
    except ModelRefused as refused:
        return ModelDescription(path or _shipped(SHIPPED), pin, manifest, None, str(refused))
    return ModelDescription(path, pin, manifest, pin[:12], None)


def named(model: str) -> Path:
    """Return the path of an artefact that is given by its shipped name or by its own path."""
    return Path(model) if model.endswith(".joblib") else _shipped(model)


def named_and_pinned(model: str) -> tuple[Path, str | None]:
    """Return path and pin, if there is one, of `NAME`, `PATH.joblib` or `PATH.joblib@PIN`."""
    path, at, pin = model.rpartition("@")
    return (named(path), pin) if at and path.endswith(".joblib") else (named(model), None)


def shipped() -> list[Path]:
    """Return the artefacts that are shipped, by name."""
    return sorted(ARTEFACTS.glob("*.joblib"))


def read_manifest(path: Path) -> ModelManifest:
    """Read the manifest beside an artefact. Raises ModelRefused."""
    beside = path.with_suffix(".json")
    try:
        return msgspec.json.decode(_read(beside, MANIFEST_BYTES_MAX), type=ModelManifest)
    except msgspec.DecodeError as error:
        raise ModelRefused(f"model manifest {beside}: {error}; take the one that was made with it") from error


def _shipped(name: str) -> Path:
    return ARTEFACTS / f"{name}.joblib"


def _version(pin: str, scoring_path: str) -> str:
    return f"{pin[:12]}-{scoring_path}"


def _choose(path: Path | None, pin: str | None) -> tuple[Path, str]:
    chosen = path or _shipped(SHIPPED)
    if not chosen.is_file():  # neither a pipe, which would block, nor a folder
        raise ModelRefused(f"model {chosen}: no such file; name an artefact that ends with .joblib")
    if pin is None and chosen.parent.resolve() == ARTEFACTS.resolve():
        pin = tomllib.loads(PINS.read_text(encoding="utf-8"))["pins"].get(chosen.stem)
    if pin is None:
        raise ModelRefused(f"model {chosen}: no pin; set the sha256 it must have")
    try:
        return chosen, msgspec.convert(pin.strip().lower(), Sha256)
    except msgspec.ValidationError as error:
        raise ModelRefused(f"model {chosen}: the pin must be a sha256 of 64 hex digits") from error


def _checked(path: Path, pin: str) -> tuple[bytes, ModelManifest]:
    """Return the artefact's bytes and manifest once everything that can be known unread is right."""
    content = _read(path, ARTEFACT_BYTES_MAX)
    found = hashlib.sha256(content).hexdigest()
    if found != pin:
        raise ModelRefused(
            f"model {path}: its sha256 is {found} but {pin} is pinned; "
            "restore the artefact, or review it and change the pin"
        )
    manifest = read_manifest(path)
    if manifest.sha256 != found:
        raise ModelRefused(f"model {path}: its manifest speaks of another file, sha256 {manifest.sha256}")
    trained_with = manifest.libraries.get("scikit-learn", "unknown")
    if trained_with != sklearn.__version__:
        raise ModelRefused(
            f"model {path}: made with scikit-learn {trained_with} but {sklearn.__version__} is installed; "
            "install that version or train again"
        )
    if manifest.classes not in (list(CLASSES), [*CLASSES, OTHER]):
        raise ModelRefused(f"model {path}: its classes are {manifest.classes}, not {list(CLASSES)}")
    if (manifest.unscored_from is None) != (OTHER not in manifest.classes):
        raise ModelRefused(f"model {path}: the class {OTHER} and unscored_from go together in its manifest")
    return content, manifest


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size  # a huge one is not even read
            content = file.read(bytes_max + 1) if size <= bytes_max else b""
    except OSError as error:
        raise ModelRefused(f"model file {path} cannot be read: {error.strerror or error}") from error
    if max(size, len(content)) > bytes_max:
        raise ModelRefused(f"model file {path} is larger than {bytes_max} bytes: this is no model of ours")
    return content


def _unpickle(path: Path, content: bytes) -> BaseEstimator:
    try:
        with warnings.catch_warnings():
            # The manifest may say one version and the pickle hold another: scikit-learn would only warn.
            warnings.simplefilter("error", InconsistentVersionWarning)
            return joblib.load(io.BytesIO(content))
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelRefused(
            f"model {path}: it has the pinned sha256 but does not load: {type(error).__name__}: {reason}"
        ) from error

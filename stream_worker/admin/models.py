"""`stream-worker model`: the models there are, and whether one has the digest of its pin."""

from typing import NamedTuple

from models.registry import ModelDescription, describe, named_and_pinned, shipped
from models.verify import ModelCheck, verify
from stream_worker.settings.schema import Settings


class ModelRow(NamedTuple):
    """A model as it is listed; without a readable manifest its quality and languages are empty."""

    name: str
    used: bool
    version: str | None
    pin: str | None
    bytes: int | None
    made: str | None
    languages: list[str]
    macro_recall: dict[str, float]
    path: str
    refusal: str | None


def describe_model(settings: Settings) -> ModelDescription:
    """Describe the model that would be loaded."""
    return describe(settings.model.path, settings.model.pin)


def list_models(settings: Settings) -> list[ModelRow]:
    """Describe the shipped models and the configured one; loads none."""
    used = describe_model(settings)
    others = [describe(path) for path in shipped() if path.resolve() != used.path.resolve()]
    rows = [_as_row(one, used=one is used) for one in (used, *others)]
    return sorted(rows, key=lambda row: (row.name, row.path))


def _as_row(found: ModelDescription, *, used: bool) -> ModelRow:
    manifest = found.manifest
    quality = {} if manifest is None else manifest.quality
    return ModelRow(
        name=found.path.stem if manifest is None else manifest.name,
        used=used,
        version=found.version,
        pin=found.pin,
        bytes=found.path.stat().st_size if found.path.is_file() else None,
        made=None if manifest is None else str(manifest.created),
        languages=[] if manifest is None else manifest.languages,
        macro_recall={test_set: measured.macro_recall for test_set, measured in quality.items()},
        path=str(found.path),
        refusal=found.refusal,
    )


def verify_model(settings: Settings, model: str | None) -> list[ModelCheck]:
    """Check the model that is named, `NAME` or `PATH@PIN`; without a name the configured one."""
    if model is None:
        return verify(settings.model.path, settings.model.pin)
    path, pin = named_and_pinned(model)
    if pin is None and settings.model.path is not None and path.resolve() == settings.model.path.resolve():
        pin = settings.model.pin
    return verify(path, pin)

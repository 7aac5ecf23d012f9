"""`stream-worker model`: what models there are, and whether one is what its pin says."""

from typing import Any

from models.registry import ModelDescription, describe, named_and_pinned, shipped
from models.verify import ModelCheck, verify
from stream_worker.settings.schema import Settings


def describe_model(settings: Settings) -> ModelDescription:
    """Say which model would be loaded."""
    return describe(settings.model.path, settings.model.pin)


def list_models(settings: Settings) -> list[dict[str, Any]]:
    """Describe the shipped models and the configured one; loads none."""
    used = describe_model(settings)
    others = [describe(path) for path in shipped() if path.resolve() != used.path.resolve()]
    rows = [_as_row(one, used=one is used) for one in (used, *others)]
    return sorted(rows, key=lambda row: (row["name"], row["path"]))


def _as_row(found: ModelDescription, *, used: bool) -> dict[str, Any]:
    made = found.manifest
    return {
        "name": made.name if made is not None else found.path.stem,
        "used": used,
        "version": found.version,
        "pin": found.pin,
        "bytes": found.path.stat().st_size if found.path.is_file() else None,
        "made": None if made is None else str(made.created),
        "languages": [] if made is None else made.languages,
        "macro_recall": {} if made is None else {of: one.macro_recall for of, one in made.quality.items()},
        "path": str(found.path),
        "refusal": found.refusal,
    }


def verify_model(settings: Settings, model: str | None) -> list[ModelCheck]:
    """Check the model that is named, `NAME` or `PATH@PIN`; without a name the configured one."""
    if model is None:
        return verify(settings.model.path, settings.model.pin)
    path, pin = named_and_pinned(model)
    if pin is None and settings.model.path is not None and path.resolve() == settings.model.path.resolve():
        pin = settings.model.pin
    return verify(path, pin)

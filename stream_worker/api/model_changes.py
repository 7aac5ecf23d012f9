"""Where the model changed: the series of a brand is annotated with it. Pure functions over what was read."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stream_worker.api.schemas import ModelSince, instant
from stream_worker.api.snapshot import MinuteTotals


class ModelChange(NamedTuple):
    """The models, comma-separated, that scored from the minute on that starts at `start_ms`."""

    start_ms: int
    models: str


def in_order(noted: Mapping[int, str]) -> list[ModelChange]:
    """Return what the seals noted as changes, oldest first; the same models again are no change."""
    changes: list[ModelChange] = []
    for start_ms, models in sorted(noted.items()):
        if not changes or changes[-1].models != models:
            changes.append(ModelChange(start_ms, models))
    return changes


def models_at(changes: Sequence[ModelChange], start_ms: int) -> str | None:
    """Return the models that scored in that minute, comma-separated; None before the first that is known."""
    number = _changes_up_to(changes, start_ms)
    return changes[number - 1].models if number else None


def models_over(
    changes: Sequence[ModelChange], totals: Mapping[int, MinuteTotals], first_ms: int, end_ms: int
) -> str | None:
    """Return all models that scored in [first, end), comma-separated; None when none is known.

    The seals noted those of sealed minutes; `totals` has those of minutes that are not sealed yet.
    """
    named = [change.models for change in _changes_over(changes, first_ms, end_ms)]
    named += [minute.models for start, minute in totals.items() if first_ms <= start < end_ms]
    return ",".join(sorted({model for models in named for model in models.split(",") if model})) or None


def changes_in(changes: Sequence[ModelChange], first_ms: int, end_ms: int) -> list[ModelSince]:
    """Return the change before the span and those within it, each with the start of its first minute."""
    return [
        ModelSince(
            since=instant(change.start_ms),
            models=change.models.split(","),
            judged="," not in change.models,
        )
        for change in _changes_over(changes, first_ms, end_ms)
    ]


def _changes_over(changes: Sequence[ModelChange], first_ms: int, end_ms: int) -> list[ModelChange]:
    """Return the change that is in force as the span begins, and those within [first, end)."""
    begin = max(0, _changes_up_to(changes, first_ms) - 1)
    return [change for change in changes[begin:] if change.start_ms < end_ms]


def _changes_up_to(changes: Sequence[ModelChange], start_ms: int) -> int:
    return bisect_right(changes, start_ms, key=lambda change: change.start_ms)

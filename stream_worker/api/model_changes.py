"""Where the model changed: the series of a brand is annotated with it. Pure functions over what was read."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from stream_worker.api.schemas import ModelSince, instant
from stream_worker.api.snapshot import MinuteTotals

Change = tuple[int, str]
"""Start of a minute in ms, and the models that scored from it on, comma-separated."""


def in_order(noted: Mapping[int, str]) -> list[Change]:
    """Put what the seals noted in order; what says the same as before is no change."""
    changes: list[Change] = []
    for change in sorted(noted.items()):
        if not changes or changes[-1][1] != change[1]:
            changes.append(change)
    return changes


def models_at(changes: Sequence[Change], start_ms: int) -> str | None:
    """Return the models that scored in that minute, comma-separated; None before the first that is known."""
    number = bisect_right(changes, start_ms, key=lambda change: change[0])
    return changes[number - 1][1] if number else None


def models_over(
    changes: Sequence[Change], heads: Mapping[int, MinuteTotals], first_ms: int, end_ms: int
) -> str | None:
    """Return all models that scored in [first, end), comma-separated; None when none is known.

    Of sealed minutes the seals noted them; of what is not sealed yet `heads` know.
    """
    before = bisect_right(changes, first_ms, key=lambda change: change[0])
    named = [models for start, models in changes[max(0, before - 1) :] if start < end_ms]
    named += [head.models for start, head in heads.items() if first_ms <= start < end_ms]
    return ",".join(sorted({model for models in named for model in models.split(",") if model})) or None


def changes_in(changes: Sequence[Change], first_ms: int, end_ms: int) -> list[ModelSince]:
    """Return the change before the span and those within it, each with the start of its first minute."""
    before = bisect_right(changes, first_ms, key=lambda change: change[0])
    shown = [change for change in changes[max(0, before - 1) :] if change[0] < end_ms]
    return [
        ModelSince(since=instant(start), models=models.split(","), judged="," not in models)
        for start, models in shown
    ]

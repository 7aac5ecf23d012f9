"""Sensitivity in words people understand: how many false alerts a brand may have in a week.

The scores hold for a brand alone; people feel the total over all brands, so the total is shown.
"""

from collections.abc import Iterable
from typing import Final

from stream_worker.core.detection.detector import OPEN_AT

OPEN_SCORES: Final = {1.0: 6.85, 0.5: 7.9, 0.25: OPEN_AT, 0.1: 11.4}
"""False alerts per brand and week -> the score that opens an episode.

The scores were measured on simulated brands whose seeds were not used for tuning
(docs/alerts.md#sensitivity).
"""
DEFAULT: Final = 0.25
TOTAL_MAX: Final = 20.0
"""With more false alerts in a week than this, people are assumed to mute them."""


def total(sensitivities: Iterable[float]) -> float:
    """Return the false alerts a week that brands with these sensitivities have together."""
    return sum(sensitivities)


def advice(brands: int, sensitivities: Iterable[float]) -> str:
    """Say how many false alerts `brands` brands with these sensitivities bring, and how to have fewer."""
    expected = total(sensitivities)
    alerts = f"{expected:.3g} false alert{'' if f'{expected:.3g}' == '1' else 's'}"
    cost = f"about {alerts} a week over {brands} {'brand' if brands == 1 else 'brands'}"
    lowest = min(OPEN_SCORES)
    if expected <= TOTAL_MAX:
        return cost
    if lowest * brands < expected:
        return (
            f"{cost}: more than people read; set alerts.sensitivity to {lowest:g} "
            f"({lowest * brands:.3g} a week) and alerts.brands for those that matter most"
        )
    return f"{cost}: more than people read; route the brands to the teams that know them"

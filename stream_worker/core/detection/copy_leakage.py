"""The leakage of a flood of copies: copies that were changed a little, and so pass as voices."""

from typing import Final

MENTIONS_PER_VOICE: Final = 1.5
"""People pass a crisis on, too: up to so many mentions per voice are no flood.

Tuned on simulated brands (bench/spikes.py).
"""

LEAKING_SHARE: Final = 0.08
"""The share of a flood's copies that is taken to pass as voices.

In the simulated floods 2 to 6 % of the copies pass (bench/brands.py); docs/alerts.md#floods measures how far
the rules hold on raw mentions.
"""


def without_leakage(voices: int, neg_voices: int, mentions: int) -> tuple[float, float]:
    """Return (voices, negative voices) without those that leaked from copies; negative ones go first."""
    copies = mentions - MENTIONS_PER_VOICE * voices
    if copies <= 0:
        return voices, neg_voices
    leaked = min(LEAKING_SHARE * copies, neg_voices)
    return voices - leaked, neg_voices - leaked

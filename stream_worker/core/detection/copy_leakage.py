"""What leaks from a flood of copies: some of them are changed a little, and so pass as voices."""

from typing import Final

MENTIONS_PER_VOICE: Final = 1.5
"""A crisis is passed on, too: so many mentions per voice are no flood."""
LEAK: Final = 0.08
"""So much of a flood of copies passes as voices (docs/alerts.md#floods)."""


def without_leak(voices: int, neg_voices: int, mentions: int) -> tuple[float, float]:
    """Return voices and negative ones less what leaked from copies, negative ones first."""
    copies = mentions - MENTIONS_PER_VOICE * voices
    if copies <= 0:
        return voices, neg_voices
    leaked = min(LEAK * copies, neg_voices)
    return voices - leaked, neg_voices - leaked

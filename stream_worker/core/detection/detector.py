"""Detectors: numbers of one brand and one observed minute in, new numbers and a verdict out.

Rules:
1. A step is a pure function. Numbers survive a process as text; decoding what was encoded gives
   the same floats, so a series fed in one go and one fed across restarts end in the same text.
2. A minute without mentions is an observation of zero. A hole is none: it is never fed, it only
   shows as `gap_minutes` of the next observation.
3. A score of `OPEN_AT` opens an episode at the default sensitivity, whatever the detector; see
   episodes.py and sensitivity.py.
"""

from typing import Final, NamedTuple, Protocol, TypeVar

OPEN_AT: Final = 10.0
"""Every detector is scaled so that this score comes about once a month by chance."""


class Observation(NamedTuple):
    """One closed minute of one brand, summed over networks."""

    minute_ms: int
    voices: int
    neg_voices: int
    mentions: int
    negatives: int
    complete: bool
    gap_minutes: int  # minutes that were never observed, just before this one
    model: str = ""  # the artefact that scored it; empty when nobody knows, as in history


class Verdict(NamedTuple):
    """What a detector says of a minute, and the evidence for it."""

    score: float  # 0 is unremarkable, OPEN_AT opens an episode
    window_minutes: int
    voices: int  # of the window
    neg_voices: int  # of the window
    baseline: float  # the share of negative voices that is usual for the brand, 0 … 1


class DetectorState(Protocol):
    """The numbers of one brand; all else in them is the detector's own business."""

    @property
    def minute_ms(self) -> int:
        """The last minute that was fed; -1 before the first."""


N = TypeVar("N", bound=DetectorState)


class Detector(Protocol[N]):
    """A way to judge minutes. Another version is another detector: numbers start anew from history."""

    name: str
    version: int

    def start(self) -> N:
        """Return the numbers of a brand that was never seen."""

    def step(self, numbers: N, observation: Observation) -> tuple[N, Verdict]:
        """Judge one minute against what was learned before it, then learn from it."""

    def encode(self, numbers: N) -> str:
        """Return the numbers as compact text."""

    def decode(self, text: str) -> N:
        """Return the numbers that were encoded. Raises msgspec.MsgspecError (a ValueError) on other text."""

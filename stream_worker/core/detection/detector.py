"""Detectors: the state of one brand and one observed minute in, the next state and a verdict out.

Rules:
1. A step is a pure function. A state outlives its process as text; decoding an encoded state gives the same
   floats, so a series fed in one go and one fed across restarts end in the same text.
2. A minute without mentions is an observation of zero. A hole is no observation: it is never fed, it only
   shows as `gap_minutes` of the next one.
3. A score of `OPEN_AT` opens an episode at the default sensitivity, whatever the detector; see
   episodes.py and sensitivity.py.
"""

from typing import Final, NamedTuple, Protocol, TypeVar

OPEN_AT: Final = 10.0
"""Every detector is scaled so that a brand reaches this score about once a month by chance."""


class Observation(NamedTuple):
    """One closed minute of one brand, summed over networks."""

    minute_ms: int
    voices: int
    neg_voices: int
    mentions: int
    negatives: int
    complete: bool
    gap_minutes: int  # minutes that were never observed, just before this one
    model: str = ""  # the artefact that scored it; empty when that is unknown, as in history


class Verdict(NamedTuple):
    """A detector's score of a minute, and the evidence for it."""

    score: float  # 0 is unremarkable, OPEN_AT opens an episode
    window_minutes: int
    voices: int  # of the window
    neg_voices: int  # of the window
    baseline: float  # the share of negative voices that the brand usually has, 0 … 1


class DetectorState(Protocol):
    """A detector's memory of one brand; only the detector knows the rest of it."""

    @property
    def minute_ms(self) -> int:
        """The last minute that was fed; -1 before the first."""


State = TypeVar("State", bound=DetectorState)


class DetectorId(Protocol):
    """What a detector is stored under."""

    name: str
    version: int


class Detector(DetectorId, Protocol[State]):
    """Evaluates minutes. Another version is another detector: states start again from history."""

    def start(self) -> State:
        """Return the state of a brand that was never seen."""

    def step(self, state: State, observation: Observation) -> tuple[State, Verdict]:
        """Evaluate one minute against what was learned before it, then learn from it."""

    def encode(self, state: State) -> str:
        """Return the state as compact text."""

    def decode(self, text: str) -> State:
        """Return an encoded state. Raises msgspec.MsgspecError (a ValueError) on other text."""


def stored_name(detector: DetectorId) -> str:
    """Return the name that states, profiles and events of a detector carry, such as `share/5`."""
    return f"{detector.name}/{detector.version}"

"""Detectors: numbers of one brand and one observed minute in, new numbers and a verdict out.

Rules:
1. A step is a pure function. Numbers survive a process as text; decoding what was encoded gives
   the same floats, so a series fed in one go and one fed across restarts end in the same text.
2. A minute without mentions is an observation of zero. A hole is none: it is never fed, it only
   shows as `gap_minutes` of the next observation.
3. A score of `OPEN_AT` opens an episode, whatever the detector; see core/episodes.py.
"""

from math import log
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from stream_worker.core.columns import MINUTE_MS

OPEN_AT: Final = 10.0
"""Every detector is scaled so that this score is worth waking somebody."""


class Observation(NamedTuple):
    """One closed minute of one brand, summed over networks."""

    minute_ms: int
    voices: int
    neg_voices: int
    mentions: int
    negatives: int
    complete: bool
    gap_minutes: int  # minutes that were never observed, just before this one
    frozen: bool  # an episode is under way: judge, but learn no baseline from it


class Verdict(NamedTuple):
    """What a detector says of a minute, and the evidence for it."""

    score: float  # 0 is unremarkable, OPEN_AT opens an episode
    window_minutes: int
    voices: int  # of the window
    neg_voices: int  # of the window
    baseline: float  # the share of negative voices that is usual for the brand, 0 … 1


class Numbers(Protocol):
    """The numbers of one brand; all else in them is the detector's own business."""

    @property
    def minute_ms(self) -> int:
        """The last minute that was fed; -1 before the first."""


N = TypeVar("N", bound=Numbers)


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


class ShareNumbers(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Numbers of the `share` detector."""

    minute_ms: int
    usual_voices: float  # decayed sum
    usual_negatives: float  # decayed sum
    window: tuple[tuple[int, int, int], ...]  # (minute, voices, negative voices), minutes with voices only


WINDOW_MINUTES: Final = 5
HALF_LIFE_MINUTES: Final = 1_440
PRIOR_VOICES: Final = 20.0
PRIOR_SHARE: Final = 0.17  # a common share in public streams; washed out after some tens of voices
MARGIN: Final = 1.35  # odds this much above usual are still unremarkable: brands wander by themselves
VOICES_MIN: Final = 10
NEGATIVES_MIN: Final = 5
SHARE_MIN: Final = 0.02  # a brand without any criticism must not open on a handful

_FORGET = 2.0 ** (-1 / HALF_LIFE_MINUTES)
_numbers_encoder = msgspec.json.Encoder()
_numbers_decoder = msgspec.json.Decoder(ShareNumbers)


class Share:
    """The share of negative voices in the last minutes, against the brand's own slowly learned share.

    V and N are the voices and negative voices of the last 5 minutes, q = N / V; v and n are decayed sums:

        usual    p  = (n + 20 · 0.17) / (v + 20), at least 0.02
        margin   p' = o / (1 + o)  with  o = 1.35 · p / (1 - p)
        weight   w  = 1 / (1 / V + 1 / (v + 20)): what is usual is not known better than it was seen
        score    w · (q ln(q / p') + (1 - q) ln((1 - q) / (1 - p')))  if V ≥ 10, N ≥ 5 and q > p', else 0

    With a known p', e^-score bounds the chance of so many negative voices (Chernoff).
    Then the baseline learns: v ← v · 2^(-t / 1440) + voices, and n alike, where t is 1 plus the minutes of
    the hole before. It learns nothing from an incomplete minute nor while `frozen`.
    A hole moves old minutes out of the window and weakens the baseline without changing its share.
    Only shares are compared, so an incomplete minute needs no other formula.
    """

    name = "share"
    version = 1

    def start(self) -> ShareNumbers:
        """Return the numbers of a brand that was never seen."""
        return ShareNumbers(-1, 0.0, 0.0, ())

    def step(self, numbers: ShareNumbers, observation: Observation) -> tuple[ShareNumbers, Verdict]:
        """Judge one minute against what was learned before it, then learn from it."""
        minute_ms, voices, neg_voices, _, _, complete, gap_minutes, frozen = observation
        window = numbers.window
        if window:
            oldest_ms = minute_ms - (WINDOW_MINUTES - 1) * MINUTE_MS
            window = tuple(item for item in window if item[0] >= oldest_ms)
        if voices:
            window = (*window, (minute_ms, voices, neg_voices))
        seen = sum(item[1] for item in window)
        negative = sum(item[2] for item in window)
        usual_voices, usual_negatives = numbers.usual_voices, numbers.usual_negatives
        known = usual_voices + PRIOR_VOICES
        baseline = (usual_negatives + PRIOR_VOICES * PRIOR_SHARE) / known
        score = evidence(seen, negative, baseline, known)
        verdict = Verdict(score, WINDOW_MINUTES, seen, negative, baseline)
        if complete and not frozen:
            keep = _FORGET if gap_minutes == 0 else _FORGET ** (1 + gap_minutes)
            usual_voices = usual_voices * keep + voices
            usual_negatives = usual_negatives * keep + neg_voices
        return ShareNumbers(minute_ms, usual_voices, usual_negatives, window), verdict

    def encode(self, numbers: ShareNumbers) -> str:
        """Return the numbers as a JSON array."""
        return _numbers_encoder.encode(numbers).decode()

    def decode(self, text: str) -> ShareNumbers:
        """Return the numbers that were encoded. Raises msgspec.MsgspecError on other text."""
        return _numbers_decoder.decode(text)


def evidence(voices: int, negatives: int, baseline: float, known_voices: float) -> float:
    """Return how much `negatives` of `voices` speak against the usual share, in nats; 0 below the minimum.

    `known_voices` is how many voices the usual share `baseline` rests on.
    """
    if voices < VOICES_MIN or negatives < NEGATIVES_MIN:
        return 0.0
    usual = min(max(baseline, SHARE_MIN), 1 - SHARE_MIN)
    odds = MARGIN * usual / (1 - usual)
    limit = odds / (1 + odds)
    share = negatives / voices
    if share <= limit:
        return 0.0
    rest = (1 - share) * log((1 - share) / (1 - limit)) if share < 1 else 0.0
    weight = 1 / (1 / voices + 1 / known_voices)
    return weight * (share * log(share / limit) + rest)

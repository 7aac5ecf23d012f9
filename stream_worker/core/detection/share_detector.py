"""The shipped detector: the share of negative voices, how many there are, and the last half hour."""

from math import log
from typing import Final

import msgspec
from msgspec import structs
from msgspec.structs import astuple

from stream_worker.core.detection import baseline
from stream_worker.core.detection.baseline import Baseline, Quarter
from stream_worker.core.detection.copy_leakage import without_leak
from stream_worker.core.detection.detector import Observation, Verdict
from stream_worker.core.detection.expectation import FAST, SLOW, ExpectedRates, against_of
from stream_worker.core.detection.recent_evidence import RecentEvidence, begun_anew, fed, good_news, picture
from stream_worker.core.time import MINUTE_MS

FAST_MINUTE_MAX: Final = 1.0  # one minute is no proof, however large: conversations come in bursts
SLOW_MINUTE_MAX: Final = 0.5
FAST_MAX: Final = 19.0  # a longer crisis is no stronger evidence; it ends sooner so
SLOW_MAX: Final = 11.0
SLOW_HALF_LIFE_MINUTES: Final = 325.0
COUNTS: Final = (4.2, 10.0)  # times the usual number of negative voices
COUNTS_MINUTE_MAX: Final = 1.0
COUNTS_MAX: Final = 7.0
COUNTS_PER_SHARE: Final = 0.95  # numbers support a share, they never replace it
COUNTS_HALF_LIFE_MINUTES: Final = 145.0
NEGATIVES_MIN: Final = 6.7  # fewer since the evidence began weigh less
EXCITED: Final = 5.4
LEAK_MAX: Final = 0.5  # a minute in which more than half a voice leaked shows the windows nothing unusual
STORM_NEGATIVES: Final = 100
STORM_RATIO: Final = 3.0
STORM_SCORE: Final = 30.0
HOLE_MINUTES: Final = 30
HOLE_HALF_LIFE_MINUTES: Final = 30.0
SETTLE_MINUTES: Final = (
    60  # so long the share of another model is learned as soon as half as many voices came
)
CHANGE_WAITS_MINUTES: Final = 360  # … which waits at most so long for the end of a spike
QUARTER_MS: Final = 15 * MINUTE_MS
JUMP: Final = 0.87  # what a jump is worth by itself, before windows of half an hour have seen it
SUMS_MIN: Final = 0.5
"""Without evidence the windows show what a busy hour looks like, and no more."""
_SLOW_FADE = 2 ** (-1 / SLOW_HALF_LIFE_MINUTES)
_COUNTS_FADE = 2 ** (-1 / COUNTS_HALF_LIFE_MINUTES)
(_LOW, _HIGH), (_LOG_LOW, _LOG_HIGH) = COUNTS, (log(COUNTS[0]), log(COUNTS[1]))
_numbers_encoder = msgspec.json.Encoder()


class ShareState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Numbers of the `share` detector."""

    minute_ms: int
    fast: float
    slow: float
    low: float
    high: float
    since_ms: int  # the evidence began with this minute
    voices: int  # since then
    negatives: int
    quarter: tuple[int, int, int]  # complete minutes, voices, negative voices of the one under way
    usual: Baseline
    against: ExpectedRates
    windows: RecentEvidence
    model: str = ""  # that the usual share is learned from; empty: unknown
    settled_ms: int = 0  # from this minute on the share is learned by the quarter of an hour alone
    waits: int = 0  # minutes of another model in a spike that goes on


_numbers_decoder = msgspec.json.Decoder(ShareState)


class ShareDetector:
    """CUSUMs of the share of negative voices given how many there are, supported by how many there are.

    Of a minute with V voices, N of them negative (less what leaked from copies, copy_leakage.py), and the
    usual share p of the brand at this hour (baseline.py), with o = p / (1 - p):

        unremarkable  o' = o · e^margin, p' = o' / (1 + o')
        fast    S ← clip(S · fade + min(1, w · (1.1 N - V ln(1 + p' (e^1.1 - 1)))), 0, 19)   a jump
        slow    Z ← the same with 0.29 for 1.1, another margin, and 0.5 a minute at most      a slow burn
        counts  C ← clip(C · fade + min(1, (N ln m - μ (m - 1)) / d), 0, 7), m = 4.2 and 10  many at once
        sums    E(s) = 1.35 · (s + min(max C, 0.95 s)) · min(1, n / 6.7)
        score   max(0.87 E(S), picture of E(max(S, Z)))       the picture: recent_evidence.py, from E > 0.5 on

    w = 1 / dispersion^0.7 · K / (K + v), where p rests on K voices; v and n are the voices and negative ones
    since S and Z were 0 last. The sums in brackets are log likelihood ratios, of odds e^1.1 times o' and of m
    times the mean μ = usual volume · p': Page's CUSUM, given the volume, so that a good day is no bad one.
    A *storm*, at least 100 negative voices in one minute at three times the usual share, scores 30 at once,
    unless it comes amid good news: more is said than in the half day, and less of it negative than usual.
    An incomplete minute is judged by share alone: counts and volume only fade. It teaches nothing.
    With the first minute of another model the usual share begins anew (baseline.py); for an hour it is
    learned whenever half as many voices came as it rests on, and counts wait. In a spike (S > 5.4) all of
    that waits for its end, six hours at most.
    """

    name = "share"
    version = 5

    def start(self) -> ShareState:
        """Return the numbers of a brand that was never seen."""
        usual = Baseline()
        return ShareState(
            -1, 0.0, 0.0, 0.0, 0.0, -1, 0, 0, (0, 0, 0), usual, against_of(usual, 0), RecentEvidence()
        )

    def step(self, numbers: ShareState, observation: Observation) -> tuple[ShareState, Verdict]:
        """Judge one minute against what was learned before it, then learn from it."""
        minute_ms, voices, neg_voices, mentions, _, complete, gap_minutes, model = observation
        if model and model != numbers.model:
            numbers = _change(numbers, minute_ms, model)
        usual, against, seen = numbers.usual, numbers.against, numbers.quarter
        quarter, settled = minute_ms // QUARTER_MS, minute_ms >= numbers.settled_ms
        anew = usual.hours == 0 or (not settled and seen[1] >= usual.known_voices / 2)
        if quarter != usual.quarter or anew:  # in its first hours a brand is learned more often
            usual = _turn(numbers, quarter)
            against, seen = against_of(usual, quarter, settled=settled), (0, 0, 0)
        share, fast_cost, slow_cost, weight, volume, mean, counts_weight, fast_fade, *_ = astuple(against)
        _, fast, slow, low, high, since_ms, run_voices, run_negatives, *_ = astuple(numbers)
        fade = 1.0 if gap_minutes <= HOLE_MINUTES else 2 ** (-gap_minutes / HOLE_HALF_LIFE_MINUTES)
        fast, slow = fast * fast_fade * fade, slow * _SLOW_FADE * fade
        low, high = low * _COUNTS_FADE * fade, high * _COUNTS_FADE * fade
        v, n = (voices, neg_voices) if mentions <= voices else without_leak(voices, neg_voices, mentions)
        storm = False
        if v > 0:
            known = usual.negatives + usual.others
            weight *= known / (known + run_voices + v)
            fast += min(FAST_MINUTE_MAX, weight * (n * FAST - v * fast_cost))
            slow += min(SLOW_MINUTE_MAX, weight * (n * SLOW - v * slow_cost))
            storm = neg_voices >= STORM_NEGATIVES and _storms(numbers.windows, v, n, share, known)
            fast = FAST_MAX if storm else min(max(fast, 0.0), FAST_MAX)
            slow = min(max(slow, 0.0), SLOW_MAX)
        if complete:
            low += min(COUNTS_MINUTE_MAX, counts_weight * (n * _LOG_LOW - mean * (_LOW - 1)))
            high += min(COUNTS_MINUTE_MAX, counts_weight * (n * _LOG_HIGH - mean * (_HIGH - 1)))
            low, high = min(max(low, 0.0), COUNTS_MAX), min(max(high, 0.0), COUNTS_MAX)
            seen = seen[0] + 1, seen[1] + voices, seen[2] + neg_voices
        evidence = fast if fast > slow else slow  # noqa: FURB136  a call takes three times as long
        if evidence > 0:
            run_voices, run_negatives = run_voices + voices, run_negatives + neg_voices
            since_ms = minute_ms if since_ms < 0 else since_ms
        else:
            run_voices, run_negatives, since_ms = 0, 0, -1
        shown = n if neg_voices - n < LEAK_MAX else v * share
        looks = fed(numbers.windows, v, shown, share, volume if complete else None, gap_minutes)
        after = ShareState(
            minute_ms,
            fast,
            slow,
            low,
            high,
            since_ms,
            run_voices,
            run_negatives,
            seen,
            usual,
            against,
            looks,
            numbers.model,
            numbers.settled_ms,
            numbers.waits,
        )
        score = max(_score(after), STORM_SCORE) if storm else _score(after)
        return after, _verdict(after, score, voices, neg_voices)

    def encode(self, numbers: ShareState) -> str:
        """Return the numbers as a JSON array, below 2 kB."""
        return _numbers_encoder.encode(numbers).decode()

    def decode(self, text: str) -> ShareState:
        """Return the numbers that were encoded. Raises msgspec.MsgspecError on other text."""
        return _numbers_decoder.decode(text)


def _score(numbers: ShareState) -> float:
    """Weigh the sums of evidence: by themselves for a jump, and by what the windows make of them."""
    against, fast = numbers.against, numbers.fast
    evidence, counts = max(fast, numbers.slow), max(numbers.low, numbers.high)
    worth = against.scale * min(1.0, numbers.negatives / NEGATIVES_MIN)
    advance_cursor = JUMP * worth * (fast + min(counts, COUNTS_PER_SHARE * fast))
    sums = worth * (evidence + min(counts, COUNTS_PER_SHARE * evidence))
    if sums <= SUMS_MIN:
        return advance_cursor
    known = against.counts_weight > 0
    return max(
        advance_cursor,
        picture(numbers.windows, sums, numbers.usual.dispersion, against.spread, volume_known=known),
    )


def _verdict(numbers: ShareState, score: float, voices: int, neg_voices: int) -> Verdict:
    """Show the voices since the evidence began; without any, those of the minute."""
    if numbers.since_ms < 0:
        return Verdict(score, 1, voices, neg_voices, numbers.against.share)
    window_minutes = (numbers.minute_ms - numbers.since_ms) // MINUTE_MS + 1
    return Verdict(score, window_minutes, numbers.voices, numbers.negatives, numbers.against.share)


def _storms(before: RecentEvidence, voices: float, negatives: float, share: float, known: float) -> bool:
    """Whether so many are three times the usual, not from copies alone, of a brand that is known."""
    many = negatives >= max(STORM_NEGATIVES / 2, STORM_RATIO * voices * share)
    return many and known >= max(100, voices / 10) and not good_news(before)


def _change(numbers: ShareState, minute_ms: int, model: str) -> ShareState:
    """Begin the usual share anew with the minute of another model; while a spike goes on, wait."""
    if numbers.usual.quarter < 0:
        return structs.replace(numbers, model=model)
    if numbers.fast > EXCITED and numbers.waits < CHANGE_WAITS_MINUTES:
        return structs.replace(numbers, waits=numbers.waits + 1)
    quarter = minute_ms // QUARTER_MS
    usual = baseline.under_another_model(_turn(numbers, quarter))
    return structs.replace(
        numbers,
        quarter=(0, 0, 0),
        usual=usual,
        against=against_of(usual, quarter, settled=False),
        windows=begun_anew(numbers.windows),
        model=model,
        settled_ms=minute_ms + SETTLE_MINUTES * MINUTE_MS,
        waits=0,
    )


def _turn(numbers: ShareState, quarter: int) -> Baseline:
    """Learn from the quarter of an hour that has passed."""
    usual = numbers.usual
    if usual.quarter < 0:
        return structs.replace(usual, quarter=quarter)
    minutes, voices, negatives = numbers.quarter
    against = numbers.against
    return baseline.learn(
        usual,
        Quarter(
            minutes,
            voices,
            negatives,
            against.share,
            against.mean,
            numbers.fast > EXCITED,
            numbers.minute_ms >= numbers.settled_ms,
        ),
        quarter,
    )

"""The shipped detector: the share of negative voices, how many there are, and the last half hour.

Every constant here without another origin was tuned on simulated brands (bench/spikes.py), together with all
others; docs/alerts.md measures the result on seeds that were not used for that.
"""

from math import log
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from stream_worker.core.detection.baseline import (
    MINUTES_PER_QUARTER,
    Baseline,
    QuarterSummary,
    learn,
    restart_share,
)
from stream_worker.core.detection.copy_leakage import without_leakage
from stream_worker.core.detection.detector import Observation, Verdict
from stream_worker.core.detection.expectation import (
    FAST_LOG_ODDS,
    SLOW_LOG_ODDS,
    ExpectedRates,
    expected_rates,
)
from stream_worker.core.detection.recent_evidence import (
    RecentEvidence,
    add_minute,
    is_good_news,
    restart_excess,
    weighted_score,
)
from stream_worker.core.time import MINUTE_MS

# The share. One minute is no proof, however large, since conversations come in bursts: a bound that grows
# with the voices of the minute cost false alerts of large brands
# (docs/decisions/0036-a-storm-is-a-rule-of-its-own.md). The sums are bounded as well: a longer crisis is no
# stronger evidence, and so it ends sooner.
FAST_MINUTE_MAX: Final = 1.0
FAST_MAX: Final = 19.0
SLOW_MINUTE_MAX: Final = 0.5
SLOW_MAX: Final = 11.0
SLOW_HALF_LIFE_MINUTES: Final = 325.0

# The number of negative voices, beside so many times the usual one. Counts support a share, they never
# replace it: they add at most COUNTS_PER_SHARE times its evidence.
COUNTS_LOW: Final = 4.2
COUNTS_HIGH: Final = 10.0
COUNTS_MINUTE_MAX: Final = 1.0
COUNTS_MAX: Final = 7.0
COUNTS_HALF_LIFE_MINUTES: Final = 145.0
COUNTS_PER_SHARE: Final = 0.95

# The score. Fewer negative voices than NEGATIVES_MIN since the evidence began weigh less. A jump counts by
# itself, too, before half an hour has seen it, but less. Without evidence worth EVIDENCE_MIN the recent
# minutes show what a busy hour looks like, and no more.
NEGATIVES_MIN: Final = 6.7
JUMP_WEIGHT: Final = 0.87
EVIDENCE_MIN: Final = 0.5

SPIKING_EVIDENCE: Final = 5.4
"""With more evidence for a jump a spike may be going on: the baseline hardly learns, another model waits."""

LEAKED_MAX: Final = 0.5
"""A minute in which more voices than this leaked from copies shows the recent minutes nothing unusual."""

# A storm: a hundred furious voices within a minute must not wait until evidence has added up
# (docs/decisions/0036-a-storm-is-a-rule-of-its-own.md). Leaked copies may be half of them at most, and the
# baseline must rest on as many voices as a storm has, or on a tenth of the minute's where that is more. The
# score is beyond ESCALATE_AT and all of OPEN_SCORES.
STORM_NEGATIVES: Final = 100
STORM_RATIO: Final = 3.0
STORM_SCORE: Final = 30.0
STORM_GENUINE_NEGATIVES: Final = STORM_NEGATIVES / 2
STORM_KNOWN_VOICES: Final = 100
STORM_KNOWN_PART: Final = 10

# A hole of up to half an hour changes nothing; in a longer one evidence halves every half an hour.
HOLE_MINUTES: Final = 30
HOLE_HALF_LIFE_MINUTES: Final = 30.0

# Another model. For SETTLE_MINUTES its share is learned as soon as 1 / SETTLE_PART as many voices came as it
# rests on. The change waits for the end of a spike, at most CHANGE_WAIT_MINUTES_MAX. bench/changes.py
# measures what that costs and saves (docs/alerts.md#when-the-model-changes).
SETTLE_MINUTES: Final = 60
SETTLE_PART: Final = 2
CHANGE_WAIT_MINUTES_MAX: Final = 360

QUARTER_MS: Final = MINUTES_PER_QUARTER * MINUTE_MS
_SLOW_FADE = 2 ** (-1 / SLOW_HALF_LIFE_MINUTES)
_COUNTS_FADE = 2 ** (-1 / COUNTS_HALF_LIFE_MINUTES)
_LOG_LOW, _LOG_HIGH = log(COUNTS_LOW), log(COUNTS_HIGH)
_state_encoder = msgspec.json.Encoder()


class QuarterCounts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The complete minutes of the quarter of an hour under way."""

    minutes: int = 0
    voices: int = 0
    negatives: int = 0


class ShareState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """State of the `share` detector. Stored in this order; a run lasts while there is evidence."""

    minute_ms: int
    fast: float  # evidence for a jump of the share
    slow: float  # … for a slow burn
    low: float  # … for COUNTS_LOW times the usual number of negative voices
    high: float  # … for COUNTS_HIGH times as many
    run_start_ms: int  # the first minute of the run; -1 without one
    run_voices: int
    run_negatives: int
    quarter: QuarterCounts
    baseline: Baseline
    expected: ExpectedRates
    recent: RecentEvidence
    model: str = ""  # that the baseline share is learned from; empty: unknown
    settled_ms: int = 0  # from this minute on the share is learned by the quarter of an hour alone
    change_wait_minutes: int = 0  # minutes of another model in a spike that goes on


_state_decoder = msgspec.json.Decoder(ShareState)


class _Minute(NamedTuple):
    """The voices of a minute less what leaked from copies, and what they mean by themselves."""

    voices: float
    negatives: float
    storm: bool


class ShareDetector:
    """CUSUMs of the share of negative voices given how many there are, supported by how many there are.

    For a minute with V voices, N of them negative (less those that leaked from copies, copy_leakage.py), and
    the baseline share p of the brand at this hour (baseline.py), with o = p / (1 - p):

        unremarkable  o' = o · e^margin, p' = o' / (1 + o')
        fast    S ← clip(S · fade + min(1, w · (1.1 N - V ln(1 + p' (e^1.1 - 1)))), 0, 19)   a jump
        slow    Z ← the same with 0.29 for 1.1, another margin, and 0.5 a minute at most      a slow burn
        counts  C ← clip(C · fade + min(1, (N ln m - μ (m - 1)) / d), 0, 7), m = 4.2 and 10  many at once
        worth   E(s) = 1.35 · (s + min(max C, 0.95 s)) · min(1, n / 6.7)
        score   max(0.87 E(S), weighted_score of E(max(S, Z)))       recent_evidence.py, from E > 0.5 on

    w = 1 / dispersion^0.7 · K / (K + v), where p rests on K voices; v and n are the voices and negative ones
    of the run, which began when S and Z were 0 last. The sums in brackets are log likelihood ratios, of odds
    e^1.1 times o' and of m times the mean μ = usual volume · p': Page's CUSUM, given the volume, so that a
    good day is no bad one.

    A *storm*, at least 100 negative voices in one minute at three times the baseline share, scores 30 at
    once, unless it comes amid good news: more is said than in the half day, and less of it negative than
    usual.

    An incomplete minute is evaluated by share alone: counts and volume only fade. It teaches nothing.

    With the first minute of another model the baseline share starts again (baseline.py). For an hour it is
    learned whenever half as many voices came as it rests on, and counts wait. In a spike (S > 5.4) all of
    that waits for its end, six hours at most.
    """

    name = "share"
    version = 5

    def start(self) -> ShareState:
        """Return the state of a brand that was never seen."""
        baseline = Baseline()
        return ShareState(
            minute_ms=-1,
            fast=0.0,
            slow=0.0,
            low=0.0,
            high=0.0,
            run_start_ms=-1,
            run_voices=0,
            run_negatives=0,
            quarter=QuarterCounts(),
            baseline=baseline,
            expected=expected_rates(baseline, 0),
            recent=RecentEvidence(),
        )

    def step(self, state: ShareState, observation: Observation) -> tuple[ShareState, Verdict]:
        """Evaluate one minute against what was learned before it, then learn from it."""
        if observation.model and observation.model != state.model:
            state = _change_model(state, observation.minute_ms, observation.model)
        if _learns_now(state, observation.minute_ms):
            state = _begin_quarter(state, observation.minute_ms)
        minute = _minute(state, observation)
        state = _add_evidence(state, observation, minute)
        score = max(_score(state), STORM_SCORE) if minute.storm else _score(state)
        return state, _verdict(state, score, observation)

    def encode(self, state: ShareState) -> str:
        """Return the state as a JSON array, below 2 kB."""
        return _state_encoder.encode(state).decode()

    def decode(self, text: str) -> ShareState:
        """Return an encoded state. Raises msgspec.MsgspecError on other text."""
        return _state_decoder.decode(text)


def _minute(state: ShareState, observation: Observation) -> _Minute:
    voices: float = observation.voices
    negatives: float = observation.neg_voices
    if observation.mentions > voices:
        voices, negatives = without_leakage(observation.voices, observation.neg_voices, observation.mentions)
    storm = observation.neg_voices >= STORM_NEGATIVES and _is_storm(state, voices, negatives)
    return _Minute(voices, negatives, storm)


def _is_storm(state: ShareState, voices: float, negatives: float) -> bool:
    """Whether so many are three times the usual, not from copies alone, of a brand that is known."""
    many = max(STORM_GENUINE_NEGATIVES, STORM_RATIO * voices * state.expected.share)
    known = max(STORM_KNOWN_VOICES, voices / STORM_KNOWN_PART)
    return negatives >= many and state.baseline.known_voices >= known and not is_good_news(state.recent)


def _add_evidence(state: ShareState, observation: Observation, minute: _Minute) -> ShareState:
    """Let all sums fade, and add the minute to them."""
    gap_minutes = observation.gap_minutes
    fade = 1.0 if gap_minutes <= HOLE_MINUTES else 2 ** (-gap_minutes / HOLE_HALF_LIFE_MINUTES)
    fast, slow = _share_evidence(state, minute, fade)
    low, high = state.low * _COUNTS_FADE * fade, state.high * _COUNTS_FADE * fade
    quarter, volume = state.quarter, None
    if observation.complete:
        low = _with_count(low, state.expected, minute.negatives, COUNTS_LOW, _LOG_LOW)
        high = _with_count(high, state.expected, minute.negatives, COUNTS_HIGH, _LOG_HIGH)
        volume = state.expected.volume
        quarter = QuarterCounts(
            minutes=quarter.minutes + 1,
            voices=quarter.voices + observation.voices,
            negatives=quarter.negatives + observation.neg_voices,
        )
    run_start_ms, run_voices, run_negatives = -1, 0, 0
    if fast > 0 or slow > 0:
        run_start_ms = state.run_start_ms if state.run_start_ms >= 0 else observation.minute_ms
        run_voices = state.run_voices + observation.voices
        run_negatives = state.run_negatives + observation.neg_voices
    leaked = observation.neg_voices - minute.negatives
    return replace(
        state,
        minute_ms=observation.minute_ms,
        fast=fast,
        slow=slow,
        low=low,
        high=high,
        run_start_ms=run_start_ms,
        run_voices=run_voices,
        run_negatives=run_negatives,
        quarter=quarter,
        recent=add_minute(
            state.recent,
            voices=minute.voices,
            negatives=minute.negatives if leaked < LEAKED_MAX else minute.voices * state.expected.share,
            share=state.expected.share,
            volume=volume,
            gap_minutes=gap_minutes,
        ),
    )


def _share_evidence(state: ShareState, minute: _Minute, fade: float) -> tuple[float, float]:
    """Return the sums (fast, slow) after the minute."""
    expected, voices, negatives = state.expected, minute.voices, minute.negatives
    fast, slow = state.fast * expected.fast_fade * fade, state.slow * _SLOW_FADE * fade
    if voices <= 0:
        return fast, slow
    known = state.baseline.known_voices
    weight = expected.weight * (known / (known + state.run_voices + voices))
    fast += min(FAST_MINUTE_MAX, weight * (negatives * FAST_LOG_ODDS - voices * expected.fast_cost))
    slow += min(SLOW_MINUTE_MAX, weight * (negatives * SLOW_LOG_ODDS - voices * expected.slow_cost))
    fast = FAST_MAX if minute.storm else min(max(fast, 0.0), FAST_MAX)
    return fast, min(max(slow, 0.0), SLOW_MAX)


def _with_count(
    evidence: float, expected: ExpectedRates, negatives: float, times: float, log_times: float
) -> float:
    """Return a sum of counts, for so many times the usual number, after a complete minute."""
    evidence += min(
        COUNTS_MINUTE_MAX, expected.counts_weight * (negatives * log_times - expected.mean * (times - 1))
    )
    return min(max(evidence, 0.0), COUNTS_MAX)


def _score(state: ShareState) -> float:
    """Weigh the sums of evidence: a jump by itself, and all of them in the light of the recent minutes."""
    expected, fast = state.expected, state.fast
    strongest, counts = max(fast, state.slow), max(state.low, state.high)
    worth = expected.scale * min(1.0, state.run_negatives / NEGATIVES_MIN)
    jump_score = JUMP_WEIGHT * worth * (fast + min(counts, COUNTS_PER_SHARE * fast))
    evidence = worth * (strongest + min(counts, COUNTS_PER_SHARE * strongest))
    if evidence <= EVIDENCE_MIN:
        return jump_score
    return max(
        jump_score,
        weighted_score(
            state.recent,
            evidence,
            state.baseline.dispersion,
            expected.spread,
            volume_known=expected.counts_weight > 0,
        ),
    )


def _verdict(state: ShareState, score: float, observation: Observation) -> Verdict:
    """Show the voices of the run; without one, those of the minute."""
    share = state.expected.share
    if state.run_start_ms < 0:
        return Verdict(score, 1, observation.voices, observation.neg_voices, share)
    window_minutes = (state.minute_ms - state.run_start_ms) // MINUTE_MS + 1
    return Verdict(score, window_minutes, state.run_voices, state.run_negatives, share)


def _change_model(state: ShareState, minute_ms: int, model: str) -> ShareState:
    """Start the baseline share again with the minute of another model; while a spike goes on, wait."""
    if state.baseline.quarter < 0:
        return replace(state, model=model)
    if state.fast > SPIKING_EVIDENCE and state.change_wait_minutes < CHANGE_WAIT_MINUTES_MAX:
        return replace(state, change_wait_minutes=state.change_wait_minutes + 1)
    quarter = minute_ms // QUARTER_MS
    baseline = restart_share(_learned(state, quarter))
    return replace(
        state,
        quarter=QuarterCounts(),
        baseline=baseline,
        expected=expected_rates(baseline, quarter, share_settled=False),
        recent=restart_excess(state.recent),
        model=model,
        settled_ms=minute_ms + SETTLE_MINUTES * MINUTE_MS,
        change_wait_minutes=0,
    )


def _learns_now(state: ShareState, minute_ms: int) -> bool:
    """Whether a quarter of an hour begins, or the brand is so new that it learns by the minute."""
    baseline = state.baseline
    if minute_ms // QUARTER_MS != baseline.quarter or baseline.hours == 0:
        return True
    return minute_ms < state.settled_ms and state.quarter.voices >= baseline.known_voices / SETTLE_PART


def _begin_quarter(state: ShareState, minute_ms: int) -> ShareState:
    """Learn from the minutes that were collected, and begin to collect those of this quarter of an hour."""
    quarter = minute_ms // QUARTER_MS
    baseline = _learned(state, quarter)
    return replace(
        state,
        quarter=QuarterCounts(),
        baseline=baseline,
        expected=expected_rates(baseline, quarter, share_settled=minute_ms >= state.settled_ms),
    )


def _learned(state: ShareState, quarter: int) -> Baseline:
    """Return the baseline after the minutes that were collected; `quarter` is the next one under way."""
    if state.baseline.quarter < 0:
        return replace(state.baseline, quarter=quarter)
    seen = QuarterSummary(
        minutes=state.quarter.minutes,
        voices=state.quarter.voices,
        negatives=state.quarter.negatives,
        share=state.expected.share,
        mean=state.expected.mean,
        spiking=state.fast > SPIKING_EVIDENCE,
        settled=state.minute_ms >= state.settled_ms,
    )
    return learn(state.baseline, seen, quarter)

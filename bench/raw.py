"""Raw mentions through the worker's own path: JSON, decode, repeat and author rules, fold, evaluate.

A post is (author, text); one that contains the word "awful" is scored as negative, so that no model helps.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xxhash

from bench.brands import FIRST
from stream_worker.core.aggregates.aggregate import fold
from stream_worker.core.aggregates.encoding import Sums, shard_of
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.aggregates.shard import SealedMinute, Shard
from stream_worker.core.detection.evaluate import evaluate, observe
from stream_worker.core.detection.sensitivity import OPEN_SCORES
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.records.batch import NEGATIVE, NEUTRAL, Flags, MentionBatch, Records, ScoreColumns
from stream_worker.core.records.decode import decode
from stream_worker.core.records.dedup import DedupWindow, plain_keys
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.mention import Mention, encode
from stream_worker.core.records.watermark import late, watermarks_ms
from stream_worker.core.time import MINUTE_MS

BRAND = "acme"
BATCH = 5_000

Post = tuple[str, str]  # author, text
Tallies = dict[int, Sums]  # minute of the stream -> ten sums, in the order of MEASURES


def live(voices: np.ndarray, negative: np.ndarray) -> str:
    """Feed calm days as counts; return the state of the detector then."""
    detector = ShareDetector()
    state = detector.start()
    for minute, (v, n) in enumerate(zip(voices.tolist(), negative.tolist(), strict=True), FIRST):
        sums = (v, n, 0, 0, 0, 0, 0, 0, v, n)
        state, _ = detector.step(state, observe(state.minute_ms, minute * MINUTE_MS, sums))
    return detector.encode(state)


def count(log: Sequence[tuple[int, Post]], minutes: range) -> Tallies:
    """Take (event time in ms, post) in the order of the log through decode, rules and fold."""
    limits = Limits()
    window = DedupWindow(
        limits.dedup_window_offsets, limits.dedup_window_ms, plain_keys(xxhash.xxh64_intdigest)
    )
    sums = {minute: np.zeros(len(MEASURES), np.int64) for minute in minutes}
    watermark_ms = 0
    for low in range(0, len(log), BATCH):
        columns = _columns(log[low : low + BATCH], low, limits)
        duplicate, repeat, voice = window.add(columns)
        before_ms, watermark_ms = watermarks_ms(columns, watermark_ms, limits.lateness_ms)
        flags = Flags(duplicate, repeat, voice, late(columns, before_ms), before_ms)
        delta = fold(columns, flags, _score(columns.texts), "m", slice(0, len(columns)))
        for start_ms, cell in zip(delta.minutes_ms.tolist(), delta.measures, strict=True):
            sums[start_ms // MINUTE_MS - FIRST] += cell
    return {minute: tuple(one.tolist()) for minute, one in sums.items()}


def openings(tallies: Tallies, state: str, sensitivity: float) -> list[int]:
    """Evaluate every minute of a brand in this state; return those in which an episode opened."""
    detector, opened = ShareDetector(), []
    shard = Shard(shard_of(BRAND), -1, "", f"{detector.name}/{detector.version}", {BRAND: state}, {})
    for minute, sums in tallies.items():
        start_ms = (FIRST + minute) * MINUTE_MS
        sealed = SealedMinute(start_ms, "", True, [], {BRAND: sums}, 0)
        close = evaluate(
            shard,
            sealed,
            {BRAND: FIRST * MINUTE_MS},
            detector,
            lambda _brand: {},
            open_at=lambda _brand: OPEN_SCORES[sensitivity],
        )
        if any(message.endswith(".opened") for message in close.outbox):
            opened.append(minute)
        kept = {**shard.episodes, **close.episodes}
        shard = replace(
            shard,
            closed_ms=start_ms + MINUTE_MS,
            states=close.states,
            episodes={brand: record for brand, record in kept.items() if record is not None},
        )
    return opened


def _columns(log: Sequence[tuple[int, Post]], offset: int, limits: Limits) -> MentionBatch:
    values = [
        encode(Mention(id=str(offset + i), brand=BRAND, network="x", text=text, event_time=ms, author=author))
        for i, (ms, (author, text)) in enumerate(log)
    ]
    offsets = range(offset, offset + len(log))
    columns, rejected = decode(Records(offsets, [ms + 500 for ms, _ in log], values), limits)
    assert not rejected
    return columns


def _score(texts: list[str]) -> ScoreColumns:
    label = np.array([NEGATIVE if "awful" in text.lower() else NEUTRAL for text in texts], np.int8)
    sure = np.eye(3, dtype=np.float32)[label]
    return ScoreColumns(label, sure, np.where(label == NEGATIVE, -1_000_000, 0).astype(np.int32))

"""Small chunks of rows for tests of the archive."""

import numpy as np

from stream_worker.core.archive.layout import Log, Manifest, Outcomes, Plan
from stream_worker.core.records.batch import UNSCORED, Flags, MentionBatch, ScoreColumns, ScoredBatch
from stream_worker.core.records.limits import Limits

LOG = Log("mentions", "0a1b2c3d")
NOON_MS = 1_790_078_400_000  # 2026-09-22T12:00:00Z
MODEL = "abcdef012345+k1"


def plan(start, end, **fields):
    return Plan(start=start, end=end, watermark_start=0, watermark_end=NOON_MS, limits=Limits(), **fields)


def manifest(objects=(), **outcomes):
    return Manifest(objects=list(objects), outcomes=Outcomes(**outcomes), late=0, partial=False)


def part(offsets, *, model=MODEL, at_ms=None, unscored=(), **columns):
    """Rows at these offsets, a second apart from noon on; `columns` replaces whole columns."""
    n = len(offsets)
    offsets = np.array(offsets, np.int64)
    event_ms = NOON_MS + offsets * 1000 if at_ms is None else np.array(at_ms, np.int64)
    values = {
        "ids": [f"id-{offset}" for offset in offsets],
        "brands": [f"brand {offset % 3}" for offset in offsets],
        "networks": ["reddit"] * n,
        "authors": [f"author {offset}" for offset in offsets],
        "texts": [f"text number {offset}" for offset in offsets],
        "urls": [None] * n,
        "langs": ["en"] * n,
        "reaches": [int(offset) for offset in offsets],
        "reply_tos": [None] * n,
        "extras": [None] * n,
    }
    label = np.array([UNSCORED if offset in unscored else 2 for offset in offsets], np.int8)
    probability = np.tile(np.array([0.1, 0.2, 0.7], np.float32), (n, 1))
    probability[label == UNSCORED] = np.nan
    flags = [np.array([offset % k == 0 for offset in offsets], np.bool_) for k in (2, 3, 5, 7)]
    return ScoredBatch(
        MentionBatch(offsets, event_ms + 1500, event_ms, **(values | columns)),
        Flags(*flags, watermark_before_ms=event_ms - 30_000),
        ScoreColumns(label, probability, np.full(n, 600_000, np.int32)),
        model,
    )

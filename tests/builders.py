"""Defaults for tests: record values, records, columns and parts; a test names only what it is about."""

import json
import zlib

import numpy as np
import xxhash

from stream_worker.core.archive.layout import Log
from stream_worker.core.records.batch import UNSCORED, Flags, Records, ScoreColumns, ScoredBatch
from stream_worker.core.records.decode import decode
from stream_worker.core.records.dedup import DedupWindow, plain_keys
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.watermark import late, watermarks_ms

LOG = Log("mentions", "0a1b2c3d")
NOON_MS = 1_790_078_400_000  # 2026-09-22T12:00:00Z
MODEL = "abcdef012345+k1"
ABSENT = object()

keys = plain_keys(xxhash.xxh64_intdigest)


def mention(**fields):
    """The value of a record; `ABSENT` leaves a field out."""
    made = {
        "id": "1",
        "brand": "acme",
        "network": "reddit",
        "text": "a text",
        "event_time": NOON_MS,
        **fields,
    }
    return json.dumps({name: value for name, value in made.items() if value is not ABSENT}).encode()


def records(*values, start=0, offsets=None, time_ms=NOON_MS, times_ms=None):
    """Records at rising offsets, all of one record time unless `times_ms` says otherwise."""
    offsets = list(range(start, start + len(values))) if offsets is None else list(offsets)
    return Records(offsets, [time_ms] * len(values) if times_ms is None else list(times_ms), list(values))


def columns(*values, limits=None, **where):
    """Columns of values that are all mentions; `where` as in `records`."""
    made, rejected = decode(records(*values, **where), limits or Limits())
    assert rejected == []
    return made


def score(texts):
    """A model that is a pure function of the text: every label occurs, and sums of any sign."""
    numbers = np.array([zlib.crc32(text.encode()) for text in texts], np.int64)
    label = (numbers % 5).astype(np.int8)
    probability = np.tile(np.array([0.2, 0.3, 0.5], np.float32), (len(texts), 1))
    probability[label == UNSCORED] = np.nan
    micro = np.where(label == UNSCORED, 0, numbers % 2_000_001 - 1_000_000).astype(np.int32)
    return ScoreColumns(label, probability, micro)


def part(*values, watermark_ms=0, limits=None, **where):
    """A measured micro-batch of mentions, with the flags of a log that begins with it."""
    limits = limits or Limits()
    made = columns(*values, limits=limits, **where)
    duplicate, copy, voice = DedupWindow(limits.dedup_window_offsets, limits.dedup_window_ms, keys).add(made)
    before_ms, _ = watermarks_ms(made, watermark_ms, limits.lateness_ms)
    flags = Flags(duplicate, copy, voice, late(made, before_ms), before_ms)
    return ScoredBatch(made, flags, score(made.texts), MODEL)

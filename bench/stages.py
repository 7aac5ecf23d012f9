"""What a micro-batch costs, stage by stage: the pure parts of the step machine, each measured alone.

The worker itself counts the CPU of its stages, but sees a partition's step as one. Here the same functions
take the same records in the same batches, in this process, with a clock around each.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import xxhash

from models.native.keys import native_keys
from stream_worker.adapters.object_store.parquet import encode, tables_by_hour
from stream_worker.core.aggregates.aggregate import fold
from stream_worker.core.records.batch import Flags, Records, ScoreColumns, ScoredBatch, pack
from stream_worker.core.records.decode import decode
from stream_worker.core.records.dedup import DedupWindow, plain_keys
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.watermark import late, watermarks_ms
from stream_worker.inference.loader import load_model
from stream_worker.settings.schema import Settings


def measure(
    batches: list[tuple[int, Records]], score: Callable[[list[str]], ScoreColumns]
) -> dict[str, float]:
    """CPU seconds per mention of each stage, over (partition, records) in the order of the polls."""
    keys = native_keys(plain_keys(xxhash.xxh64_intdigest))
    limits, spent_s, parts = Limits(), defaultdict(float), defaultdict(list)
    horizons = defaultdict(lambda: DedupWindow(limits.dedup_window_offsets, limits.dedup_window_ms, keys))
    watermark_ms: dict[int, int] = defaultdict(int)

    def timed(stage: str, call: Callable[..., Any], *arguments: Any) -> Any:
        begun_s = time.thread_time()
        made = call(*arguments)
        spent_s[stage] += time.thread_time() - begun_s
        return made

    def flags_of(partition: int, columns: Any) -> Flags:
        flags = horizons[partition].add(columns)
        before_ms, watermark_ms[partition] = watermarks_ms(
            columns, watermark_ms[partition], limits.lateness_ms
        )
        return Flags(*flags, late(columns, before_ms), before_ms)

    pack(decode(batches[0][1], limits)[0])  # once before: pyarrow imports what it needs at its first array
    mentions = 0
    for partition, records in batches:
        columns, _ = timed("decode", decode, records, limits)
        flags = timed("horizon", flags_of, partition, columns)
        scores = timed("score", score, columns.texts)
        timed("fold", fold, columns, flags, scores, "bench", slice(0, len(columns)))
        packed = timed("gather", pack, columns)
        parts[partition].append(ScoredBatch(packed, flags, scores, "bench"))
        mentions += len(columns)
    for partition, of_one in parts.items():
        timed("parquet", _encode, partition, of_one)
    return {stage: seconds / mentions for stage, seconds in spent_s.items()}


def scorer_named(name: str) -> Callable[[list[str]], ScoreColumns]:
    """How the worker would score."""
    return load_model(Settings(model={"scorer": name}))[0]


def _encode(partition: int, parts: list[ScoredBatch]) -> list[str]:
    return [sha256(encode(table)).hexdigest() for _, table in tables_by_hour("bench", partition, parts)]

"""Watermarks: event time below which nothing more is expected of a partition (docs/design.md#verdicts).

Rules:
1. W(o) = the maximum of min(event time, record time) over the mentions before offset o, less the allowed
   lateness; 0 when there is none. No post can push time ahead of the log's own clock.
2. A mention is late when W at its offset has reached the end of its window.
3. A watermark never goes back. Windows are minutes of event time, `[start, end)` UTC.
"""

import numpy as np

from stream_worker.core.records.batch import Bool, Int64, MentionBatch
from stream_worker.core.time import MINUTE_MS


def window_starts_ms(event_times_ms: Int64) -> Int64:
    """Return the start of each time's window."""
    return event_times_ms - event_times_ms % MINUTE_MS


def watermarks_ms(columns: MentionBatch, watermark_ms: int, lateness_ms: int) -> tuple[Int64, int]:
    """Return W before each row, and W after the last; `watermark_ms` is W before the first."""
    reached = np.minimum(columns.event_times_ms, columns.record_times_ms) - lateness_ms
    after = np.maximum.accumulate(np.concatenate(([watermark_ms], reached)))
    return after[:-1], int(after[-1])


def late(columns: MentionBatch, watermark_before_ms: Int64) -> Bool:
    """Return which rows are late by their own partition's watermark."""
    return watermark_before_ms >= window_starts_ms(columns.event_times_ms) + MINUTE_MS


def complete_from_ms(watermark_ms: int, lateness_ms: int, future_ms: int) -> int:
    """First minute that is held wholly when counting starts where the watermark is `watermark_ms`.

    docs/design.md#assign: the first minute after that watermark + lateness + 5 minutes, or more where an
    event time may lie further ahead of its record time: nothing read before can belong to it.
    """
    after = watermark_ms + lateness_ms + max(future_ms, 5 * MINUTE_MS)
    return after - after % MINUTE_MS + MINUTE_MS

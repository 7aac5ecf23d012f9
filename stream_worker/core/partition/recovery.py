"""Where reading begins: pure functions of what an assignment found (docs/design.md#assign).

Rules:
1. Only the absence of the origin means a first start. A partition it does not name began at offset 0.
2. A cursor is only ever put on a boundary of the plan log (or the log's first offset), with the watermark
   that stands there: two sources of one watermark would drift.
"""

from collections.abc import Sequence

from stream_worker.core.archive.layout import LogOrigin, Plan
from stream_worker.core.partition.inputs import Cursor
from stream_worker.core.time import DAY_MS


def first_offset(origin: LogOrigin, partition: int) -> int:
    """Return the offset at which this log begins for us."""
    return origin.starts[partition] if partition < len(origin.starts) else 0


def dedup_window_base(origin: LogOrigin, partition: int) -> int:
    """Return the offset below which a dedup window that is not there is no loss: the log began there."""
    return first_offset(origin, partition) if origin.policy == "earliest" else 0


def lost_redis_start(
    plans: Sequence[Plan], *, log_start: int, dedup_window_offsets: int, base: int
) -> Cursor:
    """Return where counting begins again when Redis was lost; `plans` is the whole plan log, oldest first.

    The last boundary that is 24 h of event time older than the newest; the first one when the plan log is
    younger; never one whose dedup window the log no longer holds, while there is another; and never one below
    records that were skipped: the archive will never have them.
    """
    behind_skips = max((at for at, plan in enumerate(plans, 1) if plan.kind == "skipped"), default=0)
    boundaries = [Cursor(plan.start, plan.watermark_start) for plan in plans[behind_skips:]]
    boundaries.append(Cursor(plans[-1].end, plans[-1].watermark_end))
    newest_ms = plans[-1].watermark_end
    old = [at for at in boundaries if at.watermark_ms <= newest_ms - DAY_MS]
    chosen = old[-1] if old else boundaries[0]
    readable = [at for at in boundaries if log_start <= max(base, at.next - dedup_window_offsets)]
    return next((at for at in readable if at.next >= chosen.next), boundaries[-1])


def advance_target(plans: Sequence[Plan], at_or_above: int) -> Cursor | None:
    """Return the first boundary of the plan log at or above an offset; None when the log ends before it."""
    for plan in plans:
        if plan.start >= at_or_above:
            return Cursor(plan.start, plan.watermark_start)
    if plans and plans[-1].end >= at_or_above:
        return Cursor(plans[-1].end, plans[-1].watermark_end)
    return None

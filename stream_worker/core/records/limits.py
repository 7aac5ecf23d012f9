"""The limits that verdicts and flags depend on."""

import msgspec

from stream_worker.core.time import HOUR_MS

_STORED = {"dedup_window_offsets": "horizon_offsets", "dedup_window_ms": "horizon_ms"}
"""Names in plans, where they differ from those in code: what is stored keeps its name."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, rename=_STORED):
    """The settings that verdicts, flags and cuts depend on; they stand in every plan."""

    dedup_window_offsets: int = 50_000
    dedup_window_ms: int = HOUR_MS
    lateness_ms: int = 30_000
    future_ms: int = 300_000
    value_bytes_max: int = 1_048_576

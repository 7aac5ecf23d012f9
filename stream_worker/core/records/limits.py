"""The limits that verdicts and flags depend on."""

import msgspec

from stream_worker.core.time import HOUR_MS


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that verdicts, flags and cuts depend on; they stand in every plan."""

    horizon_offsets: int = 50_000
    horizon_ms: int = HOUR_MS
    lateness_ms: int = 30_000
    future_ms: int = 300_000
    value_bytes_max: int = 1_048_576

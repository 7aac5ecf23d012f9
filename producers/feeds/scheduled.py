"""What a feed yields: records, each with the time at which it is due."""

import datetime as dt
from typing import NamedTuple

from stream_worker.core.records.mention import Mention, encode

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
INSTANT_MS_MAX = (dt.datetime(9999, 12, 31, tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(milliseconds=1)


class ScheduledRecord(NamedTuple):
    """One record to publish `at_ms` milliseconds after the feed began."""

    at_ms: float
    key: str
    value: Mention | bytes
    """A mention, or the bytes of a record that is broken on purpose."""
    record_ms: int | None = None
    """The record's own time; None means the time of sending."""

    def encoded(self) -> bytes:
        """Return the record's value."""
        return self.value if isinstance(self.value, bytes) else encode(self.value)


def instant(ms: int) -> dt.datetime:
    """Return the moment `ms` milliseconds after 1970, which people can read on the topic."""
    return _EPOCH + dt.timedelta(milliseconds=ms)


def epoch_ms(moment: dt.datetime) -> int:
    """Return milliseconds since 1970; a moment without an offset is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - _EPOCH) // dt.timedelta(milliseconds=1)

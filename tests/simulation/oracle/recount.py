"""The recount: what the log of one partition says, by docs/design.md#verdicts, without code of the core.

Retention blurs it. Records that were eaten before they were archived may or may not have moved the watermark,
so there are two, `low` and `high`; what was flagged while the horizon before it was cut short is `blurred`.
"""

from bisect import bisect_left
from dataclasses import dataclass

from tests.e2e.oracle import Limits, Refused, decode, text_key

MINUTE_MS = 60_000
VOICES = 3


@dataclass(slots=True)
class Verdict:
    """One record. `mention` is None when it is rejected; watermarks are those before it."""

    offset: int
    record: object
    mention: object
    low_ms: int
    high_ms: int
    duplicate: bool = False
    copy: bool = False
    voice: bool = False
    why: str = ""  # it is rejected

    @property
    def end_ms(self):
        """The end of its window."""
        return self.mention.minute_ms + MINUTE_MS

    @property
    def late(self):
        return self.high_ms >= self.end_ms

    @property
    def late_is_sure(self):
        return (self.low_ms >= self.end_ms) == self.late


class Recount:
    """The verdicts of one partition, from the offset on at which its log begins for us."""

    def __init__(self, log, profile, begins, policy):
        self.log, self.begins = log, begins
        self._flags_from = begins if policy == "earliest" else 0
        self._profile = profile
        self._limits = Limits(value_bytes=1_000)
        self._verdicts = []
        self._seen = {}
        self._high_ms = self._low_ms = 0
        self.absent = []  # ranges that retention ate before they were archived
        self._cut_at = log.start if policy == "latest" else 0
        if log.start > begins:
            self.retained(begins)

    def between(self, start, end):
        """Verdicts of the records at the offsets [start, end)."""
        self._catch_up()
        low, high = (bisect_left(self._verdicts, at, key=_offset) for at in (start, end))
        return self._verdicts[low:high]

    def watermarks(self, offset):
        """The low and the high watermark before an offset."""
        self._catch_up()
        at = bisect_left(self._verdicts, offset, key=_offset)
        if at == len(self._verdicts):
            return self._low_ms, self._high_ms
        return self._verdicts[at].low_ms, self._verdicts[at].high_ms

    def blurred(self, verdict):
        """Whether its flags may have been worked out with less than its horizon."""
        return self._cut_at > 0 and verdict.offset < self._cut_at + self._profile.dedup_window_offsets

    @property
    def whole(self):
        """Whether retention never blurred anything."""
        return not self.absent and not self._cut_at

    def retained(self, archived):
        """Retention has moved the log's start; `archived` is where the archive was."""
        self._cut_at = self.log.start
        if archived < self.log.start:
            self.left_out(archived, self.log.start)

    def left_out(self, start, end):
        """These offsets may be missing from what the archive was made of."""
        self.absent.append((start, end))
        self._low_ms = 0
        for verdict in self._verdicts:
            verdict.low_ms = self._low_ms
            self._move_low(verdict)

    def _catch_up(self):
        for record in self.log.records[len(self._verdicts) :]:
            self._verdicts.append(self._evaluate(record))

    def _evaluate(self, record):
        verdict = Verdict(record.offset, record, None, self._low_ms, self._high_ms)
        try:
            verdict.mention = decode(record, self._limits)
        except Refused as reason:
            verdict.why = str(reason)
            return verdict
        if record.offset >= self._flags_from:
            self._flag(verdict)
        if record.offset >= self.begins:
            self._high_ms = max(self._high_ms, self._reached_ms(verdict))
            self._move_low(verdict)
        return verdict

    def _flag(self, verdict):
        mention = verdict.mention
        verdict.duplicate = (
            self._earlier(("id", mention.network, mention.id, mention.brand), verdict.record) > 0
        )
        verdict.copy = self._earlier(("text", text_key(mention.brand, mention.text)), verdict.record) > 0
        verdict.voice = not verdict.copy
        if mention.author is not None:
            spoke = self._earlier(("author", mention.brand, mention.author), verdict.record)
            verdict.voice = verdict.voice and spoke < VOICES

    def _earlier(self, key, record):
        """Count earlier mentions with a key within the horizon; remember this one."""
        known = self._seen.setdefault(key, [])
        found = sum(
            record.offset - earlier.offset <= self._profile.dedup_window_offsets
            and record.record_time_ms - earlier.record_time_ms <= self._profile.dedup_window_ms
            for earlier in known
        )
        known.append(record)
        return found

    def _reached_ms(self, verdict):
        return min(verdict.mention.event_time_ms, verdict.record.record_time_ms) - self._profile.lateness_ms

    def _move_low(self, verdict):
        eaten = any(start <= verdict.offset < end for start, end in self.absent)
        if verdict.mention is not None and verdict.offset >= self.begins and not eaten:
            self._low_ms = max(self._low_ms, self._reached_ms(verdict))


def _offset(verdict):
    return verdict.offset

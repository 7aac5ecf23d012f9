"""What must be found: the oracle's verdicts of a whole log, and how a difference is told."""

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from tests.e2e.oracle import Limits, judge

MEASURES = ("n", "neg", "neu", "pos", "uncertain", "unscored", "sum", "repeats", "voices", "neg_voices")
NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, UNSCORED = range(5)


class Difference(NamedTuple):
    """One thing that is not as it must be."""

    check: str
    where: str
    expected: object
    found: object

    def __str__(self):
        return f"{self.check}: {self.where}: expected {_short(self.expected)}, found {_short(self.found)}"


def _short(value, most=300):
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


@dataclass(slots=True)
class Expected:
    """The log's name, its verdicts, the watermark at its end and the end itself, by partition."""

    topic: str
    log: str
    limits: Limits
    verdicts: dict
    watermarks: dict
    ends: dict

    def mentions(self):
        for verdicts in self.verdicts.values():
            yield from (it for it in verdicts if it.mention is not None)

    def between(self, partition, start, end):
        """The verdicts of the records at the offsets [start, end)."""
        verdicts = self.verdicts[partition]
        first, last = (bisect_left(verdicts, at, key=_offset) for at in (start, end))
        return verdicts[first:last]

    def watermark_ms(self, partition, offset):
        """The watermark before the record at `offset`, or at the end of the log; 0: no mention yet."""
        verdicts = self.verdicts[partition]
        at = bisect_left(verdicts, offset, key=_offset)
        return (verdicts[at].watermark_ms if at < len(verdicts) else self.watermarks[partition]) or 0

    def last_minute_ms(self):
        return max(it.mention.minute_ms for it in self.mentions())


def _offset(verdict):
    return verdict.record.offset


def expect(topic, log, records, ends, limits):
    """Judge a dumped log: `records` and `ends` as `log_dump.dump` gives them."""
    judged = {partition: judge(these, limits) for partition, these in records.items()}
    verdicts = {partition: it[0] for partition, it in judged.items()}
    return Expected(topic, log, limits, verdicts, {p: it[1] for p, it in judged.items()}, ends)


def counted_cells(expected, rows):
    """The ten sums of each (minute, network, brand): counts from the log, sentiment from the archive's rows.

    `rows` maps (partition, offset) to a row. Duplicates are not counted.
    """
    cells = defaultdict(Counter)
    for verdict in expected.mentions():
        if verdict.duplicate:
            continue
        mention, record = verdict.mention, verdict.record
        cell = cells[mention.minute_ms, mention.network, mention.brand]
        cell.update(n=1, repeats=int(verdict.repeat), voices=int(verdict.voice))
        row = rows.get((record.partition, record.offset))
        if row is not None:
            cell[MEASURES[1 + row["label"]]] += 1
            cell["sum"] += row["sentiment_micro"] or 0
            cell["neg_voices"] += int(verdict.voice and row["label"] == NEGATIVE)
    return cells


def log_late_counts(expected):
    """How many counted mentions of each cell are late by the log alone; Redis may know of more."""
    late = Counter()
    for verdict in expected.mentions():
        if verdict.late and not verdict.duplicate:
            late[verdict.mention.minute_ms, verdict.mention.network, verdict.mention.brand] += 1
    return late


def report(differences, first=8):
    """The first differences of each check, and how many there are."""
    by_check = defaultdict(list)
    for difference in differences:
        by_check[difference.check].append(difference)
    lines = [f"{len(differences)} differences"]
    for check, these in by_check.items():
        lines.append(f"--- {check}: {len(these)}")
        lines.extend(f"    {it}" for it in these[:first])
    return "\n".join(lines)

"""One scene of an end-to-end test: a topic, a Redis prefix and an archive, watched and judged."""

import time

from tests.e2e.compare_archive import compare_archive, compare_letters
from tests.e2e.compare_picture import compare_frozen, compare_now, compare_picture
from tests.e2e.expectation import MEASURES, expect, report
from tests.e2e.log_dump import dump, log_name
from tests.e2e.oracle import MINUTE_MS
from tests.e2e.stored_archive import read_archive
from tests.e2e.stored_picture import read_closed, read_cursors, read_picture, read_sealed, split_minute
from tests.e2e.workers import LIMITS


class Scene:
    """What a test asks of the log, of Redis and of the archive, while workers run and after."""

    def __init__(self, kafka, topic, client, prefix, filesystem, root):
        self.bootstrap, self.topic, self.log = kafka.bootstrap, topic, log_name(kafka.bootstrap, topic)
        self.client, self.prefix = client, prefix
        self.filesystem, self.root = filesystem, root
        self.frozen = {}
        self._began = time.monotonic()

    def say(self, what):
        print(f"[{time.monotonic() - self._began:6.1f} s] {what}", flush=True)

    def applied(self):
        """How many offsets Redis has counted, over all partitions."""
        cursors = read_cursors(self.client, self.prefix, self.log)
        return sum(int(it.get("next", 0)) for it in cursors.values())

    def remember_frozen(self):
        """Keep the on-time fields of each minute that is sealed by now, once."""
        sealed_ms = read_sealed(self.client, self.prefix)
        for key in self.client.scan_iter(f"{self.prefix}:m:*", count=1000):
            minute_ms = int(key.decode().rpartition(":")[2])
            if minute_ms >= sealed_ms or minute_ms in self.frozen:
                continue
            cells, _ = split_minute(self.client.hgetall(key))
            on_time = {
                cell: {it: sums[it] for it in MEASURES if sums.get(it)} for cell, sums in cells.items()
            }
            self.frozen[minute_ms] = {cell: sums for cell, sums in on_time.items() if sums}

    def is_done(self, counts, end_ms):
        """Whether all is counted, every minute before `end_ms` closed, and the archive as far as the log.

        `counts`: partition -> the log's end.
        """
        cursors = read_cursors(self.client, self.prefix, self.log)
        if any(int(cursors.get(partition, {}).get("next", -1)) < end for partition, end in counts.items()):
            return False
        if min(read_closed(self.client, self.prefix).values(), default=-1) < end_ms:
            return False
        stored = read_archive(self.filesystem, self.root, self.log, only="_manifests")
        ends = dict.fromkeys(counts, 0)
        for partition, _, end in stored.manifests:
            ends[partition] = max(ends[partition], end)
        return all(ends[partition] >= end for partition, end in counts.items())

    def judge(self, records, ends, *, quiet=False):
        """Compare everything with the oracle's recount; returns lines that say what was compared.

        `quiet`: nobody was killed and all had the time to be drawn, so the rolling windows are compared too.
        """
        expected = expect(self.topic, self.log, records, ends, LIMITS)
        stored = read_archive(self.filesystem, self.root, self.log)
        letters = [
            it for these in dump(self.bootstrap, f"{self.topic}.dead-letters")[0].values() for it in these
        ]
        picture = read_picture(self.client, self.prefix, self.log)
        differences, rows = compare_archive(expected, stored)
        differences += compare_letters(expected, letters)
        differences += compare_picture(expected, rows, picture)
        differences += compare_frozen(self.frozen, picture)
        differences += compare_now(expected, rows, picture) if quiet else ()
        assert not differences, report(differences)
        return _told(expected, stored, picture, letters, self.frozen)


def _told(expected, stored, picture, letters, frozen):
    mentions = list(expected.mentions())
    flags = {
        flag: sum(getattr(it, flag) for it in mentions) for flag in ("duplicate", "repeat", "voice", "late")
    }
    records = sum(map(len, expected.verdicts.values()))
    late = sum(cell.get("late_n", 0) for cell in picture.cells.values())
    return (
        f"log: {records} records, {len(mentions)} mentions, {records - len(mentions)} rejected, {flags}",
        f"archive: {len(stored.plans)} plans, {len(stored.objects)} objects, {len(mentions)} rows",
        f"dead letters: {len(letters)} for {records - len(mentions)} rejected",
        f"Redis: {len(picture.cells)} cells in {len(picture.notes)} minutes, {late} mentions of them late",
        f"{len(picture.brands)} brands; {len(frozen)} sealed minutes were watched",
    )


def minute_after(now_ms):
    return now_ms - now_ms % MINUTE_MS + MINUTE_MS

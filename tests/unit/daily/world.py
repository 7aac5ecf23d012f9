"""A day in a real Redis and a folder, fed with the same rows as a worker would feed them."""

import json
import shutil

from typer.testing import CliRunner

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.objects import open_store
from stream_worker.cli.app import app
from stream_worker.core.aggregates.aggregate import fold
from stream_worker.core.archive.days import Day
from stream_worker.core.archive.layout import LogOrigin, Manifest, Outcomes, Plan
from stream_worker.core.partition.effects import Apply
from stream_worker.core.records.limits import Limits
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from stream_worker.errors import StreamWorkerError
from tests import builders
from tests.contracts.aggregates.worlds import HOLD, LATENESS, LOG, NOON, RedisWorld, close_everything

DAY = Day(NOON - NOON % DAY_MS)
TEN = DAY.start_ms + 22 * HOUR_MS
"""Ten in the evening, when the public begins to speak: closing a whole day would take its time."""
FLOOR_MS = TEN - 35 * MINUTE_MS


class DayWorld:
    """Two partitions of a log; `feed` counts and archives, `finish` seals and closes."""

    def __init__(self, url, folder, complete_from_ms=FLOOR_MS, day=DAY):
        self.redis, self.folder, self.day = RedisWorld(url), folder / "archive", day
        self.out = folder / "out"
        self.aggregates = self.redis.aggregates()
        self.archive = ObjectArchive(open_store(self.folder.as_uri()), LOG)
        self.archive.create_log_origin(LogOrigin(policy="earliest", starts=[0, 0]))
        self.next, self.archived, self.watermark = {0: 0, 1: 0}, {0: 0, 1: 0}, {0: 0, 1: 0}
        for partition in self.next:
            self.aggregates.create_cursor(partition, 0, 0, complete_from_ms)

    def feed(self, *mentions, partition=0, model=builders.MODEL, count=True, store=True, **outcomes):
        """Count and archive mentions (fields of `builders.mention`), each at its event time plus a second."""
        start = self.next[partition]
        times = [one["event_time"] for one in mentions]
        part = builders.part(
            *(builders.mention(**one) for one in mentions),
            start=start,
            times_ms=[time + 1000 for time in times],
            watermark_ms=self.watermark[partition],
        )
        part.model = model
        end = start + len(mentions)
        before = self.watermark[partition]
        self.watermark[partition] = max(before, *(time - LATENESS for time in times))
        if count:
            delta = fold(part.columns, part.flags, part.scores, model, slice(0, len(mentions)))
            call = Apply(partition, start, end, self.watermark[partition], end, delta)
            assert self.aggregates.apply([call])[0].applied
        if store:
            self._archive(partition, part, start, end, before, outcomes)
        self.next[partition] = end

    def _archive(self, partition, part, start, end, before, outcomes):
        plan = Plan(
            start=start,
            end=end,
            watermark_start=before,
            watermark_end=self.watermark[partition],
            limits=Limits(lateness_ms=LATENESS),
        )
        self.archive.create_plan(partition, plan)
        objects = self.archive.write_rows(partition, plan, [part])
        duplicates = int(part.flags.duplicate.sum())
        told = Outcomes(**{"counted": end - start - duplicates, "duplicate": duplicates, **outcomes})
        late = int(part.flags.late.sum())
        self.archive.create_manifest(
            partition, plan, Manifest(objects=objects, outcomes=told, late=late, partial=False)
        )
        self.archived[partition] = end

    def pass_time(self, until_ms):
        """A mention in each partition."""
        for partition in self.next:
            said = {"id": f"end {partition} {until_ms}", "brand": "clock", "event_time": until_ms}
            self.feed(said, partition=partition)

    def finish(self, until_ms=None):
        """Time passes (by default into the next day), and all is sealed and closed."""
        self.pass_time(self.day.end_ms + 5 * MINUTE_MS if until_ms is None else until_ms)
        self.close()

    def snapshot(self, kept):
        """Keep all as it is, the archive in the folder `kept`."""
        shutil.copytree(self.folder, kept)
        return self.redis.snapshot(), kept, *(dict(one) for one in (self.next, self.archived, self.watermark))

    def restore(self, snapshot, out):
        """Put all back as it was kept; reports go to `out`."""
        stored, kept, *marks = snapshot
        self.redis.restore(stored)
        shutil.rmtree(self.folder)
        shutil.copytree(kept, self.folder)
        self.next, self.archived, self.watermark = (dict(one) for one in marks)
        self.out, self.day = out, DAY

    def close(self):
        """Seal and close what may be."""
        while True:
            sealed = self.aggregates.seal(2, LATENESS, HOLD).sealed_ms
            close_everything(self.aggregates)
            if self.aggregates.seal(2, LATENESS, HOLD).sealed_ms == sealed:
                return

    def daily(self, *arguments, **environment):
        """Run `stream-worker daily`; the exit code, the report, and what stderr said."""
        done = self.invoke("--json", *arguments, **environment)
        if isinstance(done.exception, StreamWorkerError):
            return done.exception.exit_code, {}, str(done.exception)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, json.loads(done.stdout) if done.stdout else {}, done.stderr

    def invoke(self, *arguments, **environment):
        settings = {
            "STREAM_WORKER_REDIS__URL": self.redis.url,
            "STREAM_WORKER_REDIS__PREFIX": self.redis.prefix,
            "STREAM_WORKER_ARCHIVE__URL": self.folder.as_uri(),
            "STREAM_WORKER_KAFKA__TOPIC": LOG.topic,
            **environment,
        }
        dated = () if "--date" in arguments else ("--date", str(self.day))
        line = ["daily", *dated, "--out", str(self.out), *arguments]
        return CliRunner().invoke(app, line, env=settings)

    def file(self, name):
        return self.out / str(self.day) / name


def minute(number, second=0):
    """A moment `number` minutes after ten."""
    return TEN + number * MINUTE_MS + 1000 * second


def public(count, start=0, brands=("acme", "b:c", "Ünï <i>")):
    """Mentions over some minutes after ten, of several brands and networks, with copies and duplicates."""
    made = []
    for number in range(count):
        said = {
            "id": str(start + number - (number % 11 == 10)),  # now and then the one before again
            "brand": brands[(number - (number % 11 == 10)) % len(brands)],
            "network": ("reddit", "x")[(number // 3 - (number % 33 == 10)) % 2],
            "text": f"copied {number % 4}" if number % 7 == 0 else f"text {start} {number}",
            "author": f"someone {number % 9}",
            "event_time": minute(number // 12, number % 12),
        }
        made.append(made[-1] if number % 11 == 10 else said)
    return made

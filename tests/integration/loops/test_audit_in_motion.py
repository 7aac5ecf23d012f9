"""The audit of a system that moves: each part of Redis is compared below the cursors of its own instant."""

import random
import tracemalloc

import numpy as np
import pytest
from obstore.store import MemoryStore

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.parquet import SCHEMA
from stream_worker.adapters.redis.spilled_snapshot import SpilledSnapshot
from stream_worker.audit.archive_pass import ListedObject, RowsPass, _removed_days
from stream_worker.core.aggregates.aggregate import fold
from stream_worker.core.archive.layout import Log, Manifest, Outcomes, Plan, StoredObject
from stream_worker.core.partition.effects import Apply
from stream_worker.core.reconcile.cells import CellKind
from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.plan_log import ArchivedChunk, PlanLogReading
from stream_worker.core.records.limits import Limits
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from stream_worker.errors import Unavailable
from tests.builders import LOG, NOON_MS, mention, part
from tests.contracts.aggregates.worlds import close_everything
from tests.fakes.redis_aggregates import MemoryAggregates
from tests.fakes.redis_snapshot import MemorySnapshots
from tests.fakes.redis_state import MemoryState

BATCHES, ROWS = 30, 20
LIMITS = Limits(lateness_ms=20_000)


class Moving(MemorySnapshots):
    """Between any two reads the worker counts one more batch, and closes what it can."""

    def __init__(self, system, logs):
        super().__init__(system.state, logs, lambda: system.now_ms)
        self._system = system

    def minute(self, start_ms):
        self._system.step()
        return super().minute(start_ms)

    def history_of_minutes(self, hour_ms, brands):
        self._system.step()
        return super().history_of_minutes(hour_ms, brands)

    def history_of_hours(self, day_ms, brands):
        self._system.step()
        return super().history_of_hours(day_ms, brands)


class System:
    """One partition of a log: its mentions in batches, counted one by one, archived as a whole."""

    def __init__(self, log=LOG, state=None, *, seed=1, max_brands=10, model=None, counted=5):
        self.log, self.state = log, state or MemoryState()
        self.now_ms = NOON_MS
        self.aggregates = MemoryAggregates(log, lambda: self.now_ms, self.state, max_brands=max_brands)
        self.archive = ObjectArchive(MemoryStore(), log)
        self.parts, self.watermarks = _parts(random.Random(seed), model)
        self.done = 0
        self.aggregates.create_cursor(0, 0, 0, NOON_MS - 4 * 60 * MINUTE_MS)
        for _ in range(counted):
            self.step()

    def step(self):
        """Count the next batch, seal and close."""
        if self.done == BATCHES:
            return
        one, at = self.parts[self.done], self.done * ROWS
        delta = fold(one.columns, one.flags, one.scores, one.model, slice(0, ROWS))
        watermark_ms = self.watermarks[self.done]
        call = Apply(0, at, at + ROWS, watermark_ms, at + ROWS, delta)
        assert self.aggregates.apply([call])[0].applied
        self.done += 1
        self.now_ms += 1_000
        self.aggregates.seal(1, LIMITS.lateness_ms, 10**9)
        close_everything(self.aggregates)

    def chain(self):
        """The archive of all batches, counted or not."""
        plan = Plan(
            start=0, end=BATCHES * ROWS, watermark_start=0, watermark_end=self.watermarks[-1], limits=LIMITS
        )
        objects = self.archive.write_rows(0, plan, self.parts)
        duplicates = sum(int(one.flags.duplicate.sum()) for one in self.parts)
        outcomes = Outcomes(counted=BATCHES * ROWS - duplicates, duplicate=duplicates)
        late = sum(int(one.flags.late.sum()) for one in self.parts)
        return PlanLogReading(
            self.log,
            0,
            0,
            [ArchivedChunk(plan, Manifest(objects=objects, outcomes=outcomes, late=late, partial=False))],
        )


def _parts(chance, model):
    """Batches whose minutes move on by half a minute each; some mentions are late, some are copies."""
    parts, watermarks, watermark_ms = [], [], 0
    for number in range(BATCHES):
        now_ms = (
            NOON_MS - 3 * 60 * MINUTE_MS + number * 7 * MINUTE_MS
        )  # four hours: some are history by the end
        times_ms = [now_ms - chance.choice((0, 1, 2, 3, 200)) * MINUTE_MS // 2 for _ in range(ROWS)]
        values = [
            mention(
                id=str(chance.randrange(500)),
                brand=chance.choice(("acme", "globex", "b:c", "late_n:x")),
                network=chance.choice(("x", "reddit")),
                text=chance.choice("abcdefgh"),
                event_time=time_ms,
            )
            for time_ms in times_ms
        ]
        made = part(*values, start=number * ROWS, time_ms=now_ms, watermark_ms=watermark_ms, limits=LIMITS)
        made.model = model(number) if model else made.model
        watermark_ms = max(watermark_ms, max(times_ms) - LIMITS.lateness_ms)
        parts.append(made)
        watermarks.append(watermark_ms)
    return parts, watermarks


def audit(*systems, moving=True):
    """Audit the first system, with those of older logs; the findings, and how far Redis had come."""
    findings, newest = Findings(), systems[0]
    logs = [it.log.name for it in systems]
    snapshots = Moving(newest, logs) if moving else MemorySnapshots(newest.state, logs, lambda: newest.now_ms)
    picture = SpilledSnapshot(snapshots, [(name, 0) for name in logs])
    picture.read(lambda *_: None)
    chains = [it.chain() for it in systems]
    bodies = {
        stored.name: it.archive.objects.read(stored.name)
        for it, chain in zip(systems, chains, strict=True)
        for stored in chain.chunks[0].objects
    }
    rows = RowsPass(chains, picture, findings, SCHEMA, bodies.get)
    rows.run(set(bodies), lambda *_: None)
    picture.kinds = {
        kind for hour in picture.hours() for kind in CellKind if len(_keys(picture.cells(kind, hour)))
    }
    picture.close()
    return findings, picture, rows


def _keys(part):
    return [] if part is None else part.cells.keys


def told(findings):
    return [str(it) for it in findings.differences]


@pytest.mark.parametrize("seed", range(2))
def test_a_worker_that_counts_meanwhile_changes_nothing_of_the_result(seed):
    # Given a system of which a part is counted when the audit begins
    system = System(seed=seed, counted=12)

    # When it is audited while the worker goes on at every read
    findings, picture, rows = audit(system)

    # Then all was compared as of its own instant, history too, and nothing differs
    assert told(findings) == []
    assert picture.position.cursors[LOG.name][0] == BATCHES * ROWS > 12 * ROWS
    assert picture.kinds == set(CellKind)
    assert rows.seen[0].has(np.arange(BATCHES * ROWS)).all()


def test_one_mention_too_many_in_any_part_is_found():
    # Given a system that stands still, and each of its history values and minutes
    for kind in ("minutes", "by_minute", "by_hour"):
        system = System(counted=BATCHES)
        clean, _, _ = audit(system, moving=False)
        assert told(clean) == []

        # When one number of it is raised
        if kind == "minutes":
            fields = system.state.minutes[max(system.state.minutes)].fields
            fields[next(name for name in fields if name.startswith("n:"))] += 1
        else:
            values = getattr(system.state, kind)["acme"]
            start = max(
                at for at in values if values[at][0] and at + 60 * MINUTE_MS < system.state.ctl.sealed
            )
            values[start] = (values[start][0] + 1, *values[start][1:])

        # Then it is found
        assert audit(system, moving=False)[0].count > 0, kind


def test_brands_past_the_limit_compare_as_one():
    system = System(max_brands=2)

    findings, picture, _ = audit(system)

    assert told(findings) == []
    assert len(picture.brands) == 1 + 2


def test_two_models_in_a_minute_leave_the_counts_to_compare():
    # Given a worker that changed its model in mid-stream, and scored what it counted anew for the archive
    system = System(model=lambda number: "one" if number < BATCHES // 2 else "two", counted=BATCHES)
    for one in system.parts:
        one.scores.label[:] = 2

    findings, _, _ = audit(system, moving=False)

    assert told(findings) != []  # minutes of one model are compared
    named = {measure.split()[0] for it in findings.differences for measure in it.expected.split(", ")}
    assert named <= {"neg", "neu", "pos", "uncertain", "unscored", "neg_voices"}
    # And the minutes in which both scored are not
    both = [number for number, one in enumerate(system.state.minutes.values()) if len(one.models) > 1]
    assert both or findings.notes


def test_a_topic_that_was_made_anew_shares_the_minutes():
    # Given an older log, and a newer one with mentions in the same minutes
    old = System(counted=BATCHES)
    new = System(Log("mentions", "ffffffff"), old.state, seed=9)

    # When the newer one is audited beside the older
    findings, _, _ = audit(new, old)

    # Then the sums of both are what Redis holds; of one alone they are not
    assert told(findings) == []
    assert audit(new)[0].count > 0


def test_redis_that_goes_back_meanwhile_voids_the_audit():
    system = System()
    before = system.state.copy()
    snapshots = Moving(system, [LOG.name])
    picture = SpilledSnapshot(snapshots, [(LOG.name, 0)])
    snapshots.minute(NOON_MS)
    picture._advance(snapshots.position())

    system.state.restore(before)

    with pytest.raises(Unavailable, match="went back in time"):
        picture._advance(snapshots.position())
    picture.close()


def test_days_of_which_nothing_is_left_were_removed_by_age():
    # Given objects of four days, named by their manifests
    listed = [
        ListedObject(
            day * DAY_MS, 0, None, StoredObject(name=f"{day}.{i}", rows=1, bytes=1, sha256="", model="")
        )
        for day in (10, 11, 15, 16)
        for i in range(2)
    ]
    there = {one.stored.name for one in listed}

    # Then only days that are wholly gone, and old beside what is there, count as removed
    assert _removed_days(listed, there) == set()
    assert _removed_days(listed, there - {"10.0"}) == set()  # one object is missing: somebody must know
    assert _removed_days(listed, there - {"10.0", "10.1"}) == set()  # its neighbour is there
    assert _removed_days(listed, there - {"10.0", "10.1", "11.0", "11.1"}) == {10, 11}
    assert _removed_days(listed, set()) == set()  # an empty store is no lifecycle rule


def peak_of_an_audit(hours, rows=1_000):
    """The most bytes that were held at a time while so many hours were audited, each of as many cells."""
    state, start_ms, objects = MemoryState(), NOON_MS - hours * HOUR_MS, {}
    aggregates = MemoryAggregates(LOG, lambda: NOON_MS, state, max_brands=rows)
    aggregates.create_cursor(0, 0, 0, start_ms)
    archive, chain = ObjectArchive(MemoryStore(), LOG), PlanLogReading(LOG, 0, 0)
    for at in range(0, hours * rows, rows):
        hour_ms = start_ms + at // rows * HOUR_MS
        step_ms = HOUR_MS // rows
        values = [mention(brand=f"b{i}", event_time=hour_ms + i * step_ms, id=str(i)) for i in range(rows)]
        made = part(*values, start=at, time_ms=hour_ms + HOUR_MS, limits=LIMITS)
        delta = fold(made.columns, made.flags, made.scores, made.model, slice(0, rows))
        assert aggregates.apply([Apply(0, at, at + rows, 0, at + rows, delta)])[0].applied
        plan = Plan(start=at, end=at + rows, watermark_start=0, watermark_end=0, limits=LIMITS)
        written = archive.write_rows(0, plan, [made])
        objects |= {it.name: archive.objects.read(it.name) for it in written}
        outcomes = Outcomes(counted=rows)
        chain.chunks.append(
            ArchivedChunk(plan, Manifest(objects=written, outcomes=outcomes, late=0, partial=False))
        )
    findings = Findings()
    tracemalloc.start()
    picture = SpilledSnapshot(MemorySnapshots(state, [LOG.name], lambda: NOON_MS), [(LOG.name, 0)])
    picture.read(lambda *_: None)
    RowsPass([chain], picture, findings, SCHEMA, objects.get).run(set(objects), lambda *_: None)
    picture.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told(findings) == []
    assert [chunk.rows for chunk in chain.chunks] == [rows] * hours
    return peak


def test_more_hours_take_no_more_memory():
    assert peak_of_an_audit(hours=6) < 1.2 * peak_of_an_audit(hours=2)

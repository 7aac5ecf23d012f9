"""The step machine of a partition: where it begins, what it asks for, how it passes what is missing."""

import pytest

from stream_worker.core.archive.layout import LogOrigin, Plan
from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.effects import (
    AdvanceCursor,
    Apply,
    Commit,
    CreateCursor,
    CreateManifest,
    CreateOrigin,
    CreatePlan,
    FindPlanLog,
    ListPlans,
    ReadCursor,
    Seek,
    SendDeadLetters,
    WriteRows,
)
from stream_worker.core.partition.inputs import BufferDropped, EndReached, RecordsPolled, ReportDue, Ticked
from stream_worker.core.records.batch import Records
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.watermark import complete_from_ms
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import BrokenInvariant, Unreadable
from tests.builders import NOON_MS, mention
from tests.unit.core.partition.driving import LIMITS, Runner, World
from tests.unit.core.partition.exactness import cells_of_rows, cells_of_state, check_exact, expected_rows

S = 1_000
HORIZON = LIMITS.dedup_window_offsets  # 8


def world_of(count, *, step_s=20, **options):
    """A log of one partition: mentions 20 s apart, with duplicates and repeats among them."""
    world = World(**options)
    extend(world, count, step_s=step_s)
    return world


def extend(world, count, *, step_s=20):
    for _ in range(count):
        k = len(world.log[0])
        at_ms = NOON_MS + k * step_s * S
        identity = str(k - 2 if k % 4 == 3 else k)  # every fourth is a duplicate
        world.append(mention(id=identity, text=f"t{k % 5}", author="ann", event_time=at_ms), time_ms=at_ms)


def kinds(operations):
    return [type(operation) for operation in operations]


def asked(runner, kind):
    return [operation for operation in runner.asked if isinstance(operation, kind)]


def lose_log_before(world, offset):
    """Retention: what the archive and Redis have of these records stays, the log forgets them."""
    world.topic.delete_before(0, offset)


def outcomes(world):
    """(start, end, outcomes that are not zero, partial) of every chunk."""
    found = []
    for plan in world.store.chain(0):
        manifest = world.store.manifests[0, plan.start, plan.end]
        counts = {n: c for n in manifest.outcomes.__struct_fields__ if (c := getattr(manifest.outcomes, n))}
        found.append((plan.start, plan.end, counts, manifest.partial))
    return found


def check_counts_from(world, offset):
    """Redis holds all of the minutes from the floor on; what lies before `offset` may be missing."""
    rows, _, _ = expected_rows(world.log[0], world.limits)
    floor = world.state.ctl.floor
    assert all(row[4] < floor for row in rows if row[0] < offset), "the floor covers what is missing"
    assert cells_of_state(world.state, floor) == cells_of_rows(rows, floor)


# The first start


def test_a_first_start_writes_the_head_creates_the_cursor_and_reads_from_there():
    world = world_of(3)

    runner = Runner(world).settle()

    assert runner.asked == [
        FindPlanLog(-1),
        CreateOrigin(),
        ReadCursor(),
        CreateCursor(0, 0, complete_from_ms(0, 30 * S, 300 * S)),
        Seek(0),
    ]
    assert world.store.head == LogOrigin(policy="earliest", starts=[0])
    assert runner.machine.reads


def test_a_first_start_from_the_latest_refills_the_horizon_and_counts_nothing_of_it():
    world = world_of(20, policy="latest")

    runner = Runner(world).run()
    assert asked(runner, Seek) == [Seek(20 - HORIZON)]
    assert world.cursor() == (20, 0)
    extend(world, 5)
    runner.run(flush=True)

    rows = [row for chunk in world.store.rows.values() for row in chunk]
    by_rule, _, _ = expected_rows(world.log[0], world.limits)
    assert [row[0] for row in rows] == [20, 21, 22, 23, 24]
    assert [row[5:8] for row in rows] == [row[5:8] for row in by_rule[20:]]
    assert outcomes(world)[0][3] is False


def test_a_partition_that_the_head_does_not_name_begins_at_its_first_offset():
    world = World(2)
    world.store.head = LogOrigin(policy="latest", starts=[7])
    world.append(mention(), partition=1)

    runner = Runner(world, 1).run(flush=True)

    assert asked(runner, CreateOrigin) == []
    assert world.cursor(1) == (1, NOON_MS - 30 * S)


def test_a_head_that_somebody_else_wrote_meanwhile_is_taken():
    world = world_of(5)
    runner = Runner(world)
    runner.answer_store()  # there is no chain
    world.store.head = LogOrigin(policy="latest", starts=[3])

    runner.settle()

    assert asked(runner, CreateCursor)[0].start == 3


# Restart


@pytest.mark.parametrize("steps", range(0, 60, 3))
def test_a_restart_after_any_step_goes_on_exactly(steps):
    # Given a worker that is killed after so many of its steps
    world = world_of(30)
    runner = Runner(world)
    for k in range(steps):
        (runner.answer_redis, runner.answer_store, lambda: runner.poll(4), runner.tick)[k % 4]()

    # When another one takes over
    heir = Runner(world).run(5, flush=True)

    # Then nothing is missing and nothing is twice
    assert heir.machine.caught_up
    check_exact(world)


def test_a_restart_reads_from_one_horizon_before_the_smaller_cursor():
    # Given an archive up to 12 (two chunks of 6), and Redis up to 20
    world = world_of(20, roll_limits=RollLimits(rows_max=6, span_max=6, seconds_max=1e9))
    first = Runner(world).run(6)
    assert (first.machine.archiving.archived, world.cursor().next) == (18, 20)

    heir = Runner(world).settle()

    assert heir.asked[0] == FindPlanLog(18)
    assert asked(heir, Seek) == [Seek(18 - HORIZON)]
    assert heir.machine.watermark_ms == world.store.chain(0)[-1].watermark_end
    heir.run(flush=True)
    check_exact(world)


def test_an_unfinished_plan_is_finished_first_with_its_own_end():
    # Given a plan [0, 7) of a worker that died before its manifest
    world = world_of(20)
    runner = Runner(world)
    while not world.store.plans:
        runner.answer_redis()
        runner.poll(7)
        runner.answer_store()
    planned = world.store.chain(0)[0]
    assert world.store.manifests == {}

    heir = Runner(world).run(3, flush=True)

    assert asked(heir, CreateManifest)[0].plan == planned
    assert planned not in [operation.plan for operation in asked(heir, CreatePlan)]
    check_exact(world)


def test_what_a_chunk_asks_for_comes_in_order_and_one_at_a_time():
    world = world_of(6)
    world.append(b"bad", time_ms=NOON_MS)
    world.roll_limits = RollLimits(rows_max=1, seconds_max=1e9)
    runner = Runner(world)

    runner.run(100, flush=True)

    steps = (CreatePlan, SendDeadLetters, WriteRows, CreateManifest, Commit)
    assert [kind for kind in kinds(runner.asked) if kind in steps] == list(steps)


# Redis


def test_redis_ahead_means_that_somebody_counted_it():
    # Given a zombie that counted all while the heir was still reading
    world = world_of(12)
    heir = Runner(world).settle()
    Runner(world).run()

    heir.run(4, flush=True)

    assert world.cursor().next == 12
    check_exact(world)


def test_redis_that_went_back_is_counted_again_from_where_it_stands():
    world = world_of(25)
    runner = Runner(world).run()
    snapshot = world.state.copy()
    extend(world, 10)
    runner.run(flush=True)
    assert world.cursor().next == 35

    world.state.restore(snapshot)
    runner.run(flush=True)

    assert runner.machine.rollbacks == 1
    assert asked(runner, Seek)[-1] == Seek(25 - HORIZON)
    check_exact(world)


def test_redis_that_was_lost_is_counted_again_from_a_boundary_a_day_old_with_its_floor():
    # Given a chain over 30 hours: a mention an hour, six a chunk
    world = world_of(30, step_s=3_600, roll_limits=RollLimits(rows_max=6, span_max=6))
    runner = Runner(world).run(flush=True)
    plans = world.store.chain(0)
    a_day_old = max(p.start for p in plans if p.watermark_start <= plans[-1].watermark_end - 86_400 * S)
    assert a_day_old > 0

    world.state.clear()
    runner.run(flush=True)

    [created] = asked(runner, CreateCursor)[1:]
    watermark_ms = next(p.watermark_start for p in plans if p.start == a_day_old)
    assert (created.start, created.watermark_ms) == (a_day_old, watermark_ms)
    assert world.state.ctl.floor == complete_from_ms(watermark_ms, 30 * S, 300 * S)
    check_counts_from(world, a_day_old)


def test_redis_that_was_lost_before_anything_was_archived_is_counted_from_the_head():
    world = world_of(4)
    runner = Runner(world).run()

    world.state.clear()
    runner.run(flush=True)

    assert [created.start for created in asked(runner, CreateCursor)] == [0, 0]
    check_exact(world)


def test_while_redis_owes_an_answer_nothing_is_taken():
    world = world_of(10)
    runner = Runner(world).settle()
    runner.poll(3)
    assert runner.machine.waits

    assert runner.machine.handle(EndReached(10)) == []
    assert runner.machine.handle(ReportDue(paused=False)) == []
    with pytest.raises(AssertionError, match="Redis owes a reply"):
        runner.machine.handle(RecordsPolled(world.topic.read(0, 3, 3)[0]))


@pytest.mark.parametrize("offsets", [[2, 3], [3, 3], [3, 5, 4], [4, 5, 3]])
def test_records_that_do_not_rise_from_the_position_are_refused(offsets):
    # Given a machine that has read the offsets 0, 1 and 2
    world = world_of(10)
    runner = Runner(world).settle()
    runner.poll(3)
    runner.settle()

    # When a poll brings others than the next ones
    records = Records(offsets, [NOON_MS] * len(offsets), [mention()] * len(offsets))

    # Then nothing of it is archived under a range to which it does not belong
    with pytest.raises(BrokenInvariant, match="do not rise from 3"):
        runner.machine.handle(RecordsPolled(records))


# Retention


def stopped_at(archived, counted, total, **options):
    """A log of `total`, of which a worker that is gone archived and counted so much."""
    world = world_of(counted, roll_limits=RollLimits(rows_max=10**9, span_max=10**6), **options)
    runner = Runner(world).settle()
    if archived:
        runner.poll(archived)
        runner.settle()
        runner.tick(flush=True)
        runner.settle()
    while world.cursor().next < counted:
        runner.poll(counted - world.cursor().next)
        runner.settle()
    extend(world, total - counted)
    assert (runner.machine.archiving.archived, world.cursor().next) == (archived, counted)
    return world


def test_what_retention_ate_is_closed_as_lost_and_redis_jumps_over_it_with_a_floor():
    # archived 10, counted 12; the log begins at 30 of 40
    world = stopped_at(10, 12, 40)
    lose_log_before(world, 30)

    heir = Runner(world).run(flush=True)

    # Then the archive says first what is lost
    steps = [
        kind
        for kind in kinds(heir.asked)
        if kind in (CreatePlan, CreateManifest, ListPlans, AdvanceCursor, Seek)
    ]
    assert steps[:5] == [CreatePlan, CreateManifest, ListPlans, AdvanceCursor, Seek]
    assert outcomes(world)[1:3] == [
        (10, 30, {"lost": 20}, True),
        (30, 40, {"counted": 8, "duplicate": 2}, True),
    ]
    # And Redis stands on the boundary, and claims only minutes that it holds wholly
    [jump] = asked(heir, AdvanceCursor)
    assert (jump.expected, jump.to, jump.watermark_ms) == (12, 30, world.store.chain(0)[1].watermark_end)
    assert world.cursor().next == 40
    assert world.state.ctl.floor >= complete_from_ms(jump.watermark_ms, 30 * S, 300 * S)


def test_where_only_the_horizon_is_gone_the_chunk_is_partial_and_nothing_is_lost():
    world = stopped_at(10, 10, 30)
    lose_log_before(world, 10)

    heir = Runner(world).run(flush=True)

    assert asked(heir, AdvanceCursor) == []
    [_, (start, end, counts, partial)] = outcomes(world)
    assert (start, end, sum(counts.values()), "lost" in counts, partial) == (10, 30, 20, False, True)


def test_a_planned_chunk_that_is_partly_lost_is_finished_with_what_is_left():
    # Given an unfinished plan [10, 20), of which the log still holds [15, 20)
    world = stopped_at(10, 10, 30)
    at_10 = world.store.chain(0)[-1].watermark_end
    planned = Plan(start=10, end=20, watermark_start=at_10, watermark_end=at_10 + 1, limits=LIMITS)
    world.store.plans[0, 10] = planned
    lose_log_before(world, 15)

    heir = Runner(world).run(flush=True)

    # Then Redis, below the log, jumps to the plan's end, and the chunk counts what is lost
    [jump] = asked(heir, AdvanceCursor)
    assert (jump.expected, jump.to, jump.watermark_ms) == (10, 20, at_10 + 1)
    assert outcomes(world)[1][:2] == (10, 20)
    assert outcomes(world)[1][2]["lost"] == 5
    assert sum(outcomes(world)[1][2].values()) == 10
    assert world.cursor().next == 30


def test_a_planned_chunk_that_is_wholly_lost_is_closed_and_the_rest_of_the_gap_too():
    world = stopped_at(10, 10, 40)
    at_10 = world.store.chain(0)[-1].watermark_end
    world.store.plans[0, 10] = Plan(
        start=10, end=20, watermark_start=at_10, watermark_end=at_10, limits=LIMITS
    )
    lose_log_before(world, 25)

    Runner(world).run(flush=True)

    assert [(start, end, counts.get("lost")) for start, end, counts, _ in outcomes(world)[1:3]] == [
        (10, 20, 10),
        (20, 25, 5),
    ]
    assert world.cursor().next == 40


def test_a_gap_that_somebody_else_closes_further_is_read_from_the_log_s_start():
    # Given a gap [10, 15) of our log; somebody whose log began earlier planned [10, 20) meanwhile
    world = stopped_at(10, 10, 30)
    at_10 = world.store.chain(0)[-1].watermark_end
    lose_log_before(world, 15)
    heir = Runner(world)
    while kinds(heir.on_store) != [CreatePlan]:
        if not heir.on_redis:
            heir.answer_store()
        heir.answer_redis()
    world.store.plans[0, 10] = Plan(
        start=10, end=20, watermark_start=at_10, watermark_end=at_10, limits=LIMITS
    )

    heir.run(flush=True)

    assert outcomes(world)[1][:2] == (10, 20)
    assert outcomes(world)[1][2]["lost"] == 5
    assert world.cursor().next == 30


def test_a_log_that_lost_everything_is_closed_up_to_its_end():
    world = stopped_at(10, 10, 20)
    lose_log_before(world, 20)

    Runner(world).run(flush=True)

    assert outcomes(world)[1:] == [(10, 20, {"lost": 10}, True)]
    assert world.cursor().next == 20


# Skipped on the record


def skip(world, to):
    """What the command does in the store: a plan with its reason. The worker does the rest."""
    last = world.store.chain(0)[-1]
    plan = Plan(
        kind="skipped",
        start=last.end,
        end=to,
        limits=LIMITS,
        why="asked for",
        watermark_start=last.watermark_end,
        watermark_end=last.watermark_end,
    )
    world.store.plans[0, plan.start] = plan
    return plan


@pytest.mark.parametrize("counted", [10, 14, 20])
def test_what_was_skipped_is_neither_archived_nor_counted(counted):
    world = stopped_at(10, counted, 40)
    skip(world, 20)

    heir = Runner(world).run(flush=True)

    assert outcomes(world)[1] == (10, 20, {"lost": 10}, False)
    assert [(jump.expected, jump.to) for jump in asked(heir, AdvanceCursor)] == (
        [(counted, 20)] if counted < 20 else []
    )
    assert world.cursor().next == 40
    rows = [row for chunk in world.store.rows.values() for row in chunk]
    assert sorted(row[0] for row in rows) == [*range(10), *range(20, 40)]


def test_a_running_worker_meets_a_skip_when_it_plans():
    world = stopped_at(10, 10, 12)
    runner = Runner(world).run()
    skip(world, 20)

    extend(world, 20)
    runner.run(flush=True)

    assert outcomes(world)[1] == (10, 20, {"lost": 10}, False)
    assert world.cursor().next == 32
    assert sorted(row[0] for chunk in world.store.rows.values() for row in chunk) == [
        *range(10),
        *range(20, 32),
    ]


def skipped_in_the_past(counted):
    """[10, 20) was skipped, [20, 30) archived since; Redis is back where it had counted so much."""
    world = stopped_at(10, counted, 30)
    snapshot = world.state.copy()
    skip(world, 20)
    Runner(world).run(flush=True)
    extend(world, 60)
    world.state.restore(snapshot)
    return world


@pytest.mark.parametrize("counted", [10, 14])
def test_a_cursor_below_a_skip_of_the_past_jumps_over_it_too(counted):
    world = skipped_in_the_past(counted)

    heir = Runner(world).run(flush=True)

    [jump] = asked(heir, AdvanceCursor)
    assert (jump.expected, jump.to) == (counted, 20)
    archived = [row for chunk in world.store.rows.values() for row in chunk]
    floor = world.state.ctl.floor
    assert cells_of_state(world.state, floor) == cells_of_rows(archived, floor)
    assert cells_of_rows(archived, floor) != {}


def test_after_a_skip_the_floor_lies_above_all_that_was_counted_of_it():
    # Given that 18 of 40 are counted, and the archive leaves out [10, 20)
    world = stopped_at(10, 18, 80)
    watermark_ms = world.cursor().watermark_ms
    skip(world, 20)

    Runner(world).run(flush=True)

    assert world.state.ctl.floor >= complete_from_ms(watermark_ms, 30 * S, 300 * S)


# The end of the log


def test_offsets_at_the_end_that_hold_no_record_are_passed_by_the_end_that_is_seen():
    # Given the marker of a transaction behind the last record
    world = world_of(5)
    world.topic.leave_out(0, 3)

    runner = Runner(world).run(flush=True)

    assert world.cursor().next == 8
    assert outcomes(world)[-1][1] == 8
    assert sum(counts.get("absent", 0) for _, _, counts, _ in outcomes(world)) == 3
    assert runner.machine.caught_up
    check_exact(world)


def test_a_log_of_markers_only_moves_both_cursors():
    world = World()
    world.topic.leave_out(0, 25)

    Runner(world).run(flush=True)

    assert world.cursor() == (25, 0)
    check_exact(world)


def test_an_end_that_was_seen_before_is_nothing_new():
    world = world_of(5)
    runner = Runner(world).run()

    assert runner.machine.handle(EndReached(5)) == []
    assert runner.machine.handle(EndReached(3)) == []
    assert runner.machine.caught_up


def test_a_record_behind_the_end_means_that_it_was_not_the_end():
    world = world_of(5)
    runner = Runner(world).run()
    extend(world, 1)

    runner.poll()
    runner.settle()

    assert not runner.machine.caught_up


@pytest.mark.parametrize("end", [12, 19, 1])
def test_a_log_that_ends_before_the_stored_cursor_is_unreadable(end):
    # Given 20 records counted and archived, and an election that lost the last of them
    world = world_of(20)
    Runner(world).run(flush=True)
    world.topic.truncate(0, end)
    heir = Runner(world).settle()

    # Then it says so, wherever the log ends: also where that is below the horizon
    assert not heir.out_of_range
    heir.poll(100)
    with pytest.raises(Unreadable, match=f"partition 0: the log ends at {end}, before the stored cursor 20"):
        heir.see_end()


def test_a_cursor_far_beyond_the_log_stops_the_partition_when_its_end_is_seen():
    # Given 20 records counted and archived, and the Redis of another cluster
    world = world_of(20)
    Runner(world).run(flush=True)
    (row,) = (rows[0] for rows in world.state.cursors.values())
    row.next = 1_000_000
    extend(world, 5)
    heir = Runner(world).settle()

    # Then it does not wait for the log to get there
    heir.poll(100)
    with pytest.raises(
        Unreadable, match=r"the log ends at 25, before the stored cursor 1000000.*another clust"
    ):
        heir.see_end()


def test_a_seek_back_of_a_running_worker_is_no_longer_than_the_horizon():
    # Given a worker that has read on far beyond the end it was told of at first
    world = world_of(2)
    runner = Runner(world).run()
    extend(world, 60)
    runner.run()
    snapshot = world.state.copy()
    extend(world, 2)
    runner.run(flush=True)

    world.state.restore(snapshot)
    runner.run()

    assert asked(runner, Seek)[-1] == Seek(62 - HORIZON)


# Refill and reports


def test_a_refill_only_fills_the_memory():
    world = world_of(20)
    Runner(world).run(flush=True)
    heir = Runner(world).settle()
    assert heir.machine.position == 20 - HORIZON
    before = len(heir.asked)

    heir.poll(5)
    assert heir.machine.position == 17
    heir.poll(5)
    heir.see_end()

    assert heir.asked[before:] == []
    assert heir.machine.caught_up


def test_a_batch_that_is_half_refill_is_counted_from_its_live_part_on():
    world = world_of(20)
    Runner(world).run(flush=True)
    extend(world, 4)
    heir = Runner(world).settle()

    heir.poll(10)

    [call] = asked(heir, Apply)
    assert (call.expected, call.next) == (20, 22)
    heir.run(flush=True)
    check_exact(world)


def test_a_report_carries_watermark_and_proof():
    world = world_of(6)
    runner = Runner(world).run()

    runner.report(proof_t0_ms=123)

    call = runner.asked[-1]
    assert (call.expected, call.next, call.delta, call.proof_t0_ms) == (6, 6, None, 123)
    assert call.watermark_ms == NOON_MS + 100 * S - 30 * S


@pytest.mark.parametrize(
    "event", [ReportDue(paused=False), Ticked(flush=True), EndReached(1), RecordsPolled(Records([], [], []))]
)
def test_before_reading_begins_the_machine_refuses_all_but_the_reply_it_waits_for(event):
    runner = Runner(world_of(1))

    with pytest.raises(BrokenInvariant, match=f"{type(event).__name__} came while looking up"):
        runner.machine.handle(event)


# Memory


@pytest.mark.parametrize("when", ["a plan is asked for", "its rows are written"])
def test_what_was_forgotten_while_the_store_was_away_is_read_again(when):
    # Given a chunk on its way, and a store that does not answer
    world = world_of(30)
    runner = Runner(world).settle()
    runner.poll(7)
    runner.answer_redis()
    while runner.on_redis:
        runner.answer_redis()
    assert kinds(runner.on_store) == [CreatePlan]
    if when == "its rows are written":
        runner.answer_store()
        assert kinds(runner.on_store) == [WriteRows]

    # When what was gathered since is forgotten, and Redis goes on being counted
    runner.deliver(BufferDropped())
    while runner.reads and runner.position < 30:
        runner.poll(5)
        while runner.on_redis:
            runner.answer_redis()
    assert world.cursor().next == 30

    # Then the store's answer brings it back to where the archive stands
    seeks = len(asked(runner, Seek))
    runner.settle()
    assert len(asked(runner, Seek)) == seeks + 1
    runner.run(flush=True)
    check_exact(world)


def test_limits_of_a_partition_are_those_of_its_plans():
    world = world_of(3, limits=Limits(dedup_window_offsets=3, lateness_ms=MINUTE_MS))

    Runner(world).run(flush=True)

    assert {plan.limits for plan in world.store.chain(0)} == {world.limits}

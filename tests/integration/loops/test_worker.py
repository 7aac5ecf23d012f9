"""The loop with everything in memory: counts, seals, closes, archives, and outlives what goes away."""

import json

import obstore
import pytest

from stream_worker.core.archive.layout import Plan, plan_name
from stream_worker.core.partition.chunk_buffer import RollLimits
from stream_worker.core.partition.states import State
from stream_worker.core.time import MINUTE_MS
from tests.builders import LOG, NOON_MS, mention
from tests.integration.loops.rig import LIMITS

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def rig(make_rig):
    return make_rig()


# In calm weather


def test_everything_is_counted_and_archived_once(make_rig):
    rig = make_rig(partitions=3)
    for partition in range(3):
        rig.send(30, partition)
    worker = rig.worker(0, 1, 2)

    worker.finish()

    rig.check_exact()
    assert [rig.topic.position(partition).committed for partition in range(3)] == [30, 30, 30]


def test_mentions_that_keep_coming_are_counted_in_the_turn_that_reads_them(rig):
    worker = rig.worker(0)
    rig.send(5)
    worker.count()

    for _ in range(10):
        rig.send(3)
        worker.turn()
        assert worker.counts_up_to_the_end()

    worker.finish()
    rig.check_exact()


def test_minutes_are_sealed_judged_and_closed_behind_the_watermark(rig):
    # Given five minutes of mentions; the last is at 12:04:55, so the watermark reaches 12:04:25
    rig.send(60)
    worker = rig.worker(0)

    worker.finish()
    worker.turn(8)

    assert rig.state.ctl.sealed >= NOON_MS + 4 * MINUTE_MS
    assert {shard.closed_ms for shard in rig.state.shards} == {rig.state.ctl.sealed}
    closed = [rig.state.minutes[NOON_MS + k * MINUTE_MS] for k in range(4)]
    assert all(minute.seal_id and minute.complete for minute in closed)
    assert rig.state.now["acme"]["newest"] == NOON_MS + 4 * MINUTE_MS
    assert {"sealed", "counted"} <= {notice["kind"] for notice in rig.state.changes}


def test_a_quiet_world_is_sealed_by_proofs_of_idleness(rig):
    # Given one mention, and then nothing
    rig.send(1)
    worker = rig.worker(0)

    worker.turn(4 * 160)

    # Then minutes go on being sealed complete, 30 s and a little behind the clock
    sealed_ms = rig.state.ctl.sealed
    assert sealed_ms == NOON_MS + 2 * MINUTE_MS
    assert all(rig.state.minutes[NOON_MS + k * MINUTE_MS].complete for k in range(2))


def test_a_partition_without_an_owner_is_waited_for_and_then_held(make_rig):
    rig = make_rig(partitions=2)
    rig.send(60)
    worker = rig.worker(0)
    worker.count()

    worker.turn(4 * 100)
    assert rig.state.ctl.sealed < NOON_MS
    worker.turn(4 * 30)

    assert rig.state.ctl.sealed > NOON_MS
    assert not rig.state.minutes[NOON_MS].complete


def test_two_workers_share_partitions_and_minutes(make_rig):
    rig = make_rig(partitions=2)
    rig.send(60, 0)
    rig.send(60, 1, brand="other")
    workers = [rig.worker(0), rig.worker(1)]

    for _ in range(120):
        for worker in workers:
            worker.turn()

    rig.check_exact()
    assert {shard.closed_ms for shard in rig.state.shards} == {rig.state.ctl.sealed}


def test_a_partition_that_moves_is_taken_over_exactly(make_rig):
    rig = make_rig(partitions=2)
    rig.send(20, 0)
    rig.send(20, 1)
    first, second = rig.worker(0, 1), rig.worker()
    first.turn(3)

    first.source.revoke(1)
    second.source.assign(1)
    first.turn()
    rig.send(20, 1)

    assert list(first.effect_runner.owned) == [0]
    second.finish()
    first.finish()
    rig.check_exact()


def test_a_zombie_that_goes_on_changes_nothing(rig):
    rig.send(20)
    zombie, heir = rig.worker(0, records_max=3), rig.worker(0, records_max=5)

    for _ in range(40):
        zombie.turn()
        rig.send(1)
        heir.turn()
    heir.finish()
    zombie.turn(10)

    rig.check_exact()


def test_stopping_archives_what_was_gathered_and_leaves(rig):
    # Given rows that no limit would cut yet
    rig.roll_limits = RollLimits()
    rig.send(10)
    worker = rig.worker(0)
    worker.count()
    assert rig.archive().plans(0) == []

    worker.worker._leave()

    assert worker.source.closed
    rig.check_exact()


def test_a_position_that_fell_out_of_the_log_is_looked_up_again(rig):
    # Given a worker that stands at 10, and retention that overtakes it
    rig.send(10)
    worker = rig.worker(0)
    worker.finish()
    worker.source.pause(0)
    rig.send(30)
    rig.topic.delete_before(0, 25)
    worker.source.resume(0)

    worker.finish()

    manifest = rig.stored().manifests[0, 10, 25]
    assert (manifest.outcomes.lost, manifest.partial) == (15, True)
    assert worker.machine().counting.counted == 40


# Redis goes away


@pytest.mark.parametrize("turns", [1, 3, 12, 60])
def test_redis_away_for_a_while_changes_nothing_in_the_end(make_rig, turns):
    rig = make_rig(partitions=2)
    worker = rig.worker(0, 1)
    rig.send(10, 0)
    rig.send(10, 1)
    worker.count()

    # When mentions come, to one partition first, while Redis is away
    worker.redis.away = True
    rig.send(4, 0)
    for k in range(turns):
        worker.turn()
        rig.send(1, k % 2)
    worker.redis.away = False

    # Then the worker goes on by itself
    rig.send(3, 1)
    worker.finish()
    rig.check_exact()


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_an_answer_of_redis_that_was_lost_is_asked_for_again(rig, lost):
    worker = rig.worker(0)
    rig.send(10)
    worker.count()

    for _ in range(6):
        worker.redis.lose = lost
        rig.send(5)
        worker.turn(10)

    worker.finish()
    rig.check_exact()


def test_records_that_came_while_another_partition_waited_for_redis_are_read_again(make_rig):
    # Given a Redis that does not answer partition 1, and is not asked again for a moment
    rig = make_rig(partitions=2)
    worker = rig.worker(0, 1)
    rig.send(5, 0)
    rig.send(5, 1)
    worker.count()
    worker.turn_until(lambda: worker.worker._next_second_s - rig.clock.now_s > 0.7)
    worker.redis.away = True
    rig.send(1, 1)
    worker.worker.turn(0.0)
    assert not worker.effect_runner.owned[0].interrupted

    # When partition 0 gets records twice before Redis is asked again and answers
    rig.send(2, 0)
    worker.worker.turn(0.0)
    rig.send(2, 0)
    worker.worker.turn(0.0)
    worker.redis.away = False
    worker.finish()

    # Then none of them is missing
    rig.check_exact()


def test_redis_that_went_back_is_found_out_and_counted_again(rig):
    worker = rig.worker(0)
    rig.send(12)
    worker.finish()
    snapshot = rig.state.copy()
    rig.send(12)
    worker.finish()

    rig.state.restore(snapshot)
    rig.send(3)
    worker.turn()
    worker.finish()

    assert worker.machine().rollbacks == 1
    rig.check_exact()


def test_redis_that_was_emptied_is_counted_again(rig):
    worker = rig.worker(0)
    rig.send(24)
    worker.finish()

    rig.state.clear()
    worker.turn(8)
    worker.finish()

    rig.check_exact()


def test_the_end_that_came_with_the_records_is_not_believed_after_a_seek_back(rig):
    # Given a Redis that is back where it had counted 6 of 20
    worker = rig.worker(0)
    rig.send(6)
    worker.finish()
    snapshot = rig.state.copy()
    rig.send(14)
    worker.finish()
    rig.state.restore(snapshot)

    # When that is found out by records that came together with the log's end
    rig.send(1)
    worker.worker.turn(0.0)

    # Then what lies between is still to be read
    assert worker.machine().position <= 6
    worker.finish()
    rig.check_exact()


def test_while_redis_is_away_nobody_judges_and_the_view_is_drawn_when_it_is_back(rig):
    worker = rig.worker(0)
    rig.send(10)
    worker.count()
    worker.redis.away = True
    rig.send(5)
    worker.turn(4)
    asked = len(worker.redis.asked)
    worker.turn()
    assert worker.redis.asked[asked:] in ([], ["apply"])

    worker.redis.away = False
    worker.turn(40)

    assert rig.state.now["acme"]["newest"] == NOON_MS + MINUTE_MS


def test_what_was_not_drawn_because_redis_went_away_just_then_is_drawn_later(rig):
    worker = rig.worker(0)
    rig.send(1)
    worker.turn(8)
    drawn = dict(rig.state.now["acme"])
    real_draw = worker.redis.real.refresh_view

    def away(brands):
        worker.redis.away = True
        worker.redis.real.refresh_view = real_draw
        return worker.redis.refresh_view(brands)

    worker.redis.real.refresh_view = away
    rig.send(1)
    worker.turn_until(lambda: worker.redis.away)
    worker.redis.away = False
    worker.turn(12)

    assert rig.state.now["acme"]["1m:n"] == drawn["1m:n"] + 1


# The store goes away


def test_the_store_away_past_the_memory_cap_is_archived_exactly_in_the_end(make_rig):
    # Given room for the bytes of about ten records
    rig = make_rig(partitions=2)
    worker = rig.worker(0, 1, memory_max_bytes=1_000)
    rig.send(10, 0)
    rig.send(10, 1)
    worker.finish()

    # When the store is away while eighty records a partition come
    worker.store.away = True
    for _ in range(16):
        rig.send(5, 0)
        rig.send(5, 1)
        worker.turn(2)

    # Then counting goes on, and rows are forgotten
    held = worker.effect_runner.owned.values()
    assert [one.machine.counting.counted for one in held] == [90, 90]
    assert all(one.machine.archiving.chunk_buffer is None for one in held)

    # And with the store back all is archived
    worker.store.away = False
    worker.finish()
    rig.check_exact()


def test_records_that_were_polled_before_the_store_s_answer_sought_back_are_not_the_next_ones(rig):
    worker = rig.worker(0, memory_max_bytes=100, records_max=4)
    rig.send(4)
    worker.finish()
    worker.store.away = True
    for _ in range(8):
        rig.send(4)
        worker.turn()
    assert worker.machine().archiving.chunk_buffer is None

    # When the answer comes in a turn that has polled new records
    worker.store.away = False
    assert worker.background.wait_idle(5)
    for _ in range(10):
        rig.send(4)
        worker.turn()
    worker.finish()

    rig.check_exact()


@pytest.mark.parametrize("lost", [1, 3])
def test_answers_of_the_store_that_were_lost_leave_no_trace(rig, lost):
    worker = rig.worker(0)
    rig.send(30)
    worker.store.lose = lost
    worker.turn(3)
    worker.store.lose = lost
    worker.finish()

    rig.check_exact()


def test_an_unreadable_plan_stops_its_partition_only(make_rig):
    rig = make_rig(partitions=2)
    first = rig.worker(0, 1)
    rig.send(10, 0)
    rig.send(10, 1)
    first.finish()
    obstore.put(rig.objects, plan_name(LOG, 0, rig.archive().plans(0)[-1].end), b"{")

    # When another worker finds the damaged plan
    heir = rig.worker(0, 1)
    rig.send(10, 1)
    heir.turn_until(lambda: 1 in heir.effect_runner.owned and heir.machine(1).archiving.archived == 20)

    # Then the other partition goes on, and the damaged one is left alone
    assert heir.effect_runner.owned[0].stopped
    assert heir.machine(0).state is State.LOOKING_UP
    assert not heir.effect_runner.owned[1].stopped
    assert heir.machine(1).counting.counted == 20


def test_a_log_that_was_cut_off_stops_its_partition_only(make_rig):
    rig = make_rig(partitions=2)
    first = rig.worker(0, 1)
    rig.send(10, 0)
    rig.send(10, 1)
    first.finish()
    rig.topic.truncate(0, 3)

    heir = rig.worker(0, 1)
    heir.turn_until(lambda: 0 in heir.effect_runner.owned and heir.effect_runner.owned[0].stopped)
    rig.send(5, 1)
    heir.turn_until(lambda: heir.machine(1).counting.counted == 15)

    assert not heir.effect_runner.owned[1].stopped


# Kafka goes away; alignment; skips


def test_questions_to_a_broker_that_is_away_do_not_pile_up(rig):
    rig.send(10)
    worker = rig.worker(0)
    worker.finish()

    rig.topic.away = True
    worker.source.poll = lambda timeout_s: type(worker.source).poll(MutePartition(worker.source), timeout_s)
    worker.turn(4 * 300)

    assert worker.background.busy() <= 1


class MutePartition:
    """A source whose partitions bring nothing, as with a broker that is away."""

    def __init__(self, source):
        self._source = source
        self._revoked, self._assigned, self._records_max, self._reading = [], [], 1, {}

    def __getattr__(self, name):
        return getattr(self._source, name)


def test_a_partition_far_ahead_is_paused_and_has_no_proof_until_the_slowest_follows(make_rig):
    # Given a partition that is 25 minutes ahead of another, which is read slowly
    rig = make_rig(partitions=2)
    rig.send(60, 0, step_s=1)
    rig.send(60, 1, step_s=30)
    slow, fast = rig.worker(0, records_max=1), rig.worker(1, alignment_ms=600_000)

    for _ in range(40):
        fast.turn()
        slow.turn()
    ahead = fast.effect_runner.owned[1]
    assert ahead.ahead
    proof = rig.state.cursors[LOG.name][1].proof
    fast.turn(40)
    assert rig.state.cursors[LOG.name][1].proof == proof

    # When the slow one reaches its end and is idle
    slow.finish()
    for _ in range(40):
        fast.turn()
        slow.turn()

    # Then the fast one is read on
    assert not ahead.ahead
    rig.send(5, 1, step_s=30)
    fast.finish()
    rig.check_exact()


def test_a_skip_on_the_record_is_followed_by_a_running_worker(rig):
    rig.send(8)
    worker = rig.worker(0)
    worker.finish()
    at_ms = rig.archive().plans(0)[-1].watermark_end
    skipped = Plan(
        kind="skipped", start=8, end=20, watermark_start=at_ms, watermark_end=at_ms, limits=LIMITS, why="ops"
    )
    rig.archive().create_plan(0, skipped)

    rig.send(30)
    worker.finish()

    assert rig.stored().manifests[0, 8, 20].outcomes.lost == 12
    assert rig.state.cursors[LOG.name][0].next == 38


def test_records_of_any_kind_end_somewhere(rig):
    # Given values that no decoder likes, between good ones
    values = [
        None,
        b"",
        b"[" * 5_000,
        b"\xff",
        mention(text=""),
        mention(event_time=1),
        b"{}",
        mention(id="ok"),
    ]
    for k, value in enumerate(values * 4):
        rig.put(value, NOON_MS + k * 1_000)

    rig.worker(0).finish()

    rig.check_exact()
    assert len(rig.letters.kept) == 28
    assert json.loads(rig.letters.kept[0, 4].value)["text"] == ""

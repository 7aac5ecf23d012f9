"""The contract of `ports.Source`, over memory and over a broker."""

import secrets
import time

import pytest
from confluent_kafka import Producer, TopicPartition

from stream_worker.adapters.kafka.consumer import KafkaSource
from stream_worker.adapters.kafka.topic import describe
from stream_worker.core.partition.inputs import LogPosition
from stream_worker.core.records.poll import TopicFacts
from tests.builders import NOON_MS
from tests.fakes.kafka import MemorySource, MemoryTopic

pytestmark = pytest.mark.timeout(90)

WITHIN_S = 30.0
QUIET_S = 0.4  # nothing comes for so long: nothing will


class Seen:
    """What polls brought, in the order in which it came."""

    def __init__(self):
        self.revoked, self.assigned, self.records, self.ends, self.out_of_range = [], [], {}, {}, []
        self.largest = 0

    def take(self, poll):
        self.revoked += poll.revoked
        self.assigned += poll.assigned
        self.out_of_range += poll.out_of_range
        for partition, records in poll.records.items():
            assert len(records.offsets) == len(records.record_times_ms) == len(records.values) > 0
            rows = list(zip(*records, strict=True))
            self.records.setdefault(partition, []).extend(rows)
            self.ends.pop(partition, None)  # it was not the end
        self.largest = max(self.largest, sum(len(one.offsets) for one in poll.records.values()))
        self.ends |= poll.ends

    def offsets(self, partition=0):
        return [offset for offset, _, _ in self.records.get(partition, [])]


class World:
    """What both worlds have in common."""

    def close(self):
        for source in self.sources:
            source.close()

    def leave(self, source):
        self.sources.remove(source)
        source.close()

    def fill(self, count, partition=0):
        for k in range(count):
            self.append(b"%d" % k, partition)
        self.flush()

    def assigned(self, *partitions, **options):
        """A source that has these partitions and was told so."""
        source = self.source(*partitions, **options)
        seen = poll_until(source, lambda seen: len(seen.assigned) == len(partitions))
        assert sorted(seen.assigned) == sorted(partitions)
        return source


class MemoryWorld(World):
    is_real = True

    def __init__(self, partitions):
        self.topic, self.sources = MemoryTopic(partitions), []

    def append(self, value, partition=0, time_ms=NOON_MS):
        self.topic.append(partition, value, time_ms)

    def flush(self):
        pass

    def source(self, *partitions, records_max=500):
        self.sources.append(MemorySource(self.topic, records_max=records_max))
        self.sources[-1].assign(*partitions)
        return self.sources[-1]

    def second(self, first, partition):
        first.revoke(partition)
        return self.source(partition)

    def delete_before(self, offset, partition=0):
        self.topic.delete_before(partition, offset)

    def incarnation(self):
        return self.topic.incarnation


class KafkaWorld(World):
    def __init__(self, kafka, partitions):
        self.kafka, self.is_real, self.sources, self.partitions = kafka, kafka.is_real, [], partitions
        self.name, self.group = kafka.new_topic(partitions), f"group-{secrets.token_hex(4)}"
        self.client = {"bootstrap.servers": kafka.bootstrap, "log_level": 0}
        self.quick = {"fetch.wait.max.ms": 20, "coordinator.query.interval.ms": 100}  # an end comes sooner
        self.producer = Producer({**self.client, "linger.ms": 0})

    def append(self, value, partition=0, time_ms=NOON_MS):
        self.producer.produce(self.name, value, partition=partition, timestamp=time_ms)

    def flush(self):
        assert self.producer.flush(20) == 0

    def source(self, *_, records_max=500):
        self.sources.append(
            KafkaSource(
                self.client | self.quick,
                self.name,
                self.group,
                session_timeout_ms=6_000,
                records_max=records_max,
                partitions=self.partitions,
                on_trouble=lambda _: None,
            )
        )
        return self.sources[-1]

    def second(self, first, partition):
        return self.source()

    def delete_before(self, offset, partition=0):
        at = TopicPartition(self.name, partition, offset)
        admin = self.kafka.admin()
        admin.delete_records([at])[at].result(20)

    def incarnation(self):
        return describe(self.kafka.admin(), self.name, self.kafka.bootstrap).incarnation


def poll_until(source, condition, seen=None, *, beside=()):
    """Poll until what was seen is enough; `beside` are polled too, as members of one group must be."""
    seen, deadline_s = seen or Seen(), time.monotonic() + WITHIN_S
    while not condition(seen):
        assert time.monotonic() < deadline_s, vars(seen)
        seen.take(source.poll(0.05))
        for other, theirs in beside:
            theirs.take(other.poll(0.05))
    return seen


def poll_quietly(source):
    seen, end_s = Seen(), time.monotonic() + QUIET_S
    while time.monotonic() < end_s:
        seen.take(source.poll(0.05))
    return seen


def read(source, count, partition=0):
    """Poll until so many records of a partition and then its end have come."""
    return poll_until(source, lambda seen: len(seen.offsets(partition)) >= count and partition in seen.ends)


@pytest.fixture(params=["memory", "kafka"])
def make_world(request):
    made = []

    def make(partitions=1):
        if request.param == "memory":
            made.append(MemoryWorld(partitions))
        else:
            made.append(KafkaWorld(request.getfixturevalue("kafka"), partitions))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world):
    return make_world()


def needs_real(world):
    if not world.is_real:
        pytest.skip("the embedded broker deletes no records")


def test_a_partition_is_paused_from_its_assignment_until_it_is_sought(world):
    world.fill(3)
    source = world.assigned(0)

    seen = poll_quietly(source)
    assert (seen.records, seen.ends, seen.out_of_range) == ({}, {}, [])

    source.seek(0, 1)
    assert read(source, 2).offsets() == [1, 2]


def test_records_come_whole_in_the_order_of_the_log_and_the_end_behind_them(world):
    values = [b"one", None, b"", b"\xff\x00", b"x" * 100_000]
    for k, value in enumerate(values):
        world.append(value, time_ms=NOON_MS + k)
    world.flush()
    source = world.assigned(0)

    source.seek(0, 0)
    seen = read(source, 5)

    assert seen.records[0] == [(k, NOON_MS + k, value) for k, value in enumerate(values)]
    assert seen.ends == {0: 5}


def test_an_empty_log_has_an_end_too(world):
    source = world.assigned(0)

    source.seek(0, 0)

    assert read(source, 0).ends == {0: 0}


def test_the_end_is_told_again_behind_new_records(world):
    world.fill(2)
    source = world.assigned(0)
    source.seek(0, 0)
    read(source, 2)

    world.fill(3)
    seen = read(source, 3)

    assert seen.offsets() == [2, 3, 4]
    assert seen.ends == {0: 5}


def test_a_paused_partition_brings_nothing_and_goes_on_where_it_was(world):
    world.fill(3)
    source = world.assigned(0)
    source.seek(0, 0)
    read(source, 3)

    source.pause(0)
    world.fill(4)
    assert poll_quietly(source).records == {}
    source.resume(0)

    assert read(source, 4).offsets() == [3, 4, 5, 6]


def test_a_pause_in_the_middle_loses_and_repeats_nothing(world):
    world.fill(40)
    source = world.assigned(0, records_max=7)
    source.seek(0, 0)
    seen = poll_until(source, lambda seen: seen.offsets())

    for _ in range(3):
        source.pause(0)
        source.poll(0.0)
        source.resume(0)
        so_far = len(seen.offsets())
        poll_until(source, lambda seen, so_far=so_far: len(seen.offsets()) > so_far, seen)
    poll_until(source, lambda seen: 0 in seen.ends, seen)

    assert seen.offsets() == list(range(40))
    assert seen.largest <= 7


@pytest.mark.parametrize("to", [0, 2, 5])
def test_a_seek_reads_on_from_there_and_tells_the_end_again(world, to):
    world.fill(5)
    source = world.assigned(0)
    source.seek(0, 0)
    read(source, 5)

    source.seek(0, to)
    seen = read(source, 5 - to)

    assert seen.offsets() == list(range(to, 5))
    assert seen.ends == {0: 5}


def test_nothing_from_before_a_seek_comes_after_it(world):
    # Given a log of which only the beginning was taken; the rest waits inside the client
    world.fill(300)
    source = world.assigned(0, records_max=10)
    source.seek(0, 0)
    poll_until(source, lambda seen: seen.offsets())

    source.seek(0, 250)

    assert read(source, 50).offsets() == list(range(250, 300))


def test_five_hundred_seeks_at_once_are_read_from_where_they_were_sought(make_world):
    # Given 128 partitions of forty records, and members that get all of them, one after the other
    partitions = range(128)
    world = make_world(len(partitions))
    for partition in partitions:
        for k in range(40):
            world.append(b"%d" % k, partition)
    world.flush()

    for round_number in range(4):
        source = world.assigned(*partitions)

        # When each is sought as soon as it was assigned, while the client may still be at its beginning
        starts = {partition: (partition + 10 * round_number) % 40 for partition in partitions}
        for partition, start in starts.items():
            source.seek(partition, start)

        # Then nothing comes but the records from there on
        seen = poll_until(source, lambda seen: len(seen.ends) == len(partitions))
        assert {p: seen.offsets(p) for p in partitions} == {p: [*range(starts[p], 40)] for p in partitions}
        world.leave(source)


def test_a_seek_resumes_what_was_paused(world):
    world.fill(2)
    source = world.assigned(0)
    source.seek(0, 0)
    read(source, 2)

    source.pause(0)
    source.seek(0, 1)

    assert read(source, 1).offsets() == [1]


def test_partitions_are_read_side_by_side_each_in_its_order(make_world):
    world = make_world(3)
    for partition in range(3):
        world.fill(20 + partition, partition)
    source = world.assigned(0, 1, 2, records_max=9)

    for partition in range(3):
        source.seek(partition, partition)
    seen = poll_until(source, lambda seen: len(seen.ends) == 3)

    assert {p: seen.offsets(p) for p in range(3)} == {p: list(range(p, 20 + p)) for p in range(3)}
    assert seen.ends == {0: 20, 1: 21, 2: 22}


def test_a_partition_that_moves_is_told_as_lost_here_and_as_gained_there(make_world):
    world = make_world(2)
    world.fill(3, 0)
    world.fill(3, 1)
    first = world.assigned(0, 1)
    for partition in range(2):
        first.seek(partition, 0)
    poll_until(first, lambda seen: len(seen.ends) == 2)

    second, theirs = world.second(first, 1), Seen()
    ours = poll_until(first, lambda seen: seen.revoked and theirs.assigned, beside=[(second, theirs)])

    assert ours.revoked == theirs.assigned
    [moved] = theirs.assigned
    kept = 1 - moved
    assert (ours.assigned, theirs.revoked, theirs.records) == ([], [], {})
    second.seek(moved, 1)
    world.fill(1, kept)
    found, rest = Seen(), Seen()
    poll_until(second, lambda seen: moved in seen.ends and rest.offsets(kept), found, beside=[(first, rest)])
    assert found.offsets(moved) == [1, 2]
    assert rest.offsets(kept) == [3]


def test_a_partition_that_was_lost_is_not_touched_by_what_comes_too_late(make_world):
    world = make_world(2)
    first = world.assigned(0, 1)
    second, theirs = world.second(first, 1), Seen()
    ours = poll_until(first, lambda seen: seen.revoked and theirs.assigned, beside=[(second, theirs)])
    [lost] = ours.revoked

    assert first.log_end(lost) == 0


def test_a_position_behind_the_end_is_told_once_and_healed_by_a_seek(world):
    needs_real(world)
    world.fill(3)
    source = world.assigned(0)

    source.seek(0, 8)
    seen = poll_until(source, lambda seen: seen.out_of_range)
    assert (seen.out_of_range, seen.records) == ([0], {})
    assert poll_quietly(source).out_of_range == []

    source.seek(0, 1)
    assert read(source, 2).offsets() == [1, 2]


def test_a_position_that_retention_ate_is_told_and_healed_by_a_seek(world):
    needs_real(world)
    world.fill(6)
    world.delete_before(4)
    source = world.assigned(0)

    assert poll_quietly(source).out_of_range == []
    for _ in range(2):
        source.seek(0, 1)
        seen = poll_until(source, lambda seen: seen.out_of_range)
        assert (seen.out_of_range, seen.records) == ([0], {})
        assert source.position(0) == LogPosition(4, 6, -1)

        source.seek(0, 4)
        assert read(source, 2).offsets() == [4, 5]


def test_a_log_that_does_not_begin_at_zero_is_read_from_where_it_begins(world):
    needs_real(world)
    world.fill(6)
    world.delete_before(4)
    source = world.assigned(0)

    source.seek(0, 4)

    seen = read(source, 2)
    assert (seen.offsets(), seen.out_of_range) == ([4, 5], [])


def test_retention_that_overtakes_a_paused_partition_is_told_when_it_is_read_again(world):
    needs_real(world)
    world.fill(6)
    source = world.assigned(0, records_max=2)
    source.seek(0, 0)
    read(source, 6)
    source.pause(0)
    world.fill(6)
    world.delete_before(9)

    source.resume(0)

    assert poll_until(source, lambda seen: seen.out_of_range).records == {}
    source.seek(0, 9)
    assert read(source, 3).offsets() == [9, 10, 11]


def test_a_commit_is_a_hint_and_decides_nothing(world):
    world.fill(6)
    source = world.assigned(0)
    source.commit(0, 4)
    source.seek(0, 2)

    assert read(source, 4).offsets() == [2, 3, 4, 5]
    poll_until(source, lambda _: source.position(0).committed == 4)
    source.commit(0, 1)
    poll_until(source, lambda _: source.position(0).committed == 1)
    source.close()

    heir = world.assigned(0)
    assert poll_quietly(heir).records == {}
    heir.seek(0, 5)
    assert read(heir, 1).offsets() == [5]


def test_the_broker_says_where_logs_begin_and_end_and_what_the_topic_is(make_world):
    world = make_world(2)
    world.fill(5, 0)
    source = world.source()

    assert source.position(0) == LogPosition(0, 5, -1)
    assert source.position(1) == LogPosition(0, 0, -1)
    assert source.starts("earliest") == [0, 0]
    assert source.starts("latest") == [5, 0]
    assert source.topic() == TopicFacts(world.incarnation(), 2)


def test_ends_are_asked_for_without_waiting_and_answered_once(world):
    world.fill(4)
    source = world.assigned(0)
    assert source.answered_ends() == {}

    source.ask_ends([])
    assert source.answered_ends() == {}
    source.ask_ends([0])
    answers, deadline_s = [None], time.monotonic() + WITHIN_S
    while answers[-1] is None:
        assert time.monotonic() < deadline_s
        source.poll(0.02)
        answers.append(source.answered_ends())

    assert answers[-1] == {0: 4}
    assert source.answered_ends() == {}


def test_the_end_of_the_log_is_known_from_fetches(world):
    world.fill(4)
    source = world.assigned(0)
    assert 0 <= source.log_end(0) <= 4

    source.seek(0, 2)
    read(source, 2)

    assert source.log_end(0) == 4


def test_a_source_is_a_member_from_its_assignment_until_it_is_closed(world):
    source = world.assigned(0)

    assert source.joined()

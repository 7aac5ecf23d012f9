"""A topic that was made anew, in the whole loop: its workers take the group from the log that was deleted."""

from stream_worker.core.archive.layout import Log
from tests.builders import LOG, NOON_MS
from tests.fakes.redis_aggregates import MemoryAggregates
from tests.integration.loops.rig import Away, Rig

OLD = Log(LOG.topic, "00000000")


class Facts:
    """What a broker says of the topic, and nothing else."""

    def __init__(self, topic):
        self.topic = topic


def a_group_that_is_on_the_old_log(rig):
    MemoryAggregates(OLD, rig.clock.now_ms, rig.state).create_cursor(0, 0, 0, NOON_MS)
    assert rig.state.ctl.incarnation == OLD.name


def test_a_worker_takes_the_group_from_the_log_that_was_deleted(monkeypatch):
    # Given a group that is on the old log
    rig = Rig(monkeypatch)
    a_group_that_is_on_the_old_log(rig)

    # When a worker of the new one works
    rig.send(40)
    worker = rig.worker(0)
    worker.turn_until(lambda: rig.state.ctl.incarnation == LOG.name)

    # Then its minutes are sealed, and everything is counted
    worker.finish()
    assert rig.state.ctl.sealed > NOON_MS
    rig.check_exact()
    rig.close()


def test_no_group_is_taken_before_the_broker_has_answered(monkeypatch):
    # Given a worker at work, and a Redis that went back to the old log while the broker is away
    rig = Rig(monkeypatch)
    rig.send(10)
    worker = rig.worker(0)
    worker.finish()
    rig.state.ctl.incarnation = OLD.name
    broker = Away(worker.source)
    worker.source.topic, broker.real, broker.away = broker.topic, Facts(worker.source.topic), True

    # When it cannot know which log is the older one
    worker.store.away = True  # so that a turn does not wait for answers
    worker.turn(40)

    # Then it waits until it can
    assert rig.state.ctl.incarnation == OLD.name
    broker.away = worker.store.away = False
    worker.turn_until(lambda: rig.state.ctl.incarnation == LOG.name)
    rig.close()

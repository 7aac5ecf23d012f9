"""Playing a feed by the clock: never early, never out of order, and it stops when told to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.connection import producer_settings
from producers.errors import Unusable
from producers.feeds.scheduled import ScheduledRecord
from producers.recording import span
from producers.run import WAIT_S_MAX, Target, play, publish_feed

DUES = st.lists(st.floats(0, 5_000), max_size=20).map(sorted)


class Clock:
    """A clock that moves only by waiting."""

    def __init__(self):
        self.now_s = 100.0
        self.waits = []

    def __call__(self):
        return self.now_s

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now_s += seconds


def feed(times_ms):
    return [ScheduledRecord(at_ms, str(number), b"") for number, at_ms in enumerate(times_ms)]


@given(DUES)
def test_nothing_is_sent_before_it_is_due_and_all_in_order(times_ms):
    # Given
    clock, sent = Clock(), []

    # When
    play(feed(times_ms), lambda due: sent.append((due, clock())) or True, clock.wait, lambda: False, clock)

    # Then
    assert [due.key for due, _ in sent] == [str(number) for number in range(len(times_ms))]
    for due, at_s in sent:
        early_s = 100.0 + due.at_ms / 1_000 - at_s
        assert -0.01 < early_s < 1e-9
    assert max(clock.waits, default=0) <= WAIT_S_MAX


def test_what_is_overdue_is_sent_at_once():
    clock, sent = Clock(), []
    clock_is_late = iter([0.0, *[60.0] * 100])
    play(
        feed([1, 2, 3]),
        lambda due: sent.append(due) or True,
        clock.wait,
        lambda: False,
        lambda: next(clock_is_late),
    )
    assert len(sent) == 3
    assert clock.waits == []


def test_a_full_queue_is_asked_again_for_the_same_record():
    clock, answers, asked = Clock(), iter([False, False, True, True]), []
    play(feed([0, 0]), lambda due: asked.append(due.key) or next(answers), clock.wait, lambda: False, clock)
    assert asked == ["0", "0", "0", "1"]


def test_a_signal_during_a_long_gap_stops_within_one_wait():
    # Given a gap of an hour, and a signal after a second
    clock, sent = Clock(), []

    # When
    play(
        feed([0, 3_600_000]),
        lambda due: sent.append(due.key) or True,
        clock.wait,
        lambda: clock.now_s >= 101,
        clock,
    )

    # Then
    assert sent == ["0"]
    assert math.isclose(clock.now_s, 101, abs_tol=2 * WAIT_S_MAX)


def test_a_signal_stops_the_asking_of_a_full_queue():
    clock, asked = Clock(), []
    play(feed([0]), lambda due: asked.append(due) and False, clock.wait, lambda: len(asked) >= 3, clock)
    assert len(asked) == 3


def test_a_feed_that_breaks_off_is_flushed_counted_and_told(kafka):
    # Given a file that turns out to be damaged after its second row
    topic, said = kafka.new_topic(), []

    def broken(_):
        yield from feed([0, 0])
        raise Unusable("posts.csv: damaged after row 2")

    # When
    target = Target(producer_settings(kafka.bootstrap, [], None), topic, None, as_json=False, to_stdout=False)
    with pytest.raises(Unusable, match="after row 2"):
        publish_feed(broken, target, None, lambda: 0, said.append)

    # Then
    assert said[-1].startswith("delivered 2 of 2")


def test_spans_are_told_in_their_two_largest_units():
    spans = [span(ms) for ms in (250, 10_100, 90_000, 3_600_000, 100_000_000, 370 * 86_400_000)]
    assert spans == ["0.25 s", "10.1 s", "1 min 30 s", "1 h", "1 d 3 h", "1 y 4 d"]

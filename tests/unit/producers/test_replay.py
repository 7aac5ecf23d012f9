"""The replay feed: order, gaps, speed and rebasing.

file     09:00:00        09:00:10                     09:01:00
         a               b                            c
2x       a at 0 s        b at 5 s                     c at 30 s
"""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.errors import Unusable
from producers.feeds.replay import AHEAD_MS_MAX, Pace, Rebase, between, outlook, play, record
from producers.feeds.scheduled import epoch_ms
from stream_worker.core.records.mention import Mention

NINE_MS = 1_767_258_000_000  # 2026-01-01T09:00:00Z
NOW_MS = NINE_MS + 86_400_000
TIMES = st.lists(st.integers(NINE_MS, NINE_MS + 10**10), min_size=1, max_size=30)
SPEEDS = st.one_of(st.floats(0.01, 1e6), st.just(math.inf))


def mentions(*times_ms):
    return [
        Mention(id=str(number), brand="Acme", network="x", text="hi", event_time=time)
        for number, time in enumerate(times_ms)
    ]


def recorded(*times_ms, **options):
    return record(iter(mentions(*times_ms)), **options)


def event_ms(due):
    return epoch_ms(due.value.event_time)


ABC = (NINE_MS, NINE_MS + 10_000, NINE_MS + 60_000)


@pytest.mark.parametrize(
    ("pace", "at_ms"),
    [
        (Pace(), [0, 10_000, 60_000]),
        (Pace(speed=2), [0, 5_000, 30_000]),
        (Pace(speed=0.5), [0, 20_000, 120_000]),
        (Pace(speed=math.inf), [0, 0, 0]),
        (Pace(gap_max_ms=1_000), [0, 1_000, 2_000]),
        (Pace(speed=10, gap_max_ms=2_000), [0, 1_000, 3_000]),
    ],
)
def test_gaps_are_kept_divided_by_the_speed_and_cut(pace, at_ms):
    assert [due.at_ms for due in play(recorded(*ABC), NOW_MS, pace)] == at_ms


@pytest.mark.parametrize(
    ("rebase", "expected"),
    [
        (None, ABC),
        (Rebase(None, anchor_last=False), (NOW_MS, NOW_MS + 10_000, NOW_MS + 60_000)),
        (Rebase(None, anchor_last=True), (NOW_MS - 60_000, NOW_MS - 50_000, NOW_MS)),
        (Rebase(5_000, anchor_last=False), (5_000, 15_000, 65_000)),
        (Rebase(70_000, anchor_last=True), (10_000, 20_000, 70_000)),
    ],
)
def test_rebasing_moves_all_times_by_one_amount(rebase, expected):
    assert tuple(event_ms(due) for due in play(recorded(*ABC), NOW_MS, Pace(rebase=rebase))) == expected


@given(TIMES, SPEEDS, st.one_of(st.just(math.inf), st.floats(0, 1e6)))
def test_rebased_to_now_every_mention_carries_the_moment_it_is_due(times, speed, gap_max_ms):
    # Whatever the speed: none runs ahead of the clock, where the worker would reject it
    pace = Pace(speed, gap_max_ms, Rebase(None, anchor_last=False))
    for due in play(recorded(*times), NOW_MS, pace):
        assert 0 <= NOW_MS + due.at_ms - event_ms(due) <= 1


@given(TIMES, SPEEDS, st.booleans())
def test_a_replay_is_in_order_of_time_and_loses_nothing(times, speed, anchor_last):
    # When
    dues = list(play(recorded(*times), NOW_MS, Pace(speed, rebase=Rebase(NOW_MS, anchor_last))))

    # Then
    assert sorted(due.value.id for due in dues) == sorted(str(number) for number in range(len(times)))
    for one, two in itertools.pairwise(dues):
        assert one.at_ms <= two.at_ms
        assert event_ms(one) <= event_ms(two)


@given(TIMES)
def test_at_normal_speed_the_gaps_of_the_file_are_the_gaps_of_the_replay(times):
    dues = list(play(recorded(*times), NOW_MS, Pace()))
    assert [due.at_ms for due in dues] == [time - min(times) for time in sorted(times)]


def test_a_file_out_of_order_is_put_in_order_and_that_is_known():
    recording = recorded(3_000, 1_000, 2_000, 1_000)
    assert recording.reordered
    assert [one.id for one in recording.mentions] == ["1", "3", "2", "0"]
    assert not recorded(1_000, 1_000, 2_000).reordered


def test_a_limit_takes_the_earliest():
    recording = recorded(3_000, 1_000, 2_000, limit=2)
    assert [one.id for one in recording.mentions] == ["1", "2"]
    assert (recording.total, recording.first_ms, recording.last_ms) == (2, 1_000, 2_000)


def test_a_file_too_long_to_be_held_is_played_in_its_own_order_and_wholly():
    # Given five mentions and room for two
    recording = recorded(3_000, 1_000, 2_000, 9_000, 4_000, mentions_max=2)

    # When
    dues = list(play(recording, NOW_MS, Pace()))

    # Then one that lies before its predecessor does not wait
    assert (recording.total, recording.last_ms) == (None, None)
    assert [(due.value.id, due.at_ms) for due in dues] == [
        ("0", 0),
        ("1", 0),
        ("2", 1_000),
        ("3", 8_000),
        ("4", 8_000),
    ]


def test_only_what_lies_in_the_chosen_time_is_played():
    found = between(mentions(*ABC), since_ms=ABC[1], until_ms=ABC[2])
    assert [one.id for one in found] == ["1"]


def test_nothing_to_play_is_no_recording():
    assert recorded() is None


def test_the_outlook_tells_how_long_it_takes_and_what_would_be_rejected():
    # Given three hours at 60x, moved to now by hand: the third mention would be two hours ahead
    hour_ms = 3_600_000
    recording = recorded(NINE_MS, NINE_MS + 60_000, NINE_MS + 3 * hour_ms)
    pace = Pace(60, rebase=Rebase(NOW_MS, anchor_last=False))

    # When
    expected = outlook(recording, NOW_MS, pace)

    # Then
    assert expected.takes_ms == 3 * 60_000
    assert expected.ahead == 1
    assert (expected.first_ms, expected.last_ms) == (NOW_MS, NOW_MS + 3 * hour_ms)
    assert 3 * hour_ms - expected.takes_ms > AHEAD_MS_MAX


def test_a_rebase_out_of_the_calendar_is_refused():
    with pytest.raises(Unusable, match="before 1970"):
        list(play(recorded(*ABC), NOW_MS, Pace(rebase=Rebase(1_000, anchor_last=True))))

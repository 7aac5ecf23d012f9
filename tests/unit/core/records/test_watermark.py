"""Watermarks and late mentions, with the line of time drawn over each case."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.records.decode import take
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.watermark import complete_from_ms, late, watermarks_ms, window_starts_ms
from stream_worker.core.time import MINUTE_MS
from tests.builders import NOON_MS, columns, mention

S = 1_000
LATENESS_MS = 30 * S
DAY = Limits(future_ms=86_400_000)


def posted(*events_s, read_s=None):
    """Mentions of these event times, seconds after noon, and these record times (the same, if absent)."""
    events_ms = [NOON_MS + int(at * S) for at in events_s]
    times_ms = events_ms if read_s is None else [NOON_MS + int(at * S) for at in read_s]
    values = [mention(event_time=ms, id=str(k)) for k, ms in enumerate(events_ms)]
    return columns(*values, times_ms=times_ms, limits=DAY)


def seconds(ms):
    return [(int(one) - NOON_MS) / S for one in ms]


def measure(made, watermark_ms=0, lateness_ms=LATENESS_MS):
    before, after = watermarks_ms(made, watermark_ms, lateness_ms)
    return before, after, late(made, before).tolist()


def test_a_window_is_a_minute_of_event_time_from_its_start_to_before_its_end():
    # 12:00:00.000            12:00:59.999  12:01:00.000
    # [----------- window 0 -----------)    [------- window 1 ---
    made = posted(0, 59.999, 60, 119.999, 120)

    assert seconds(window_starts_ms(made.event_times_ms)) == [0, 0, 60, 60, 120]


def test_the_watermark_is_what_was_reached_before_the_record_less_the_lateness():
    # event time   0    40   20    90
    # reached      0    40   40    90
    # W before     -   -30   10    10      W after 60
    before, after, _ = measure(posted(0, 40, 20, 90))

    assert before[0] == 0
    assert seconds(before[1:]) == [-30, 10, 10]
    assert seconds([after]) == [60]


def test_a_mention_is_late_from_the_moment_the_watermark_reaches_the_end_of_its_window():
    #   0            60           120
    #   [--window 0--)[--window 1--)
    # W before:        59.999 > 60
    #   a at 89.999 -> W 59.999: b at 10 is on time; c at 90 -> W 60: d at 10 is late, e at 60 is not
    _, _, is_late = measure(posted(89.999, 10, 90, 10, 60))

    assert is_late == [False, False, False, True, False]


def test_a_mention_does_not_make_itself_late():
    # W moves behind a record, never before it
    _, _, is_late = measure(posted(0, 600))

    assert is_late == [False, False]


def test_a_post_from_the_future_pushes_time_no_further_than_the_log_s_own_clock():
    # record time   10   11   12
    # event time    10   300  12      reached: 10, 11 (not 300), 12
    _, after, is_late = measure(posted(10, 300, 12, read_s=[10, 11, 12]))

    assert seconds([after]) == [-18]
    assert is_late == [False, False, False]


def test_an_old_post_read_late_does_not_push_time_by_its_record_time():
    # record time   600  601         event time 0: the log's clock alone moves nothing
    _, after, is_late = measure(posted(0, 1, read_s=[600, 601]))

    assert seconds([after]) == [-29]
    assert is_late == [False, False]


def test_a_watermark_never_goes_back():
    # W so far: 300; what comes lies before it
    before, after, is_late = measure(posted(0, 10), watermark_ms=NOON_MS + 300 * S)

    assert seconds(before) == [300, 300]
    assert seconds([after]) == [300]
    assert is_late == [True, True]


def test_no_mention_moves_nothing():
    before, after, is_late = measure(columns(), watermark_ms=NOON_MS)

    assert (before.tolist(), after, is_late) == ([], NOON_MS, [])


def test_without_lateness_a_minute_is_over_when_the_next_one_begins():
    _, _, is_late = measure(posted(59, 60, 59.999), lateness_ms=0)

    assert is_late == [False, False, True]


@given(
    st.lists(st.tuples(st.integers(-300, 300), st.integers(0, 300)), max_size=30),
    st.integers(0, 60),
    st.integers(-200, 200),
    st.data(),
)
@settings(max_examples=80, deadline=None)
def test_watermarks_are_those_of_a_loop_and_cuts_change_nothing(posts, lateness_s, start_s, data):
    made = posted(*(read - age for age, read in posts), read_s=[read for _, read in posts])
    start_ms, expected = NOON_MS + start_s * S, []
    reached = start_ms
    for event_ms, record_ms in zip(made.event_times_ms.tolist(), made.record_times_ms.tolist(), strict=True):
        expected.append((reached, reached >= event_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS))
        reached = max(reached, min(event_ms, record_ms) - lateness_s * S)

    before, after, is_late = measure(made, start_ms, lateness_s * S)
    assert (list(zip(before.tolist(), is_late, strict=True)), after) == (expected, reached)

    cut = data.draw(st.integers(0, len(made)))
    left, middle, left_late = measure(take(made, list(range(cut))), start_ms, lateness_s * S)
    right, end, right_late = measure(take(made, list(range(cut, len(made)))), middle, lateness_s * S)
    assert np.concatenate([left, right]).tolist() == before.tolist()
    assert (left_late + right_late, end) == (is_late, after)


@given(st.integers(0, 10**13), st.integers(0, 3_600_000), st.integers(0, 3_600_000), st.data())
def test_no_mention_before_a_cursor_lies_at_or_above_its_floor(watermark_ms, lateness_ms, future_ms, data):
    # Given a mention that the verdict allows, before an offset where the watermark is `watermark_ms`
    record_ms = data.draw(st.integers(0, watermark_ms + lateness_ms + future_ms))
    event_ms = data.draw(st.integers(0, record_ms + future_ms))
    if min(event_ms, record_ms) - lateness_ms > watermark_ms:
        return  # it would have pushed the watermark

    floor = complete_from_ms(watermark_ms, lateness_ms, future_ms)

    assert floor % MINUTE_MS == 0
    assert event_ms < floor
    assert floor <= watermark_ms + lateness_ms + max(future_ms, 5 * MINUTE_MS) + MINUTE_MS


def test_the_floor_is_the_first_minute_after_watermark_lateness_and_the_allowed_future():
    # W 12:00:00 + 30 s + 5 min = 12:05:30, so 12:06; from 12:05:00.000 exactly still the next one
    assert complete_from_ms(NOON_MS, 30 * S, 300 * S) == NOON_MS + 6 * MINUTE_MS
    assert complete_from_ms(NOON_MS, 60 * S, 300 * S) == NOON_MS + 7 * MINUTE_MS
    assert complete_from_ms(NOON_MS, 30 * S, 0) == NOON_MS + 6 * MINUTE_MS
    assert complete_from_ms(NOON_MS, 30 * S, 3_600 * S) == NOON_MS + 61 * MINUTE_MS

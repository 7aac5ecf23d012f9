"""Where reading and counting begin: boundaries of the plan chain, and nothing else."""

from itertools import pairwise

import pytest

from stream_worker.core.archive.layout import LogOrigin, Plan
from stream_worker.core.partition.recovery import (
    advance_target,
    dedup_window_base,
    first_offset,
    lost_redis_start,
)
from stream_worker.core.records.limits import Limits
from stream_worker.core.time import DAY_MS, HOUR_MS
from tests.builders import NOON_MS

EARLIEST, LATEST = LogOrigin(policy="earliest", starts=[7, 20]), LogOrigin(policy="latest", starts=[7, 20])


def chain(*boundaries, skipped=()):
    """Plans between boundaries (offset, hours before noon); `skipped` names plans by their start."""
    return [
        Plan(
            kind="skipped" if start in skipped else "data",
            start=start,
            end=end,
            limits=Limits(),
            watermark_start=NOON_MS - int(before * HOUR_MS),
            watermark_end=NOON_MS - int(after * HOUR_MS),
        )
        for (start, before), (end, after) in pairwise(boundaries)
    ]


def start_again(plans, *, log_start=0, dedup_window=50, base=0):
    return lost_redis_start(plans, log_start=log_start, dedup_window_offsets=dedup_window, base=base).next


def test_a_partition_begins_where_the_head_says_and_a_newer_one_at_its_first_offset():
    assert [first_offset(EARLIEST, partition) for partition in range(3)] == [7, 20, 0]


def test_a_horizon_is_missing_only_where_the_log_once_held_one():
    # From "earliest" the log had begun there; from "latest" records lay before it
    assert [dedup_window_base(EARLIEST, partition) for partition in range(3)] == [7, 20, 0]
    assert [dedup_window_base(LATEST, partition) for partition in range(3)] == [0, 0, 0]


# Redis was lost
#
#   hours before noon   60     40     24    23.9    1      0
#   boundary             0    100    200    300    400    500
OLD = chain((0, 60), (100, 40), (200, 24), (300, 23.9), (400, 1), (500, 0))


def test_counting_begins_again_at_the_last_boundary_that_is_a_day_old():
    assert start_again(OLD) == 200


def test_a_chain_younger_than_a_day_is_counted_from_its_beginning():
    assert start_again(chain((7, 3), (100, 2), (200, 0))) == 7


def test_the_cursor_takes_the_watermark_of_its_boundary():
    at = lost_redis_start(OLD, log_start=0, dedup_window_offsets=50, base=0)

    assert at.watermark_ms == NOON_MS - DAY_MS


@pytest.mark.parametrize(
    ("log_start", "begins"),
    [
        (150, 200),  # 200 - 50 is held exactly
        (151, 300),
        (250, 300),
        (251, 400),
        (350, 400),
        (351, 500),  # no plan's start holds its horizon, but the chain's end does
        (450, 500),
        (470, 500),  # nothing does: the least is counted wrongly from the end on
    ],
)
def test_never_where_the_horizon_is_gone_while_there_is_a_boundary_whose_horizon_is_held(log_start, begins):
    assert start_again(OLD, log_start=log_start) == begins


def test_a_log_that_began_late_for_us_holds_the_horizon_of_its_beginning():
    young = chain((20, 3), (100, 2), (200, 0))

    assert start_again(young, log_start=20, base=20) == 20
    assert start_again(young, log_start=20, base=0) == 100
    assert start_again(young, log_start=21, base=20) == 100


def test_what_was_skipped_is_not_counted_after_redis_was_lost():
    # [300, 400) was left out: beginning at 200 would count what the archive says is lost
    skipped = chain(
        (0, 60), (100, 40), (200, 24), (300, 23.9), (400, 23.9), (500, 1), (600, 0), skipped=[300]
    )

    assert start_again(skipped) == 400
    assert start_again(chain((0, 3), (100, 1), (200, 1), skipped=[100])) == 200


# A cursor below the log


@pytest.mark.parametrize(
    ("at_or_above", "target"), [(0, 0), (1, 100), (100, 100), (399, 400), (401, 500), (500, 500)]
)
def test_a_jump_goes_to_the_first_boundary_at_or_above(at_or_above, target):
    at = advance_target(OLD, at_or_above)

    assert at.next == target
    watermarks = {plan.start: plan.watermark_start for plan in OLD} | {500: NOON_MS}
    assert at.watermark_ms == watermarks[target]


def test_there_is_no_jump_beyond_the_chain():
    assert advance_target(OLD, 501) is None
    assert advance_target([], 0) is None

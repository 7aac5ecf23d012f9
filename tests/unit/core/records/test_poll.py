"""Records of a poll: only those that rise from the next expected offset belong to what was read before."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.records.poll import rising_from


@pytest.mark.parametrize(
    ("offsets", "expected", "good"),
    [
        ([], 5, 0),
        ([5, 6, 7], 5, 3),
        ([5, 8, 9], 5, 3),  # offsets may be missing: transactions, compaction
        ([7, 8], 5, 2),
        ([4, 5, 6], 5, 0),
        ([5, 6, 0, 1, 2], 5, 2),  # the client went back to the beginning in the middle of a poll
        ([5, 5, 6], 5, 1),
    ],
)
def test_what_rises_from_the_expected_offset_is_taken_up_to_the_first_fall(offsets, expected, good):
    assert rising_from(offsets, expected) == good


@given(offsets=st.lists(st.integers(0, 20), max_size=12), expected=st.integers(0, 20))
def test_the_taken_offsets_rise_and_the_next_one_would_not(offsets, expected):
    good = rising_from(offsets, expected)

    taken = [expected - 1, *offsets[:good]]
    assert all(one < other for one, other in pairwise(taken))
    assert good == len(offsets) or offsets[good] <= taken[-1]

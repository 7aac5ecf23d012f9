"""Seeds that once found something. What they found has a test of its own in test_directed; they stay."""

import pytest

from tests.simulation.histories import live

SEEDS = {
    29: "a poll from before a seek was taken after it",
    59: "the end was taken, the records before it thrown away",
    1008: "the brands of a time that Redis has left were judged",
    1173: "the oracle lost count of a minute that is in history only and was skipped in part",
    1209: "rows that were saved before the log lost them were counted as lost",
    2164: "a late read of a damaged field ended the world: nobody waits for its reply",
    2175: "rows that were saved before the log lost them were counted as lost",
    2738: "a late request of the deleted topic took the group back to it",
}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_found_once_stays_right(seed):
    outcome = live(seed)

    assert outcome.wrong is None, f"seed {seed} ({SEEDS[seed]}): {outcome.wrong}\n{outcome.trace}"

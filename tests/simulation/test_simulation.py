"""Random histories: whatever fails, and whenever, every record is counted once and stored once."""

import pytest

from tests.simulation.histories import live


@pytest.mark.parametrize("seed", range(20))
def test_a_history_ends_with_everything_where_it_belongs(seed):
    outcome = live(seed)

    assert outcome.wrong is None, f"seed {seed}: {outcome.wrong}\n{outcome.trace}"

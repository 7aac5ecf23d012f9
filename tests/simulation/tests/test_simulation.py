"""Random histories: whatever fails, and whenever, every record is counted once and stored once."""

import pytest

from tests.simulation.histories import MUST_BITE, live
from tests.simulation.tests.many import live_through


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("at_least", "at_most"), [(100, 300), pytest.param(1_000, 1_000, marks=pytest.mark.long)]
)
def test_every_history_ends_with_everything_where_it_belongs(at_least, at_most):
    # Given histories of every kind, one for each seed
    bites, wrong = live_through(live, MUST_BITE, at_least=at_least, at_most=at_most)

    # Then the oracle found nothing wrong, and had something to find
    assert not wrong, "\n".join(f"python -m tests.simulation --seed {it.seed}: {it.wrong}" for it in wrong)
    assert [what for what in MUST_BITE if not bites[what]] == []

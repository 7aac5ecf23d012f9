"""Random histories: whatever fails, and whenever, every record is counted once and stored once."""

from collections import Counter

import pytest

from tests.simulation.histories import MUST_BITE, live

HISTORIES = 300


@pytest.mark.timeout(600)
def test_every_history_ends_with_everything_where_it_belongs():
    # Given histories of every kind, one for each seed
    bites, wrong = Counter(), []
    for seed in range(HISTORIES):
        outcome = live(seed)
        bites += outcome.bites
        if outcome.wrong:
            wrong.append(f"python -m tests.simulation --seed {seed}: {outcome.wrong}")

    # Then the oracle found nothing wrong, and had something to find
    assert not wrong, "\n".join(wrong)
    assert [what for what in MUST_BITE if not bites[what]] == []

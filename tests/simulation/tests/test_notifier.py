"""Random histories of the notifier: every episode is reported once, whatever fails, and nothing else is."""

from collections import Counter

import pytest

from tests.simulation.notifier_histories import MUST_BITE, live

HISTORIES = 300


@pytest.mark.timeout(300)
def test_every_history_ends_with_every_episode_reported_once():
    # Given histories of every kind, one for each seed
    bites, wrong = Counter(), []
    for seed in range(HISTORIES):
        outcome = live(seed)
        bites += outcome.bites
        if outcome.wrong:
            wrong.append(f"seed {seed}: {outcome.wrong}")

    # Then the oracle found nothing wrong, and had something to find
    assert not wrong, "\n".join(wrong)
    assert [what for what in MUST_BITE if not bites[what]] == []

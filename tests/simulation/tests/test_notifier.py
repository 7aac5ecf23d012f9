"""Random histories of the notifier: every episode is reported once, whatever fails, and nothing else is."""

from collections import Counter
from typing import NamedTuple
from unittest.mock import patch

import pytest

from stream_worker.core.alerting import delivery
from stream_worker.core.alerting.states import TRANSITIONS
from tests.simulation.notifier_histories import MUST_BITE, live

HISTORIES = 300

pytestmark = pytest.mark.xdist_group("notifier histories")  # they are lived through once


class Lived(NamedTuple):
    """All histories together. A transition is a state, the class of a step, and the state that followed."""

    bites: Counter
    wrong: list
    transitions: set


@pytest.fixture(scope="module")
def lived():
    """Histories of every kind, one for each seed."""
    lived, check = Lived(Counter(), [], set()), delivery.check_transition

    def record(key, state, step, following=None):
        check(key, state, step, following)
        if following is not None:
            lived.transitions.add((state, type(step), following))

    with patch.object(delivery, "check_transition", record):
        for seed in range(HISTORIES):
            outcome = live(seed)
            lived.bites.update(outcome.bites)
            if outcome.wrong:
                lived.wrong.append(f"seed {seed}: {outcome.wrong}")
    return lived


@pytest.mark.timeout(300)
def test_every_history_ends_with_every_episode_reported_once(lived):
    # Then the oracle found nothing wrong, and had something to find
    assert not lived.wrong, "\n".join(lived.wrong)
    assert [what for what in MUST_BITE if not lived.bites[what]] == []


@pytest.mark.timeout(300)
def test_every_transition_of_the_table_happens_and_no_other(lived):
    declared = {
        (state, step, following)
        for state, row in TRANSITIONS.items()
        for step, allowed in row.items()
        for following in allowed
    }

    assert lived.transitions == declared

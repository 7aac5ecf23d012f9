"""The stage for histories that are told step by step."""

from contextlib import ExitStack

import pytest

from tests.simulation.world.stage import Stage


@pytest.fixture
def stage():
    """Make a stage: `stage(partitions=2, …)` with the fields of a `Profile`."""
    with ExitStack() as stack:

        def make(**options):
            made = Stage(**options)
            stack.enter_context(made.world.clock())
            return made

        yield make

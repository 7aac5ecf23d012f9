"""Workers over memory, for the tests of the loop and of what it runs."""

import pytest

from tests.integration.loops.rig import Rig


@pytest.fixture
def make_rig(monkeypatch):
    made = []

    def make(**options):
        made.append(Rig(monkeypatch, **options))
        return made[-1]

    yield make
    for rig in made:
        rig.close()

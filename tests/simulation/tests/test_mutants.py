"""That the simulator sees broken designs: a handful of mutants, all of which `make mutants` lives with."""

from contextlib import ExitStack

import pytest

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.run import Ending, Mutant, clean, fate_of, main

QUICK = {
    "increments without compare and set": "applied to another cursor",
    "no plan names by start and end": "rows without their plan",
    "plan taken for a chunk": "a plan begins where the finished chain ends",
    "late counted twice": "window",
    "cursor off by one": "the stored cursor moved by itself",
    "letters after the plans end is passed": "letters before the manifest",
    "close without comparing the mark": "closed by the mark of another seal",
    "complete whoever is held": "sealed as complete too early",
}


@pytest.mark.parametrize("name", QUICK)
def test_a_broken_design_is_named_by_an_invariant(name):
    # Given a mutant
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)

    # When histories are lived with it
    fate = fate_of(mutant, histories=12)

    # Then the oracle says what is wrong, and nothing is wrong in these histories without it
    assert fate.invariant == QUICK[name]
    assert clean(mutant, fate) == Ending()


def test_a_mutant_that_only_crashes_is_not_caught():
    # Given a mutant that no invariant can name
    def crash():
        """Everything fails."""
        return []

    mutant = Mutant(crash, live=lambda seed: Ending(crash=f"seed {seed}"))

    # Then crashes do not count
    assert fate_of(mutant, histories=3).invariant is None


def test_every_mutant_says_what_is_broken_and_has_a_name_of_its_own():
    assert all(mutant.broken.endswith(".") for mutant in MUTANTS)
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60


def test_every_mutant_still_finds_what_it_breaks():
    for mutant in MUTANTS:
        with ExitStack() as broken:
            assert [broken.enter_context(patches) for patches in mutant.patches()], mutant.name


def test_a_mutant_that_is_not_in_the_catalogue_is_a_clear_error(capsys):
    assert main(["--only", "no such thing"]) == 2
    assert "no such thing" in capsys.readouterr().err

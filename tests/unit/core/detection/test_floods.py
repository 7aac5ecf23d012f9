"""Floods of bots, as raw mentions through the real repeat and author rules to the judge: they page nobody."""

import pytest

from bench.floods import KINDS, UNSEEN, all_changed, crisis, try_one
from stream_worker.core.detection.sensitivity import DEFAULT

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("daily", [300, 10_000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_opens_nothing_and_without_the_rules_it_would(kind, daily):
    # Given a calm brand, and a flood of negative mentions of one kind
    found = try_one(seed=1, number=7, daily=daily, write=KINDS[kind])

    # Then most of it are no voices, and no episode opens, though every mention counted alone would open one
    assert found.voices < found.mentions / 4
    assert not found.ruled[DEFAULT]
    assert found.raw[DEFAULT]


@pytest.mark.parametrize("daily", [300, 10_000])
def test_the_same_minutes_and_numbers_open_when_everybody_speaks_for_themselves(daily):
    found = try_one(seed=1, number=7, daily=daily, write=crisis)

    assert found.voices == found.mentions
    assert found.ruled[DEFAULT]


def test_what_the_rules_cannot_see_is_said_in_the_table():
    # Given copies that all differ, each by another account: voices, as the contract defines them
    found = try_one(seed=1, number=7, daily=300, write=all_changed)

    assert found.voices == found.mentions
    assert found.ruled[DEFAULT], f"{UNSEEN}: docs/alerts.md says that this opens"

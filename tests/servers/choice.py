"""Which server a test gets: the first place that has one, in the order of the list.

1. A place answers with a server, or raises `Absent` with its reason.
2. On a laptop a server that is nowhere is a skip with all the reasons; with CI=true it is a failure.
3. With CI=true a place that has only a stand-in (`real=False`) is not asked.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Absent(Exception):
    """This place has no such server; the message says why."""


class Place(NamedTuple):
    name: str
    find: Callable
    real: bool = True


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def choose(what, places):
    """The server of the first place that has one; else a skip, or a failure with CI=true."""
    reasons = []
    for place in places:
        if in_ci() and not place.real:
            reasons.append(f"{place.name}: a stand-in does not count with CI=true")
            continue
        try:
            return place.find()
        except Absent as reason:
            reasons.append(f"{place.name}: {reason}")
    message = f"no {what} server: " + "; ".join(reasons)
    if in_ci():
        pytest.fail(message, pytrace=False)
    pytest.skip(message)

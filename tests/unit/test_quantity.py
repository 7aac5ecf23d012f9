"""Counts of things, as people write them."""

import pytest

from stream_worker.quantity import quantity


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_234_567, "1,234,567 rows")]
)
def test_one_is_singular_and_every_other_number_plural(number, text):
    assert quantity(number, "row") == text

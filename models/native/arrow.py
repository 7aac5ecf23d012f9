"""Strings as the kernel reads them: one Arrow array."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa


class Column(NamedTuple):
    """Strings as Arrow lays them out: one buffer of UTF-8, and where each one starts."""

    data: int
    starts: int
    rows: int
    owner: pa.LargeStringArray  # keeps both buffers alive


def column(strings: Sequence[str | None]) -> Column:
    """Lay out strings for the kernel. Raises UnicodeEncodeError for a lone surrogate."""
    array = pa.array(strings, pa.large_string())
    _, starts, data = array.buffers()
    if not len(array):
        return Column(0, 0, 0, array)
    return Column(data.address if data else 0, starts.address, len(array), array)

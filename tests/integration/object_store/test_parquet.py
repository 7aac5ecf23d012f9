"""Rows as Parquet: what goes in comes out, and the same rows give the same bytes however they were cut."""

import io
import subprocess
import sys
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.adapters.object_store.parquet import SCHEMA, describe, encode, tables_by_hour
from stream_worker.core.records.batch import UNSCORED, ScoredBatch
from tests.contracts.rows import NOON_MS, part

pytestmark = pytest.mark.timeout(60)
HOUR_MS = 3_600_000

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
rows = st.fixed_dictionaries(
    {
        "at_ms": st.integers(NOON_MS - 2 * HOUR_MS, NOON_MS + 2 * HOUR_MS),
        "brands": texts,
        "texts": texts,
        "authors": st.none() | texts,
        "extras": st.none() | texts,
        "reaches": st.none() | st.integers(-(2**63), 2**63 - 1),
        "unscored": st.booleans(),
    }
)


def part_of(chosen, offsets):
    columns = {name: [row[name] for row in chosen] for name in chosen[0] if name not in ("at_ms", "unscored")}
    dark = [offset for offset, row in zip(offsets, chosen, strict=True) if row["unscored"]]
    return part(offsets, at_ms=[row["at_ms"] for row in chosen], unscored=dark, **columns)


def objects(parts):
    return {hour_ms: encode(table) for hour_ms, table in tables_by_hour("mentions", 3, parts)}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_bytes_do_not_depend_on_how_the_rows_were_cut(data):
    # Given rows at sparse offsets
    chosen = data.draw(st.lists(rows, min_size=1, max_size=30))
    steps = data.draw(st.lists(st.integers(1, 9), min_size=len(chosen), max_size=len(chosen)))
    offsets = np.cumsum(steps).tolist()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(chosen)), max_size=5)) | {0, len(chosen)})

    # When they come as one part, and as several
    whole = objects([part_of(chosen, offsets)])
    pieces = [part_of(chosen[a:b], offsets[a:b]) for a, b in pairwise(cuts)]
    cut = objects(pieces)

    # Then
    assert cut == whole
    assert {describe(body) for body in whole.values()} <= {(n, pieces[0].model) for n in range(1, 31)}


@given(st.lists(rows, min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_every_row_is_in_the_object_of_its_hour_with_its_values(chosen):
    offsets = list(range(100, 100 + len(chosen)))

    written = objects([part_of(chosen, offsets)])

    seen = {}
    for hour_ms, body in written.items():
        table = pq.read_table(io.BytesIO(body))
        assert table.schema.equals(SCHEMA)
        assert table["offset"].to_pylist() == sorted(table["offset"].to_pylist())
        for row in table.to_pylist():
            assert hour_ms <= row["event_time"].timestamp() * 1000 < hour_ms + HOUR_MS
            seen[row["offset"]] = row
    assert sorted(seen) == offsets
    for offset, row in zip(offsets, chosen, strict=True):
        stored = seen[offset]
        names = {
            "brand": "brands",
            "text": "texts",
            "author": "authors",
            "extra": "extras",
            "reach": "reaches",
        }
        assert {name: stored[name] for name in names} == {name: row[many] for name, many in names.items()}
        assert (stored["label"] == UNSCORED) == (stored["p_neg"] is None) == row["unscored"]


def test_the_bytes_of_a_release_are_the_same_in_every_process():
    """Two workers must make one object of the same rows; a clock or a random number in it would show here."""
    program = (
        "from hashlib import sha256; from tests.integration.object_store.test_parquet import objects; "
        "from tests.contracts.rows import part; "
        "print(sha256(b''.join(objects([part(range(5000))]).values())).hexdigest())"
    )
    here = sha256(b"".join(objects([part(range(5000))]).values())).hexdigest()

    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )

    assert there.stdout.strip() == here


def test_statistics_and_dictionaries_stand_where_they_pay():
    [body] = objects([part(range(1000))]).values()

    group = pq.ParquetFile(io.BytesIO(body)).metadata.row_group(0)
    chunks = {group.column(k).path_in_schema: group.column(k) for k in range(group.num_columns)}
    assert {name for name, one in chunks.items() if one.is_stats_set} == {"offset", "event_time", "brand"}
    dictionaries = {name for name, one in chunks.items() if one.has_dictionary_page}
    assert dictionaries == {"brand", "network", "topic", "lang", "model"}
    assert {one.compression for one in chunks.values()} == {"ZSTD"}


def test_a_text_that_is_missing_is_a_bug_and_no_row():
    broken = part([1, 2], texts=["a", None])

    with pytest.raises(Exception, match=r"non-nullable|null"):
        objects([broken])


def test_a_column_of_another_length_is_a_bug():
    good = part([1, 2])
    good.columns.texts = ["only one"]

    with pytest.raises(Exception, match=r"length|Length"):
        objects([ScoredBatch(good.columns, good.flags, good.scores, good.model)])

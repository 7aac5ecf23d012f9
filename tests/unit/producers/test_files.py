"""Files of rows: the same rows whatever the format, and what is damaged is told, not dropped."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.errors import Unusable
from producers.feeds.columns import find_columns
from producers.feeds.files import LINE_BYTES_MAX, FileRow, open_rows

COLUMNS = ["id", "brand", "text"]
# Any character a file can hold: no lone surrogates; CSV readers join \r and \n as line ends.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
ROWS = st.lists(st.tuples(CELLS.filter(bool), CELLS, CELLS), min_size=1, max_size=8)


def write_csv(file, rows):
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter="\t" if file.suffix == ".tsv" else ",", quoting=csv.QUOTE_ALL).writerows(
            [COLUMNS, *rows]
        )


def write_jsonl(file, rows):
    file.write_text(
        "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows), encoding="utf-8"
    )


def write_parquet(file, rows):
    pq.write_table(pa.table({name: [row[at] for row in rows] for at, name in enumerate(COLUMNS)}), file)


WRITERS = {
    "rows.csv": write_csv,
    "rows.tsv": write_csv,
    "rows.jsonl": write_jsonl,
    "rows.parquet": write_parquet,
}


def read(file, columns=COLUMNS):
    return list(open_rows(file).read(columns))


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_every_format_gives_back_the_rows_that_were_written(tmp_path_factory, name, rows):
    # Given
    file = tmp_path_factory.mktemp("rows") / name
    WRITERS[name](file, rows)

    # When
    found = read(file)

    # Then
    assert [row.values for row in found] == rows
    assert [row.number for row in found] == list(range(1, len(rows) + 1))


def test_columns_come_in_the_order_asked_for(tmp_path):
    write_csv(tmp_path / "rows.csv", [("1", "Acme", "hello")])
    assert read(tmp_path / "rows.csv", ["text", "id"])[0].values == ("hello", "1")


def test_a_compressed_file_is_read_as_it_is(tmp_path):
    write_csv(tmp_path / "rows.csv", [("1", "Acme", "hello")])
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    assert [row.values for row in read(tmp_path / "rows.csv.gz")] == [("1", "Acme", "hello")]


def test_damaged_csv_rows_are_told_by_number_and_the_others_are_read(tmp_path):
    # Given a short row, a quote in the wrong place, an empty line, and a quote that never ends
    file = tmp_path / "rows.csv"
    file.write_text(
        'id,brand,text\n1,Acme,one\n2,Acme\n3,"Ac"me,three\n\n5,Acme,five\n6,Acme,"six\n7,Acme,seven\n'
    )

    # When
    rows = read(file)

    # Then
    assert [row.number for row in rows if not row.problem] == [1, 5]
    assert [row.number for row in rows if row.problem] == [2, 3, 4, 6]


def test_lines_that_are_no_json_object_are_told_by_number(tmp_path):
    file = tmp_path / "rows.jsonl"
    damaged = [b"not json", b"[1]", b"", b'{"id":"\xff"}', b"[" * 100_000, b" " * LINE_BYTES_MAX * 2]
    file.write_bytes(b"\n".join([b'{"id":"1"}', *damaged, b'{"id":"8","brand":"Acme"}']))

    rows = read(file)

    assert [row for row in rows if not row.problem] == [
        FileRow(1, ("1", None, None)),
        FileRow(8, ("8", "Acme", None)),
    ]
    assert [row.number for row in rows if row.problem] == [2, 3, 4, 5, 6, 7]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbfid,brand,text\n1,Acme,hi\n")
    assert open_rows(tmp_path / "rows.csv").columns == COLUMNS


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.csv", b"", "no header row"),
        ("rows.csv", b"id,id\n1,2\n", "same name"),
        ("rows.jsonl", b"\n\n", "no JSON object"),
        ("rows.parquet", b"PAR1 this is no parquet PAR1", "cannot be read as parquet"),
        ("rows.xlsx", b"", "format unknown"),
        ("rows.csv.gz", b"this is no gzip", "rows.csv.gz"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unusable, match=says) as error:
        read(tmp_path / name)
    assert name in str(error.value)


def test_a_missing_file_is_said_to_be_missing():
    with pytest.raises(Unusable, match="no such file"):
        open_rows(Path("nowhere.csv"))


def test_usual_names_are_found_whatever_their_case():
    found = find_columns("f", ["Tweet ID", "Company", "Source", "body", "Created-At", "followers"], {})
    assert found == {
        "id": "Tweet ID",
        "brand": "Company",
        "network": "Source",
        "text": "body",
        "time": "Created-At",
        "reach": "followers",
    }


def test_a_missing_column_is_an_error_that_lists_those_there_are():
    with pytest.raises(
        Unusable, match=r"looks like the text; name it with --text COL \(columns: id, brand\)"
    ):
        find_columns("f", ["id", "brand"], {}, frozenset({"network", "time"}))


def test_a_misspelt_column_is_an_error_with_the_nearest_name():
    with pytest.raises(Unusable, match="no column 'compny' for the brand; did you mean 'company'"):
        find_columns("f", ["id", "company"], {"brand": "compny"})

"""Rows of files as chunks: every row has one fate, whatever is in the file and wherever it is cut."""

import csv
import io
import json

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_worker.core.records.batch import ScoreColumns
from stream_worker.predict.formats import arrow, chunking, header, score
from stream_worker.predict.formats import csv as csv_rows
from stream_worker.predict.formats.job import (
    ADDED,
    KEPT_BYTES_MAX,
    LABELS,
    REASONS,
    TEXT_BYTES_MAX,
    InputChunk,
    Job,
    Position,
)
from stream_worker.predict.formats.json_lines import JsonColumns

START = Position(0, 0, 0)
NAMES = ["id", "review", "stars"]
CSV = Job(form="csv", out="csv", text="review", names=NAMES)
JSONL = Job(form="jsonl", out="jsonl", text="review")


def by_length(texts):
    """A model: the label is the length of the text, mod 5."""
    label = np.array([len(text) % 5 for text in texts], np.int8)
    probability = np.tile(np.array([0.2, 0.3, 0.5], np.float32), (len(texts), 1))
    probability[label == 4] = np.nan
    return ScoreColumns(label, probability, np.where(label == 4, 0, 300_000).astype(np.int32))


class Drip(io.RawIOBase):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data, size):
        self.inner, self.size = io.BytesIO(data), size

    def read(self, _size=-1):
        return self.inner.read(self.size)


def pattern(job):
    return chunking.csv_row(job.delimiter) if job.form == "csv" else chunking.JSON_LINE


def chunks(job, data, rows_max=8_192, start=START, drip=None):
    stream = io.BytesIO(data[start.offset :]) if drip is None else Drip(data[start.offset :], drip)
    return list(chunking.cut(stream, pattern(job), start, rows_max))


def scored(job, data, rows_max=8_192):
    return [score.score_chunk(job, one, by_length, "m1") for one in chunks(job, data, rows_max)]


def rejects(made):
    return [json.loads(line) for one in made for line in one.rejected.splitlines()]


def as_csv(rows):
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


CELL = st.text(st.sampled_from('ab ,"\nü😀\r'), max_size=12)


@given(rows=st.lists(st.tuples(CELL, CELL, CELL), max_size=30), rows_max=st.integers(1, 9))
def test_what_a_csv_writer_writes_is_read_as_it_was(rows, rows_max):
    # Given rows with quotes, line ends and commas in their values; an empty row is no row
    rows = [("1", *row[1:]) for row in rows]

    # When they are cut anywhere and scored
    made = scored(CSV, as_csv(rows), rows_max)

    # Then every row that has a text is there once, with all its columns, in order, and the rest is rejected
    read = list(csv.reader(io.StringIO(b"".join(one.part for one in made).decode(), newline="")))
    assert [tuple(row[:3]) for row in read] == [row for row in rows if row[1].strip()]
    assert [row[3] for row in read] == [LABELS[len(row[1]) % 5] for row in read]
    assert len(rejects(made)) == sum(not row[1].strip() for row in rows)
    assert sum(one.marker.rows for one in made) == len(rows)


@settings(max_examples=200)
@given(
    data=st.lists(
        st.sampled_from([b'"', b"\n", b",", b"a", b"\r", b"\xff", "ü".encode(), b'{"review":', b"}"])
    ).map(b"".join),
    rows_max=st.integers(1, 4),
    job=st.sampled_from([CSV, JSONL]),
)
@example(data=b'1,"open\n2,a,3', rows_max=1, job=CSV)
def test_any_bytes_are_rows_with_one_fate_each(data, rows_max, job):
    # When anything at all is cut, read in bits of any size, or from the end of any chunk on
    whole = chunks(job, data, rows_max)

    # Then the chunks are the same
    assert chunks(job, data, rows_max, drip=3) == whole
    for one in whole[:-1]:
        rest = chunks(job, data, rows_max, start=one.end)
        assert [(it.start, it.body) for it in rest] == [(it.start, it.body) for it in whole[one.number + 1 :]]
    # And each row is in one of them, with one fate, and the bytes of a rejected one are kept
    assert b"".join(one.body for one in whole).rstrip(b"\n") == data.rstrip(b"\n")
    made = [score.score_chunk(job, one, by_length, "m1") for one in whole]
    assert [one.marker.rows for one in made] == [one.end.row - one.start.row for one in whole]
    assert len(rejects(made)) == sum(sum(one.marker.reasons.values()) for one in made)


def test_each_bad_row_of_csv_is_kept_with_its_place_and_its_reason():
    # Given
    data = (
        b"1,fine,5\n"
        b"2,,5\n"
        b"3, \t,5\n"
        b"\n"
        b"4,a,b,c\n"
        b'5,"over two\nlines",5\n'
        b'6,"never closed,5\n'
        b'7,"said "wow" to me",5\n'
        b"8,caf\xe9,5\n"
        b'9,"good ""quotes""",5'
    )

    # When
    made = scored(CSV, data)

    # Then
    found = [(it["row"], it["line"], it["reason"]) for it in rejects(made)]
    assert found == [
        (2, 2, "empty_text"),
        (3, 3, "empty_text"),
        (4, 5, "columns"),
        (6, 8, "not_csv"),
        (7, 9, "not_csv"),
        (8, 10, "not_utf8"),
    ]
    assert rejects(made)[3]["raw"] == '6,"never closed,5'
    assert rejects(made)[5]["raw_base64"] == "OCxjYWbpLDU="
    assert made[0].part.decode().splitlines()[-1] == '9,"good ""quotes""",5,uncertain,0.2,0.3,0.5,0.3,m1'


def test_each_bad_line_of_json_is_kept_with_its_reason():
    # Given
    lines = {
        b'{"review": "fine", "id": 1.50}': "",
        b'{"id": 2}': "no_text",
        b'{"review": null}': "no_text",
        b'{"review": 3}': "not_text",
        b'{"review": ""}': "empty_text",
        b'{"review": "cut': "not_json",
        b'{"review": "\\ud800"}': "not_json",
        b"[" * 5_000: "not_an_object",
        b'{"review": ' + b"[" * 5_000: "not_json",
        b'["review"]': "not_an_object",
        b'{"review": "a", "id": "\xff"}': "not_utf8",
        b'{"review": "a", "label": 1}': "column_taken",
        b'{"review": "' + b"a" * (TEXT_BYTES_MAX + 1) + b'"}': "too_large",
    }

    # When
    made = scored(JSONL, b"\n".join(lines))

    # Then
    assert [it["reason"] for it in rejects(made)] == [reason for reason in lines.values() if reason]
    assert set(lines.values()) - {""} <= set(REASONS)
    assert made[0].part.startswith(b'{"review": "fine", "id": 1.50,"label":"unscored","p_negative":null,')


def test_a_row_that_is_too_large_costs_itself_and_its_beginning_is_kept():
    # Given a row of nine megabytes between two good ones
    data = b"1,good,5\n2," + b"x" * 9_000_000 + b",5\n3,fine too,5\n"

    # When
    made = scored(CSV, data)

    # Then
    (reject,) = rejects(made)
    assert (reject["row"], reject["line"], reject["reason"]) == (2, 2, "too_large")
    assert (reject["bytes"], reject["cut"], len(reject["raw"])) == (9_000_005, True, KEPT_BYTES_MAX)
    assert b"".join(one.part for one in made).count(b"\n") == 2


def test_a_heading_is_read_with_what_stands_around_it():
    # Then a byte order mark is no part of the first name, and the line end is remembered
    assert csv_rows.read_heading(b'\xef\xbb\xbf"id",re view\r\n1,a\r\n', ",") == (
        ["id", "re view"],
        17,
        1,
        "\r\n",
    )

    # And what cannot be one is told
    for bad, why in (
        (b"", "empty"),
        (b"\n\n", "empty"),
        ("id\n".encode("utf-16"), "UTF-16"),
        (b'"id\n', "quote"),
    ):
        with pytest.raises(ValueError, match=why):
            csv_rows.read_heading(bad, ",")


def table_of(job, made):
    if job.out == "parquet":
        return pq.read_table(pa.BufferReader(made.part)).to_pylist()
    if job.out == "jsonl":
        return [json.loads(line) for line in made.part.splitlines()]
    return list(csv.DictReader(io.StringIO(made.part.decode(), newline="")))


@pytest.mark.parametrize("out", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_every_form_becomes_every_other_with_all_columns(form, out):
    # Given two rows in a form
    rows = [{"id": 1, "review": 'a "b", c', "tags": ["x", "y"]}, {"id": 2, "review": "abc\nd", "tags": None}]
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    job = Job(form=form, out=out, text="review", names=list(rows[0]), whole_parts=True)
    if form == "csv":
        body = as_csv([[row["id"], row["review"], "x;y" if row["tags"] else ""] for row in rows])
    elif form == "jsonl":
        kinds = JsonColumns()
        kinds.add(lines)
        assert kinds.kinds == {"id": "int", "review": "str", "tags": "json"}
        body, job = lines, msgspec.structs.replace(job, kinds=list(kinds.kinds.values()))
    else:
        sink = io.BytesIO()
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        body = sink.getvalue()

    # When they are scored and written in another
    made = score.score_chunk(
        job, InputChunk(0, START, Position(len(body), 2, 2), body, len(body)), by_length, "m1"
    )

    # Then all columns are there, and those that are added
    read = table_of(job, made)
    assert [list(row) for row in read] == [[*rows[0], *ADDED]] * 2
    assert [str(row["id"]) for row in read] == ["1", "2"]
    assert [row["review"] for row in read] == [row["review"] for row in rows]
    assert [row["label"] for row in read] == ["uncertain", "negative"]
    assert [round(float(row["sentiment"]), 6) for row in read] == [0.3, 0.3]
    if form == out != "csv":
        assert [row["tags"] for row in read] == [row["tags"] for row in rows]


def test_nanoseconds_are_text_wherever_they_are():
    # Given what Arrow would give to Python as a type of pandas, or refuse where pandas is not installed
    moment = pa.timestamp("ns", "UTC")
    counts = pa.array([1_000_000_001])
    table = pa.table(
        {
            "plain": counts.cast(moment),
            "encoded": counts.cast(moment).dictionary_encode(),
            "listed": pa.array([[1_000_000_001]]).cast(pa.list_(moment)),
            "inside": pa.array([{"at": 1_000_000_001}]).cast(pa.struct([("at", moment)])),
            "keyed": pa.array([[("a", 7)]], pa.map_(pa.string(), pa.int64())).cast(
                pa.map_(pa.string(), pa.duration("ns"))
            ),
        }
    )

    # When
    row = json.loads(arrow.to_json(table))
    line = arrow.to_csv(table.select(["listed", "plain"]), ";", "\n").decode()

    # Then
    text = "1970-01-01 00:00:01.000000001Z"
    assert row == {
        "plain": text,
        "encoded": text,
        "listed": [text],
        "inside": {"at": text},
        "keyed": [["a", "7"]],
    }
    assert line == f'"[""{text}""]";{text}\n'


def test_parquet_texts_that_are_no_utf8_are_rejected_alone():
    # Given a column of texts that some tool has written without looking
    texts = pa.array([b"good", b"caf\xe9", None, b" "], pa.binary()).view(pa.string())
    table, sink = pa.table({"review": texts, "n": [1, 2, 3, 4]}), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    job = Job(form="parquet", out="jsonl", text="review", names=["review", "n"])

    # When
    chunk = InputChunk(0, START, Position(4, 4, 0), sink.getvalue(), 1)
    made = score.score_chunk(job, chunk, by_length, "m1")

    # Then
    assert made.marker.reasons == {"empty_text": 1, "no_text": 1, "not_utf8": 1}
    assert json.loads(made.part)["n"] == 1
    assert [it["row"] for it in rejects([made])] == [2, 3, 4]


def test_the_heading_keeps_the_bytes_of_the_file():
    assert header.heading(CSV, b'\xef\xbb\xbf"id"').startswith(b'\xef\xbb\xbf"id",label,p_negative,')
    assert header.heading(JSONL) == b""
    assert LABELS[4] == "unscored"

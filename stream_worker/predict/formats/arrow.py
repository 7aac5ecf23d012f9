"""Rows as Arrow tables: those of Parquet, and those that change their form on the way.

Rules:
1. Every column of CSV is text; a column of JSON lines has the type of all its values, else it is JSON text.
2. Values that a form cannot express (lists in CSV, bytes in JSON) are written as JSON, bytes as base64 in it.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import pyarrow as pa

from stream_worker.predict.formats import csv
from stream_worker.predict.formats.job import InputChunk, Job, RejectedRow
from stream_worker.predict.formats.text_columns import TextRows, refuse_text

_OF_JSON: Final = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}


def from_csv(job: Job, rows: list[bytes]) -> pa.Table:
    """Return rows of CSV as a table of texts."""
    values = [csv.split(row, job.delimiter) for row in rows]
    columns = zip(*values, strict=True) if values else [()] * len(job.names)
    return pa.table([pa.array(column, pa.string()) for column in columns], names=job.names)


def from_json(job: Job, rows: list[bytes]) -> pa.Table:
    """Return JSON lines as a table of the columns of the job."""
    values = [msgspec.json.decode(row) for row in rows]
    columns = []
    for name, kind in zip(job.names, job.kinds, strict=True):
        cells = [row.get(name) for row in values]
        if kind == "float":
            cells = [None if one is None else float(one) for one in cells]
        elif kind == "json":
            cells = [None if one is None else msgspec.json.encode(one).decode() for one in cells]
        columns.append(pa.array(cells, _OF_JSON.get(kind, pa.string())))
    return pa.table(columns, names=job.names)


def extract(job: Job, chunk: InputChunk) -> tuple[TextRows, pa.Table]:
    """Return the texts of a chunk of Parquet, and the table of the rows that can be scored."""
    with pa.ipc.open_stream(chunk.body) as stream:
        table = stream.read_all()
    bad = _not_utf8(table)
    values = _as_binary(table[job.text]).to_pylist()
    extracted, kept = TextRows(is_utf8=not bad), list[int]()
    for i, value in enumerate(values):
        if i in bad:
            text, reason = None, "not_utf8"
        elif value is None:
            text, reason = None, "no_text"
        else:
            text, reason = refuse_text(value, None)
        if text is not None:
            extracted.texts.append(text)
            kept.append(i)
        else:
            raw = _as_json(table.slice(i, 1), bad.get(i, ()))
            extracted.rejects.append(RejectedRow(chunk.start.row + i + 1, 0, reason, raw, len(raw)))
    return extracted, table if len(kept) == len(values) else table.take(pa.array(kept, pa.int64()))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of Parquet can hold texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_string_view,
        pa.types.is_binary_view,
        pa.types.is_null,
    )
    return any(test(kind) for test in tests)


def _as_binary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.large_binary())


def _not_utf8(table: pa.Table) -> dict[int, list[str]]:
    """Rows with a text that is not UTF-8, and in which columns: Arrow reads such files as they are."""
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        pass
    else:
        return {}
    found: dict[int, list[str]] = {}
    for name in table.column_names:
        column = table[name]
        inner = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner):
            for i, value in enumerate(_as_binary(column).to_pylist()):
                if value is not None and refuse_text(value, None)[1] == "not_utf8":
                    found.setdefault(i, []).append(name)
    return found


def _as_json(row: pa.Table, bad: Iterable[str]) -> bytes:
    """One row as JSON; a text that is not UTF-8 as base64."""
    for name in bad:
        i = row.column_names.index(name)
        row = row.set_column(i, name, _as_binary(row[name]))
    return to_json(row).rstrip(b"\n")


def to_json(table: pa.Table) -> bytes:
    """Return a table as JSON lines."""
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return b"".join([encode(row) + b"\n" for row in _for_python(table).to_pylist()])


def to_csv(table: pa.Table, delimiter: str, newline: str) -> bytes:
    """Return a table as CSV without a heading."""
    import pyarrow.csv as pa_csv  # noqa: PLC0415  10 MB with Parquet: only where it is written

    encode = msgspec.json.Encoder(enc_hook=str).encode
    for i, one in enumerate(table.schema):
        if pa.types.is_nested(one.type) or pa.types.is_binary(one.type) or pa.types.is_large_binary(one.type):
            cells = [None if cell is None else encode(cell).decode() for cell in _plain(table[i]).to_pylist()]
            table = table.set_column(i, one.name, pa.array(cells, pa.string()))
        elif not pa.types.is_primitive(one.type):
            table = table.set_column(i, one.name, table[i].cast(pa.string()))
    out = pa.BufferOutputStream()
    options = pa_csv.WriteOptions(
        include_header=False, delimiter=delimiter, quoting_style="needed", eol=newline
    )
    pa_csv.write_csv(table, out, options)
    return bytes(out.getvalue())


def to_stream(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream: a part that is to become Parquet with others."""
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return bytes(out.getvalue())


def to_parquet(table: pa.Table) -> bytes:
    """Return a table as a Parquet file."""
    import pyarrow.parquet as pq  # noqa: PLC0415  as above

    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="zstd", compression_level=1)
    return bytes(out.getvalue())


def _for_python(table: pa.Table) -> pa.Table:
    """Write nanoseconds as text, in lists and structs as well: Python has no type for them.

    Left to Arrow, the answer would depend on whether pandas is installed.
    """
    for i, one in enumerate(table.schema):
        table = table.set_column(i, one.name, _plain(table[i]))
    return table


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = _without_nanoseconds(column.type)
    return column if kind == column.type else column.cast(kind)


def _without_nanoseconds(kind: pa.DataType) -> pa.DataType:
    """Return the type with text in place of nanoseconds."""
    if pa.types.is_nested(kind):
        return _nested_without_nanoseconds(kind)
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if pa.types.is_temporal(plain) and getattr(plain, "unit", "") == "ns" else kind


def _nested_without_nanoseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([one.with_type(_without_nanoseconds(one.type)) for one in kind])
    if pa.types.is_map(kind):
        return pa.map_(_without_nanoseconds(kind.key_type), _without_nanoseconds(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_without_nanoseconds(kind.value_type), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(_without_nanoseconds(kind.value_type))
    return pa.list_(_without_nanoseconds(kind.value_type)) if pa.types.is_list(kind) else kind

"""How an input is scored: reads its columns, and decides how its rows are written."""

import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from msgspec.structs import replace

from stream_worker.errors import Unreadable
from stream_worker.predict.formats import csv
from stream_worker.predict.formats.chunking import JSON_LINE, csv_row, cut
from stream_worker.predict.formats.job import COLUMNS_MAX, InputChunk, Job, Position
from stream_worker.predict.formats.json_lines import JsonColumns
from stream_worker.predict.inputs import Input, WrongUsage
from stream_worker.predict.outputs import InputResult

SAMPLE_ROWS: Final = 1_000
NAMED_MAX: Final = 30
_START: Final = Position(0, 0, 0)


class InputPlan(NamedTuple):
    """The job of an input, where its rows begin, and its heading where that is kept."""

    job: Job
    start: Position = _START
    raw_heading: bytes = b""


def plan_input(item: Input, result: InputResult, text: str, delimiter: str | None, prefix: str) -> InputPlan:
    """Read the columns of an input and decide. Raises WrongUsage, Unavailable, Unreadable."""
    shape = item.shape._replace(delimiter=delimiter or item.shape.delimiter)
    out = result.shape
    if out.form == "csv" and shape.form == "csv" and out.delimiter == ",":
        out = out._replace(delimiter=shape.delimiter)
    job = Job(
        form=shape.form,
        out=out.form,
        text=text,
        delimiter=shape.delimiter,
        out_delimiter=out.delimiter,
        prefix=prefix,
        compressed=out.compressed,
        whole_parts=result.path is None,
    )
    planners = {"csv": _plan_csv, "jsonl": _plan_json, "parquet": _plan_parquet}
    stream, raw = item.open()
    with raw:
        try:
            return planners[shape.form](stream, job)
        except ValueError as error:
            raise WrongUsage(f"{item.address}: {error}") from None
        except (OSError, EOFError, zlib.error) as error:
            raise damaged(item, error) from None


def chunks(item: Input, plan: InputPlan, start: Position, rows_max: int) -> Iterator[InputChunk]:
    """Yield the chunks of an input from a position on; numbers begin at 0. Raises Unavailable, Unreadable."""
    stream, raw = item.open()
    with raw:
        try:
            if plan.job.form == "parquet":
                from stream_worker.predict import parquet_input  # noqa: PLC0415

                file = parquet_input.open_parquet(stream)
                yield from parquet_input.cut(
                    file, start, parquet_input.rows_at_once(file, rows_max), item.size
                )
                return
            stream.seek(start.offset)
            for chunk in cut(stream, _pattern(plan.job), start, rows_max):
                yield chunk._replace(read_bytes=raw.tell()) if item.shape.compressed else chunk
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise damaged(item, error) from None


def damaged(item: Input, error: Exception) -> Unreadable:
    """Say that an input cannot be read further."""
    reason = getattr(error, "strerror", None) or str(error).split("\n", 1)[0][:200]
    return Unreadable(f"{item.address} is damaged or cannot be read: {reason}")


def _pattern(job: Job) -> re.Pattern[bytes]:
    return csv_row(job.delimiter) if job.form == "csv" else JSON_LINE


def _plan_csv(stream: BinaryIO, job: Job) -> InputPlan:
    beginning = stream.read(csv.HEADING_BYTES_MAX)
    heading = csv.read_heading(beginning, job.delimiter)
    only_name = heading.names[0] if len(heading.names) == 1 else ""
    others = [other for other in ";\t|," if other != job.delimiter and other in only_name]
    _refuse_columns(heading.names, job, f"; try --delimiter '{others[0]}'" if others else "")
    if job.form != job.out or job.delimiter != job.out_delimiter:
        _refuse_duplicates(heading.names)
    job = replace(job, names=heading.names, newline=heading.newline)
    raw = beginning[: heading.size].rstrip(b"\r\n") if job.delimiter == job.out_delimiter else b""
    return InputPlan(job, Position(heading.size, 0, heading.lines), raw if job.out == "csv" else b"")


def _plan_json(stream: BinaryIO, job: Job) -> InputPlan:
    kinds, rows = JsonColumns(), 0
    for chunk in cut(stream, JSON_LINE, _START, SAMPLE_ROWS):
        if not chunk.cut_bytes:
            kinds.add(chunk.body)
        rows += chunk.end.row
        if not chunk.number and kinds.kinds:
            _refuse_columns(list(kinds.kinds), job, f" in the first {chunk.end.row:,} rows")
        if job.out == "jsonl":
            break
    if job.out != "jsonl":  # a table has the same columns from its first row on: all rows were read
        _refuse_columns(list(kinds.kinds) or [job.text], job)
        job = replace(job, names=list(kinds.kinds), kinds=list(kinds.kinds.values()))
    return InputPlan(job)


def _plan_parquet(stream: BinaryIO, job: Job) -> InputPlan:
    from stream_worker.predict.formats.arrow import is_text  # noqa: PLC0415  Arrow is large: only where it is read
    from stream_worker.predict.parquet_input import open_parquet  # noqa: PLC0415

    schema = open_parquet(stream).schema_arrow
    _refuse_columns(schema.names, job)
    _refuse_duplicates(schema.names)
    if not is_text(schema.field(job.text).type):
        raise ValueError(f"column {job.text!r} is {schema.field(job.text).type}, not text")
    return InputPlan(replace(job, names=schema.names))


def _refuse_columns(names: list[str], job: Job, hint: str = "") -> None:
    """Refuse a file without the column, with it twice, or with one that is to be added. Raises ValueError."""
    shown = ", ".join(names[:NAMED_MAX]) + (", …" if len(names) > NAMED_MAX else "")
    if job.text not in names:
        raise ValueError(f"no column {job.text!r}{hint}; there are: {shown} (--text-column)")
    if names.count(job.text) > 1:
        raise ValueError(f"the column {job.text!r} is there twice")
    if len(names) > COLUMNS_MAX:
        raise ValueError(f"more than {COLUMNS_MAX:,} columns")
    taken = [name for name in job.added if name in names]
    if taken:
        raise ValueError(
            f"has columns already that are to be added: {', '.join(taken)}; --prefix model_ adds model_label"
            " and so on"
        )


def _refuse_duplicates(names: list[str]) -> None:
    duplicates = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if duplicates:
        raise ValueError(f"the column {duplicates[0]!r} is there twice")

"""JSON lines: the rows of a chunk with their texts, and the columns that a table of them needs.

A row that is kept is kept as its very bytes, so that numbers and the order of keys are written as they came.
"""

from functools import lru_cache
from typing import Any, Final

import msgspec

from stream_worker.predict.formats.chunking import JSON_LINE, rows_of
from stream_worker.predict.formats.job import COLUMNS_MAX, InputChunk, Job, RejectedRow
from stream_worker.predict.formats.text_columns import TextRows, refuse_text

INT64: Final = 2**63
_ABSENT: Final = msgspec.Raw(b"")
_PLAIN: Final = ("bool", "int", "float", "str")


def extract(job: Job, chunk: InputChunk) -> TextRows:
    """Return the rows of a chunk: their texts, and their bytes without line end."""
    body = chunk.body
    extracted = TextRows(is_utf8=True)
    try:
        body.decode()
    except UnicodeDecodeError:
        extracted.is_utf8 = False
    decode = _decoder(job.text, tuple(job.added)).decode
    row = chunk.start.row
    for start, end, _ in rows_of(JSON_LINE, body):
        row += 1
        raw = body[start:end].strip()
        text, reason = _text_of(raw, decode, is_utf8=extracted.is_utf8)
        if text is not None:
            extracted.texts.append(text)
            extracted.rows.append(raw)
        else:
            line = chunk.start.line + body.count(b"\n", 0, start) + 1
            extracted.rejects.append(RejectedRow(row, line, reason, raw, len(raw)))
    return extracted


def _text_of(raw: bytes, decode: Any, *, is_utf8: bool) -> tuple[str | None, str]:
    try:
        if not is_utf8:
            raw.decode()
        row = decode(raw)
    except UnicodeDecodeError:
        return None, "not_utf8"
    except msgspec.ValidationError:
        return None, "not_an_object"
    except (msgspec.DecodeError, RecursionError):
        return None, "not_json"
    text = row.text
    if not isinstance(text, str):
        return None, "no_text" if text is None or text is msgspec.UNSET else "not_text"
    if row.taken():
        return None, "column_taken"
    return refuse_text(text.encode(), None)


@lru_cache(maxsize=8)
def _decoder(text: str, added: tuple[str, ...]) -> Any:
    """Return a decoder of lines: the text, and whether a column is there that is to be added."""
    names = {"text": text} | {f"added_{i}": name for i, name in enumerate(added)}
    fields: list[Any] = [("text", Any, msgspec.UNSET)]
    fields += [(f"added_{i}", msgspec.Raw, _ABSENT) for i in range(len(added))]

    def taken(row: Any) -> bool:
        return any(getattr(row, f"added_{i}") is not _ABSENT for i in range(len(added)))

    kind = msgspec.defstruct("Line", fields, rename=names, namespace={"taken": taken}, gc=False)
    return msgspec.json.Decoder(kind)


class JsonColumns:
    """The columns of a file of JSON lines, in the order they are first seen, and what each holds.

    A kind is bool, int, float, str or json; `json` is what is mixed or nested: it is written as JSON text.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}

    def add(self, body: bytes) -> None:
        """Look at the rows of a chunk; those that are no objects are passed over. Raises ValueError."""
        for start, end, _ in rows_of(JSON_LINE, body):
            try:
                row = msgspec.json.decode(body[start:end])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            for name, value in row.items() if isinstance(row, dict) else ():
                known = self.kinds.get(name, "null")
                if known != "json":
                    self.kinds[name] = _join(known, _kind(value))
            if len(self.kinds) > COLUMNS_MAX:
                raise ValueError(f"its rows have more than {COLUMNS_MAX:,} different keys; write JSON lines")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, int) and not isinstance(value, bool):
        return "int" if -INT64 <= value < INT64 else "json"
    name = type(value).__name__
    return name if name in _PLAIN else "json"


def _join(one: str, other: str) -> str:
    if other in (one, "null"):
        return one
    if one == "null":
        return other
    return "float" if {one, other} == {"int", "float"} else "json"

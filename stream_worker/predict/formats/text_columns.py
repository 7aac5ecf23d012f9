"""Which texts can be scored, and the rows of a chunk with their texts."""

from dataclasses import dataclass, field

from stream_worker.predict.formats.job import TEXT_BYTES_MAX, RejectedRow


@dataclass(slots=True)
class TextRows:
    """The rows of a chunk that can be scored, with their texts, and those that cannot."""

    is_utf8: bool = True  # the whole chunk
    texts: list[str] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)  # of Parquet none: they stay a table
    rejects: list[RejectedRow] = field(default_factory=list)


def refuse_text(value: bytes, row: bytes | None) -> tuple[str | None, str]:
    """Return the text of a value, or why it cannot be scored; `row` is all of it if it may not be UTF-8."""
    if len(value) > TEXT_BYTES_MAX:
        return None, "too_large"
    try:
        text = value.decode()
        if row is not None:
            row.decode()
    except UnicodeDecodeError:
        return None, "not_utf8"
    if not text or text.isspace():
        return None, "empty_text"
    return text, ""

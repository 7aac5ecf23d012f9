"""The most repeated texts of a day, in bounded memory.

Rules:
1. A copy is a row with the flag `repeat` that is no duplicate: somebody wrote the same text about the same
   brand within the dedup window (docs/design.md#text-key).
2. At most `TEXTS_MAX` texts are kept. Past that the rarest half goes: a text that is copied in bursts all
   day may then be reported with too few copies, never with too many.
"""

from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stream_worker.core.records.batch import NEGATIVE, POSITIVE
from stream_worker.core.records.dedup import text_key_bytes

TEXTS_MAX: Final = 50_000
AUTHORS_MAX: Final = 1_000
"""So many authors of one text are counted."""
CHARS_MAX: Final = 280
_COLUMNS: Final = ("brand", "author", "text", "duplicate", "repeat", "label")


class RepeatedText(NamedTuple):
    """A text that was copied."""

    brand: str
    text: str
    copies: int
    authors: int
    negative: int
    positive: int


class _Copies:
    """The copies of one text."""

    __slots__ = ("authors", "brand", "copies", "negative", "positive", "text")

    def __init__(self, brand: str, text: str) -> None:
        self.brand, self.text = brand, text[:CHARS_MAX]
        self.copies = self.negative = self.positive = 0
        self.authors: set[str] = set()


class RepeatedTexts:
    """Counts copies."""

    def __init__(self, texts_max: int = TEXTS_MAX) -> None:
        self._texts_max = texts_max
        self._texts: dict[bytes, _Copies] = {}

    def add(self, body: bytes) -> None:
        """Count the copies of an encoded object. Raises ArrowException, OSError when it is damaged."""
        with pq.ParquetFile(pa.BufferReader(body)) as file:
            for batch in file.iter_batches(65_536, columns=list(_COLUMNS)):
                is_copy = pc.and_not(batch.column("repeat"), batch.column("duplicate"))
                copies = batch.filter(is_copy)
                if copies.num_rows:
                    self._count(copies)

    def _count(self, copies: pa.RecordBatch) -> None:
        columns = (copies.column(name).to_pylist() for name in ("brand", "author", "text", "label"))
        for brand, author, text, label in zip(*columns, strict=True):
            key = text_key_bytes(brand, text)
            kept = self._texts.get(key)
            if kept is None:
                if len(self._texts) >= self._texts_max:
                    self._drop_rarest()
                kept = self._texts[key] = _Copies(brand, text)
            kept.copies += 1
            kept.negative += label == NEGATIVE
            kept.positive += label == POSITIVE
            if author is not None and len(kept.authors) < AUTHORS_MAX:
                kept.authors.add(author)

    def _drop_rarest(self) -> None:
        ranked = sorted(self._texts.items(), key=lambda item: (-item[1].copies, item[0]))
        self._texts = dict(ranked[: self._texts_max // 2])

    def top(self, count: int) -> list[RepeatedText]:
        """Return the most copied texts."""
        ranked = sorted(self._texts.items(), key=lambda item: (-item[1].copies, item[0]))[:count]
        return [
            RepeatedText(one.brand, one.text, one.copies, len(one.authors), one.negative, one.positive)
            for _, one in ranked
        ]

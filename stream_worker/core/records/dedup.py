"""The dedup window: duplicates, copies and voices among earlier mentions (docs/design.md#dedup-window).

Rules:
1. *Earlier* means a smaller offset of the same partition, at most `dedup_window_offsets` away, whose record
   time is at most `dedup_window_ms` before. Earlier mentions count whatever their flags; rejected records
   do not.
2. A duplicate is the same (network, id, brand) again; a copy the same text about the same brand again; an
   independent voice is no copy, and fewer than three earlier mentions share its author and brand.
3. The memory is a cache of the log. Every seek empties it, and `dedup_window_offsets` of log fill it again.

Theory: a mention is a row of the memory, and its three keys are 64-bit hashes. The keys of a kind lie sorted,
equal ones in the order of the log, so what has the same key lies right before a row, the newest nearest. New
rows are sorted into a small young tier with each batch; now and then that is merged into the old tier, and
what is out of reach is dropped. All of it is numpy over a batch: about 70 bytes a mention, and no objects.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream_worker.core.records.batch import Bool, Int64, MentionBatch

VOICE_MENTIONS_MAX = 3
"""Mentions of one author on one brand within the window that are independent voices."""

OLD_TO_YOUNG = 8
"""The young tier is merged when it has grown to this part of the window."""

Hash64 = Callable[[bytes], int]
UInt64 = npt.NDArray[np.uint64]
Strings = Sequence[str]
Keys = Callable[[Strings, Strings, Strings, Strings, Sequence[str | None]], tuple[UInt64, UInt64, UInt64]]
"""Networks, brands, ids, texts and authors of n mentions to the keys of their posts, texts and authors, (n,)
each; the author's key of a mention without one means nothing."""


def text_key_bytes(brand: str, text: str) -> bytes:
    """Return the bytes whose XXH64 is the text key, version 1 (docs/design.md#text-key)."""
    low = text.lower()
    inside = f" {low} "
    # Most texts stay as they are: in a printable one, blanks are all the white space there is
    if "  " in inside or "http" in low or "@" in low or " rt " in inside or not low.isprintable():
        words = low.split()
        low = " ".join([w for w in words if w != "rt" and not w.startswith(("http", "@"))])
    return f"{brand}\0{low}".encode()


def plain_keys(hash64: Hash64) -> Keys:
    """Return the reference of the three keys, in Python; a compiled one must equal it bit for bit."""

    def keys(
        networks: Strings, brands: Strings, ids: Strings, texts: Strings, authors: Sequence[str | None]
    ) -> tuple[UInt64, UInt64, UInt64]:
        def hashed(values: Iterable[bytes]) -> UInt64:
            return np.fromiter(map(hash64, values), np.uint64)

        posts = zip(networks, brands, ids, strict=True)
        pairs = zip(brands, authors, strict=True)
        return (
            hashed(f"{network}\0{len(b)}\0{b}{post}".encode() for network, b, post in posts),
            hashed(map(text_key_bytes, brands, texts)),
            hashed(f"{len(b)}\0{b}{author or ''}".encode() for b, author in pairs),
        )

    return keys


@dataclass(slots=True, eq=False)
class _Tier:
    """Sorted keys, and the row of the memory that each belongs to; rows rise within a key."""

    keys: UInt64 = field(default_factory=lambda: np.empty(0, np.uint64))
    rows: Int64 = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(slots=True, eq=False)
class _Kind:
    """All keys of one kind."""

    old: _Tier = field(default_factory=_Tier)
    young: _Tier = field(default_factory=_Tier)


class DedupWindow:
    """The memory of one partition: keys of the mentions within the window."""

    def __init__(self, dedup_window_offsets: int, dedup_window_ms: int, keys: Keys) -> None:
        self._span = dedup_window_offsets
        self._window_ms = dedup_window_ms
        self._keys = keys
        self.clear()

    def clear(self) -> None:
        """Forget everything; every seek does."""
        self._offsets = np.empty(0, np.int64)
        self._times_ms = np.empty(0, np.int64)
        self._newest_ms = np.empty(0, np.int64)  # record times up to each row: the latest of them
        self._old_rows = 0
        self._posts, self._texts, self._authors = _Kind(), _Kind(), _Kind()

    def add(self, columns: MentionBatch) -> tuple[Bool, Bool, Bool]:
        """Take mentions in log order; return their flags duplicate, copy, voice."""
        rows = self._remember(columns.offsets, columns.record_times_ms)
        posts, texts, authors = self._keys(
            columns.networks, columns.brands, columns.ids, columns.texts, columns.authors
        )
        duplicate = self._seen(self._posts, rows, posts, 1)
        copy = self._seen(self._texts, rows, texts, 1)
        signed = np.array([author is not None for author in columns.authors], np.bool_)
        voice = ~copy
        voice[signed] &= ~self._seen(self._authors, rows[signed], authors[signed], VOICE_MENTIONS_MAX)
        if len(self._offsets) - self._old_rows > self._span // OLD_TO_YOUNG:
            self._merge()
        return duplicate, copy, voice

    def _remember(self, offsets: Int64, times_ms: Int64) -> Int64:
        """Take new rows; return their numbers."""
        before, count = len(self._offsets), len(offsets)
        newest_ms = np.maximum.accumulate(np.concatenate([self._newest_ms[-1:], times_ms]))
        self._offsets = np.concatenate([self._offsets, offsets])
        self._times_ms = np.concatenate([self._times_ms, times_ms])
        self._newest_ms = np.concatenate([self._newest_ms, newest_ms[len(newest_ms) - count :]])
        return np.arange(before, before + count)

    def _seen(self, kind: _Kind, rows: Int64, keys: UInt64, times: int) -> Bool:
        """Whether `times` earlier mentions have the key within the window; remembers these."""
        known = len(kind.young.keys)
        kind.young, order = _sorted(
            np.concatenate([kind.young.keys, keys]), np.concatenate([kind.young.rows, rows])
        )
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        found = np.zeros(len(rows), np.int64)
        self._count(kind.young, places[known:], rows, keys, times, found)
        self._count(kind.old, np.searchsorted(kind.old.keys, keys, "right"), rows, keys, times, found)
        return found >= times

    def _count(self, tier: _Tier, places: Int64, rows: Int64, keys: UInt64, times: int, found: Int64) -> None:
        """Go down from each row's place over equal keys; count those within the window, up to `times`."""
        lowest, oldest_ms = self._offsets[rows] - self._span, self._times_ms[rows] - self._window_ms
        asking = np.flatnonzero((places > 0) & (found < times))
        below = places[asking] - 1
        while len(asking):
            same = tier.keys[below] == keys[asking]
            asking, below = asking[same], below[same]
            earlier = tier.rows[below]
            found[asking] += (self._offsets[earlier] >= lowest[asking]) & (
                self._times_ms[earlier] >= oldest_ms[asking]
            )
            # Further down all offsets are smaller, and no record time is above the newest one up to here
            reach = (self._offsets[earlier] >= lowest[asking]) & (
                self._newest_ms[earlier] >= oldest_ms[asking]
            )
            more = reach & (found[asking] < times) & (below > 0)
            asking, below = asking[more], below[more] - 1

    def _merge(self) -> None:
        """Merge the young tiers into the old ones, without rows that are out of reach from here on."""
        out = int(np.searchsorted(self._offsets, self._offsets[-1] + 1 - self._span))
        for kind in (self._posts, self._texts, self._authors):
            keys = np.concatenate([kind.old.keys, kind.young.keys])
            rows = np.concatenate([kind.old.rows, kind.young.rows]) - out
            kind.old, _ = _sorted(keys[rows >= 0], rows[rows >= 0])
            kind.young = _Tier()
        self._offsets, self._times_ms = self._offsets[out:].copy(), self._times_ms[out:].copy()
        self._newest_ms = self._newest_ms[out:].copy()
        self._old_rows = len(self._offsets)


def _sorted(keys: UInt64, rows: Int64) -> tuple[_Tier, Int64]:
    order = np.argsort(keys, kind="stable")
    return _Tier(keys[order], rows[order]), order

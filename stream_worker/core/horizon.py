"""Duplicates, repeats and voices: what a mention says again, within the horizon (DESIGN §3.1, CONTRACTS §1).

Rules:
1. *Earlier* means a smaller offset of the same partition, at most `horizon_offsets` away, whose record time
   is at most `horizon_ms` before. Earlier mentions count whatever their flags; rejected records do not.
2. A duplicate is the same (network, id, brand) again; a repeat the same text about the same brand again; a
   voice is no repeat, and fewer than three earlier mentions share its author and brand.
3. The memory is a cache of the log. Every seek empties it, and `horizon_offsets` of log fill it again.

Theory: a flag asks only whether one (for voices: three) earlier mentions with a key lie in the horizon, so a
key keeps few offsets: an older one is dropped as soon as newer ones can answer for it in every case, that is,
whose record times are not below its own. With record times in order that is one offset a key. Offsets are
kept in two generations, each a dictionary over `horizon_offsets`; the older one is dropped whole.
"""

from array import array
from collections.abc import Callable

import numpy as np

from stream_worker.core.columns import Bool, Columns

VOICE_MENTIONS_MAX = 3
"""Mentions of one author on one brand within the horizon that are voices."""

Hash64 = Callable[[bytes], int]
Known = int | tuple[int, ...]  # the offsets kept for one key
Seen = dict[int, Known]


def text_key_bytes(brand: str, text: str) -> bytes:
    """What the text key, version 1, is the XXH64 of (CONTRACTS §1)."""
    low = text.lower()
    words = low.split()
    if "http" in low or "@" in low or "rt" in words:
        words = [w for w in words if w != "rt" and not w.startswith(("http", "@"))]
    return f"{brand}\0{' '.join(words)}".encode()


class Horizon:
    """The memory of one partition: keys of the mentions within the horizon."""

    def __init__(self, horizon_offsets: int, horizon_ms: int, hash64: Hash64) -> None:
        self._span = horizon_offsets
        self._horizon_ms = horizon_ms
        self._hash64 = hash64
        # Record times by offset, in a ring that is larger than the distance at which they are read
        self._mask = (1 << horizon_offsets.bit_length()) - 1
        self.clear()

    def clear(self) -> None:
        """Forget everything; every seek does."""
        self._times_ms = array("q", bytes(8 * (self._mask + 1)))
        self._young: tuple[Seen, Seen, Seen] = ({}, {}, {})
        self._old: tuple[Seen, Seen, Seen] = ({}, {}, {})
        self._turn_at = 0

    def add(self, columns: Columns) -> tuple[Bool, Bool, Bool]:
        """Take mentions in log order; return their flags duplicate, repeat, voice."""
        count = len(columns)
        duplicate, repeat = bytearray(count), bytearray(count)
        voice = bytearray(b"\1") * count
        hash64, seen_before, times_ms, mask = self._hash64, self._seen_before, self._times_ms, self._mask
        rows = zip(
            columns.offsets.tolist(), columns.record_times_ms.tolist(),
            columns.networks, columns.ids, columns.brands, columns.texts, columns.authors, strict=True,
        )  # fmt: skip
        for row, (offset, time_ms, network, identity, brand, text, author) in enumerate(rows):
            if offset >= self._turn_at:
                self._turn(offset)
            times_ms[offset & mask] = time_ms
            key = hash64(f"{network}\0{len(brand)}\0{brand}{identity}".encode())
            if seen_before(0, key, offset, time_ms, 1):
                duplicate[row] = 1
            if seen_before(1, hash64(text_key_bytes(brand, text)), offset, time_ms, 1):
                repeat[row] = 1
                voice[row] = 0
            if author is not None:
                key = hash64(f"{len(brand)}\0{brand}{author}".encode())
                if seen_before(2, key, offset, time_ms, VOICE_MENTIONS_MAX):
                    voice[row] = 0
        return _flags(duplicate), _flags(repeat), _flags(voice)

    def _turn(self, offset: int) -> None:
        """Begin a generation; the one before the last is out of reach of every offset from here on."""
        jumped = offset - self._turn_at >= self._span
        self._old = ({}, {}, {}) if jumped else self._young
        self._young = ({}, {}, {})
        self._turn_at = offset + self._span

    def _seen_before(self, kind: int, key: int, offset: int, time_ms: int, times: int) -> bool:
        """Whether `times` earlier mentions have this key within the horizon; remembers this one."""
        young = self._young[kind]
        known = young.get(key)
        if known is None:
            young[key] = offset
            known = self._old[kind].get(key)
            if known is None:
                return False
        else:
            young[key] = self._remember(known, offset, time_ms, times)
            if (older := self._old[kind].get(key)) is not None:
                known = (*_offsets(older), *_offsets(known))
        lowest, oldest_ms, found = offset - self._span, time_ms - self._horizon_ms, 0
        for earlier in _offsets(known):
            if earlier >= lowest and self._times_ms[earlier & self._mask] >= oldest_ms:
                found += 1
        return found >= times

    def _remember(self, known: Known, offset: int, time_ms: int, times: int) -> Known:
        """Return the offsets to keep: those for which fewer than `times` newer ones have as late a time."""
        record_times_ms, mask, lowest = self._times_ms, self._mask, offset - self._span
        if known.__class__ is int and times == 1 and record_times_ms[known & mask] <= time_ms:
            return offset  # the common case, made cheap
        kept, kept_ms = [offset], [time_ms]
        for earlier in reversed(_offsets(known)):
            if earlier < lowest:
                break  # out of reach for good, and its record time may be overwritten
            earlier_ms, newer = record_times_ms[earlier & mask], 0
            for newer_ms in kept_ms:
                newer += newer_ms >= earlier_ms
            if newer < times:
                kept.append(earlier)
                kept_ms.append(earlier_ms)
        return offset if len(kept) == 1 else tuple(reversed(kept))


def _offsets(known: Known) -> tuple[int, ...]:
    return (known,) if known.__class__ is int else known  # type: ignore[return-value]


def _flags(values: bytearray) -> Bool:
    return np.frombuffer(values, np.bool_)

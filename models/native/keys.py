"""The keys of the dedup window, a batch at a time: bit for bit what Python computes one by one."""

import ctypes
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models.errors import KernelMissing
from models.native.arrow import Column, column
from models.native.library import Kernel, kernel

UInt64 = npt.NDArray[np.uint64]
Strings = Sequence[str]
Keys = Callable[[Strings, Strings, Strings, Strings, Sequence[str | None]], tuple[UInt64, UInt64, UInt64]]


def native_keys(otherwise: Keys) -> Keys:
    """Return the kernel's function of (networks, brands, ids, texts, authors): keys of posts, texts, authors.

    `otherwise` is the same in Python: what is returned where there is no kernel, and what is asked about a
    batch that UTF-8 cannot hold. The key of a mention without an author means nothing.
    """
    try:
        native = kernel()
    except KernelMissing:
        return otherwise

    def keys(
        networks: Strings, brands: Strings, ids: Strings, texts: Strings, authors: Sequence[str | None]
    ) -> tuple[UInt64, UInt64, UInt64]:
        try:
            of = [column(strings) for strings in (networks, brands, ids, authors)]
            lines = column(texts)
        except UnicodeEncodeError:
            return otherwise(networks, brands, ids, texts, authors)
        network, brand, post, author = of
        return (
            _keys(native.library.post_keys, network, brand, post),
            _text_keys(native, brands, brand, texts, lines),
            _keys(native.library.author_keys, brand, author),
        )

    return keys


def text_keys(brands: Strings, texts: Strings) -> UInt64:
    """Return the text keys of n texts, (n,). Raises KernelMissing, and UnicodeEncodeError as Python does."""
    return _text_keys(kernel(), brands, column(brands), texts, column(texts))


def _keys(function: Callable[..., int], *columns: Column) -> UInt64:
    rows = columns[0].rows
    keys = np.empty(rows, np.uint64)
    scratch = _scratch(*columns)
    function(*_places(*columns), ctypes.c_int64(rows), _at(scratch), _at(keys))
    return keys


def _text_keys(native: Kernel, brands: Strings, brand: Column, texts: Strings, text: Column) -> UInt64:
    keys, todo = _some_text_keys(native, brand, text, lowered=False)
    if len(todo):  # their lower case depends on what is around a character
        left = column([brands[i] for i in todo]), column([texts[i].lower() for i in todo])
        keys[todo], _ = _some_text_keys(native, *left, lowered=True)
    return keys


def _some_text_keys(
    native: Kernel, brand: Column, text: Column, *, lowered: bool
) -> tuple[UInt64, npt.NDArray[np.intp]]:
    keys, todo = np.empty(text.rows, np.uint64), np.empty(text.rows, np.uint8)
    scratch = _scratch(brand, text)
    left = native.library.text_keys(
        _at(native.chars),
        ctypes.c_int(lowered),
        *_places(brand, text),
        ctypes.c_int64(text.rows),
        _at(scratch),
        _at(keys),
        _at(todo),
    )
    return keys, np.flatnonzero(todo) if left else np.empty(0, np.intp)


def _scratch(*columns: Column) -> npt.NDArray[np.uint8]:
    """Return the room that the kernel's functions ask for: four times the bytes of the longest row."""
    return np.empty(4 * sum(map(_bytes_max, columns)) + 32, np.uint8)


def _bytes_max(strings: Column) -> int:
    if not strings.rows:
        return 0
    starts = np.frombuffer(strings.owner.buffers()[1], np.int64)[: strings.rows + 1]
    return int(np.diff(starts).max())


def _places(*columns: Column) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(place) for it in columns for place in (it.data, it.starts)]


def _at(array: npt.NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)

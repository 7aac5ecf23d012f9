r"""The kernel's library, and what this Python knows of every code point.

Rules:
1. The library knows nothing of Unicode: white space, `\w` and lower case are asked of the running Python,
   so that the kernel and scikit-learn agree on every version of both.
2. A library that is missing, or of another release, is a `KernelMissing` with its reason, never a failure.
"""

import ctypes
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import KernelMissing

ABI: Final = 2
"""Number of the interface; keys.c has the same."""

PATH: Final = Path(__file__).with_name(
    {"darwin": "kernel.dylib", "win32": "kernel.dll"}.get(sys.platform, "kernel.so")
)

WORD: Final = 1 << 21
SPACE: Final = 1 << 22
SPECIAL: Final = 1 << 23

PLANES_LOOKED_AT: Final = 0x40000
"""Beyond these code points nothing but marks, private characters and none at all is expected."""

SPECIAL_CHARS: Final = [0x130, 0x3A3]
"""Dotted I, whose lower case is two characters; capital sigma, whose depends on what is around it."""

UInt32 = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """The loaded library, and `chars` (0x110000,): lower case and flags of every code point, see chars.h."""

    library: ctypes.CDLL
    chars: UInt32


@cache
def kernel() -> Kernel:
    """Load the kernel. Raises KernelMissing."""
    try:
        library = ctypes.CDLL(str(PATH))
        found = int(library.kernel_abi())
    except (OSError, AttributeError) as error:
        raise KernelMissing(f"the library {PATH.name} is not in this installation") from error
    if found != ABI:
        raise KernelMissing(f"the library {PATH.name} has interface {found}, not {ABI}: install again")
    for name in ("text_keys", "score_texts", "workspace_bytes", "kept_bytes", "slots_needed"):
        getattr(library, name).restype = ctypes.c_int64
    return Kernel(library, chars_table())


def chars_table() -> UInt32:
    """Return one word per code point: its lower case, and the flags WORD, SPACE and SPECIAL."""
    table = np.arange(sys.maxunicode + 1, dtype="<u4")
    beyond = _text(table[PLANES_LOOKED_AT:])
    plain = re.search(r"[\w\s]", beyond) is None and beyond.lower() == beyond
    _fill(table[: PLANES_LOOKED_AT if plain else None])
    return table


def _fill(table: UInt32) -> None:
    everything = _text(table)
    usual = np.delete(table, SPECIAL_CHARS)
    lower = _text(usual).lower().encode("utf-32-le", "surrogatepass")
    assert len(lower) == 4 * len(usual), "another code point whose lower case is longer"
    table[usual] = np.frombuffer(lower, "<u4")
    table[SPECIAL_CHARS] |= SPECIAL
    for words in re.finditer(r"\w+", everything):
        table[words.start() : words.end()] |= WORD
    at = 0
    for run in everything.split():  # what lies between is white space
        begin = everything.index(run, at)
        table[at:begin] |= SPACE
        at = begin + len(run)
    table[at:] |= SPACE


def _text(code_points: UInt32) -> str:
    return code_points.tobytes().decode("utf-32-le", "surrogatepass")

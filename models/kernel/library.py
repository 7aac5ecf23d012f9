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

ABI: Final = 1
"""Number of the interface; kernel.c has the same."""

PATH: Final = Path(__file__).with_name(
    {"darwin": "kernel.dylib", "win32": "kernel.dll"}.get(sys.platform, "kernel.so")
)

WORD: Final = 1 << 21
SPACE: Final = 1 << 22
SPECIAL: Final = 1 << 23

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
    everything = table.tobytes().decode("utf-32-le", "surrogatepass")
    special = [0x130, 0x3A3]  # its lower case is two characters; it depends on what is around it
    plain = np.delete(table, special)
    lower = plain.tobytes().decode("utf-32-le", "surrogatepass").lower().encode("utf-32-le", "surrogatepass")
    assert len(lower) == 4 * len(plain), "another code point whose lower case is longer"
    table[plain] = np.frombuffer(lower, "<u4")
    table[special] |= SPECIAL
    for words in re.finditer(r"\w+", everything):
        table[words.start() : words.end()] |= WORD
    at = 0
    for run in everything.split():  # what lies between is white space
        begin = everything.index(run, at)
        table[at:begin] |= SPACE
        at = begin + len(run)
    table[at:] |= SPACE
    return table

"""Keeping a process small."""

import ctypes

_M_MMAP_THRESHOLD = -3  # <malloc.h>
THRESHOLD_BYTES = 128 * 1024


def return_what_is_freed() -> None:
    """Let the C library give large blocks back when they are freed.

    glibc takes them from its heap once one of that size was freed, and the heap only shrinks from its end:
    some 20 MB in each process. Other C libraries have no such thing, and need none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, THRESHOLD_BYTES)

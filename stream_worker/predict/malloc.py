"""Keeping a process small."""

import ctypes

_M_MMAP_THRESHOLD = -3  # <malloc.h>
THRESHOLD_BYTES = 128 * 1024


def return_freed_memory() -> None:
    """Let the C library give large blocks back when they are freed.

    Once it has freed a block of some size, glibc takes blocks of that size from its heap, which shrinks only
    from its end: some 20 MB in each process. Other C libraries have no such setting, and need none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, THRESHOLD_BYTES)

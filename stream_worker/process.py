"""What a process does before it starts to work: signals, memory, its name."""

import gc
import os
import signal
import socket
import threading
from types import FrameType
from typing import Final

import pyarrow as pa

INTERRUPTED: Final = 130
"""The exit code of a process that a second signal ends at once."""


def stop_at_signals() -> threading.Event:
    """Return an event that SIGTERM or SIGINT sets; a second signal ends the process at once.

    Nothing is lost at either: every sink keeps its cursor with its data.
    """
    stop = threading.Event()

    def heard(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heard)
    return stop


def owner() -> str:
    """Name this process, for people who ask who holds a lease or a partition."""
    return f"{socket.gethostname()}:{os.getpid()}"


def return_freed_arrow_memory() -> None:
    """Let Arrow take its memory from the system's allocator: its own pool keeps much of what was freed."""
    pa.set_memory_pool(pa.system_memory_pool())


def freeze_loaded_objects() -> None:
    """Exempt what is loaded by now from garbage collection: it lives as long as the process."""
    gc.freeze()

"""Become another program that dies with its parent: `python parent_death.py PARENT_PID COMMAND ARGUMENT…`.

1. It runs before the server does, in the server's own process: the pid stays the same over `exec`.
2. Linux only. The kernel sends SIGKILL when the parent is gone, however the parent went (prctl(2),
   PR_SET_PDEATHSIG); elsewhere the launcher's exit handler is all there is.
3. Standard library only, and run with `-I -S`: it costs milliseconds and imports nothing of ours.

A `preexec_fn` would do the same with less text, but it runs Python between fork and exec in a process
that has threads (librdkafka's, pyarrow's), which may dead-lock.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, then replace it by the command."""
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - the C library is only there to be asked on Linux

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the parent ended before the server began")
    os.execvp(command[0], command)  # noqa: S606 - that is what this program is for


if __name__ == "__main__":
    main(sys.argv[1:])

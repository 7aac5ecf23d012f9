"""An embedded archive: a folder, named the way every other store is named. No server is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def open_archive(folder: Path) -> str:
    """Make the folder if it is missing and return its `file://` URL."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve().as_uri()

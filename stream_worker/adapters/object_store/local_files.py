"""Create-only files in a folder that survive a power cut.

obstore's LocalStore writes `name#1` beside the object, links it and never calls fsync, so that a power cut
can leave an empty object under a final name for ever. Therefore a file is written here: in `_temporary/`
(no reader looks into names that begin with `_`), synced, linked to its name, and the folders synced.
"""

import os
import time
from hashlib import sha256
from pathlib import Path

TEMPORARY = "_temporary"
TEMPORARY_AGE_S = 3600.0
_TRIES_MAX = 1000


class Folder:
    """A root folder with create-only files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: set[Path] = set()  # folders whose own entries were synced by this process
        for parent in root.parents:
            _sync_if_readable(parent)

    def create(self, name: str, body: bytes) -> bool:
        """Write a file and return True once it is durable; False: it is there already, and durable now.

        Raises OSError.
        """
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._write_temporary(name, body)
        try:
            os.link(temporary, path)
            created = True
        except FileExistsError:
            _sync(path)
            created = False
        finally:
            temporary.unlink(missing_ok=True)
        self._sync_folders(path.parent)
        return created

    def remove_leftovers(self) -> int:
        """Remove temporary files older than an hour, which a killed process left; returns how many.

        A writer that slept for so long finds its file gone, fails, and writes it again.
        """
        removed = 0
        now_s = time.time()
        for path in (self.root / TEMPORARY).glob("*"):
            try:
                if now_s - path.stat().st_mtime > TEMPORARY_AGE_S:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue  # another process was faster
        return removed

    def _write_temporary(self, name: str, body: bytes) -> Path:
        folder = self.root / TEMPORARY
        folder.mkdir(exist_ok=True)
        stem = sha256(name.encode()).hexdigest()[:16]
        for number in range(1, _TRIES_MAX + 1):
            path = folder / f"{stem}#{number}"  # LocalStore hides names that end so from its listings
            try:
                file = path.open("xb")
            except FileExistsError:
                continue  # somebody writes the same object now, or was killed while doing so
            try:
                with file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                path.unlink(missing_ok=True)  # a full disk must not be filled by retries
                raise
            return path
        raise OSError(f"{folder} holds {_TRIES_MAX} temporary files of one object")

    def _sync_folders(self, folder: Path) -> None:
        """Sync the entry of a new file, and once per process the entries of the folders above it."""
        _sync(folder)
        while folder != self.root and folder not in self._durable:
            _sync(folder.parent)
            self._durable.add(folder)
            folder = folder.parent


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_if_readable(folder: Path) -> None:
    """Sync a folder above the root; one that may not be opened was not made by us."""
    try:
        _sync(folder)
    except PermissionError:
        return

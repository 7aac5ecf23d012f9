"""Where a training finds its texts in other languages: a file, the data folder, or installed packages."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import DataUnusable
from models.training.languages import NAME, gather


@contextmanager
def foreign_texts(
    file: Path | None, data: Path, seed: int, say: Callable[[str], None]
) -> Iterator[Path | None]:
    """Yield the file to read, or None where there are no such texts: then the model has no language gate."""
    beside = data / f"{NAME}.parquet"
    if file is not None or beside.exists():
        yield file or beside
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            gather(Path(folder), seed, say)
            found: Path | None = Path(folder) / f"{NAME}.parquet"
        except DataUnusable:
            say("no texts of other languages: the model gets no language gate; pip install '.[training]'")
            found = None
        yield found

"""Options that several commands have, and how commands print: data on stdout, messages on stderr.

What a command needs is imported inside it, so that `--help` and completion are quick.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stream_worker.settings.loader import Loaded

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="STREAM_WORKER_CONFIG",
        help="File of settings, TOML; the environment overrides it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def load_settings(config: Path | None) -> "Loaded":
    """Read the settings, and set up the logs as they say. Raises Misconfigured."""
    from stream_worker.observability import logs  # noqa: PLC0415
    from stream_worker.settings.loader import load  # noqa: PLC0415

    loaded = load(config)
    logs.configure(loaded.settings.log.format, loaded.settings.log.level)
    return loaded


def say(message: str) -> None:
    """Print a message for people."""
    typer.echo(message, err=True)


def print_json(value: object) -> None:
    """Print data as JSON, indented for people at a terminal."""
    typer.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False, default=str))


def print_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Print rows as aligned columns with a line of headings; nothing without rows."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    if not cells:
        return
    cells.insert(0, [column.replace("_", " ").upper() for column in columns])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        typer.echo("  ".join(map(str.ljust, line, widths)).rstrip())


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as it is written in a file
    return "" if value is None else printable(str(value))


def printable(text: str) -> str:
    """Return a text that is safe to print: a line end or an escape in data must not draw on the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on stderr, at a terminal only; yields a function of the unit, the number done, the total."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _what, _done, _total: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)

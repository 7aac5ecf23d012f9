"""The terminal of the demo: lines of narration, and below them the live table.

1. Everything goes to stderr; stdout belongs to the account as JSON.
2. On a terminal the table is redrawn in its place; elsewhere it is printed every five seconds.
"""

import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream_worker.demo.brand_table import BrandRow, table

PLAIN_EVERY_S = 5.0


class Screen:
    """Prints lines at any time, and shows the table from `__enter__` on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = time.monotonic()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._next_plain_s = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str, *, timed: bool = True) -> None:
        """Print a line of narration, with the seconds since the start."""
        at = f"{time.monotonic() - self._began_s:6.1f} s" if timed else " " * 8
        if self._live is None:
            self._console.print(f"{at}  {line}", markup=False, highlight=False, emoji=False, soft_wrap=True)
            return
        wrapped = Table.grid(padding=(0, 2))  # a long line goes on below itself
        wrapped.add_row(Text(at, no_wrap=True), Text(line, overflow="fold"))
        self._console.print(wrapped)

    def show(self, rows: Sequence[BrandRow], status: str) -> None:
        """Show the table; where it cannot be redrawn, every `PLAIN_EVERY_S`."""
        if self._live is not None:
            brands = table(rows) if rows else Text("")
            self._live.update(Group(Text(""), brands, Text(""), Text(status)), refresh=True)
        elif rows and time.monotonic() >= self._next_plain_s:
            self._next_plain_s = time.monotonic() + PLAIN_EVERY_S
            self.say(status)
            self._console.print(table(rows))

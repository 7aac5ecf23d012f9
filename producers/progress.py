"""Shows how far publishing is: a bar on a terminal, else a plain line every few seconds. On stderr."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from producers.publisher import Counts

LINE_EVERY_S = 5.0
BAR_EVERY_S = 0.1


class ProgressDisplay:
    """Progress that is shown while the block runs; `update` may be called as often as you like."""

    def __init__(self, counts: Counts, total: int | None, console: Console) -> None:
        self._counts = counts
        self._total = total
        self._console = console
        self._began = time.monotonic()
        self._next = self._began + (BAR_EVERY_S if console.is_terminal else LINE_EVERY_S)
        self._bar = _bar(console) if console.is_terminal else None
        if self._bar is not None:
            self._task = self._bar.add_task("publishing", total=total, rest="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._show()
            self._bar.stop()

    def update(self) -> None:
        """Show the counts if it is time to."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (BAR_EVERY_S if self._bar is not None else LINE_EVERY_S)
            self._show()

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._counts.sent, rest=self._rest())
            return
        of_total = f" of {self._total:,}" if self._total is not None else ""
        self._console.print(
            f"published {self._counts.sent:,}{of_total}, {self._rest()}", highlight=False, soft_wrap=True
        )

    def _rest(self) -> str:
        elapsed_s = max(time.monotonic() - self._began, 0.001)
        failed = f", {self._counts.failed:,} failed" if self._counts.failed else ""
        return f"{self._counts.delivered:,} delivered{failed}, {self._counts.sent / elapsed_s:,.0f}/s"


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rest]}"),
        TimeElapsedColumn(),
        console=console,
        refresh_per_second=5,
    )

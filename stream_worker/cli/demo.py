"""`stream-worker demo`: the whole system, on servers from the package index."""

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer

from stream_worker.cli.output import print_json
from stream_worker.settings.units import in_ms, parse_duration


def _duration(text: str) -> dt.timedelta:
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None
    if not duration:
        raise typer.BadParameter("must be longer than nothing")
    return duration


def _new_folder(folder: Path | None) -> Path | None:
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise typer.BadParameter(f"{folder} exists and is not empty; name a new one")
    return folder


def demo(
    *,
    duration: Annotated[
        dt.timedelta | None,
        typer.Option(
            parser=_duration, metavar="60s", help="How long mentions come; without it until Ctrl-C."
        ),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=1_000, help="Mentions per second.")] = 25.0,
    seed: Annotated[int, typer.Option(help="The same seed invents the same texts.")] = 1,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            callback=_new_folder,
            help="Keep the log, the archive and receipts in this new folder.",
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page when run at a terminal.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the account as one JSON object.")] = False,
) -> None:
    """Run the whole system live, on servers that come as packages.

    Invented mentions, the page, a crisis, an alert, and at the end an account of
    where every record went. Exit code 1 when a record is unexplained, 69 when the
    embedded servers are not installed.
    """
    from stream_worker.demo.processes import DemoOptions  # noqa: PLC0415
    from stream_worker.demo.run import play  # noqa: PLC0415

    opens = browser and sys.stderr.isatty()
    lasts_ms = None if duration is None else in_ms(duration)
    account, ending = play(DemoOptions(lasts_ms, rate, seed, opens), keep)
    if as_json:
        print_json(account.as_object() | ending.as_object())
    raise typer.Exit(0 if account.agrees else 1)

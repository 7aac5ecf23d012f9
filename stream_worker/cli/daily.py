"""`stream-worker daily`: a day of the archive, counted again, compared with live, and reported."""

import datetime as dt
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_worker import extras
from stream_worker.cli.output import Config, load_settings, print_json, printable, progress_bar, say
from stream_worker.quantity import quantity

if TYPE_CHECKING:
    from stream_worker.daily.service import DailyReport

SHOWN_MAX = 10
NAMED = ("today", "yesterday")


def _date(text: str) -> dt.date:
    today = dt.datetime.now(dt.UTC).date()
    if text in NAMED:
        return today if text == "today" else today - dt.timedelta(days=1)
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date; write 2026-11-21, yesterday or today") from None
    if date > today:
        raise typer.BadParameter(f"{date} has not begun yet (UTC)")
    if date < dt.date(1970, 1, 2):
        raise typer.BadParameter(f"{date} is before any mention")
    return date


def daily(
    config: Config = None,
    *,
    date: Annotated[
        dt.date,
        typer.Option(parser=_date, metavar="DATE", help="The day, UTC: 2026-11-21, yesterday, today."),
    ] = "yesterday",  # type: ignore[assignment]  # typer parses a default, too
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for the files; each day gets one inside.")
    ] = Path("reports"),
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Compare each minute with what Redis shows.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON object.")] = False,
) -> None:
    """Count a day of the archive again, and write its report.

    The day is compared with live, and written as Parquet, CSV and HTML. A complete
    day is marked in the archive; an incomplete one is reported all the same, with
    the reason. Exit code 0 when all could be read and every difference to Redis
    is explained, else 1.
    """
    settings = load_settings(config).settings
    extras.require("daily", "the daily report")
    from stream_worker.daily.service import daily as run  # noqa: PLC0415

    with progress_bar() as progress:
        report = run(settings, date, out, say, partial(progress, "rows"), compare_live=compare)
    if as_json:
        print_json(report.as_object())
    else:
        _show(report)
    raise typer.Exit(0 if report.clean else 1)


def _show(report: "DailyReport") -> None:
    """Print what was found in a few lines."""
    state = "complete" if report.complete else "NOT complete, numbers may still change"
    typer.echo(f"{report.day}: {state}")
    for line in report.why_open[:SHOWN_MAX]:
        typer.echo(printable(f"  {line}"))
    account = report.account
    typer.echo(
        f"{quantity(account['counted'], 'mention')} of {quantity(account['brands'], 'brand')},"
        f" {account['late']:,} of them late; {quantity(account['duplicates'], 'duplicate')} beside them;"
        f" {quantity(account['objects'], 'object')}"
    )
    for line in report.incomplete + report.faults[:SHOWN_MAX]:
        typer.echo(printable(f"note: {line}"))
    if report.parity is None:
        typer.echo("not compared with live")
    else:
        _show_parity(report)
    for path in report.files:
        typer.echo(str(path))


def _show_parity(report: "DailyReport") -> None:
    found = report.parity
    assert found is not None
    typer.echo(f"live: {found['agree']:,} of {quantity(found['minutes'], 'minute')} agree")
    for reason, one in found["reasons"].items():
        minutes, mentions = quantity(one["minutes"], "minute"), quantity(one["mentions"], "mention")
        typer.echo(f"  {reason}: {minutes}, {mentions}")
    for line in report.differences[:SHOWN_MAX]:
        typer.echo(printable(f"DIFFERENCE  {line}"))

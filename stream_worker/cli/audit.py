"""`stream-worker audit`: where every offset went, and whether everything agrees."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from stream_worker.cli.output import (
    Config,
    load_settings,
    print_json,
    print_table,
    printable,
    progress_bar,
    say,
)
from stream_worker.quantity import quantity
from stream_worker.settings.units import format_duration, parse_duration

if TYPE_CHECKING:
    from stream_worker.core.reconcile.report import AuditReport

SHOWN_MAX = 10
COLUMNS = (
    "partition",
    "offsets",
    "counted",
    "duplicates",
    "rejected",
    "absent",
    "lost",
    "expired",
    "late",
    "rows",
)


def _seconds(text: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint="--wait") from None


def audit(
    config: Config = None,
    *,
    partition: Annotated[
        int | None, typer.Option(min=0, help="Only this partition, without Redis (it holds sums over all).")
    ] = None,
    start: Annotated[
        int | None, typer.Option("--from", min=0, help="Only chunks that end after this offset.")
    ] = None,
    end: Annotated[
        int | None, typer.Option("--to", min=1, help="Only chunks that begin before this offset.")
    ] = None,
    wait: Annotated[
        str, typer.Option(metavar="DURATION", help="Wait this long for the archive to pass Redis.")
    ] = "2m",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Recount the archive and compare it with Redis; change nothing.

    Manifests and dead letters are compared, too. Exit code 0 when every offset
    is in its one place, 1 when something does not add up, 69 when a server is
    away or the archive does not get as far as Redis in time.
    """
    if partition is None and (start is not None or end is not None):
        raise typer.BadParameter("name the partition as well", param_hint="--partition")
    wait_s = _seconds(wait)
    settings = load_settings(config).settings
    from stream_worker.audit.service import audit as run  # noqa: PLC0415
    from stream_worker.core.reconcile.report import AuditOptions  # noqa: PLC0415

    with progress_bar() as progress:
        report = run(settings, AuditOptions(partition, start, end, wait_s), say, progress)
    if as_json:
        print_json(report.as_object())
    else:
        _show(report)
    raise typer.Exit(0 if report.clean else 1)


def _show(report: "AuditReport") -> None:
    """Print the account of each partition, what is explained, and the first differences."""
    accounts = [account._asdict() for account in report.accounts]
    other = {account.log for account in report.accounts} - {report.log}
    totals = {"partition": "all", **report.totals()}
    print_table([*accounts, totals], (*COLUMNS, "log") if other else COLUMNS)
    for line in report.findings.notes:
        typer.echo(f"note: {line}")
    for difference in report.findings.differences[:SHOWN_MAX]:
        typer.echo(printable(f"DIFFERENCE  {difference}"))
    if report.clean:
        took = format_duration(dt.timedelta(seconds=round(report.took_s)))
        typer.echo(
            f"clean: every offset is in its one place ({quantity(report.totals()['rows'], 'row')}, {took})"
        )
    else:
        differences = quantity(report.findings.count, "difference")
        shown = min(SHOWN_MAX, len(report.findings.differences))
        typer.echo(f"NOT clean: {differences}, the first {shown} above; docs/operations.md")

"""`stream-worker alerts backtest`: the alerts that the past would have had."""

from pathlib import Path
from typing import Annotated

import typer

from stream_worker import extras
from stream_worker.cli.output import Config, Json, load_settings, print_json, print_table, say

COLUMNS = ("brand", "opened_at", "resolved_at", "peak_score", "escalated", "notifications")


def _sensitivity(text: str) -> float:
    from stream_worker.core.detection.sensitivity import OPEN_SCORES  # noqa: PLC0415

    known = {f"{one:g}": one for one in OPEN_SCORES}
    try:
        return known[f"{float(text):g}"]
    except (KeyError, ValueError):
        raise typer.BadParameter(f"must be one of {', '.join(known)}") from None


Sensitivity = Annotated[
    float | None,
    typer.Option(
        parser=_sensitivity,
        metavar="1|0.5|0.25|0.1",
        help="For all brands, instead of what is set for each.",
    ),
]


def backtest(
    config: Config = None,
    *,
    counts: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Replay a Parquet file of counts per brand and minute, not the archive.",
        ),
    ] = None,
    sensitivity: Sensitivity = None,
    incidents: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Count how many of these were found: a CSV of brand, from, to."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw --brand into this .svg or .png.")
    ] = None,
    brand: Annotated[str | None, typer.Option(help="Replay this brand only.")] = None,
    as_json: Json = False,
) -> None:
    """Replay the past, and print every alert there would have been.

    The past is the archive, or a file of counts. Nothing is written and nothing is
    sent.
    """
    if plot is not None and (brand is None or plot.suffix not in (".svg", ".png")):
        raise typer.BadParameter("needs --brand, and a name that ends in .svg or .png", param_hint="--plot")
    settings = load_settings(config).settings
    if plot is not None:
        extras.require("daily", "--plot")
    from stream_worker.backtest import service  # noqa: PLC0415

    known = [] if incidents is None else service.read_incidents(incidents)
    source, artefacts = service.open_source(settings, counts)
    if brand is not None:
        source = [(name, series) for name, series in source if name == brand]
        if not source:
            raise typer.BadParameter("no mention of that brand", param_hint="--brand")
    result = service.backtest(
        source, settings.alerts.of if sensitivity is None else lambda _: sensitivity, artefacts
    )
    rows = service.as_rows(result.episodes)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS)
    for line in service.summary_lines(result, known):
        typer.echo(line, err=as_json)  # part of the text for people; beside JSON a message
    if plot is not None and isinstance(source, list):
        from stream_worker.backtest import plots  # noqa: PLC0415

        plots.plot(source[0][0], source[0][1], result, plot)
        say(f"drawn: {plot}")

"""`stream-worker predict`: the sentiment of every row of some files."""

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

if TYPE_CHECKING:
    from stream_worker.predict.service import Summary

COLUMNS = ("label", "rows", "share")
CLASSES = ("negative", "neutral", "positive", "uncertain", "unscored", "rejected")


def _delimiter(text: str) -> str:
    text = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(text) != 1 or text in '"\r\n' or not text.isascii():
        raise typer.BadParameter("must be one character, or tab")
    return text


Given = Annotated[str, typer.Argument(metavar="IN", help="A file, a folder, a glob in quotes, or s3://….")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="A file; a folder for several; or s3://….")]
TextColumn = Annotated[str, typer.Option(help="The column that holds the text.")]
Delimiter = Annotated[
    str | None,
    typer.Option(
        parser=_delimiter, metavar="CHAR", help="Separates columns of CSV; else a comma, in .tsv a tab."
    ),
]
Prefix = Annotated[str, typer.Option(help="Begins the names of the added columns.")]
Processes = Annotated[int, typer.Option(min=1, max=64, help="How many processes score at once.")]
ChunkRows = Annotated[
    int, typer.Option(min=1, max=131_072, help="Rows scored at once; a kill costs these, per process.")
]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit code 1 if a row is rejected.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


def predict(
    given: Given,
    out: Out,
    config: Config = None,
    *,
    text_column: TextColumn = "text",
    delimiter: Delimiter = None,
    prefix: Prefix = "",
    processes: Processes = 2,
    chunk_rows: ChunkRows = 4_096,
    restart: Restart = False,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Score the texts of CSV, JSON lines or Parquet files.

    Every column is kept; label and probabilities are added. After a kill the same
    command goes on where it was. Rows that cannot be scored are kept with their
    reason in OUT.rejected.jsonl. Exit code 0 when all is written; 2 if the column
    is not there.
    """
    settings = load_settings(config).settings
    from stream_worker.predict.inputs import WrongUsage  # noqa: PLC0415
    from stream_worker.predict.service import Options  # noqa: PLC0415
    from stream_worker.predict.service import predict as run  # noqa: PLC0415

    options = Options(text_column, delimiter, prefix, processes, chunk_rows, restart)
    try:
        with progress_bar() as progress:
            summary = run(settings, given, out, options, progress)
    except WrongUsage as error:
        raise typer.BadParameter(printable(str(error))) from None
    except KeyboardInterrupt:
        say("stopped; run the same again to go on")
        raise
    if as_json:
        print_json(summary.as_object())
    else:
        _show(summary)
    raise typer.Exit(1 if strict and summary.counts.rejected else 0)


def _show(summary: "Summary") -> None:
    """Print the classes as a table; what was written, and how fast, as messages."""
    counts = summary.counts
    by_class = {**counts.labels, "rejected": counts.rejected}
    width = len(f"{counts.rows:,}")
    table = [
        {"label": name, "rows": f"{by_class[name]:>{width},}", "share": _share(by_class[name], counts.rows)}
        for name in CLASSES
    ]
    table.append({"label": "all", "rows": f"{counts.rows:>{width},}", "share": ""})
    print_table(table, COLUMNS)
    before = summary.rows_done_before
    new = counts.rows - before
    speed = f"{summary.seconds:.1f} s, {new / max(summary.seconds, 1e-9):,.0f} a second"
    done = f"; {quantity(before, 'row')} {'was' if before == 1 else 'were'} done before" if before else ""
    say(f"{quantity(new, 'row')} in {speed}, by model {summary.model}{done}")
    for file in summary.files:
        say(printable(f"{file.source} -> {file.destination}"))
        if file.counts.rejected:
            why = ", ".join(f"{rows:,} {reason}" for reason, rows in file.counts.reasons.items())
            rejected = quantity(file.counts.rejected, "row")
            say(printable(f"  {rejected} rejected: {why}; see {file.rejected_rows}"))


def _share(count: int, rows: int) -> str:
    return f"{count / rows:6.1%}" if rows else ""

"""The flags of the commands, each declared once: its words, its type, its place in the help."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from producers import options
from producers.connection import BOOTSTRAP_DEFAULT
from producers.feeds.crises import KINDS, Crisis
from producers.feeds.phrases import BRANDS_MAX
from producers.feeds.replay import Rebase

BOOTSTRAP_ENV = "STREAM_WORKER_KAFKA__BOOTSTRAP_SERVERS"


def _kafka(help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel="Kafka", **more)


def _column(help_text: str, *names: str, metavar: str | None = "COL") -> Any:
    panel = "Columns (those not named are found by their usual names)"
    return typer.Option(*names, help=help_text, metavar=metavar, rich_help_panel=panel)


def _time(help_text: str, metavar: str, parser: Callable[[str], Any]) -> Any:
    return typer.Option(help=help_text, metavar=metavar, parser=parser, rich_help_panel="Time")


# --- where the records go: every command

Bootstrap = Annotated[
    str | None,
    _kafka(
        f"Where the brokers are; {BOOTSTRAP_DEFAULT} if nothing says otherwise.",
        "--bootstrap-servers",
        "-b",
        envvar=BOOTSTRAP_ENV,
        metavar="HOST:PORT,…",
    ),
]
Topic = Annotated[str, _kafka("The topic to publish to.", "--topic", "-t")]
Set = Annotated[
    list[str] | None,
    _kafka("Any librdkafka producer property, but no secret. May be repeated.", "--set", metavar="KEY=VALUE"),
]
Properties = Annotated[
    Path | None,
    _kafka("A file of librdkafka properties, key=value a line: the place for secrets.", metavar="FILE"),
]
CreateTopic = Annotated[bool, _kafka("Create the topic if it is missing.", "--create-topic")]
Partitions = Annotated[int, _kafka("Its partitions, with --create-topic.", metavar="N", min=1, max=10_000)]
Replication = Annotated[
    int,
    _kafka("Its replicas, with --create-topic; -1 is the broker's default.", metavar="N", min=-1, max=100),
]
Json = Annotated[bool, typer.Option("--json", help="Write the final counts to stdout as one JSON object.")]
Print = Annotated[
    bool,
    typer.Option(
        "--print", help="Write the records to stdout, a line each and at once, instead of to Kafka."
    ),
]

# --- replay

File = Annotated[
    Path,
    typer.Argument(help="CSV, TSV or JSON lines (also .gz, .bz2, .zst, .lz4, or - for stdin), or Parquet."),
]
Format = Annotated[
    Literal["csv", "tsv", "jsonl", "parquet"] | None,
    typer.Option("--format", help="The file's format, where its name does not tell."),
]
Id = Annotated[str | None, _column("The post's id.", "--id")]
IdRows = Annotated[
    bool, _column("No column holds an id: make it of the file's name and the row.", "--id-rows", metavar=None)
]
IdPrefix = Annotated[
    str, _column("Put before each id, so that a file played again is no list of duplicates.", metavar="TEXT")
]
Brand = Annotated[str | None, _column("The brand it names.")]
BrandValue = Annotated[str | None, _column("One brand for all rows.", metavar="NAME")]
Network = Annotated[
    str | None, _column("Where it was posted. Made lower case; what is not a-z 0-9 _ . - becomes _.")
]
NetworkValue = Annotated[str | None, _column("One network for all rows.", metavar="NAME")]
Author = Annotated[str | None, _column("Who wrote it.")]
Text = Annotated[str | None, _column("What was written.")]
Time = Annotated[
    str | None,
    _column("When it was posted: ISO 8601, or a number of s, ms, µs or ns since 1970.", "--time"),
]
TimeFormat = Annotated[str | None, _column("How the times are written, if otherwise.", metavar="STRPTIME")]
Column = Annotated[
    list[str] | None,
    _column("The same for url, lang, reach, reply_to. May be repeated.", metavar="ROLE=COL"),
]
Speed = Annotated[
    float, _time("Divide the gaps between mentions; max does not wait.", "60x|max", options.speed)
]
GapMax = Annotated[float | None, _time("Wait no longer than this for a mention.", "5s", options.duration_ms)]
RebaseTo = Annotated[
    Rebase | None,
    _time("Move all times so that the first mention is at this one.", "now|TIME", options.rebase),
]
Anchor = Annotated[
    Literal["first", "last"] | None,
    typer.Option(
        help="Which mention --rebase moves there: the first, or with --speed max the last.",
        rich_help_panel="Time",
    ),
]
Since = Annotated[int | None, _time("Leave out what was posted before.", "TIME", options.moment_ms)]
Until = Annotated[int | None, _time("Leave out what was posted then or later.", "TIME", options.moment_ms)]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Publish no more than N.", rich_help_panel="Time")
]

# --- synthetic

Seed = Annotated[int, typer.Option(help="The same seed and --start give the same mentions.")]
Rate = Annotated[
    float,
    typer.Option(
        parser=options.rate, metavar="20|max", help="Mentions per second at the start; the season moves it."
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(parser=options.duration_ms, metavar="60s", help="How long; without it until Ctrl-C."),
]
Backfill = Annotated[
    float | None,
    typer.Option(
        parser=options.duration_ms,
        metavar="2h",
        help="Publish so long a past first, at once, with record times in the past.",
    ),
]
Count = Annotated[int | None, typer.Option(min=1, metavar="N", help="Publish no more than N.")]
Brands = Annotated[int, typer.Option(min=1, max=BRANDS_MAX, metavar="N", help="How many brands.")]
Broken = Annotated[float, typer.Option(min=0, max=1, help="Share of records that are no mention.")]
Crises = Annotated[
    list[Crisis] | None,
    typer.Option(
        "--crisis",
        parser=options.crisis,
        metavar="BRAND@+30s[/5m][:KIND]",
        help="From then on (for so long) the brand has a bad time. Kinds: "
        f"{', '.join(KINDS)}; without one, what happens to it most. May be repeated.",
    ),
]
Start = Annotated[
    int | None,
    typer.Option(
        parser=options.moment_ms, metavar="TIME", help="The time of the first moment; now by default."
    ),
]

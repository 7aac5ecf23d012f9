"""The options of the commands: how a value is read, and each option's type, help and panel.

A function that reads a value raises `typer.BadParameter`, which is exit code 2 with the option's name.
"""

import datetime as dt
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from producers.connection import BOOTSTRAP_DEFAULT
from producers.feeds.crises import KINDS, Crisis, crisis_of
from producers.feeds.phrases import BRANDS_MAX
from producers.feeds.replay import Rebase
from producers.feeds.scheduled import epoch_ms

BOOTSTRAP_ENV = "STREAM_WORKER_KAFKA__BOOTSTRAP_SERVERS"
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SPEED = re.compile(r"(\d+(?:\.\d+)?)x?")
_CRISIS = re.compile(r"(?P<brand>.+)@\+(?P<start>[^/@+:]+)(?:/(?P<lasts>[^/@+:]+))?(?::(?P<kind>[a-z]+))?")
NOW = "now"
RATE_MIN, RATE_MAX = 0.001, 1_000_000.0


def duration_ms(text: str) -> float:
    """Return milliseconds: `500ms`, `60s`, `1.5m`, `2h`, `1d`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise typer.BadParameter(f"{text!r} is no duration; write 500ms, 60s, 5m, 2h or 1d")
    return float(found[1]) * _UNITS_MS[found[2]]


def speed(text: str | float) -> float:
    """Return how many times faster: `60x`, `60`, `0.5x`, or infinity for `max`."""
    text = str(text)  # a default comes as a number
    if text == "max":
        return math.inf
    found = _SPEED.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise typer.BadParameter(f"{text!r} is no speed; write 60x, 0.5x or max")
    return float(found[1])


def moment_ms(text: str) -> int:
    """Return milliseconds since 1970 of an ISO 8601 time; without an offset it is UTC."""
    try:
        return epoch_ms(dt.datetime.fromisoformat(text.strip()))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write it like 2026-11-22T10:00:00Z (without an offset it is UTC)"
        ) from None


def rebase(text: str) -> Rebase:
    """Return where the first mention is moved to: `now` or a time."""
    return Rebase(None if text == NOW else moment_ms(text), anchor_last=False)


def rate(text: str | float) -> float:
    """Return mentions per second; `max` is more than can be sent."""
    text = str(text)  # a default comes as a number
    if text == "max":
        return RATE_MAX
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not RATE_MIN <= value <= RATE_MAX:
        raise typer.BadParameter(f"{text!r} is no rate; write {RATE_MIN} to {RATE_MAX:,.0f} a second, or max")
    return value


def crisis(text: str) -> Crisis:
    """Return the crisis of `BRAND@+30s` (to the end), `…/2m` (for two minutes), or `…:KIND` of a kind."""
    found = _CRISIS.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no crisis; write BRAND@+30s, BRAND@+30s/2m for two minutes, or BRAND@+30s/2m:outage"
        )
    kind = found["kind"] or ""
    if kind and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is no kind of crisis; there are {', '.join(KINDS)}")
    from_ms = duration_ms(found["start"])
    until_ms = from_ms + duration_ms(found["lasts"]) if found["lasts"] else math.inf
    return crisis_of(found["brand"], from_ms, until_ms, kind)


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
Speed = Annotated[float, _time("Divide the gaps between mentions; max does not wait.", "60x|max", speed)]
GapMax = Annotated[float | None, _time("Wait no longer than this for a mention.", "5s", duration_ms)]
RebaseTo = Annotated[
    Rebase | None,
    _time("Move all times so that the first mention is at this one.", "now|TIME", rebase),
]
Anchor = Annotated[
    Literal["first", "last"] | None,
    typer.Option(
        help="Which mention --rebase moves there: the first, or with --speed max the last.",
        rich_help_panel="Time",
    ),
]
Since = Annotated[int | None, _time("Leave out what was posted before.", "TIME", moment_ms)]
Until = Annotated[int | None, _time("Leave out what was posted then or later.", "TIME", moment_ms)]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Publish no more than N.", rich_help_panel="Time")
]

# --- synthetic

Seed = Annotated[int, typer.Option(help="The same seed and --start give the same mentions.")]
Rate = Annotated[
    float,
    typer.Option(
        parser=rate, metavar="20|max", help="Mentions per second at the start; the season moves it."
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(parser=duration_ms, metavar="60s", help="How long; without it until Ctrl-C."),
]
Backfill = Annotated[
    float | None,
    typer.Option(
        parser=duration_ms,
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
        parser=crisis,
        metavar="BRAND@+30s[/5m][:KIND]",
        help="From then on (for so long) the brand has a bad time. Kinds: "
        f"{', '.join(KINDS)}; without one, what happens to it most. May be repeated.",
    ),
]
Start = Annotated[
    int | None,
    typer.Option(parser=moment_ms, metavar="TIME", help="The time of the first moment; now by default."),
]

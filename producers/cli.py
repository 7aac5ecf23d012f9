"""`produce-mentions`: publish mentions from a file, or invented ones.

Data goes to stdout, messages to stderr. Exit codes: 0 all delivered, 1 a mention was not delivered, 2 usage,
69 no broker answers, 78 unusable file or configuration, 130 or 143 stopped by a signal with all delivered.
"""

import contextlib
import importlib.metadata
import itertools
import json
import math
import signal
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.console import Console

from producers import options as option
from producers.connection import producer_settings
from producers.errors import ProduceError
from producers.feeds.columns import USUAL_NAMES
from producers.feeds.phrases import BRANDS as HAND_MADE
from producers.feeds.phrases import brands as invented_brands
from producers.feeds.replay import Pace, Rebase, play
from producers.feeds.scheduled import ScheduledRecord
from producers.feeds.synthetic import World, synthesise
from producers.recording import PlayedRange, RecordedFile, brief, open_recording, span
from producers.run import Feed, Target, now_ms, print_feed, publish_feed, sayer
from producers.topics import Creation
from stream_worker.core.records.mention import schema as mention_schema
from stream_worker.quantity import quantity

PARTITIONS = 6
BRANDS = len(HAND_MADE)

app = typer.Typer(
    name="produce-mentions",
    help="Publish mentions to Kafka: replay a file, or invent some.",
    epilog="Exit codes: 0 all delivered, 1 a mention was not delivered, 2 usage, 69 no broker answers,"
    " 78 unusable file or configuration, 130 or 143 stopped by a signal.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    app(prog_name=app.info.name)


def _print_version(requested: bool) -> None:
    if requested:
        try:
            typer.echo(importlib.metadata.version("stream-worker"))
        except importlib.metadata.PackageNotFoundError:
            typer.echo("unknown: run from a checkout that is not installed")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog="Examples:  produce-mentions replay posts.parquet --rebase now --speed 60x  |"
    "  produce-mentions replay posts.csv --brand-value Acme --network source --print | jq .text"
)
def replay(
    file: option.File,
    *,
    file_format: option.Format = None,
    id_: option.Id = None,
    id_rows: option.IdRows = False,
    id_prefix: option.IdPrefix = "",
    brand: option.Brand = None,
    brand_value: option.BrandValue = None,
    network: option.Network = None,
    network_value: option.NetworkValue = None,
    author: option.Author = None,
    text: option.Text = None,
    time: option.Time = None,
    time_format: option.TimeFormat = None,
    column: option.Column = None,
    speed: option.Speed = 1.0,
    gap_max: option.GapMax = None,
    rebase: option.RebaseTo = None,
    anchor: option.Anchor = None,
    since: option.Since = None,
    until: option.Until = None,
    limit: option.Limit = None,
    bootstrap_servers: option.Bootstrap = None,
    topic: option.Topic = "mentions",
    settings: option.Set = None,
    properties: option.Properties = None,
    create_topic: option.CreateTopic = False,
    partitions: option.Partitions = PARTITIONS,
    replication: option.Replication = -1,
    as_json: option.Json = False,
    to_stdout: option.Print = False,
) -> None:
    """Play the mentions of a file, in order of time and with the gaps between them."""
    named = _present(id=id_, brand=brand, network=network, author=author, text=text, time=time)
    fixed = _present(brand=brand_value, network=network_value)
    named |= _roles(column or ())
    _refuse_both(named, fixed, id_rows=id_rows)
    pace = Pace(speed, gap_max or math.inf, _rebase(rebase, anchor, speed))
    source = RecordedFile(file, file_format, named, fixed, id_prefix, id_rows, time_format)
    creation = Creation(partitions, replication) if create_topic else None
    with _reporting_errors() as say:
        connection = producer_settings(bootstrap_servers, settings or (), properties)
        target = Target(connection, topic, creation, as_json, to_stdout)
        _replay(source, PlayedRange(since, until, limit), pace, target, say)


@app.command(
    epilog="Example:  produce-mentions synthetic --rate 50 --duration 5m --crisis Aerovanta@+1m/2m:outage"
)
def synthetic(
    *,
    seed: option.Seed = 1,
    rate: option.Rate = 20.0,
    duration: option.Duration = None,
    count: option.Count = None,
    backfill: option.Backfill = None,
    brands: option.Brands = BRANDS,
    crisis: option.Crises = None,
    broken: option.Broken = 0.0,
    start: option.Start = None,
    bootstrap_servers: option.Bootstrap = None,
    topic: option.Topic = "mentions",
    settings: option.Set = None,
    properties: option.Properties = None,
    create_topic: option.CreateTopic = False,
    partitions: option.Partitions = PARTITIONS,
    replication: option.Replication = -1,
    as_json: option.Json = False,
    to_stdout: option.Print = False,
) -> None:
    """Invent mentions of invented brands: some copies, some duplicates, some late."""
    world = World(rate, tuple(invented_brands(brands)), tuple(crisis or ()), broken, backfill or 0.0)
    _refuse_unknown(world)
    creation = Creation(partitions, replication) if create_topic else None

    with _reporting_errors() as say:
        connection = producer_settings(bootstrap_servers, settings or (), properties)
        target = Target(connection, topic, creation, as_json, to_stdout)
        lasts = "until stopped" if duration is None else f"for {span(duration)}"
        speed = (
            "as many mentions as can be sent" if rate == option.RATE_MAX else f"{rate:g} mentions a second"
        )
        past = f"{span(backfill)} of the past first, then " if backfill else ""
        say(f"inventing {past}{speed} about {quantity(brands, 'brand')} {lasts}, seed {seed}")

        def feed(start_ms: int) -> Iterator[ScheduledRecord]:
            endless = synthesise(world, seed, start_ms if start is None else start)
            timely = itertools.takewhile(lambda record: duration is None or record.at_ms < duration, endless)
            return _announce_live(itertools.islice(timely, count), say)

        _deliver(feed, target, count, lambda: 0, say)


@app.command()
def schema() -> None:
    """Write the JSON Schema of a mention to stdout."""
    typer.echo(json.dumps(mention_schema(), indent=2, ensure_ascii=False))


def _replay(
    source: RecordedFile, played: PlayedRange, pace: Pace, target: Target, say: Callable[[str], None]
) -> None:
    say(f"reading {source.file}")
    opened = open_recording(source, played)
    in_memory = opened.recording.last_ms is not None
    if pace.rebase is not None and pace.rebase.anchor_last and not in_memory:
        raise typer.BadParameter(f"--anchor last: {source.file} is too long to know its last time")
    for line in brief(opened, pace, now_ms()):
        say(line)
    skipped = opened.reader.skipped
    try:
        _deliver(
            lambda start_ms: play(opened.recording, start_ms, pace),
            target,
            opened.recording.total,
            lambda: skipped.rows,
            say,
        )
    finally:
        for line in [] if in_memory else skipped.lines():  # those of a file in memory were printed before
            say(line)


def _deliver(
    feed: Feed, target: Target, total: int | None, skipped: Callable[[], int], say: Callable[[str], None]
) -> None:
    if target.to_stdout:
        raise typer.Exit(print_feed(feed))
    raise typer.Exit(publish_feed(feed, target, total, skipped, say))


@contextlib.contextmanager
def _reporting_errors() -> Iterator[Callable[[str], None]]:
    """Yield a function that prints a line on stderr; an error becomes one line and an exit code."""
    say = sayer(Console(stderr=True))
    try:
        yield say
    except ProduceError as error:
        say(f"produce-mentions: {error}")
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        say("interrupted before anything was sent")
        raise typer.Exit(128 + signal.SIGINT) from error


def _announce_live(
    records: Iterator[ScheduledRecord], say: Callable[[str], None]
) -> Iterator[ScheduledRecord]:
    filled = 0
    for record in records:
        if record.record_ms is not None:
            filled += 1
        elif filled:
            say(f"filled in the past with {quantity(filled, 'record')}; live from here on")
            filled = 0
        yield record
    if filled:
        say(f"filled in the past with {quantity(filled, 'record')}; nothing live was asked for")


def _present(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _roles(pairs: list[str] | tuple[()]) -> dict[str, str]:
    named = {}
    for pair in pairs:
        role, equals, column = pair.partition("=")
        if not equals or not column or role not in USUAL_NAMES:
            raise typer.BadParameter(f"--column {pair}: write ROLE=COL; roles are {', '.join(USUAL_NAMES)}")
        named[role] = column
    return named


def _refuse_both(named: dict[str, str], fixed: dict[str, str], *, id_rows: bool) -> None:
    for role in fixed.keys() & named.keys():
        raise typer.BadParameter(f"--{role} and --{role}-value exclude each other")
    if id_rows and "id" in named:
        raise typer.BadParameter("--id and --id-rows exclude each other")


def _rebase(rebase: Rebase | None, anchor: str | None, speed: float) -> Rebase | None:
    if rebase is None:
        if anchor is not None:
            raise typer.BadParameter("--anchor means nothing without --rebase")
        return None
    if rebase.to_ms is None and math.isinf(speed) and anchor == "first":
        raise typer.BadParameter(
            "--speed max sends all at once: with the first mention now the others would lie ahead of"
            " the clock; use --anchor last"
        )
    return rebase._replace(anchor_last=anchor == "last" or (anchor is None and math.isinf(speed)))


def _refuse_unknown(world: World) -> None:
    names = [brand.name for brand in world.brands]
    for crisis in world.crises:
        if crisis.brand not in names:
            shown = ", ".join(names[:BRANDS])
            raise typer.BadParameter(f"--crisis: there is no brand {crisis.brand!r}; there are {shown}")

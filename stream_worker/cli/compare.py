"""`stream-worker model compare`: what another model would change."""

import datetime as dt
from typing import Annotated, Any

import typer

from stream_worker.cli.output import (
    Config,
    Json,
    load_settings,
    print_json,
    print_table,
    progress_bar,
    say,
)
from stream_worker.quantity import quantity

BRANDS_SHOWN = 20
ALERT = ("brand", "opened_at", "resolved_at", "peak_score", "escalated")
MODEL_HELP = "Name of a shipped model, or PATH.joblib@PIN."


def _hour(text: str) -> int:
    """Read YYYY-MM-DD or YYYY-MM-DDTHH as ms."""
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H"):
        try:
            return int(dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC).timestamp() * 1000)
        except ValueError:
            continue
    raise typer.BadParameter("must be a day, YYYY-MM-DD, or an hour, YYYY-MM-DDTHH (UTC)")


def compare(
    a: Annotated[str, typer.Argument(help=MODEL_HELP)],
    b: Annotated[str, typer.Argument(help=MODEL_HELP)],
    config: Config = None,
    *,
    on: Annotated[
        str | None, typer.Option(help="Folder or URL of an archive; else the configured one.")
    ] = None,
    start: Annotated[
        int | None, typer.Option("--from", parser=_hour, metavar="DAY|HOUR", help="First hour, UTC.")
    ] = None,
    end: Annotated[
        int | None,
        typer.Option("--to", parser=_hour, metavar="DAY|HOUR", help="First hour left out, UTC."),
    ] = None,
    sample: Annotated[
        float, typer.Option(min=0.0001, max=1.0, help="Share of the mentions; below 1 without alerts.")
    ] = 1.0,
    examples: Annotated[
        int, typer.Option(min=0, max=100, help="Texts to print for each change of label.")
    ] = 3,
    as_json: Json = False,
) -> None:
    """Score an archive by two models, and print what would change.

    That is: how far each brand shifts, which labels change, with texts, and which
    alerts. Nothing is written and nothing is sent. Exit code 78 if a model is
    refused.
    """
    settings = load_settings(config).settings
    from stream_worker.backtest import compare_models  # noqa: PLC0415

    options = compare_models.ComparisonOptions(
        a, b, start or 0, end or compare_models.NO_END_MS, sample, examples
    )
    with progress_bar() as progress:
        comparison = compare_models.compare(compare_models.on_archive(settings, on), options, progress)
    answer = compare_models.as_json(comparison, options)
    if as_json:
        print_json(answer)
    else:
        _print(answer)


def _print(answer: dict[str, Any]) -> None:
    print_table([{"": name, **answer[name]} for name in "ab"], ("", "model", "version"))
    if not answer["rows"]:
        say("no mention in this span of the archive")
        return
    part = "" if answer["sample"] >= 1 else f", a sample of {answer['sample']:.2%}"
    typer.echo(
        f"\n{quantity(answer['rows'], 'mention')} of {quantity(len(answer['brands']), 'brand')}{part}; "
        f"{answer['agree']:.1%} get the same label"
    )
    labels = tuple(answer["changes"])
    print_table([{"a_\\_b": label, **row} for label, row in answer["changes"].items()], ("a_\\_b", *labels))
    typer.echo("\nBrands whose net sentiment moves most")
    columns = ("brand", "mentions", "negative_a", "negative_b", "net_a", "net_b", "difference")
    print_table([_brand(one) for one in answer["brands"][:BRANDS_SHOWN]], columns)
    if answer["examples"]:
        typer.echo("\nTexts on which they are furthest apart")
        print_table([_example(one) for one in answer["examples"]], ("a", "b", "sentiment", "brand", "text"))
    _print_alerts(answer["alerts"])


def _print_alerts(alerts: dict[str, Any] | None) -> None:
    if alerts is None:
        typer.echo("\nAlerts: not known of a sample")
        return
    same = alerts["a"] - len(alerts["only_a"])
    typer.echo(f"\nAlerts: {alerts['a']} by a, {alerts['b']} by b; {same} of those by a are also by b")
    for name in "ab":
        if alerts[f"only_{name}"]:
            typer.echo(f"only by {name}")
            print_table(alerts[f"only_{name}"], ALERT)


def _brand(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "brand": one["brand"] or "(further brands)",
        "mentions": one["mentions"],
        "negative_a": f"{one['share_a']['negative']:.1%}",
        "negative_b": f"{one['share_b']['negative']:.1%}",
        "net_a": _signed(one["net_a"]),
        "net_b": _signed(one["net_b"]),
        "difference": _signed(one["net_difference"]),
    }


def _example(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "sentiment": f"{one['sentiment_a']:+.2f} {one['sentiment_b']:+.2f}"}


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"

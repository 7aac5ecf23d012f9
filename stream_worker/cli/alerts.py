"""`stream-worker alerts`: what people were told."""

from typing import Annotated

import typer

from stream_worker.cli.backtest import backtest
from stream_worker.cli.output import Config, Json, load_settings, print_json, print_table, say

COLUMNS = ("minute", "kind", "brand", "episode", "reason")

app = typer.Typer(help="Look at alerts.", no_args_is_help=True)
app.command("backtest")(backtest)


@app.command("list")
def list_alerts(
    config: Config = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="The newest N messages.")] = 20,
    as_json: Json = False,
) -> None:
    """Print the newest messages, oldest first: what was told, or missed, of which brand and why."""
    settings = load_settings(config).settings
    from stream_worker.notifier import process  # noqa: PLC0415

    messages = process.newest_messages(settings, limit)
    if as_json:
        print_json(messages)
        return
    print_table(messages, COLUMNS)
    if not messages:
        say("no alerts")

"""`stream-worker alerts`: the messages that people were sent, and those they would have been sent."""

from typing import Annotated

import typer

from stream_worker.cli.backtest import backtest
from stream_worker.cli.output import Config, Json, load_settings, print_json, print_table, say

COLUMNS = ("minute", "kind", "brand", "episode", "reason")

app = typer.Typer(help="List the newest alerts, or replay the past.", no_args_is_help=True)
app.command("backtest")(backtest)


@app.command("list")
def list_alerts(
    config: Config = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Print at most this many.")] = 20,
    as_json: Json = False,
) -> None:
    """Print the newest messages, oldest first: kind, brand, episode and reason.

    A message of the kind `missed` was not sent: its episode was over before a notifier looked.
    """
    settings = load_settings(config).settings
    from stream_worker.notifier import process  # noqa: PLC0415

    messages = process.newest_messages(settings, limit)
    if as_json:
        print_json(messages)
        return
    print_table(messages, COLUMNS)
    if not messages:
        say("no alerts")

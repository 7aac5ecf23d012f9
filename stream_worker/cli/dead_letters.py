"""`stream-worker dead-letters`: the rejected records, each with its reason."""

from typing import Annotated

import typer

from stream_worker.cli.output import Config, Json, load_settings, print_json, print_table, say

COLUMNS = ("topic", "partition", "offset", "time", "reason", "field", "error", "bytes")

app = typer.Typer(help="List rejected records.", no_args_is_help=True)


@app.command("list")
def list_letters(
    config: Config = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Print at most this many.")] = 20,
    as_json: Json = False,
) -> None:
    """Print the newest dead letters: origin and reason, never the text."""
    settings = load_settings(config).settings
    from stream_worker.admin import dead_letters as admin_dead_letters  # noqa: PLC0415

    letters = [letter._asdict() for letter in admin_dead_letters.newest_dead_letters(settings, limit)]
    if as_json:
        print_json(letters)
        return
    print_table(letters, COLUMNS)
    if not letters:
        say("no dead letters")

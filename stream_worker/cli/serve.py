"""`stream-worker serve`: the page and the API, until they are stopped."""

import typer

from stream_worker.cli.output import Config, load_settings


def serve(config: Config = None) -> None:
    """Serve page, REST API and live feed until SIGTERM or Ctrl-C.

    It only reads Redis; start as many as you like.
    """
    settings = load_settings(config).settings
    from stream_worker.api import server  # noqa: PLC0415

    raise typer.Exit(server.serve(settings))

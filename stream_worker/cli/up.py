"""`stream-worker up`: everything a small installation needs, in one command."""

import typer

from stream_worker.cli.output import Config, load_settings


def up(config: Config = None) -> None:
    """Run worker, notifier and API together until SIGTERM or Ctrl-C.

    When one of them ends by itself, the others are stopped and its exit code is
    returned.
    """
    settings = load_settings(config).settings
    from stream_worker import supervisor  # noqa: PLC0415

    raise typer.Exit(supervisor.run_all(settings, config))

"""`stream-worker run`: one worker, until it is stopped."""

import typer

from stream_worker.cli.output import Config, load_settings


def run(config: Config = None) -> None:
    """Run one worker until SIGTERM or Ctrl-C.

    Start as many as there are partitions, anywhere: they share the work.
    """
    settings = load_settings(config).settings
    from stream_worker.worker.process import run_worker  # noqa: PLC0415

    raise typer.Exit(run_worker(settings))

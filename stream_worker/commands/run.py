"""`stream-worker run`: work until told to stop."""

import typer

from stream_worker.commands.options import Config, load_settings


def run(config: Config = None) -> None:
    """Run one worker until SIGTERM or Ctrl-C.

    Start as many as there are partitions, anywhere: they share the work.
    """
    settings = load_settings(config).settings
    from stream_worker.leaving_out import leave_out  # noqa: PLC0415

    leave_out("pandas")
    from stream_worker import wiring  # noqa: PLC0415

    raise typer.Exit(wiring.run_worker(settings))

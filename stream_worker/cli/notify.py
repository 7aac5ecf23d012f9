"""`stream-worker notify`: tell people of episodes, until told to stop."""

import typer

from stream_worker.cli.output import Config, load_settings


def notify(config: Config = None) -> None:
    """Deliver alerts until SIGTERM or Ctrl-C: signed webhooks, and one JSON a line on standard output.

    It needs Redis and the archive's store. A second one stands by.
    """
    settings = load_settings(config).settings
    from stream_worker.notifier import process  # noqa: PLC0415

    raise typer.Exit(process.run_notifier(settings))

"""`stream-worker notify`: sends alerts until it is stopped."""

import typer

from stream_worker.cli.output import Config, load_settings


def notify(config: Config = None) -> None:
    """Deliver alerts until SIGTERM or Ctrl-C.

    By signed webhooks, and on standard output as one JSON object a line. It needs
    Redis and the archive's store. A second notifier stands by.
    """
    settings = load_settings(config).settings
    from stream_worker.notifier import process  # noqa: PLC0415

    raise typer.Exit(process.run_notifier(settings))

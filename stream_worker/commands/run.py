"""`stream-worker run`: work until told to stop."""

import sys
from types import SimpleNamespace

import typer

from stream_worker.commands.options import Config, load_settings


def run(config: Config = None) -> None:
    """Run one worker until SIGTERM or Ctrl-C.

    Start as many as there are partitions, anywhere: they share the work.
    """
    settings = load_settings(config).settings
    _leave_out("pandas")
    from stream_worker import wiring  # noqa: PLC0415

    raise typer.Exit(wiring.run_worker(settings))


def _leave_out(module: str) -> None:
    """Let a module look as if it were not installed.

    The daily batch needs pandas. A worker does not, but pyarrow and scikit-learn import it wherever they find
    it: half a second, and 50 MB for as long as the worker lives.
    """

    def find_spec(name: str, path: object = None, target: object = None) -> None:  # noqa: ARG001  the import system's
        if name == module:
            raise ModuleNotFoundError(f"{module} is left out of the worker", name=name)

    sys.meta_path.insert(0, SimpleNamespace(find_spec=find_spec))

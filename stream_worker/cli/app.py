"""`stream-worker`: the processes of the system, and the commands that inspect it.

Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 69 a server does not
answer, 78 a setting, a right or the model does not fit, 130 stopped by Ctrl-C.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from stream_worker.cli import (
    alerts,
    audit,
    check,
    config,
    daily,
    dead_letters,
    demo,
    explain,
    model,
    notify,
    predict,
    reference,
    run,
    serve,
    skip,
    up,
)
from stream_worker.errors import StreamWorkerError

_DEBUG = "--debug"
_INTERRUPTED = 130

app = typer.Typer(
    name="stream-worker",
    help="What the public says about your brands, within a minute, and exactly.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 69 a server does not answer, "
    "78 a setting, a right or the model does not fit.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(run.run)
app.command()(up.up)
app.command()(notify.notify)
app.command()(serve.serve)
app.command()(check.check)
app.command()(audit.audit)
app.command()(skip.skip)
app.command()(demo.demo)
app.command()(explain.explain)
app.command()(daily.daily)
app.command()(predict.predict)
app.add_typer(alerts.app, name="alerts")
app.add_typer(config.app, name="config")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(model.app, name="model")
app.add_typer(reference.app, name="reference")


def main() -> None:
    """Run the command line; every error is one line, and its exit code says what must be done."""
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(arguments, prog_name="stream-worker")
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:  # noqa: BLE001  the last resort: one line, and an exit code
        if debug:
            traceback.print_exc()
        typer.echo(f"stream-worker: {_line(error)}", err=True)
        sys.exit(error.exit_code if isinstance(error, StreamWorkerError) else 1)


def _line(error: Exception) -> str:
    if isinstance(error, StreamWorkerError):
        return " ".join(str(error).split())
    # A bug. Its message may hold anything, a mention's text included; where it happened does not.
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"unexpected {type(error).__name__} at {Path(last.filename).name}:{last.lineno}; {_DEBUG} shows more"
    )


def _print_version(is_set: bool) -> None:
    if is_set:
        from stream_worker.version import VERSION  # noqa: PLC0415

        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option(_DEBUG, help="Show where an error comes from; may stand anywhere.")
    ] = False,
) -> None:
    pass

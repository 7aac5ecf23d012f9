"""`stream-worker skip`: leave records out, on the record."""

import sys
from typing import Annotated

import typer

from stream_worker.cli.output import Config, load_settings, say


def skip(
    partition: Annotated[int, typer.Option(min=0, help="The partition.")],
    to_offset: Annotated[int, typer.Option(min=0, help="First offset that is not left out.")],
    why: Annotated[str, typer.Option(help="The reason; it is stored for good.")],
    config: Config = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Leave out the records of a partition up to an offset.

    They are neither counted nor archived; the archive notes the range and the
    reason. A skip cannot be undone: resetting offsets of the consumer group
    changes nothing.
    """
    if not why.strip():
        raise typer.BadParameter("say why, in a few words", param_hint="--why")
    settings = load_settings(config).settings
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("nobody is here to be asked; add --yes", param_hint="--yes")
        question = f"Leave out partition {partition} of {settings.kafka.topic} up to offset {to_offset}?"
        typer.confirm(question, abort=True, err=True)
    from stream_worker.admin import skip as admin_skip  # noqa: PLC0415

    say(admin_skip.skip_records(settings, partition, to_offset, why.strip()))

"""`stream-worker reference`: pages made from code, as they stand in docs/ and config/."""

import typer

app = typer.Typer(help="Print the pages that are made from code.", no_args_is_help=True)


@app.command()
def configuration() -> None:
    """Print docs/configuration.md: every setting."""
    from stream_worker.cli import reference_pages  # noqa: PLC0415

    typer.echo(reference_pages.configuration_page(), nl=False)


@app.command()
def metrics() -> None:
    """Print docs/metrics.md: every metric."""
    from stream_worker.cli import reference_pages  # noqa: PLC0415

    typer.echo(reference_pages.metrics_page(), nl=False)


@app.command()
def defaults() -> None:
    """Print config/default.toml: every setting with its default."""
    from stream_worker.cli import reference_pages  # noqa: PLC0415

    typer.echo(reference_pages.default_file(), nl=False)

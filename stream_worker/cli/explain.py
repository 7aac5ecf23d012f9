"""`stream-worker explain`: why a text gets its score."""

import sys
from typing import Annotated, Any

import typer

from stream_worker.cli.output import Config, Json, load_settings, print_json, print_table, printable

BAR_WIDTH = 20
READ_CHARS_MAX = 100_000


def explain(
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input.")],
    config: Config = None,
    *,
    as_json: Json = False,
) -> None:
    """Print what each word of a text did to its score. Exit code 78 if the model is refused."""
    if text == "-":
        text = sys.stdin.read(READ_CHARS_MAX).rstrip("\n")
    text = text.encode(errors="replace").decode()  # a shell hands on bytes that are no UTF-8
    settings = load_settings(config).settings
    from stream_worker.inference import explainer  # noqa: PLC0415

    try:
        found = explainer.as_json(explainer.Explainer(settings).explain(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="TEXT") from None
    if as_json:
        print_json(found)
        return
    typer.echo(_headline(found))
    if found["log_odds"] is not None:
        together = found["log_odds"] - found["rest"]
        typer.echo(
            f"log odds of {found['explained']}: {found['log_odds']:+.2f} = words {together:+.2f}, "
            f"all else {found['rest']:+.2f}"
        )
        largest = max((abs(of["weight"]) for of in found["words"]), default=0.0)
        print_table([_row(of, largest) for of in found["words"]], ("word", "weight", "for_or_against"))


def _headline(found: dict[str, Any]) -> str:
    parts = [found["label"]]
    if found["probability"] is not None:
        parts.append(", ".join(f"{name} {p:.0%}" for name, p in found["probability"].items()))
    if found["why"] is not None:
        parts.append(printable(found["why"]))
    return f"{'; '.join(parts)} ({found['model']})"


def _row(of: dict[str, Any], largest: float) -> dict[str, str]:
    weight = of["weight"]
    bar = ("+" if weight > 0 else "-") * round(BAR_WIDTH * abs(weight) / largest) if largest else ""
    return {"word": of["word"], "weight": f"{weight:+.2f}", "for_or_against": bar}

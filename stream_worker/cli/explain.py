"""`stream-worker explain`: why a text gets its score."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stream_worker.cli.output import Config, Json, load_settings, print_json, print_table, printable

if TYPE_CHECKING:
    from models.explain import Explanation

BAR_WIDTH = 20
READ_CHARS_MAX = 100_000


def explain(
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input.")],
    config: Config = None,
    *,
    as_json: Json = False,
) -> None:
    """Print what each word of a text did to its score.

    Exit code 78 if the model is refused.
    """
    if text == "-":
        text = sys.stdin.read(READ_CHARS_MAX).rstrip("\n")
    text = text.encode(errors="replace").decode()  # a shell hands on bytes that are no UTF-8
    settings = load_settings(config).settings
    from stream_worker.inference import explainer  # noqa: PLC0415

    try:
        explanation = explainer.rounded(explainer.Explainer(settings).explain(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="TEXT") from None
    if as_json:
        print_json(asdict(explanation))
    else:
        _show(explanation)


def _show(explanation: "Explanation") -> None:
    """Print the label, and each word with its weight."""
    typer.echo(_headline(explanation))
    if explanation.log_odds is None or explanation.rest is None:
        return
    together = explanation.log_odds - explanation.rest
    typer.echo(
        f"log odds of {explanation.explained}: {explanation.log_odds:+.2f} = words {together:+.2f}, "
        f"all else {explanation.rest:+.2f}"
    )
    weights = [(word.word, word.weight or 0.0) for word in explanation.words]
    largest = max((abs(weight) for _, weight in weights), default=0.0)
    print_table(
        [_row(word, weight, largest) for word, weight in weights], ("word", "weight", "for_or_against")
    )


def _headline(explanation: "Explanation") -> str:
    facts = [explanation.label]
    if explanation.probability is not None:
        facts.append(", ".join(f"{name} {p:.0%}" for name, p in explanation.probability.items()))
    if explanation.why is not None:
        facts.append(printable(explanation.why))
    return f"{'; '.join(facts)} ({explanation.model})"


def _row(word: str, weight: float, largest: float) -> dict[str, str]:
    bar = ("+" if weight > 0 else "-") * round(BAR_WIDTH * abs(weight) / largest) if largest else ""
    return {"word": word, "weight": f"{weight:+.2f}", "for_or_against": bar}

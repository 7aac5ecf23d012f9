"""The report on a model as Markdown: every figure in it is measured by the run that writes it.

Rules:
1. All scorers see the same texts in the same process on one thread; speed is that of `models/benchmark.py`.
2. A published figure is named as such and never stands in a column of measured ones.
3. What fails is listed with examples, not left out.
"""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models import benchmark, registry
from models.behaviour import suite as behaviour_suite
from models.behaviour.run import Behaviour, behave
from models.benchmark import Speed
from models.evaluate import BATCH_ROWS, Quality, evaluate
from models.reporting import figures
from models.reporting.baselines import PUBLISHED, scikit_defaults, vader
from models.scorers.scores import UNSCORED, Scorer
from models.training.dataset import Labelled, read, read_held_out

HELD_OUT: Final = ("semeval_val", "tse_test", "goemotions_dev")
RIVAL_TRAINED_ON: Final = "semeval_train"
PLOTTED: Final = "semeval_val"  # tweets of the collection that the published figures are about
EXAMPLES: Final = 3
PASSES: Final = 3

_TEMPLATE: Final = """\
# Report: {name}

Version `{version}`, made {created}. Written by `python -m models report`; every figure was measured by that
run, in one process on one thread, and is a fraction unless it says otherwise.

## Quality

{quality}

No set here trained the shipped model. *scikit-learn defaults* is TF-IDF of words and pairs with logistic
regression, all settings as they come, fitted on `{rival}`. VADER gives no probabilities, so it has no
calibration.

## Speed

Texts per second of CPU time for the whole call, batches of {batch:,}, the best of {passes} passes in which
the scorers take turns, on {machine}. A scorer that is not compiled gets the first texts only.

{speed}

![Macro recall over speed]({images}/model-quality-speed.svg)

Published, on another set (TweetEval's sentiment test), macro recall: {published}.
These models were not run here, and their speed is not known.

## Where it errs

![Confusion by set]({images}/model-confusion.svg)

Rows are what people said, columns what the model says. Below: how often it is right by how sure it is; a dot
is a fifteenth of the scale of confidence, as large as it has texts.

![Reliability by set]({images}/model-reliability.svg)

## Behaviour

Templates times brands from `models/behaviour/suite.toml`, committed before the model and never trained on.

{behaviour}

What fails, by example:

{failures}
"""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One scorer on one set."""

    scorer: str
    held_out: str
    quality: Quality


def report(model: Path, pin: str | None, data: Path, out: Path, images: Path, say: Say) -> None:
    """Measure a model on the held-out sets of `data`; write `out` and its plots into `images`.

    Raises ModelRefused and DataUnusable.
    """
    held_out = read_held_out(data, HELD_OUT, say)
    shipped = registry.load(model, pin)
    scorers = _scorers(shipped, model, pin, data, say)
    measured = []
    for name, scorer in scorers.items():
        for held, texts in held_out.items():
            say(f"{name} on {held}")
            measured.append(Measured(name, held, evaluate(scorer, texts.texts, texts.labels)))
    say("speed and behaviour")
    every = [text for texts in held_out.values() for text in texts.texts]
    speeds = benchmark.measure(scorers, every, PASSES)
    behaviour = behave(shipped, behaviour_suite.load())
    _plot(images, shipped, held_out, measured, speeds)
    text = _document(model, shipped, measured, speeds, behaviour, Path(os.path.relpath(images, out.parent)))
    out.write_text(text, encoding="utf-8")


def _scorers(shipped: Scorer, model: Path, pin: str | None, data: Path, say: Say) -> dict[str, Scorer]:
    """Return the scorers by the names they have in the report, the shipped one first."""
    found = {"shipped": shipped}
    if not shipped.version.endswith("-sk"):
        found["shipped, by scikit-learn"] = registry.load(model, pin, compiled=False)
    if (rival := data / f"{RIVAL_TRAINED_ON}.parquet").exists():
        found["scikit-learn defaults"] = scikit_defaults(read(rival))
    else:
        say(f"no {rival}: scikit-learn's defaults are not measured")
    return found | vader(say)


def _plot(
    images: Path,
    shipped: Scorer,
    held_out: Mapping[str, Labelled],
    measured: Sequence[Measured],
    speeds: Sequence[Speed],
) -> None:
    ours = {one.held_out: one.quality for one in measured if one.scorer == "shipped"}
    figures.confusions(
        images / "model-confusion.svg", {name: quality.confusion for name, quality in ours.items()}
    )
    pairs = {}
    for name, texts in held_out.items():
        parts = [
            shipped.score(texts.texts[start : start + BATCH_ROWS])
            for start in range(0, len(texts), BATCH_ROWS)
        ]
        scored = np.concatenate([part.label for part in parts]) != UNSCORED
        probability = np.concatenate([part.probability for part in parts])
        pairs[name] = (probability[scored], texts.labels[scored])
    figures.reliability(images / "model-reliability.svg", pairs)
    chosen = PLOTTED if PLOTTED in held_out else next(iter(held_out))
    speed_of = {speed.name: speed.texts_per_cpu_second for speed in speeds}
    points = {
        one.scorer: (one.quality.macro_recall, speed_of[one.scorer])
        for one in measured
        if one.held_out == chosen
    }
    figures.quality_and_speed(images / "model-quality-speed.svg", points, PUBLISHED, chosen)


def _document(
    model: Path,
    shipped: Scorer,
    measured: Sequence[Measured],
    speeds: Sequence[Speed],
    behaviour: Mapping[str, Behaviour],
    images: Path,
) -> str:
    manifest = registry.read_manifest(model)
    return _TEMPLATE.format(
        name=manifest.name,
        version=shipped.version,
        created=manifest.created,
        batch=BATCH_ROWS,
        machine=f"{platform.machine()} with {os.cpu_count()} cores, Python {platform.python_version()}",
        quality="\n".join(_quality_table(measured)),
        speed="\n".join(_speed_table(speeds)),
        passes=PASSES,
        rival=RIVAL_TRAINED_ON,
        images=images,
        published=", ".join(f"{name} {recall:.3f}" for name, recall in PUBLISHED.items()),
        behaviour="\n".join(_behaviour_table(behaviour)),
        failures="\n".join(_failures(behaviour)),
    )


def _quality_table(measured: Sequence[Measured]) -> list[str]:
    columns = "scorer, set, rows, macro recall, accuracy, macro F1, ECE, coverage, uncertain"
    lines = [f"| {columns.replace(', ', ' | ')} |", "|---|---|" + "---:|" * 7]
    for one in measured:
        it = one.quality
        ece = "-" if one.scorer == "VADER" else f"{it.ece:.3f}"
        lines.append(
            f"| {one.scorer} | `{one.held_out}` | {it.rows:,} | {it.macro_recall:.3f} | {it.accuracy:.3f} "
            f"| {it.macro_f1:.3f} | {ece} | {it.coverage:.4f} | {it.uncertain:.3f} |"
        )
    return lines


def _speed_table(speeds: Sequence[Speed]) -> list[str]:
    lines = [
        "| scorer | version | texts | characters a text | texts per CPU-second |",
        "|---|---|---:|---:|---:|",
    ]
    for it in speeds:
        fastest = f"{it.texts_per_cpu_second:,.0f}"
        lines.append(f"| {it.name} | `{it.version}` | {it.texts:,} | {it.chars:.0f} | {fastest} |")
    return lines


def _behaviour_table(behaviour: Mapping[str, Behaviour]) -> list[str]:
    lines = ["| group | cases | right | wanted | |", "|---|---:|---:|---:|---|"]
    for name, it in behaviour.items():
        wanted = "-" if it.target is None else f"{it.target:.0%}"
        verdict = "" if it.target is None else "reached" if it.right >= it.target else "**missed**"
        lines.append(f"| {name} | {it.cases} | {it.right:.0%} | {wanted} | {verdict} |")
    return lines


def _failures(behaviour: Mapping[str, Behaviour]) -> list[str]:
    lines = []
    for name, it in behaviour.items():
        if it.wrong:
            examples = "; ".join(f"`{text}`" for text in it.wrong[:EXAMPLES])
            lines.append(f"* {name}, {1 - it.right:.0%} wrong: {examples}")
    return lines or ["* nothing"]

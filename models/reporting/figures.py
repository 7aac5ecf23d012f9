"""The plots of the report, as SVG: the same numbers give the same bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from models.evaluate import ECE_BINS
from models.scorers.scores import CLASSES

INK, LINE, OURS, OTHER, SURFACE = "#4a505a", "#e3e0da", "#1a66aa", "#8b919b", "#ffffff"
LABEL_HEIGHT: Final = 0.006
_STYLE: Final[Any] = {
    "svg.hashsalt": "stream-worker",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "xtick.color": INK,
    "ytick.color": INK,
}

Array = npt.NDArray[Any]


def confusions(path: Path, by_set: Mapping[str, Sequence[Sequence[int]]]) -> None:
    """One matrix a set: of the texts of a class (row), the share that was taken for each class."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(2.6 * len(by_set), 2.7), layout="constrained")
        for number, (name, counts) in enumerate(by_set.items(), 1):
            axes = figure.add_subplot(1, len(by_set), number)
            share = np.array(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
            axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
            for row in range(len(CLASSES)):
                for column in range(len(CLASSES)):
                    value = share[row, column]
                    colour = SURFACE if value > 0.5 else INK
                    axes.text(column, row, f"{value:.0%}", ha="center", va="center", color=colour)
            axes.set_title(name)
            axes.set_xticks(range(len(CLASSES)), CLASSES)
            axes.set_yticks(range(len(CLASSES)), CLASSES if number == 1 else [""] * len(CLASSES))
            axes.tick_params(length=0)
        _save(figure, path)


def reliability(path: Path, by_set: Mapping[str, tuple[Array, Array]]) -> None:
    """Confidence against accuracy in the 15 bins of the ECE; `by_set` holds probabilities and truths."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(2.6 * len(by_set), 2.7), layout="constrained")
        for number, (name, (probability, truth)) in enumerate(by_set.items(), 1):
            axes = figure.add_subplot(1, len(by_set), number)
            confidence = probability.max(axis=1)
            right = probability.argmax(axis=1) == truth
            bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
            rows = np.bincount(bins, minlength=ECE_BINS)
            used = rows > 0
            at = (np.bincount(bins, confidence, ECE_BINS)[used]) / rows[used]
            accuracy = np.bincount(bins, right, ECE_BINS)[used] / rows[used]
            axes.plot([0, 1], [0, 1], color=LINE)
            axes.scatter(at, accuracy, s=120 * rows[used] / rows.max() + 4, color=OURS, alpha=0.8, lw=0)
            axes.set(xlim=(0.3, 1), ylim=(0.3, 1), title=name, xlabel="confidence")
            axes.set_ylabel("right" if number == 1 else "")
            axes.spines[["top", "right"]].set_visible(False)
        _save(figure, path)


def quality_and_speed(
    path: Path, measured: Mapping[str, tuple[float, float]], published: Mapping[str, float], held_out: str
) -> None:
    """Macro recall over texts per CPU-second; published figures are lines: another set, no speed."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.0, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for recall, names in _side_by_side(published):
            axes.axhline(recall, color=LINE, lw=1, zorder=0)
            axes.text(1.01, recall, names, transform=axes.get_yaxis_transform(), va="center", fontsize=7)
        for name, (recall, speed) in measured.items():
            ours = name.startswith("shipped")
            axes.plot(speed, recall, "o", color=OURS if ours else OTHER, ms=7)
            axes.annotate(name, (speed, recall), (0, 7), textcoords="offset points", ha="center")
        axes.set_xscale("log")
        axes.set_title("lines: published, on TweetEval's test, speed unknown", loc="right", fontsize=7)
        axes.set(xlabel="texts per CPU-second, one core", ylabel=f"macro recall, {held_out}")
        axes.margins(0.15)
        axes.spines[["top", "right"]].set_visible(False)
        _save(figure, path)


def _side_by_side(published: Mapping[str, float]) -> list[tuple[float, str]]:
    """Return height and label of each line; names that would lie on each other share one."""
    lines: list[tuple[float, str]] = []
    for name, recall in sorted(published.items(), key=lambda item: item[1]):
        if lines and recall - lines[-1][0] < LABEL_HEIGHT:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]}, {name}")
        else:
            lines.append((recall, name))
    return lines


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})

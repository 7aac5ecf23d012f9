"""Plots of the daily report: matplotlib, as SVG inside the page. They hold numbers only, never a name.

Rules:
1. Orange is negative, blue is positive, grey is neither; what is uncertain or unscored is hatched.
2. The same numbers give the same bytes: no date, no random ids.
"""

import io
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

NEG, POS, NEU, UNSURE = "#b8420f", "#1a66aa", "#c9c5bd", "#8b919b"
TEXT, LINE, SCALE, SURFACE = "#4a505a", "#e3e0da", "#b9b4aa", "#ffffff"
_STYLE: Final[Any] = {  # matplotlib's type is a literal of all its settings
    "svg.hashsalt": "stream-worker",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "lines.solid_capstyle": "butt",
    "text.color": TEXT,
    "axes.edgecolor": LINE,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "hatch.linewidth": 0.6,
}
HOURS: Final = range(24)
EDGES: Final = [hour - 0.5 for hour in range(25)]
_WIDE_IN, _BAR_PT = 7.0, 16.0  # a bar is a thick line: a few artists are drawn in a tenth of the time


def day_chart(neg: Sequence[int], other: Sequence[int], pos: Sequence[int], unsure: Sequence[int]) -> str:
    """Mentions by hour, stacked: negative at the bottom, then neutral, positive, uncertain or unscored."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(2.4)
        bottom = [0] * 24
        for values, colour in ((neg, NEG), (other, NEU), (pos, POS)):
            top = _sums(bottom, values)
            axes.vlines(HOURS, bottom, top, colors=colour, linewidth=_BAR_PT)
            bottom = top
        top = _sums(bottom, unsure)
        axes.stairs(top, EDGES, baseline=bottom, fill=True, fc=SURFACE, hatch="////", ec=UNSURE, lw=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_ylim(0, max(*top, 1) * 1.06)
        return _svg(figure)


def net_chart(
    values: Sequence[float | None], lows: Sequence[float | None], highs: Sequence[float | None]
) -> str:
    """Net sentiment by hour with its 95 % interval, on the fixed scale of ± 100; empty hours stay empty."""
    points_by_style: dict[tuple[str, bool], list[tuple[int, float]]] = {}
    spans: list[tuple[int, float, float]] = []
    for hour in HOURS:
        if values[hour] is not None:
            value, low, high = (100 * (column[hour] or 0.0) for column in (values, lows, highs))
            colour = NEG if high < 0 else POS if low > 0 else TEXT
            points_by_style.setdefault((colour, high - low > 60), []).append((hour, value))
            spans.append((hour, low, high))
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(1.7)
        axes.axhline(0, color=SCALE, linewidth=0.8)
        if spans:
            at, bottoms, tops = zip(*spans, strict=True)
            axes.vlines(at, bottoms, tops, colors=SCALE, linewidth=3)
        for (colour, wide), points in points_by_style.items():
            axes.plot(*zip(*points, strict=True), "o", ms=5, mfc=SURFACE if wide else colour, mec=colour)
        axes.set_ylim(-100, 100)
        axes.set_yticks([-100, -50, 0, 50, 100], ["\u2212100", "\u221250", "0", "+50", "+100"])
        return _svg(figure)


def brand_chart(mentions: Sequence[int], negative: Sequence[int]) -> str:
    """A brand's day, small: mentions by hour, and how many of them were negative."""
    highest = max(*mentions, 1)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(2.3, 0.5))
        # Without axes: there is nothing to read off, and thirty of them would take their time
        for counts, colour in ((mentions, NEU), (negative, NEG)):
            bars = [
                [((hour + 0.5) / 24, 0), ((hour + 0.5) / 24, count / highest)]
                for hour, count in enumerate(counts)
            ]
            figure.add_artist(LineCollection(bars, colors=colour, linewidths=5.4, capstyle="butt"))
        return _svg(figure)


def _sums(one: Sequence[int], two: Sequence[int]) -> list[int]:
    return [first + second for first, second in zip(one, two, strict=True)]


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDE_IN, height_in))
    axes = figure.add_axes((0.075, 0.32 / height_in, 0.92, 1 - 0.42 / height_in))
    axes.set_xlim(-0.7, 23.7)
    axes.set_xticks(range(0, 24, 3), [f"{hour:02d}:00" for hour in range(0, 24, 3)])
    axes.tick_params(length=0)
    axes.grid(axis="y", color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :].strip()

"""Plots of the backtest: matplotlib, which comes with the extra `daily`."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stream_worker.backtest.service import BacktestResult
from stream_worker.core.detection.replay import CountSeries
from stream_worker.core.time import MINUTE_MS


def plot(brand: str, series: CountSeries, result: BacktestResult, path: Path) -> None:
    """Draw a brand's hours with its episodes; the name's ending decides the format (.svg or .png)."""
    hours = series.minutes // 60
    first, size = int(hours[0]), int(hours[-1] - hours[0]) + 1
    voices, negative = (
        np.bincount(hours - first, column, size) for column in (series.voices, series.neg_voices)
    )
    times = np.arange(first, first + size).astype("datetime64[h]")
    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.fill_between(times, voices, color="#b8c4d6", label="voices per hour", step="mid")
    top.fill_between(times, negative, color="#c0392b", label="negative", step="mid")
    top.set_title(brand.replace("$", r"\$"))
    top.legend(loc="upper left", frameon=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        bottom.plot(times, negative / voices, color="#c0392b", linewidth=0.8)
    bottom.set_ylabel("share negative")
    bottom.set_ylim(0, 1)
    end_ms = int(series.minutes[-1]) * MINUTE_MS
    for one in (one for one in result.episodes if one.brand == brand):
        ended_ms = end_ms if one.ended_ms is None else one.ended_ms
        for axes in (top, bottom):
            axes.axvspan(
                np.datetime64(one.opened_ms, "ms"),
                np.datetime64(ended_ms, "ms"),
                color="#f39c12",
                alpha=0.3,
                linewidth=1,
            )
    figure.savefig(path)

"""The daily report as one HTML file: no script, nothing from elsewhere, every word of others escaped.

Rules:
1. Brands and texts come from the public and are hostile. The template engine leaves out what is not printable
   and escapes whatever the template prints; the template isolates names and texts in their direction of
   writing. They never stand in an attribute or a plot. Plots alone are not escaped: they hold numbers only.
2. A number that is not certain says so: intervals, "too few", what is incomplete, before it is used.
3. The template lays out, this module computes: a value that a template names and nobody gave is an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.archive.days import Day
from stream_worker.daily.charts import brand_chart, day_chart, net_chart
from stream_worker.daily.formatting import (
    NONE,
    between,
    count,
    margin,
    net_margin,
    percent,
    printable,
    signed,
)
from stream_worker.daily.repeated_texts import RepeatedText
from stream_worker.daily.tables import ScoredBy, shares
from stream_worker.quantity import quantity

BRANDS_MAX: Final = 30
"""So many brands are shown; the tables beside the report have all."""
COVERAGE_MIN: Final = 0.98
"""A brand of which less is scored says so."""
SCORED_MIN: Final = 30
"""With fewer scored mentions net sentiment is shown as "too few"."""
WIDE_POINTS: Final = 60
"""An interval of net sentiment wider than this says nothing about its sign."""
_ALL: Final[list[str]] = list(MEASURES)
_NET: Final = ("net_estimate", "net_low", "net_high")
_TIMES = "\u00d7"


@dataclass(slots=True)
class ReportPage:
    """All that a report shows."""

    day: Day
    state: str  # "complete", "today, so far", …
    why_open: list[str]
    hours: pd.DataFrame  # 24 rows
    table: pd.DataFrame  # brand, network, hour
    brands: pd.DataFrame
    scored_by: ScoredBy
    before: pd.DataFrame | None  # brands of the day before, in the hours that both days have
    same: pd.DataFrame | None  # brands of this day in those hours
    hours_in_common: int
    movers: pd.DataFrame | None
    texts: list[RepeatedText]
    parity: dict[str, Any] | None
    differences: list[str]
    account: dict[str, int]
    incomplete: list[str]


class Badge(NamedTuple):
    """The badge below the title: a class of the style sheet, and its words."""

    kind: str
    words: str


class LeadingBrand(NamedTuple):
    """The brand that was mentioned most; its share of all mentions if it is not the only brand."""

    brand: str
    share: str


class KeyFigure(NamedTuple):
    """One of the large numbers."""

    value: str
    caption: str


class Charts(NamedTuple):
    """The plots of the whole day, and which errors their intervals hold."""

    mentions: Markup
    net: Markup
    interval_holds: str


class NetScale(NamedTuple):
    """A brand's net sentiment on the scale of ± 100 points; positions are percent of the scale's width."""

    low_at: str
    width: str
    at: str
    kind: str
    points: str
    note: str


class BrandEntry(NamedTuple):
    """A brand's row."""

    brand: str
    mentions: str
    day_before: str
    voices: str
    share: str
    share_note: str
    net: NetScale | None
    chart: Markup


class MoverEntry(NamedTuple):
    """A brand whose negative share moved."""

    brand: str
    rose: bool
    share_before: str
    share: str
    mentions_before: str
    mentions: str


def _finalize(value: object) -> object:
    """Leave out what is not printable in whatever a template prints, before it is escaped."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


_TEMPLATES: Final = Environment(
    loader=PackageLoader("stream_worker.daily"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_finalize,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters["count"] = count


def page(report: ReportPage) -> str:
    """Return the report as HTML."""
    return _TEMPLATES.get_template("report.html.j2").render(
        report=report,
        badge=_badge(report),
        lead=_lead(report),
        figures=list(_figures(report)),
        charts=_charts(report),
        brands=[_brand_row(report, brand) for _, brand in report.brands[:BRANDS_MAX].iterrows()],
        brands_more=count(len(report.brands) - BRANDS_MAX) if len(report.brands) > BRANDS_MAX else "",
        movers=None if report.movers is None else [_mover(row) for _, row in report.movers.iterrows()],
        parity_reasons=_parity_reasons(report),
        incomplete=report.why_open + report.incomplete,
    )


def _badge(report: ReportPage) -> Badge:
    if report.parity is not None and report.parity["unexplained"]:
        return Badge("bad", f"{report.state}; differs from what was shown live")
    return Badge("open" if report.why_open else "done", report.state)


def _lead(report: ReportPage) -> LeadingBrand | None:
    mentions = int(report.hours["n"].sum())
    if not mentions:
        return None
    first = report.brands.iloc[0]
    return LeadingBrand(first["brand"], percent(first["n"] / mentions) if len(report.brands) > 1 else "")


def _figures(report: ReportPage) -> Iterator[KeyFigure]:
    sums = dict(zip(_ALL, (int(value) for value in report.hours[_ALL].sum()), strict=True))
    by = report.scored_by
    (day,) = shares([list(sums.values())], [by.day], by.known)
    negative = "negative"
    if day.negative_share is not None:
        negative += f", {between(day.negative_low, day.negative_high)}"
    net_margin_of_day = net_margin(day.net_estimate, day.net_low, day.net_high)
    uncertain = sums["uncertain"] / sums["n"] if sums["n"] else None
    yield KeyFigure(count(sums["n"]), "mentions")
    yield KeyFigure(count(sums["voices"]), "voices")
    yield KeyFigure(count(len(report.brands)), "brands")
    yield KeyFigure(percent(day.negative_share), negative)
    yield KeyFigure(signed(day.net_estimate), f"net sentiment, {net_margin_of_day}")
    yield KeyFigure(percent(day.coverage, 1), f"coverage; {percent(uncertain)} uncertain")
    if report.parity is not None:
        yield KeyFigure(count(report.parity["agree"]), "of 1,440 minutes as shown live")


def _charts(report: ReportPage) -> Charts:
    hours, by = report.hours, report.scored_by
    unsure = (hours["uncertain"] + hours["unscored"]).tolist()
    mentions = day_chart(hours["neg"].tolist(), hours["neu"].tolist(), hours["pos"].tolist(), unsure)
    by_known = [int(hour.timestamp() * 1000) in by.hours_ms for hour in hours.index]
    hourly = shares(hours[_ALL].to_numpy().tolist(), by_known, by.known)
    net = net_chart(
        [hour.net_estimate for hour in hourly],
        [hour.net_low for hour in hourly],
        [hour.net_high for hour in hourly],
    )
    return Charts(_svg(mentions), _svg(net), _interval_holds(by))


def _svg(chart: str) -> Markup:
    """Exempt a plot of our own from escaping: it holds numbers only."""
    return Markup(chart)  # noqa: S704  nothing of the public is in it


def _interval_holds(by: ScoredBy) -> str:
    """Say which errors the intervals hold."""
    if by.day:
        return "It holds sampling and what the model is known to mistake."
    if by.hours_ms:
        return (
            "Where only the model in use scored, it holds what that mistakes, too; elsewhere sampling only."
        )
    return "It holds sampling only: other models scored, or nothing is known of what this one mistakes."


def _brand_row(report: ReportPage, brand: pd.Series) -> BrandEntry:
    rows = report.table[report.table["brand"] == brand["brand"]]
    hourly = rows.groupby("hour")[["n", "neg"]].sum().reindex(report.hours.index, fill_value=0)
    scored = int(brand["n"] - brand["unscored"])
    note = between(brand["negative_low"], brand["negative_high"]) if scored else "nothing scored"
    if scored and brand["coverage"] < COVERAGE_MIN:
        note += f"; {percent(brand['coverage'])} scored"
    return BrandEntry(
        brand=brand["brand"],
        mentions=count(brand["n"]),
        day_before=_beside_day_before(report, brand["brand"]),
        voices=count(brand["voices"]),
        share=percent(brand["negative_share"]) if scored else NONE,
        share_note=note,
        net=_net_scale([100 * brand[name] for name in _NET], scored) if scored else None,
        chart=_svg(brand_chart(hourly["n"].tolist(), hourly["neg"].tolist())),
    )


def _beside_day_before(report: ReportPage, brand: str) -> str:
    """Write a brand's mentions as a multiple of the day before, in the hours that both days have."""
    if report.before is None or report.same is None:
        return ""
    now, before = (int(day.loc[day["brand"] == brand, "n"].sum()) for day in (report.same, report.before))
    if not before:
        return "none the day before"
    ratio = now / before
    return "as the day before" if 0.9 < ratio < 1.15 else f"{ratio:.2g}{_TIMES} the day before"


def _net_scale(points: Sequence[float], scored: int) -> NetScale:
    value, low, high = points
    return NetScale(
        low_at=_at(low),
        width=f"{(high - low) / 2:.1f}",
        at=_at(value),
        kind="few" if high - low > WIDE_POINTS else "hot" if high < 0 else "cold" if low > 0 else "mid",
        points=signed(value / 100),
        note=margin(value - low, high - value) + (" too few" if scored < SCORED_MIN else ""),
    )


def _at(points: float) -> str:
    return f"{(points + 100) / 2:.1f}"


def _mover(row: pd.Series) -> MoverEntry:
    return MoverEntry(
        brand=row["brand"],
        rose=bool(row["moved"] > 0),
        share_before=percent(row["negative_share_before"]),
        share=percent(row["negative_share"]),
        mentions_before=count(row["n_before"]),
        mentions=count(row["n"]),
    )


def _parity_reasons(report: ReportPage) -> list[str]:
    reasons = report.parity["reasons"] if report.parity is not None else {}
    return [
        f"{reason}: {quantity(one['minutes'], 'minute')}, {quantity(one['mentions'], 'mention')}"
        for reason, one in reasons.items()
    ]

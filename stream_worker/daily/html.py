"""The daily report as one HTML file: no script, nothing from elsewhere, every word of others escaped.

Rules:
1. Brands and texts come from the public and are hostile: escaped, isolated in their direction of writing,
   without what is not printable. They never stand in an attribute or a plot.
2. A number that is not certain says so: intervals, "too few", what is incomplete, before it is used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import pandas as pd

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.archive.days import Day
from stream_worker.daily.charts import brand_chart, day_chart, net_chart
from stream_worker.daily.formatting import (
    MINUS,
    NONE,
    between,
    count,
    margin,
    name_of,
    net_margin,
    percent,
    shown,
    signed,
)
from stream_worker.daily.repeated_texts import Repeated
from stream_worker.daily.tables import SHARES, ScoredBy, shares

BRANDS_MAX: Final = 30
"""So many brands are shown; the tables beside the report have all."""
COVERAGE_MIN: Final = 0.98
"""A brand of which less is scored says so."""
FEW: Final = 30
"""With fewer scored mentions a share is too uncertain to be told without a word."""
_ALL: Final[list[str]] = list(MEASURES)
_NET: Final = ("net_estimate", "net_low", "net_high")
_TIMES = "\u00d7"
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(slots=True)
class ReportPage:
    """All that a report tells."""

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
    texts: list[Repeated]
    parity: dict[str, Any] | None
    differences: list[str]
    account: dict[str, int]
    incomplete: list[str]


def page(story: ReportPage) -> str:
    """Return the report."""
    css = (files("stream_worker.daily") / "report.css").read_text(encoding="utf-8")
    body = "".join(
        part(story) for part in (_head, _charts, _brands, _movers, _texts, _parity, _incomplete, _account)
    )
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Mentions of {story.day}</title><style>{css}</style></head>\n"
        f"<body><main>{body}</main></body></html>\n"
    )


def _head(story: ReportPage) -> str:
    total = [int(value) for value in story.hours[_ALL].sum()]
    found = dict(zip(SHARES, shares([total], [story.scored_by.day], story.scored_by.known)[0], strict=True))
    share, low, high = (found[name] for name in ("negative_share", "negative_low", "negative_high"))
    net, net_low, net_high = (found[name] for name in _NET)
    bad = story.parity is not None and story.parity["unexplained"]
    state = "bad" if bad else "open" if story.why_open else "done"
    words = f"{story.state}; differs from what was shown live" if bad else story.state
    figures: list[tuple[str, str]] = [
        (count(total[0]), "mentions"),
        (count(total[8]), "voices"),
        (count(len(story.brands)), "brands"),
        (percent(share), f"negative, {between(low, high)}" if share is not None else "negative"),
        (signed(net), f"net sentiment, {net_margin(net, net_low, net_high)}"),
        (percent(found["coverage"], 1), f"coverage; {percent(_uncertain(total))} uncertain"),
    ]
    if story.parity is not None:
        figures.append((count(story.parity["agree"]), "of 1,440 minutes as shown live"))
    listed = "".join(f"<li><b>{value}</b><span>{name}</span></li>" for value, name in figures)
    return (
        f"<h1>Mentions of {story.day.date:%A, %-d %B %Y}</h1>"
        f'<p class="quiet">UTC, by the time of posting</p><span class="state {state}">{shown(words)}</span>'
        f'<p class="lead">{_sentence(story, total)}</p><ul class="figures">{listed}</ul>'
    )


def _sentence(story: ReportPage, total: Sequence[int]) -> str:
    if not total[0]:
        return "No mention of this day is archived."
    first = story.brands.iloc[0]
    share = f", {percent(first['n'] / total[0])} of all" if len(story.brands) > 1 else ""
    said = f"{name_of(first['brand'])} was mentioned most{share}. "
    if story.movers is not None and len(story.movers):
        top = story.movers.iloc[0]
        word = "rose" if top["moved"] > 0 else "fell"
        said += (
            f"The negative share of {name_of(top['brand'])} {word} most: "
            f"{percent(top['negative_share_before'])} the day before, {percent(top['negative_share'])} now."
        )
    elif story.before is not None:
        said += "No brand's negative share moved beyond its margin against the day before."
    return said


def _charts(story: ReportPage) -> str:
    hours = story.hours
    unsure = (hours["uncertain"] + hours["unscored"]).tolist()
    stacked = day_chart(hours["neg"].tolist(), hours["neu"].tolist(), hours["pos"].tolist(), unsure)
    by = story.scored_by
    by_known = [int(hour.timestamp() * 1000) in by.hours_ms for hour in hours.index]
    found = shares(hours[_ALL].to_numpy().tolist(), by_known, by.known)
    nets = net_chart(*([one[SHARES.index(name)] for one in found] for name in _NET))
    keys = (("neg", "negative"), ("neu", "neutral"), ("pos", "positive"), ("unsure", "uncertain or unscored"))
    key = "".join(f'<span><i class="{name}"></i>{words}</span>' for name, words in keys)
    return (
        f'<h2>Mentions by hour</h2><div class="key">{key}</div><div class="charts" role="img" '
        f'aria-label="Mentions by hour">{stacked}</div><h2>Net sentiment by hour</h2>'
        f'<p class="quiet">{MINUS}100 to +100, '
        f"with its 95 % interval; orange and blue only where that lies wholly on one side. {_holds(by)}</p>"
        f'<div class="charts" role="img" aria-label="Net sentiment by hour">{nets}</div>'
    )


def _holds(by: ScoredBy) -> str:
    """Say what the intervals hold."""
    if by.day:
        return "It holds sampling and what the model is known to mistake."
    if by.hours_ms:
        return (
            "Where only the model in use scored, it holds what that mistakes, too; elsewhere sampling only."
        )
    return "It holds sampling only: other models scored, or nothing is known of what this one mistakes."


def _uncertain(total: Sequence[int]) -> float | None:
    return total[MEASURES.index("uncertain")] / total[0] if total[0] else None


def _brands(story: ReportPage) -> str:
    if not len(story.brands):
        return ""
    rows = "".join(_brand_row(story, brand) for _, brand in story.brands[:BRANDS_MAX].iterrows())
    more = len(story.brands) - BRANDS_MAX
    rest = f'<p class="quiet">and {count(more)} more in hours.csv</p>' if more > 0 else ""
    return (
        '<h2>Brands</h2><div class="frame"><table class="brands">'
        "<thead><tr><th>Brand</th><th>Mentions</th>"
        '<th class="wide">Voices</th><th>Negative</th><th>Net sentiment</th>'
        '<th class="wide">By hour</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>{rest}"
    )


def _brand_row(story: ReportPage, brand: "pd.Series[Any]") -> str:
    ours = story.table[story.table["brand"] == brand["brand"]]
    hourly = ours.groupby("hour")[["n", "neg"]].sum().reindex(story.hours.index, fill_value=0)
    scored = int(brand["n"] - brand["unscored"])
    share = percent(brand["negative_share"]) if scored else NONE
    spread = between(brand["negative_low"], brand["negative_high"]) if scored else "nothing scored"
    if scored and brand["coverage"] < COVERAGE_MIN:
        spread += f"; {percent(brand['coverage'])} scored"
    return (
        f'<tr><td class="brand">{name_of(brand["brand"])}</td><td>{count(brand["n"])}'
        f'<span class="quiet">{_against(story, brand["brand"])}</span></td>'
        f'<td class="wide">{count(brand["voices"])}</td><td>{share}<span class="quiet">{spread}</span></td>'
        f"<td>{_scale(brand, scored)}</td>"
        f'<td class="day wide">{brand_chart(hourly["n"].tolist(), hourly["neg"].tolist())}</td></tr>'
    )


def _against(story: ReportPage, name: str) -> str:
    if story.before is None or story.same is None:
        return ""
    now, before = (int(one.loc[one["brand"] == name, "n"].sum()) for one in (story.same, story.before))
    if not before:
        return "none the day before"
    ratio = now / before
    return "as the day before" if 0.9 < ratio < 1.15 else f"{ratio:.2g}{_TIMES} the day before"


def _scale(brand: "pd.Series[Any]", scored: int) -> str:
    if not scored:
        return NONE
    value, low, high = (100 * brand[name] for name in _NET)
    colour = "few" if high - low > 60 else "hot" if high < 0 else "cold" if low > 0 else "mid"
    few = " too few" if scored < FEW else ""
    place = f"left:{(low + 100) / 2:.1f}%;width:{(high - low) / 2:.1f}%"
    return (
        f'<div class="net"><div class="scale"><u style="{place}"></u>'
        f'<s class="{colour}" style="left:{(value + 100) / 2:.1f}%"></s></div>'
        f'<div>{signed(value / 100)}<span class="quiet">{margin(value - low, high - value)}{few}</span>'
        "</div></div>"
    )


def _movers(story: ReportPage) -> str:
    hours = f", in the {story.hours_in_common} hours that both have" if story.hours_in_common < 24 else ""
    head = f"<h2>Biggest movers against the day before{hours if story.before is not None else ''}</h2>"
    if story.movers is None:
        return f'{head}<p class="quiet">The day before is not archived.</p>'
    if not len(story.movers):
        return f'{head}<p class="quiet">None: no negative share moved beyond its margin.</p>'
    rows = "".join(
        f'<tr><td class="brand">{name_of(one["brand"])}</td><td>{percent(one["negative_share_before"])}</td>'
        f'<td class="{"hot" if one["moved"] > 0 else "cold"}">{percent(one["negative_share"])}</td>'
        f"<td>{count(one['n_before'])}</td><td>{count(one['n'])}</td></tr>"
        for _, one in story.movers.iterrows()
    )
    return (
        f'{head}<div class="frame"><table>'
        f"<thead><tr><th>Brand</th><th>Negative, day before</th><th>Negative</th>"
        f"<th>Mentions, day before</th><th>Mentions</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _texts(story: ReportPage) -> str:
    head = "<h2>Most repeated texts</h2>"
    if not story.texts:
        return f'{head}<p class="quiet">Nothing was copied.</p>'
    rows = "".join(
        f'<tr><td class="words"><blockquote><bdi>{shown(one.text)}</bdi></blockquote></td>'
        f'<td class="words">{name_of(one.brand)}</td>'
        f"<td>{count(one.copies)}</td><td>{count(one.authors)}</td></tr>"
        for one in story.texts
    )
    return (
        f'{head}<p class="quiet">A copy is counted as a mention, and is no voice.</p>'
        '<div class="frame"><table>'
        '<thead><tr><th class="words">Text</th><th class="words">Brand</th>'
        "<th>Copies</th><th>Authors</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _parity(story: ReportPage) -> str:
    head = "<h2>Parity with live</h2>"
    found = story.parity
    if found is None:
        return f'{head}<p class="quiet">Not compared: Redis was not asked.</p>'
    same = f"{found['agree']:,} of {found['minutes']:,} minutes"
    verdict = f"{same} are the same in the archive and in what was shown live."
    lines = [
        f"{reason}: {count(one['minutes'])} minutes, {count(one['mentions'])} mentions"
        for reason, one in found["reasons"].items()
    ]
    return f"{head}<p>{verdict}</p>{_list(lines)}{_list(story.differences)}"


def _incomplete(story: ReportPage) -> str:
    lines = story.why_open + story.incomplete
    said = _list(lines) if lines else '<p class="quiet">Nothing that is known of.</p>'
    return f"<h2>What is incomplete</h2>{said}"


def _account(story: ReportPage) -> str:
    rows = "".join(
        f"<tr><td>{shown(name)}</td><td>{count(value)}</td></tr>" for name, value in story.account.items()
    )
    return f'<h2>Account</h2><table style="max-width:32rem"><tbody>{rows}</tbody></table>'


def _list(lines: Iterable[str]) -> str:
    listed = "".join(f"<li>{shown(line)}</li>" for line in lines)
    return f'<ul class="plain">{listed}</ul>' if listed else ""

"""The daily report as HTML: whatever the public wrote, wherever it stands, is shown and never run."""

from html.parser import HTMLParser

import pandas as pd
import pytest
from jinja2 import UndefinedError

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.archive.days import Day
from stream_worker.core.time import HOUR_MS
from stream_worker.daily import tables
from stream_worker.daily.html import _TEMPLATES, ReportPage, page
from stream_worker.daily.repeated_texts import RepeatedText

DAY = Day(20_000 * 24 * HOUR_MS)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe",
    "</style></main>",
    "&lt;b&gt;",
]


def table(day, negative):
    """Forty mentions of each hostile brand in one hour, `negative` of them negative."""
    counts = dict.fromkeys(MEASURES, 0) | {"n": 40, "neg": negative, "pos": 40 - negative, "voices": 40}
    rows = [
        {"hour": day.start_ms + HOUR_MS, "brand": brand, "network": "x", **counts, "late": 0, "duplicates": 0}
        for brand in HOSTILE
    ]
    made = pd.DataFrame(rows)
    made["hour"] = pd.to_datetime(made["hour"], unit="ms", utc=True)
    return made


@pytest.fixture
def hostile_report():
    """A report in which every text that may come from elsewhere is hostile."""
    today, before = table(DAY, negative=30), table(DAY.before, negative=2)
    same, then = tables.by_brand(today), tables.by_brand(before)
    lines = [f"seen {text}" for text in HOSTILE]
    return ReportPage(
        day=DAY,
        state="complete",
        why_open=lines,
        hours=tables.by_hour(today, pd.Timestamp(DAY.start_ms, unit="ms", tz="UTC")),
        table=today,
        brands=tables.by_brand(today),
        scored_by=tables.UNKNOWN,
        before=then,
        same=same,
        hours_in_common=1,
        movers=tables.movers(same, then, 8),
        texts=[RepeatedText(text, text, 1_234, 5, 0, 0) for text in HOSTILE],
        parity={
            "minutes": 1_440,
            "agree": 1_400,
            "unexplained": 1,
            "reasons": {text: {"minutes": 40, "mentions": 1_000} for text in HOSTILE},
        },
        differences=lines,
        account=dict.fromkeys(HOSTILE, 1_000),
        incomplete=lines,
    )


class Reading(HTMLParser):
    """What a browser would make of a page: its elements, and the text outside of styles."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text, self._style = set(), set(), "", False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self._style = tag == "style"

    def handle_endtag(self, tag):
        self._style = False

    def handle_data(self, data):
        self.text += "" if self._style else data


def test_hostile_texts_are_shown_as_they_are_in_every_place_and_make_no_element(hostile_report):
    # When
    html = page(hostile_report)
    read = Reading(html)

    # Then no element and no attribute comes from them
    assert read.tags.isdisjoint({"script", "img"})
    assert not {name for name in read.attributes if name.startswith("on")}
    assert html.count("</style>") == 1 + html.count("<svg")  # each plot has a style of its own
    assert html.count("</main>") == 1
    # And each is read in all its places: lead or brand, mover, text and its brand, parity, differences, …
    for text in HOSTILE:
        shown = text.replace("\u202e", " ")
        assert read.text.count(shown) >= 9, text
    assert "\u202e" not in html


def test_names_and_texts_are_isolated_in_their_direction_of_writing(hostile_report):
    html = page(hostile_report)

    assert "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>" in html
    assert "<blockquote><bdi> gnp.exe</bdi></blockquote>" in html


def test_plots_and_styles_are_no_text(hostile_report):
    html = page(hostile_report)

    assert html.count("<svg") == html.count("</svg>") == 2 + len(HOSTILE)
    assert 'font: 400 .875rem/1.4 system-ui, -apple-system, "Segoe UI"' in html


def test_a_value_that_nobody_gave_is_an_error_and_no_gap():
    with pytest.raises(UndefinedError, match="'mentions' is undefined"):
        _TEMPLATES.from_string("{{ mentions }}").render()

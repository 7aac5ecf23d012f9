"""The rolling view of every brand, read as docs/redis.md documents it, and its table."""

import datetime as dt
from collections.abc import Sequence
from typing import Final, NamedTuple, TypedDict

from rich import box
from rich.table import Table
from rich.text import Text

from stream_worker.adapters.redis.keys import Keys, ViewField, window_field
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.sentiment.estimate import Estimate, MeasuredModel, estimates, is_by
from stream_worker.core.sentiment.net import negative_share
from stream_worker.demo.text_redis import TextRedis

PREFIX: Final = "{sw}"
KEYS: Final = Keys(PREFIX)
SHARE_WINDOW: Final = "5m"
"""The window of share and net: that of the detector."""


class BrandRow(NamedTuple):
    """One brand. Share is 0 … 1 and net, as it is estimated, -1 … 1; None without a scored mention."""

    brand: str
    mentions_1m: int
    mentions_15m: int
    negative_share: float | None
    net: Estimate | None
    as_of_ms: int


def read_rows(client: TextRedis, measured: MeasuredModel | None) -> list[BrandRow]:
    """Read every brand's rolling hash, the loudest first."""
    brands = client.hkeys(KEYS.brands)
    pipe = client.pipeline(transaction=False)
    for brand in brands:
        pipe.hgetall(KEYS.view(brand))
    found = zip(brands, pipe.execute(), strict=True)
    rows = [_row(brand, fields, measured) for brand, fields in found if fields]
    return sorted(rows, key=lambda row: (-row.mentions_15m, row.brand))


def _row(brand: str, fields: dict[str, str], measured: MeasuredModel | None) -> BrandRow:
    def number(measure: str, window: str = SHARE_WINDOW) -> int:
        return int(fields[window_field(window, measure)])

    sums = tuple(number(measure) for measure in MEASURES)
    by_measured = is_by(measured, fields.get(ViewField.MODELS))
    return BrandRow(
        brand=brand,
        mentions_1m=number("n", "1m"),
        mentions_15m=number("n", "15m"),
        negative_share=negative_share(sums),
        net=estimates([sums], [by_measured], measured)[0],
        as_of_ms=int(fields[ViewField.AS_OF_MS]),
    )


WORDS: Final = {"opened": "ALERT", "escalated": "WORSE", "reminder": "STILL"}


class AlertBody(TypedDict):
    """What the demo reads of an alert's body (docs/alerts.md)."""

    id: str
    kind: str
    brand: str
    minute: str
    reason: str


def in_words(alert: AlertBody) -> str:
    """Return an alert as one line."""
    word = WORDS.get(alert["kind"], "OVER")
    return f"{word}  {alert['brand']} {alert['kind']} at {alert['minute'][11:16]} UTC: {alert['reason']}"


def table(rows: Sequence[BrandRow]) -> Table:
    """Return the rows as a table."""
    brands = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    brands.add_column("BRAND", min_width=18)
    for heading in ("1 MIN", "15 MIN", "NEGATIVE", "NET", "AS OF (UTC)"):
        brands.add_column(heading, justify="right")
    for row in rows:
        share = "" if row.negative_share is None else f"{row.negative_share:.0%}"
        net = "" if row.net is None else f"{100 * row.net.value:+.0f} ±{100 * row.net.margin:.0f}"
        as_of = dt.datetime.fromtimestamp(row.as_of_ms / 1000, dt.UTC)
        cells = (f"{row.mentions_1m:,}", f"{row.mentions_15m:,}", share, net, f"{as_of:%H:%M:%S}")
        brands.add_row(*(Text(_printable(cell)) for cell in (row.brand, *cells)))
    return brands


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)

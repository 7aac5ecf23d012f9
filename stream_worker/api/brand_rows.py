"""Brands as rows: windows, what is usual, and the state in a word. Pure functions over what was read."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from stream_worker.adapters.redis.keys import ViewField, window_field
from stream_worker.api.schemas import Brand, State, Strip, Window, instant
from stream_worker.api.schemas import Usual as UsualAnswer
from stream_worker.api.snapshot import PageSnapshot
from stream_worker.core.aggregates.encoding import WINDOWS, ZEROS, Sums
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.sentiment.estimate import Estimate
from stream_worker.core.sentiment.net import coverage, negative_share
from stream_worker.core.sentiment.typical_range import TypicalRange
from stream_worker.core.time import MINUTE_MS

MARGIN_MAX: Final = 0.3
"""A wider margin is too few mentions to tell."""
COVERAGE_MIN: Final = 0.98
COPIES_MIN: Final = 0.5
COUNTED_MIN: Final = 30
"""Below so many mentions no share is worth a state."""
STRIP_MINUTES: Final = 60
_ORDER: Final[dict[State, int]] = {
    "spike": 0,
    "low": 1,
    "data": 2,
    "copies": 3,
    "good": 4,
    "usual": 5,
    "few": 5,
    "none": 5,
}
_FIELDS: Final = {
    "mentions": "n",
    "negative": "neg",
    "neutral": "neu",
    "positive": "pos",
    "uncertain": "uncertain",
    "unscored": "unscored",
    "copies": "repeats",
    "voices": "voices",
    "negative_voices": "neg_voices",
}


def numbers_of(sums: Sequence[int], estimate: Estimate | None) -> dict[str, Any]:
    """Return the fields of `Numbers` for ten sums in the order of MEASURES, and their estimate."""
    counts: dict[str, Any] = {name: sums[MEASURES.index(measure)] for name, measure in _FIELDS.items()}
    net = {"net": _rounded(estimate and estimate.mean)}
    return counts | {"negative_share": _rounded(negative_share(sums))} | net | nets_of(estimate)


def nets_of(estimate: Estimate | None) -> dict[str, Any]:
    """Return the fields of an estimate; null when nothing is scored."""
    return {
        "net_estimate": _rounded(estimate and estimate.value),
        "net_low": _rounded(estimate and estimate.low),
        "net_high": _rounded(estimate and estimate.high),
        "net_margin": _rounded(estimate and estimate.margin),
        "interval_holds": estimate and estimate.holds,
    }


class Tally(NamedTuple):
    """Ten sums of a brand over a window that ends at `end_ms`, read at `as_of_ms`.

    `model` scored its newest minute.
    """

    sums: Sums
    end_ms: int
    as_of_ms: int
    model: str | None


def of_view(view: Mapping[str, str], window: Window) -> Tally:
    """Read a window from the rolling view. Raises ValueError or KeyError when that is not ours."""
    sums = tuple(int(view[window_field(window, measure)]) for measure in MEASURES)
    end_ms = int(view[ViewField.NEWEST]) + MINUTE_MS
    return Tally(sums, end_ms, int(view[ViewField.AS_OF_MS]), view.get(ViewField.MODELS) or None)


def of_minutes(minutes: Mapping[int, Sums], window: Window, look: PageSnapshot, model: str | None) -> Tally:
    """Add the minutes of a window up; it ends with the newest minute."""
    end_ms = (look.newest_ms or 0) + MINUTE_MS
    first_ms = end_ms - WINDOWS[window] * MINUTE_MS
    inside = [sums for start, sums in minutes.items() if first_ms <= start < end_ms]
    return Tally(tuple(map(sum, zip(ZEROS, *inside, strict=True))), end_ms, look.now_ms, model)


def brand_row(
    brand: str,
    tally: Tally,
    look: PageSnapshot,
    window: Window,
    usual: TypicalRange | None,
    estimate: Estimate | None,
) -> Brand:
    """Make the row of a brand."""
    sums, end_ms = tally.sums, tally.end_ms
    usual = usual and usual.on_scale(estimate and estimate.holds)
    episode = look.episodes.get(brand)
    is_open = episode is not None and episode.resolved_ms is None
    return Brand(
        brand=brand,
        window=window,
        window_from=instant(end_ms - WINDOWS[window] * MINUTE_MS),
        window_to=instant(end_ms),
        as_of=instant(tally.as_of_ms),
        final=look.final_of(brand) >= end_ms,
        final_to=instant(max(0, look.final_of(brand))),
        revision=look.revision,
        coverage=_rounded(coverage(sums)),
        model=tally.model,
        state="spike" if is_open else state_of(sums, estimate, usual),
        since=instant(episode.opened_ms) if is_open and episode is not None else None,
        alert=episode.id if is_open and episode is not None else None,
        usual=usual_answer(usual),
        last_hour=None,
        **numbers_of(sums, estimate),
    )


def state_of(sums: Sums, net: Estimate | None, usual: TypicalRange | None) -> State:
    """Name the state of a brand that has no open episode; net and what is usual are on one scale."""
    n = sums[0]
    if n == 0:
        return "none"
    covered = coverage(sums)
    if covered is not None and covered < COVERAGE_MIN and n >= COUNTED_MIN:
        return "data"
    if net is None or net.margin > MARGIN_MAX:
        return "few"
    if n >= COUNTED_MIN and sums[MEASURES.index("repeats")] >= COPIES_MIN * n:
        return "copies"
    return _against_usual(net, usual)


def _against_usual(net: Estimate, usual: TypicalRange | None) -> State:
    if usual is None or usual.low is None or usual.high is None:
        return "usual"
    if net.high < usual.low:
        return "low"
    return "good" if net.low > usual.high else "usual"


def most_unusual_first(rows: list[Brand]) -> list[Brand]:
    """Order rows by state, then by how far from usual, then by mentions, then by name."""

    def far(row: Brand) -> float:
        if row.state in ("usual", "few", "none") or row.usual is None or row.usual.net is None:
            return 0.0
        return round(abs((row.net_estimate or 0.0) - row.usual.net), 1)

    return sorted(rows, key=lambda row: (_ORDER[row.state], -far(row), -row.mentions, row.brand))


def strip_of(minutes: Mapping[int, Sums], first_ms: int, end_ms: int) -> Strip:
    """Return the minutes [first, end) as two lists."""
    tallies = [minutes.get(start, ZEROS) for start in range(first_ms, end_ms, MINUTE_MS)]
    return Strip(
        start=instant(first_ms),
        mentions=[tally[0] for tally in tallies],
        negative=[tally[1] for tally in tallies],
    )


def usual_answer(usual: TypicalRange | None) -> UsualAnswer | None:
    """Return what is usual as it is answered."""
    if usual is None:
        return None
    return UsualAnswer(
        windows=usual.windows,
        mentions=usual.mentions,
        copies_share=round(usual.copies_share, 4),
        negative_share=_rounded(usual.negative_share),
        net=_rounded(usual.net),
        net_low=_rounded(usual.low),
        net_high=_rounded(usual.high),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)

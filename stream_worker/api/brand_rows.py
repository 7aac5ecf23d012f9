"""Brands as rows: windows, what is usual, and the state in a word. Pure functions over what was read."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from stream_worker.adapters.redis.keys import ViewField, window_field
from stream_worker.api.schemas import Brand, NetFields, NumberFields, State, Strip, Usual, Window, instant
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
_REPEATS: Final = MEASURES.index("repeats")


def number_fields(sums: Sequence[int], estimate: Estimate | None) -> NumberFields:
    """Return the fields of `Numbers` for ten sums in the order of MEASURES, and their estimate."""
    count = dict(zip(MEASURES, sums, strict=True))
    return NumberFields(
        mentions=count["n"],
        negative=count["neg"],
        neutral=count["neu"],
        positive=count["pos"],
        uncertain=count["uncertain"],
        unscored=count["unscored"],
        copies=count["repeats"],
        voices=count["voices"],
        negative_voices=count["neg_voices"],
        negative_share=rounded(negative_share(sums)),
        net=rounded(estimate and estimate.mean),
        **net_fields(estimate),
    )


def net_fields(estimate: Estimate | None) -> NetFields:
    """Return the fields of `Nets`; null when nothing is scored."""
    return NetFields(
        net_estimate=rounded(estimate and estimate.value),
        net_low=rounded(estimate and estimate.low),
        net_high=rounded(estimate and estimate.high),
        net_margin=rounded(estimate and estimate.margin),
        interval_holds=estimate and estimate.holds,
    )


class WindowTally(NamedTuple):
    """Ten sums of a brand over a window that ends at `end_ms`, read at `as_of_ms`.

    `model` scored its newest minute.
    """

    sums: Sums
    end_ms: int
    as_of_ms: int
    model: str | None


def tally_of_view(view: Mapping[str, str], window: Window) -> WindowTally:
    """Read a window from the rolling view. Raises ValueError or KeyError when the view is not ours."""
    sums = tuple(int(view[window_field(window, measure)]) for measure in MEASURES)
    end_ms = int(view[ViewField.NEWEST]) + MINUTE_MS
    return WindowTally(sums, end_ms, int(view[ViewField.AS_OF_MS]), view.get(ViewField.MODELS) or None)


def tally_of_minutes(
    minutes: Mapping[int, Sums], window: Window, snapshot: PageSnapshot, model: str | None
) -> WindowTally:
    """Add the minutes of a window up; it ends with the newest minute."""
    end_ms = (snapshot.newest_ms or 0) + MINUTE_MS
    first_ms = end_ms - WINDOWS[window] * MINUTE_MS
    inside = [sums for start, sums in minutes.items() if first_ms <= start < end_ms]
    sums = tuple(map(sum, zip(ZEROS, *inside, strict=True)))
    return WindowTally(sums, end_ms, snapshot.now_ms, model)


def brand_row(
    brand: str,
    tally: WindowTally,
    snapshot: PageSnapshot,
    window: Window,
    typical: TypicalRange | None,
    estimate: Estimate | None,
    *,
    damaged: bool = False,
) -> Brand:
    """Build the row of a brand; `damaged`: some of its data cannot be read."""
    sums, end_ms = tally.sums, tally.end_ms
    typical = typical and typical.on_scale(estimate and estimate.holds)
    episode = snapshot.episodes.get(brand)
    running = episode if episode is not None and episode.resolved_ms is None else None
    return Brand(
        brand=brand,
        window=window,
        window_from=instant(end_ms - WINDOWS[window] * MINUTE_MS),
        window_to=instant(end_ms),
        as_of=instant(tally.as_of_ms),
        final=snapshot.final_of(brand) >= end_ms,
        final_to=instant(max(0, snapshot.final_of(brand))),
        revision=snapshot.revision,
        coverage=rounded(coverage(sums)),
        model=tally.model,
        state="spike" if running else "data" if damaged else state_of(sums, estimate, typical),
        since=None if running is None else instant(running.opened_ms),
        alert=None if running is None else running.id,
        usual=usual_of(typical),
        last_hour=None,
        **number_fields(sums, estimate),
    )


def state_of(sums: Sums, net: Estimate | None, typical: TypicalRange | None) -> State:
    """Name the state of a brand that has no open episode; net and the typical range are on one scale."""
    n = sums[0]
    if n == 0:
        return "none"
    covered = coverage(sums)
    if covered is not None and covered < COVERAGE_MIN and n >= COUNTED_MIN:
        return "data"
    if net is None or net.margin > MARGIN_MAX:
        return "few"
    if n >= COUNTED_MIN and sums[_REPEATS] >= COPIES_MIN * n:
        return "copies"
    return _beside_typical(net, typical)


def _beside_typical(net: Estimate, typical: TypicalRange | None) -> State:
    if typical is None or typical.low is None or typical.high is None:
        return "usual"
    if net.high < typical.low:
        return "low"
    return "good" if net.low > typical.high else "usual"


def most_unusual_first(rows: list[Brand]) -> list[Brand]:
    """Order rows by state, then by how far from usual, then by mentions, then by name."""

    def distance(row: Brand) -> float:
        if row.state in ("usual", "few", "none") or row.usual is None or row.usual.net is None:
            return 0.0
        return round(abs((row.net_estimate or 0.0) - row.usual.net), 1)

    return sorted(rows, key=lambda row: (_ORDER[row.state], -distance(row), -row.mentions, row.brand))


def strip_of(minutes: Mapping[int, Sums], first_ms: int, end_ms: int) -> Strip:
    """Return the minutes [first, end) as two lists."""
    tallies = [minutes.get(start, ZEROS) for start in range(first_ms, end_ms, MINUTE_MS)]
    return Strip(
        start=instant(first_ms),
        mentions=[tally[0] for tally in tallies],
        negative=[tally[1] for tally in tallies],
    )


def usual_of(typical: TypicalRange | None) -> Usual | None:
    """Return the typical range as the API shows it; None while it is not known."""
    if typical is None:
        return None
    return Usual(
        windows=typical.windows,
        mentions=typical.mentions,
        copies_share=round(typical.copies_share, 4),
        negative_share=rounded(typical.negative_share),
        net=rounded(typical.net),
        net_low=rounded(typical.low),
        net_high=rounded(typical.high),
    )


def rounded(value: float | None) -> float | None:
    """Return a share or a net sentiment to four digits, as every answer has it."""
    return None if value is None else round(value, 4)

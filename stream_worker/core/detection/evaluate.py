"""Judge one sealed minute of one shard of brands: what was read in, the close that must be written out.

Rules:
1. Pure: the same shard, minute, brands and history give the same close. Whoever judges first writes
   it; the close script refuses everybody else's (docs/design.md#minutes).
2. A complete minute gives every admitted brand a tally, zeros included, from its first on-time
   minute on. An incomplete one only says what was seen; a brand without a tally has a hole there.
3. A minute scored by two models goes to history and is not judged. It is a hole for the detector. Two paths
   of one artefact are two models in a minute, and nothing new for what was learned: their labels are equal.
4. The reserved empty brand (brands past the limit) goes to history and is never judged.
5. Numbers of another detector are worthless: every brand of the shard starts anew and is fed the
   closed minutes of its history. Open episodes go on.
6. A brand without numbers begins with those that `daily` learned from the archive, where there are some
   (core/detection/profiles.py); minutes up to their last one are not fed again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from stream_worker.core.aggregates.encoding import SHARDS, ZEROS, Sums, shard_of
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.aggregates.shard import Close, SealedMinute, Shard
from stream_worker.core.detection import episodes
from stream_worker.core.detection.detector import OPEN_AT, Detector, Observation
from stream_worker.core.detection.episodes import EvaluatedMinute
from stream_worker.core.time import MINUTE_MS

RESERVED_BRAND: Final = ""

History = Callable[[str], Mapping[int, Sums]]
"""Brand -> closed minutes of the last 48 h: start in ms -> ten sums in the order of MEASURES."""

Archived = Callable[[str], str | None]
"""Brand -> the numbers of this detector that were learned from the archive, as text, if any."""

_N, _NEG = MEASURES.index("n"), MEASURES.index("neg")
_VOICES, _NEG_VOICES = MEASURES.index("voices"), MEASURES.index("neg_voices")
_event_encoder = msgspec.json.Encoder()


def evaluate(
    shard: Shard,
    minute: SealedMinute,
    brands: Mapping[str, int | None],
    detector: Detector[Any],
    history: History,
    *,
    open_at: Callable[[str], float] = lambda _brand: OPEN_AT,
    archived: Archived = lambda _brand: None,
) -> Close:
    """Judge `minute` for the brands of `shard`.

    `brands` are all admitted brands with the start of their first on-time minute in ms (None: late ones
    only). `minute` must be the first sealed minute at or after `shard.closed_ms`. `open_at` gives the score
    that opens an episode of a brand.
    Raises Unreadable when the record of an episode is not readable.
    """
    assert 0 <= shard.number < SHARDS
    assert minute.start_ms >= shard.closed_ms, "a closed minute is never judged again"
    name = f"{detector.name}/{detector.version}"
    call = Close(
        shard=shard.number,
        minute_ms=minute.start_ms,
        expected_closed_ms=shard.closed_ms,
        expected_state_id=shard.state_id,
        seal_id=minute.seal_id,
        detector=name,
        sums=_sums(shard.number, minute, brands),
        numbers={},
        episodes={},
        outbox={},
    )
    turn = _Evaluation(shard, minute, detector, name, open_at, archived)
    known = _known_numbers(turn, call.sums, history)
    if len(minute.models) > 1:
        if shard.detector != name:
            call.numbers.update((brand, detector.encode(numbers)) for brand, numbers in known.items())
        return call
    _step_all(turn, known, call)
    return call


class _Evaluation(NamedTuple):
    shard: Shard
    minute: SealedMinute
    detector: Detector[Any]
    name: str
    open_at: Callable[[str], float]
    archived: Archived


def _sums(number: int, minute: SealedMinute, brands: Mapping[str, int | None]) -> dict[str, Sums]:
    tallies, start_ms = minute.tallies, minute.start_ms
    sums = {brand: tally for brand, tally in tallies.items() if shard_of(brand) == number}
    if minute.complete:
        for brand, first_ms in brands.items():
            if (
                first_ms is not None
                and first_ms <= start_ms
                and shard_of(brand) == number
                and brand not in tallies
                and brand != RESERVED_BRAND
            ):
                sums[brand] = ZEROS
    return sums


def _known_numbers(turn: _Evaluation, due: Mapping[str, Sums], history: History) -> dict[str, Any]:
    """Decode the numbers that are there; where they are another detector's, make them from history."""
    shard, detector, minute_ms = turn.shard, turn.detector, turn.minute.start_ms
    if shard.detector == turn.name:
        known = {}
        for brand in due:
            if (text := shard.numbers.get(brand)) is None:
                known[brand] = _begin(turn, brand)
                continue
            try:
                known[brand] = detector.decode(text)
            except ValueError:  # made from history anyway: one damaged field must not stop a shard
                known[brand] = _warm(turn, brand, history(brand), minute_ms)
        return known
    # Brands that are not due are warmed too: their old numbers must not stay under the new name.
    return {
        brand: _warm(turn, brand, history(brand), minute_ms)
        for brand in {**due, **shard.numbers}
        if brand != RESERVED_BRAND
    }


def _begin(turn: _Evaluation, brand: str) -> Any:
    """Return the numbers of a brand that has none: the archive's, where they are older than this minute."""
    text = turn.archived(brand)
    if text is not None:
        numbers = turn.detector.decode(text)
        if numbers.minute_ms < turn.minute.start_ms:
            return numbers
    return turn.detector.start()


def _warm(turn: _Evaluation, brand: str, past: Mapping[int, Sums], before_ms: int) -> Any:
    """Feed the closed minutes before `before_ms`, in order; history does not say which were incomplete."""
    numbers = _begin(turn, brand)
    for start_ms in sorted(past):
        if numbers.minute_ms < start_ms < before_ms:
            numbers, _ = turn.detector.step(numbers, observe(numbers.minute_ms, start_ms, past[start_ms]))
    return numbers


def _step_all(turn: _Evaluation, known: dict[str, Any], call: Close) -> None:
    shard, minute, detector, name = turn.shard, turn.minute, turn.detector, turn.name
    start_ms, complete = minute.start_ms, minute.complete
    model = minute.models[0] if minute.models else None
    artefact = artefact_of(model or "")
    for brand, tally in call.sums.items():
        if brand == RESERVED_BRAND:
            continue
        numbers = known.pop(brand)
        record = shard.episodes.get(brand)
        episode = episodes.decode(record) if record is not None else None
        numbers, verdict = detector.step(
            numbers, observe(numbers.minute_ms, start_ms, tally, complete=complete, artefact=artefact)
        )
        call.numbers[brand] = detector.encode(numbers)
        evaluated = EvaluatedMinute(brand, start_ms, verdict, name, model, complete)
        moved, event = episodes.advance(episode, evaluated, turn.open_at(brand))
        if moved is not episode:
            call.episodes[brand] = None if moved is None else episodes.encode(moved)
        if event is not None:
            call.outbox[event.id] = _event_encoder.encode(event).decode()
    if shard.detector != name:  # warmed, but not due in this minute
        call.numbers.update((brand, detector.encode(numbers)) for brand, numbers in known.items())


def artefact_of(model: str) -> str:
    """Return the artefact of a model without its path: models are `<12 hex of the pin>-<path>`."""
    return model.partition("-")[0]


def observe(
    last_ms: int, minute_ms: int, tally: Sums, *, complete: bool = True, artefact: str = ""
) -> Observation:
    """Make of ten sums what a detector is fed; `last_ms` is the minute it was fed last, -1 for none."""
    return Observation(
        minute_ms,
        tally[_VOICES],
        tally[_NEG_VOICES],
        tally[_N],
        tally[_NEG],
        complete,
        (minute_ms - last_ms) // MINUTE_MS - 1 if last_ms >= 0 else 0,
        artefact,
    )

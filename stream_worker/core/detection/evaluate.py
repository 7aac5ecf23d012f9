"""Evaluate one sealed minute of one shard of brands: from the shard that was read to the close to be written.

Rules:
1. Pure: the same shard, minute, brands and history give the same close. Whoever evaluates first writes
   it; the close script refuses everybody else's (docs/design.md#minutes).
2. A complete minute gives every admitted brand a tally, zeros included, from its first on-time
   minute on. In an incomplete one, a brand without a tally has a hole.
3. A minute scored by two models goes to history and is not evaluated. It is a hole for the detector. Two
   paths of one artefact are two models in a minute, and nothing new for what was learned: their labels are
   equal.
4. The reserved empty brand (brands past the limit) goes to history and is never evaluated.
5. States of another detector are worthless: every brand of the shard starts again and is fed the
   closed minutes of its history. Open episodes go on.
6. A damaged field stops its brand, and nothing else. Without a tally there is neither history nor an
   evaluation of the brand in this minute; without its episode record, or the history that it must be warmed
   up from, the brand is not evaluated until that is mended: record and state stay as they are.
7. A brand without a state begins with the one that `daily` learned from the archive, if there is one
   (core/detection/profiles.py); minutes up to the last one of that are not fed again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic

import msgspec

from stream_worker.core.aggregates.damage import Damage, DamagedField
from stream_worker.core.aggregates.encoding import SHARDS, ZEROS, Sums, shard_of
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.aggregates.shard import Close, SealedMinute, Shard
from stream_worker.core.detection import episodes
from stream_worker.core.detection.detector import OPEN_AT, Detector, Observation, State, stored_name
from stream_worker.core.detection.episodes import EvaluatedMinute
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import Unreadable

RESERVED_BRAND: Final = ""
MUST_WARM_UP: Final = ""
"""The state of a brand whose history was damaged when the detector changed: no detector decodes it."""

History = Callable[[str], Mapping[int, Sums]]
"""Brand -> closed minutes of the last 48 h: start in ms -> ten sums in the order of MEASURES.

It raises DamagedField."""

Archived = Callable[[str], str | None]
"""Brand -> the state of this detector that was learned from the archive, as text, if any."""

_N, _NEG = MEASURES.index("n"), MEASURES.index("neg")
_VOICES, _NEG_VOICES = MEASURES.index("voices"), MEASURES.index("neg_voices")
_event_encoder = msgspec.json.Encoder()


def evaluate(
    shard: Shard,
    minute: SealedMinute,
    brands: Mapping[str, int | None],
    detector: Detector[State],
    history: History,
    *,
    open_at: Callable[[str], float] = lambda _brand: OPEN_AT,
    archived: Archived = lambda _brand: None,
) -> Close:
    """Evaluate `minute` for the brands of `shard`.

    `brands` are all admitted brands with the start of their first on-time minute in ms (None: late ones
    only). `minute` must be the first sealed minute at or after `shard.closed_ms`. `open_at` gives the score
    that opens an episode of a brand. What could not be evaluated is in `damaged` of the close.
    """
    assert 0 <= shard.number < SHARDS
    assert minute.start_ms >= shard.closed_ms, "a closed minute is never evaluated again"
    close = Close(
        shard=shard.number,
        minute_ms=minute.start_ms,
        expected_closed_ms=shard.closed_ms,
        expected_state_id=shard.state_id,
        seal_id=minute.seal_id,
        detector=stored_name(detector),
        sums=_sums(shard.number, minute, brands),
        states={},
        episodes={},
        outbox={},
        damaged=_unreadable_tallies(shard.number, minute),
    )
    evaluation = _Evaluation(shard, minute, detector, open_at, archived, history)
    states = evaluation.states_before(close)
    if len(minute.models) <= 1:
        for brand in close.sums:
            if brand in states and brand != RESERVED_BRAND:
                evaluation.evaluate_brand(brand, states.pop(brand), close)
    if shard.detector != close.detector:  # the states that were warmed up and not evaluated
        close.states.update((brand, detector.encode(state)) for brand, state in states.items())
    return close


def artefact_of(model: str) -> str:
    """Return the artefact of a model without its path: models are `<12 hex of the pin>-<path>`."""
    return model.partition("-")[0]


def observe(
    last_ms: int, minute_ms: int, tally: Sums, *, complete: bool = True, artefact: str = ""
) -> Observation:
    """Make an observation of ten sums; `last_ms` is the minute that was fed before it, -1 for none."""
    return Observation(
        minute_ms=minute_ms,
        voices=tally[_VOICES],
        neg_voices=tally[_NEG_VOICES],
        mentions=tally[_N],
        negatives=tally[_NEG],
        complete=complete,
        gap_minutes=(minute_ms - last_ms) // MINUTE_MS - 1 if last_ms >= 0 else 0,
        model=artefact,
    )


def _sums(number: int, minute: SealedMinute, brands: Mapping[str, int | None]) -> dict[str, Sums]:
    """Return the ten sums of each brand of the shard that has some in this minute, zeros included."""
    tallies, start_ms = minute.tallies, minute.start_ms
    sums = {brand: tally for brand, tally in tallies.items() if shard_of(brand) == number}
    if minute.complete:
        for brand, first_ms in brands.items():
            if (
                first_ms is not None
                and first_ms <= start_ms
                and shard_of(brand) == number
                and brand not in tallies
                and brand not in minute.unreadable
                and brand != RESERVED_BRAND
            ):
                sums[brand] = ZEROS
    return sums


def _unreadable_tallies(number: int, minute: SealedMinute) -> list[Damage]:
    key = f"m:{minute.start_ms}"
    return [
        Damage("count", key, field) for brand, field in minute.unreadable.items() if shard_of(brand) == number
    ]


@dataclass(frozen=True, slots=True)
class _Evaluation(Generic[State]):
    """The evaluation of one sealed minute of one shard."""

    shard: Shard
    minute: SealedMinute
    detector: Detector[State]
    open_at: Callable[[str], float]
    archived: Archived
    history: History

    def states_before(self, close: Close) -> dict[str, State]:
        """Return the states of the brands with sums; those of another detector are made from history.

        Then the other brands of the shard are warmed up, too: their old states must not stay under the new
        name. A brand whose history is damaged is left out.
        """
        same = self.shard.detector == close.detector
        read = self._stored_state if same else self._warm_up
        states: dict[str, State] = {}
        for brand in close.sums if same else {**close.sums, **self.shard.states}:
            if brand == RESERVED_BRAND:
                continue
            try:
                states[brand] = read(brand)
            except DamagedField as error:
                close.damaged.append(error.damage)
                if not same:
                    close.states[brand] = MUST_WARM_UP
        return states

    def evaluate_brand(self, brand: str, state: State, close: Close) -> None:
        """Step the detector and the episode of one brand, and add the outcome to the close."""
        minute, detector = self.minute, self.detector
        record = self.shard.episodes.get(brand)
        try:
            episode = episodes.decode(record) if record is not None else None
        except Unreadable:
            close.damaged.append(Damage("episode", self.shard.key, f"{self.shard.episode_prefix}{brand}"))
            if self.shard.detector != close.detector:
                close.states[brand] = detector.encode(state)
            return
        model = minute.models[0] if minute.models else None
        observation = observe(
            state.minute_ms,
            minute.start_ms,
            close.sums[brand],
            complete=minute.complete,
            artefact=artefact_of(model or ""),
        )
        state, verdict = detector.step(state, observation)
        close.states[brand] = detector.encode(state)
        evaluated = EvaluatedMinute(
            brand=brand,
            minute_ms=minute.start_ms,
            verdict=verdict,
            detector=close.detector,
            model=model,
            complete=minute.complete,
        )
        moved, event = episodes.advance(episode, evaluated, self.open_at(brand))
        if moved is not episode:
            close.episodes[brand] = None if moved is None else episodes.encode(moved)
        if event is not None:
            close.outbox[event.id] = _event_encoder.encode(event).decode()

    def _stored_state(self, brand: str) -> State:
        text = self.shard.states.get(brand)
        if text is None:
            return self._first_state(brand)
        try:
            return self.detector.decode(text)
        except ValueError:  # history makes it again: one damaged field must not stop a shard
            return self._warm_up(brand)

    def _first_state(self, brand: str) -> State:
        """Return the state of a brand that has none: the archive's, if it is older than this minute."""
        text = self.archived(brand)
        if text is not None:
            state = self.detector.decode(text)
            if state.minute_ms < self.minute.start_ms:
                return state
        return self.detector.start()

    def _warm_up(self, brand: str) -> State:
        """Feed the closed minutes before this one, in order; history does not say which were incomplete."""
        state, closed = self._first_state(brand), self.history(brand)
        for start_ms in sorted(closed):
            if state.minute_ms < start_ms < self.minute.start_ms:
                state, _ = self.detector.step(state, observe(state.minute_ms, start_ms, closed[start_ms]))
        return state

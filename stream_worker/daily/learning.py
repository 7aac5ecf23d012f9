"""Profiles from a day of the archive, so that a worker with an empty Redis does not begin cold.

Rules:
1. Only what was on time counts, as in live evaluation. The reserved empty brand is left out.
2. A brand has zeros from its first minute on. More than `HOLE_MINUTES` without a mention of any brand are a
   hole for all: nobody was there to count.
3. A minute scored by two models teaches nothing, as live; each other minute names the model that scored it.
4. The day is fed once, in order, to the states before it; a minute that was fed already is passed over.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Generic

from stream_worker.core.aggregates.encoding import ZEROS, Sums
from stream_worker.core.archive.layout import PROFILES
from stream_worker.core.detection.detector import Detector, State
from stream_worker.core.detection.evaluate import artefact_of, observe
from stream_worker.core.reconcile.cells import MINUTE_SHIFT, Cells, Names
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import Unreadable

HOLE_MINUTES: Final = 30
"""As in the detector, where a hole of up to half an hour changes nothing."""
MINUTES_PER_HOUR: Final = 60
_BRAND_BITS: Final = (1 << MINUTE_SHIFT) - 1


class ProfileLearner(Generic[State]):
    """The detector's state of each brand, fed hour by hour."""

    def __init__(self, detector: Detector[State], before: Mapping[str, str]) -> None:
        """Start from the states before the day, as text. Raises Unreadable."""
        self._detector = detector
        try:
            self._states = {brand: detector.decode(text) for brand, text in before.items()}
        except ValueError as error:
            raise Unreadable(
                f"the newest profiles of the archive are not readable ({error}); remove that object below "
                f"{PROFILES}/ and report the day again"
            ) from None
        self._empty_ms: list[int] = []  # minutes without any mention, since the last one with some

    def take(
        self,
        hour_ms: int,
        cells: Cells,
        brands: Names,
        models: Sequence[Collection[str]] = ((),) * MINUTES_PER_HOUR,
    ) -> None:
        """Feed an hour; `cells` are by minute and brand, over networks, `models` those of each minute."""
        minutes: dict[int, dict[str, Sums]] = {}
        for key, sums in zip(cells.keys.tolist(), cells.on_time.tolist(), strict=True):
            brand = brands.name(key & _BRAND_BITS)
            if brand and sums[0]:
                minutes.setdefault(key >> MINUTE_SHIFT, {})[brand] = tuple(sums)
        for number in range(MINUTES_PER_HOUR):
            start_ms = hour_ms + number * MINUTE_MS
            if number in minutes:
                self._feed_empty()
                if len(models[number]) <= 1:
                    self._feed(start_ms, minutes[number], artefact_of("".join(models[number])))
            else:
                self._empty_ms.append(start_ms)

    def result(self) -> dict[str, str]:
        """Return brand -> state after the last hour, as text."""
        self._feed_empty()
        return {brand: self._detector.encode(state) for brand, state in self._states.items()}

    def _feed_empty(self) -> None:
        if len(self._empty_ms) <= HOLE_MINUTES:
            for start_ms in self._empty_ms:
                self._feed(start_ms, {})
        self._empty_ms = []

    def _feed(self, start_ms: int, tallies: Mapping[str, Sums], artefact: str = "") -> None:
        for brand in tallies.keys() - self._states.keys():
            self._states[brand] = self._detector.start()
        for brand, state in self._states.items():
            if start_ms > state.minute_ms:
                observation = observe(state.minute_ms, start_ms, tallies.get(brand, ZEROS), artefact=artefact)
                self._states[brand], _ = self._detector.step(state, observation)

"""What the detector learns from a day of the archive, so that a worker with an empty Redis is not cold.

Rules:
1. Only what was on time counts, as when minutes are judged live. The reserved empty brand is left out.
2. A brand has zeros from its first minute on. More than `HOLE_MINUTES` without a mention of any brand are a
   hole for all: nobody was there to count.
3. A minute scored by two models teaches nothing, as live; of the others the detector hears which scored them.
4. The day is fed once, in order, to what was known before it; a minute that was fed already is passed over.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from stream_worker.core.aggregates.encoding import ZEROS, Sums
from stream_worker.core.detection.detector import Detector
from stream_worker.core.detection.evaluate import artefact_of, observe
from stream_worker.core.detection.profiles import PREFIX
from stream_worker.core.reconcile.cells import MINUTE_SHIFT, Cells, Names
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import Unreadable

HOLE_MINUTES: Final = 30


class ProfileLearner:
    """The detector's numbers of each brand, fed hour by hour."""

    def __init__(self, detector: Detector[Any], before: Mapping[str, str]) -> None:
        """Start from the numbers before the day. Raises Unreadable."""
        self._detector = detector
        try:
            self._numbers = {brand: detector.decode(text) for brand, text in before.items()}
        except ValueError as error:
            raise Unreadable(
                f"the newest profiles of the archive are not readable ({error}); remove that object below "
                f"{PREFIX} and report the day again"
            ) from None
        self._empty_ms: list[int] = []  # minutes without any mention, since the last one with some

    def take(
        self, hour_ms: int, cells: Cells, brands: Names, models: Sequence[Collection[str]] = ((),) * 60
    ) -> None:
        """Feed an hour; `cells` are by minute and brand, over networks, `models` those of each minute."""
        minutes: dict[int, dict[str, Sums]] = {}
        for key, sums in zip(cells.keys.tolist(), cells.on_time.tolist(), strict=True):
            brand = brands.name(key & ((1 << MINUTE_SHIFT) - 1))
            if brand and sums[0]:
                minutes.setdefault(key >> MINUTE_SHIFT, {})[brand] = tuple(sums)
        for number in range(60):
            start_ms = hour_ms + number * MINUTE_MS
            if number in minutes:
                self._feed_empty()
                if len(models[number]) <= 1:
                    self._feed(start_ms, minutes[number], artefact_of("".join(models[number])))
            else:
                self._empty_ms.append(start_ms)

    def result(self) -> dict[str, str]:
        """Return brand -> numbers after the last hour."""
        self._feed_empty()
        return {brand: self._detector.encode(numbers) for brand, numbers in self._numbers.items()}

    def _feed_empty(self) -> None:
        if len(self._empty_ms) <= HOLE_MINUTES:
            for start_ms in self._empty_ms:
                self._feed(start_ms, {})
        self._empty_ms = []

    def _feed(self, start_ms: int, tallies: Mapping[str, Sums], artefact: str = "") -> None:
        for brand in tallies.keys() - self._numbers.keys():
            self._numbers[brand] = self._detector.start()
        for brand, numbers in self._numbers.items():
            if start_ms > numbers.minute_ms:
                tally = tallies.get(brand, ZEROS)
                seen = observe(numbers.minute_ms, start_ms, tally, artefact=artefact)
                self._numbers[brand], _ = self._detector.step(numbers, seen)

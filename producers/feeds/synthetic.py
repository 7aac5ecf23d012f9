"""The synthetic feed: a small public, invented, that is the same for the same seed and start.

Rules:
1. The same `World`, seed and start give the same records, byte for byte.
2. Mentions arrive at random (Poisson), brands by their weights. During a crisis a brand is louder and
   mostly negative; the others stay as they were, so the rate of the whole rises.
3. As in life: some texts are copies (a repeat: same text, other author and id), some mentions come twice
   (a duplicate: same id), some come late. Records that are broken come only when asked for.
4. Ids hold the seed and the start, so that a second run is not one long list of duplicates.
"""

import itertools
import random
from bisect import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from producers.feeds import phrases
from producers.feeds.due import Due, instant
from producers.feeds.phrases import Brand
from stream_worker.core.mentions import Mention, encode

AUTHORS = 5_000
COPIES = 0.03
DUPLICATES = 0.005
LATE = 0.01
LATE_MS = (60_000, 600_000)
LAG_MS_MEAN = 400.0
"""A mention is published about so long after it was posted."""
REPLIES = 0.08
MEMORY = 50
"""Copies, duplicates and replies refer to one of the brand's last so many mentions."""


class Crisis(NamedTuple):
    """A brand has a bad time."""

    brand: str
    from_ms: float
    until_ms: float
    louder: float = 4.0
    negative: float = 0.85


@dataclass(frozen=True)
class World:
    """What the synthetic public is like."""

    rate: float
    """Mentions per second on an ordinary day."""
    brands: tuple[Brand, ...]
    crises: tuple[Crisis, ...] = ()
    broken: float = 0.0
    """Share of records that are no mention."""


def synthesise(world: World, seed: int, start_ms: int) -> Iterator[Due]:
    """Yield mentions without end (see the rules); `start_ms` is the time of the first moment."""
    return _Public(world, seed, start_ms).dues()


class _Public:
    """The people of a `World`, one draw of the dice after the other."""

    def __init__(self, world: World, seed: int, start_ms: int) -> None:
        self._world = world
        self._dice = random.Random(seed)  # noqa: S311 - a feed, not a secret
        self._start_ms = start_ms
        self._prefix = f"s{seed}-{start_ms:x}-"
        self._recent = {brand.name: deque[Mention](maxlen=MEMORY) for brand in world.brands}
        self._quiet = sum(brand.weight for brand in world.brands)
        names, weights = zip(*phrases.NETWORKS, strict=True)
        self._networks: tuple[str, ...] = names
        self._network_steps: list[float] = list(itertools.accumulate(weights))

    def dues(self) -> Iterator[Due]:
        at_ms = 0.0
        changes = sorted(
            {time for crisis in self._world.crises for time in (crisis.from_ms, crisis.until_ms)}
        )
        steps, phase = self._steps(at_ms), bisect(changes, at_ms)
        for number in itertools.count():
            rate = self._world.rate * steps[-1] / self._quiet
            at_ms += self._dice.expovariate(rate) * 1_000
            if bisect(changes, at_ms) != phase:
                steps, phase = self._steps(at_ms), bisect(changes, at_ms)
            yield self._due(number, at_ms, self._world.brands[self._draw(steps)])

    def _steps(self, at_ms: float) -> list[float]:
        """Return the running sum of the brands' weights at a moment."""
        weights = (
            brand.weight * (crisis.louder if (crisis := self._crisis(brand, at_ms)) else 1.0)
            for brand in self._world.brands
        )
        return list(itertools.accumulate(weights))

    def _crisis(self, brand: Brand, at_ms: float) -> Crisis | None:
        return next(
            (
                one
                for one in self._world.crises
                if one.brand == brand.name and one.from_ms <= at_ms < one.until_ms
            ),
            None,
        )

    def _due(self, number: int, at_ms: float, brand: Brand) -> Due:
        earlier = self._recent[brand.name]
        if earlier and self._dice.random() < DUPLICATES:
            return Due(at_ms, brand.name, self._dice.choice(earlier))
        mention = self._mention(number, at_ms, brand)
        if self._world.broken and self._dice.random() < self._world.broken:
            return Due(at_ms, brand.name, _break(mention, self._dice))
        earlier.append(mention)
        return Due(at_ms, brand.name, mention)

    def _mention(self, number: int, at_ms: float, brand: Brand) -> Mention:
        dice = self._dice
        lag_ms = dice.expovariate(1 / LAG_MS_MEAN)
        if dice.random() < LATE:
            lag_ms += dice.uniform(*LATE_MS)
        post = f"{self._prefix}{number}"
        network = self._networks[self._draw(self._network_steps)]
        earlier = self._recent[brand.name]
        luck = dice.random() if earlier else 1.0
        text = dice.choice(earlier).text if luck < COPIES else self._text(number, at_ms, brand)
        reply_to = dice.choice(earlier).id if COPIES <= luck < COPIES + REPLIES else None
        return Mention(
            id=post,
            brand=brand.name,
            network=network,
            text=text,
            event_time=instant(self._start_ms + round(at_ms - lag_ms)),
            # A few authors write much, most write little.
            author=f"user{int(AUTHORS * dice.random() ** 3)}",
            url=f"https://example.com/{network}/{post}" if network in {"news", "reddit"} else None,
            lang="en",
            reach=round(dice.lognormvariate(5.5, 1.8)),
            reply_to=reply_to,
        )

    def _draw(self, steps: list[float]) -> int:
        """Return a place in a running sum of weights."""
        # The bound is for the one draw in 2**53 that rounds up to the whole sum.
        return bisect(steps, self._dice.random() * steps[-1], 0, len(steps) - 1)

    def _text(self, number: int, at_ms: float, brand: Brand) -> str:
        crisis = self._crisis(brand, at_ms)
        negative = crisis.negative if crisis else brand.negative
        positive = brand.positive * (1 - negative) / (1 - brand.negative)
        mood = self._dice.random()
        templates: tuple[str, ...]
        endings: tuple[str, ...]
        if mood < negative:
            templates, endings = phrases.NEGATIVE, phrases.ENDINGS_NEGATIVE
        elif mood < negative + positive:
            templates, endings = phrases.POSITIVE, phrases.ENDINGS_POSITIVE
        else:
            templates, endings = phrases.NEUTRAL, phrases.ENDINGS_NEUTRAL
        choice = self._dice.choice
        return (
            choice(phrases.OPENINGS) + choice(templates) + choice(phrases.TAILS) + choice(endings)
        ).format(
            brand=brand.name,
            tag="".join(filter(str.isalnum, brand.name)),
            thing=choice(brand.things),
            good=choice(phrases.GOOD),
            bad=choice(phrases.BAD),
            plain=choice(phrases.PLAIN),
            n=number,
        )


def _break(mention: Mention, dice: random.Random) -> bytes:
    """Return a record that the worker must reject, in one of the ways that happen."""
    value = encode(mention)
    return dice.choice((
        b"",
        value[: len(value) // 2],
        b"[1, 2, 3]",
        b"\xff\xfe" + value,
        value.replace(b'"text":', b'"body":', 1),
        value.replace(b'"brand":"', b'"brand":"","was":"', 1),
        value.replace(b'"reach":', b'"reach":"many","was":', 1),
        value.replace(b'"event_time":"', b'"event_time":"yesterday, ', 1),
    ))  # fmt: skip

"""The synthetic feed: a small public, invented, that is the same for the same seed and start.

Rules:
1. The same `World`, seed and start give the same records, byte for byte.
2. Mentions arrive at random (Poisson), brands by their weights and seasons. The rate is that of the start;
   from there it follows the seasons. In a crisis a brand is louder; the others stay as they were.
3. As in life: some texts are copies (a repeat: same text, other author and id), some mentions come twice
   (a duplicate: same id), some come late. Records that are broken come only on request.
4. Ids hold the seed and the start, so that a second run is not one long list of duplicates.
5. A past that is filled in begins before the start and is due at once. Its records carry their own times,
   which rise up to the start; later ones get theirs when they are sent.
"""

import itertools
import random
from bisect import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from producers.feeds.crises import RUMOUR, SWARM, Crisis
from producers.feeds.phrases import NEGATIVE, NEUTRAL, POSITIVE, WORDS, InventedBrand
from producers.feeds.scheduled import ScheduledRecord, instant
from producers.feeds.seasonality import STEP_MS, season
from producers.feeds.text_generator import author_name, write_post, write_rumour
from stream_worker.core.records.mention import Mention, encode

AUTHORS_MIN = 5_000
AUTHORS_PER_RATE = 4_000
"""Authors for each mention a second: a livelier public is a larger one, not a noisier."""
COPIES = 0.03
DUPLICATES = 0.005
LATE = 0.01
LATE_MS = (60_000, 600_000)
LAG_MS_MEAN = 400.0
"""A mention is published about so long after it was posted."""
REPLIES = 0.08
MEMORY = 50
"""Copies, duplicates and replies refer to one of the brand's last so many mentions."""


@dataclass(frozen=True)
class World:
    """What the synthetic public is like."""

    rate: float
    """Mentions per second at the start, without crises."""
    brands: tuple[InventedBrand, ...]
    crises: tuple[Crisis, ...] = ()
    broken: float = 0.0
    """Share of records that are no mention."""
    backfill_ms: float = 0.0
    """So long a past is filled in first."""


def synthesise(world: World, seed: int, start_ms: int) -> Iterator[ScheduledRecord]:
    """Yield mentions without end (see the rules); `start_ms` is the time of the first live moment."""
    return _Public(world, seed, start_ms).records()


class _Public:
    """The people of a `World`, one draw of the dice after the other."""

    def __init__(self, world: World, seed: int, start_ms: int) -> None:
        self._world = world
        self._dice = random.Random(seed)  # noqa: S311 - a feed, not a secret
        self._start_ms = start_ms
        self._prefix = f"s{seed}-{start_ms:x}-"
        self._recent = {brand.name: deque[Mention](maxlen=MEMORY) for brand in world.brands}
        self._authors = max(AUTHORS_MIN, round(world.rate * AUTHORS_PER_RATE))
        self._start_weight = sum(brand.weight * season(brand, start_ms) for brand in world.brands)
        self._networks = tuple(WORDS.networks)
        self._network_steps: list[float] = list(itertools.accumulate(WORDS.networks.values()))

    def records(self) -> Iterator[ScheduledRecord]:
        world, start_ms = self._world, self._start_ms
        changes = sorted({time for crisis in world.crises for time in (crisis.from_ms, crisis.until_ms)})
        at_ms = -world.backfill_ms
        phase, steps = None, [0.0]
        for number in itertools.count():
            if phase != (now := (bisect(changes, at_ms), at_ms // STEP_MS)):
                phase, steps = now, self._steps(at_ms)
            at_ms += self._dice.expovariate(world.rate * steps[-1] / self._start_weight) * 1_000
            record = self._record(number, at_ms, world.brands[self._draw(steps)])
            yield record if at_ms >= 0 else record._replace(record_ms=start_ms + round(at_ms))

    def _steps(self, at_ms: float) -> list[float]:
        """Return the running sum of the brands' weights at a moment."""
        time_ms = self._start_ms + at_ms
        weights = (
            brand.weight
            * season(brand, time_ms)
            * (crisis.louder if (crisis := self._crisis(brand, at_ms)) else 1.0)
            for brand in self._world.brands
        )
        return list(itertools.accumulate(weights))

    def _crisis(self, brand: InventedBrand, at_ms: float) -> Crisis | None:
        for one in self._world.crises:
            if one.brand == brand.name and one.from_ms <= at_ms < one.until_ms:
                return one
        return None

    def _record(self, number: int, at_ms: float, brand: InventedBrand) -> ScheduledRecord:
        dice, earlier = self._dice, self._recent[brand.name]
        crisis = self._crisis(brand, at_ms)
        if crisis and crisis.kind == RUMOUR and dice.random() > 1 / crisis.louder:
            return ScheduledRecord(at_ms, brand.name, self._rumour(number, at_ms, brand, crisis))
        if earlier and dice.random() < DUPLICATES:
            return ScheduledRecord(at_ms, brand.name, dice.choice(earlier))
        mention = self._mention(number, at_ms, brand, crisis)
        if self._world.broken and dice.random() < self._world.broken:
            return ScheduledRecord(at_ms, brand.name, _break(mention, dice))
        earlier.append(mention)
        return ScheduledRecord(at_ms, brand.name, mention)

    def _mention(self, number: int, at_ms: float, brand: InventedBrand, crisis: Crisis | None) -> Mention:
        dice = self._dice
        lag_ms = dice.expovariate(1 / LAG_MS_MEAN)
        if dice.random() < LATE:
            lag_ms += dice.uniform(*LATE_MS)
        post = f"{self._prefix}{number}"
        network = self._networks[self._draw(self._network_steps)]
        # A few authors write much, most write little.
        author = int(self._authors * dice.random() ** 3)
        earlier = self._recent[brand.name]
        luck = dice.random() if earlier else 1.0
        reply_to = None
        if luck < COPIES:
            text, lang = _copy(dice.choice(earlier), network)
        else:
            text, lang = self._post(brand, crisis, network, author)
            if luck < COPIES + REPLIES:
                answered = dice.choice(earlier)
                reply_to, text = answered.id, f"@{answered.author} {text}"
        return Mention(
            id=post,
            brand=brand.name,
            network=network,
            text=text,
            event_time=instant(self._start_ms + round(at_ms - lag_ms)),
            author=author_name(author),
            url=f"https://example.com/{network}/{post}" if network in {"news", "reddit"} else None,
            lang=lang,
            reach=round(dice.lognormvariate(5.5, 1.8)),
            reply_to=reply_to,
        )

    def _post(
        self, brand: InventedBrand, crisis: Crisis | None, network: str, author: int
    ) -> tuple[str, str]:
        negative, trouble = brand.negative, ""
        if crisis and crisis.kind != RUMOUR:
            negative, trouble = crisis.negative, crisis.kind or brand.default
        positive = brand.positive * (1 - negative) / (1 - brand.negative)
        luck = self._dice.random()
        mood = NEGATIVE if luck < negative else POSITIVE if luck < negative + positive else NEUTRAL
        return write_post(self._dice, brand, mood, network, author, trouble)

    def _rumour(self, number: int, at_ms: float, brand: InventedBrand, crisis: Crisis) -> Mention:
        dice, post = self._dice, f"{self._prefix}{number}"
        text = write_rumour(brand, int(crisis.from_ms))
        # Copies differ where people do not look: a link, a name in front.
        text = dice.choice(
            (text, f"RT @{dice.choice(SWARM)}: {text}", f"{text} https://example.com/r/{number}")
        )
        return Mention(
            id=post,
            brand=brand.name,
            network=self._networks[0],
            text=text,
            event_time=instant(self._start_ms + round(at_ms - dice.expovariate(1 / LAG_MS_MEAN))),
            author=dice.choice(SWARM),
            lang="en",
            reach=round(dice.lognormvariate(3.0, 1.0)),
        )

    def _draw(self, steps: list[float]) -> int:
        """Return a place in a running sum of weights."""
        # The bound is for the one draw in 2**53 that rounds up to the whole sum.
        return bisect(steps, self._dice.random() * steps[-1], 0, len(steps) - 1)


def _copy(mention: Mention, network: str) -> tuple[str, str | None]:
    if network == "x" and not mention.text.startswith("RT "):
        return f"RT @{mention.author}: {mention.text}", mention.lang
    return mention.text, mention.lang


def _break(mention: Mention, dice: random.Random) -> bytes:
    """Return a record that the worker must reject, in one of the ways that happen."""
    value = encode(mention)
    return dice.choice(
        (
            b"",
            value[: len(value) // 2],
            b"[1, 2, 3]",
            b"\xff\xfe" + value,
            value.replace(b'"text":', b'"body":', 1),
            value.replace(b'"brand":"', b'"brand":"","was":"', 1),
            value.replace(b'"reach":', b'"reach":"many","was":', 1),
            value.replace(b'"event_time":"', b'"event_time":"yesterday, ', 1),
        )
    )

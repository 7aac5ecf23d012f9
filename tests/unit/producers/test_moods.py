"""What the shipped model and the detector make of the synthetic feed: anger pages, a swarm does not."""

import itertools
from collections import Counter

import numpy as np
import pytest
import xxhash

from models import registry
from producers.feeds import phrases
from producers.feeds.crises import crisis_of
from producers.feeds.synthetic import World, synthesise
from stream_worker.core.detection.detector import OPEN_AT, Observation
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.records.batch import Records
from stream_worker.core.records.decode import decode
from stream_worker.core.records.dedup import DedupWindow, plain_keys
from stream_worker.core.records.limits import Limits
from stream_worker.core.time import MINUTE_MS

START_MS = 1_767_258_000_000
BRANDS = tuple(phrases.brands(12))
NEGATIVE, POSITIVE = 0, 2


@pytest.fixture(scope="module")
def scorer():
    return registry.load()


def minutes(scorer, brand, **options):
    """Voices and negative voices of a brand by the minute, ten quiet ones and three of what is asked for."""
    world = World(10.0, BRANDS, backfill_ms=10 * MINUTE_MS, **options)
    dues = itertools.takewhile(lambda due: due.at_ms < 3 * MINUTE_MS, synthesise(world, 1, START_MS))
    ours = [due for due in dues if due.key == brand]
    times_ms = [START_MS + round(due.at_ms) for due in ours]
    columns, _ = decode(Records(range(len(ours)), times_ms, [due.encoded() for due in ours]), Limits())
    _, repeat, voice = DedupWindow(50_000, 3_600_000, plain_keys(xxhash.xxh64_intdigest)).add(columns)
    labels = scorer.score(columns.texts).label
    minute_of = (np.asarray(columns.event_times_ms) - START_MS) // MINUTE_MS
    counted = [
        (
            int((voice & (minute_of == minute)).sum()),
            int((voice & (minute_of == minute) & (labels == NEGATIVE)).sum()),
        )
        for minute in range(-10, 3)
    ]
    return counted, repeat.mean()


def highest_score(counted):
    detector = ShareDetector()
    numbers, highest = detector.start(), 0.0
    for number, (voices, negatives) in enumerate(counted):
        seen = Observation(START_MS + number * MINUTE_MS, voices, negatives, voices, negatives, True, 0)
        numbers, verdict = detector.step(numbers, seen)
        highest = max(highest, verdict.score)
    return highest


def test_on_an_ordinary_day_each_brand_has_its_critics_and_its_friends(scorer):
    # When
    mentions = [due.value for due in itertools.islice(synthesise(World(25.0, BRANDS), 1, START_MS), 8_000)]
    labels = scorer.score([mention.text for mention in mentions]).label
    by_brand = {brand.name: Counter() for brand in BRANDS}
    for mention, label in zip(mentions, labels, strict=True):
        by_brand[mention.brand][int(label)] += 1

    # Then about as many are called negative as are meant so
    for brand in BRANDS:
        counts = by_brand[brand.name]
        if counts.total() > 200:
            assert abs(counts[NEGATIVE] / counts.total() - brand.negative) < 0.08
            assert counts[POSITIVE] / counts.total() > 0.10


@pytest.mark.parametrize(
    ("brand", "kind"),
    [("Okelio", "price"), ("Okelio", "outage"), ("Brambleton Coffee", "recall")],
)
def test_public_anger_pages(scorer, brand, kind):
    counted, _ = minutes(scorer, brand, crises=(crisis_of(brand, 0, np.inf, kind),))

    voices, negatives = np.sum(counted[10:], axis=0)
    assert negatives / voices > 0.55
    assert highest_score(counted) > OPEN_AT


@pytest.mark.parametrize("brand", ["Okelio", "Brambleton Coffee"])
def test_a_swarm_of_copies_does_not_page(scorer, brand):
    # When most of what is written of a brand is one angry text
    counted, repeats = minutes(scorer, brand, crises=(crisis_of(brand, 0, np.inf, "rumour"),))

    # Then it is many mentions, and no voices
    assert repeats > 0.3
    assert highest_score(counted) < OPEN_AT / 2
    text = phrases.WORDS.crises["rumour"]
    assert set(scorer.score([part[0][0] + brand + part[1][0] for part in text]).label) == {NEGATIVE}

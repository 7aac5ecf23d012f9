"""The synthetic feed: the same for the same seed, and shaped as it says."""

import itertools
import math
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.feeds import phrases
from producers.feeds.due import epoch_ms
from producers.feeds.synthetic import COPIES, DUPLICATES, LATE, Crisis, World, synthesise
from stream_worker.core.columns import Records
from stream_worker.core.decode import decode
from stream_worker.core.layout import Limits
from stream_worker.core.mentions import Mention

START_MS = 1_767_258_000_000
BRANDS = tuple(phrases.brands(10))
DECODER = msgspec.json.Decoder(Mention)


def world(rate=100.0, **options):
    return World(rate, BRANDS, **options)


def take(count, seed=1, start_ms=START_MS, **options):
    return list(itertools.islice(synthesise(world(**options), seed, start_ms), count))


def until(ms, **options):
    return list(itertools.takewhile(lambda due: due.at_ms < ms, synthesise(world(**options), 1, START_MS)))


@settings(max_examples=20, deadline=None)
@given(st.integers(), st.integers(10**12, 10**13), st.floats(0, 1))
def test_the_same_seed_and_start_give_the_same_bytes(seed, start_ms, broken):
    one, two = (take(200, seed, start_ms, broken=broken) for _ in range(2))
    assert [(due.at_ms, due.key, due.encoded()) for due in one] == [
        (due.at_ms, due.key, due.encoded()) for due in two
    ]


def test_another_seed_or_another_start_gives_other_ids():
    ids = [{due.value.id for due in take(100, seed, start)} for seed, start in [(1, 0), (2, 0), (1, 60_000)]]
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]


def test_every_mention_keeps_the_contract_and_is_keyed_by_its_brand():
    for due in take(2_000):
        assert DECODER.decode(due.encoded()) == due.value
        assert due.key == due.value.brand


def test_mentions_arrive_at_the_rate_asked_for_and_in_order():
    dues = take(5_000, rate=50)
    assert [due.at_ms for due in dues] == sorted(due.at_ms for due in dues)
    assert dues[-1].at_ms / 1_000 == pytest.approx(100, rel=0.05)


def test_brands_are_mentioned_by_their_weights():
    counts = Counter(due.key for due in take(20_000))
    whole = sum(brand.weight for brand in BRANDS)
    for brand in BRANDS:
        assert counts[brand.name] / 20_000 == pytest.approx(brand.weight / whole, rel=0.15)


def test_some_come_twice_some_are_copies_and_some_are_late():
    # When
    dues = take(20_000)
    first = list({due.value.id: due for due in dues}.values())
    late = [due for due in first if START_MS + due.at_ms - epoch_ms(due.value.event_time) >= 60_000]
    texts = Counter((due.key, due.value.text) for due in first)

    # Then
    assert (len(dues) - len(first)) / 20_000 == pytest.approx(DUPLICATES, rel=0.3)
    assert len(late) / 20_000 == pytest.approx(LATE, rel=0.3)
    repeats = (len(first) - len(texts)) / 20_000
    # Copies on purpose, and few by chance: else the worker would see a public of parrots.
    assert COPIES * 0.8 < repeats < COPIES * 2


def test_no_mention_is_from_the_future():
    assert all(epoch_ms(due.value.event_time) <= START_MS + due.at_ms + 1 for due in take(5_000))


def test_in_a_crisis_a_brand_is_louder_and_negative_and_the_others_stay_as_they_were():
    # Given a crisis in the second of three minutes
    #   minute      0              1              2
    #   Okelio      ordinary       crisis         ordinary
    crisis = Crisis("Okelio", 60_000, 120_000)
    endings = {ending for ending in phrases.ENDINGS_NEGATIVE if ending.strip()}

    # When
    dues = until(180_000, crises=(crisis,))
    minutes = [[due for due in dues if due.at_ms // 60_000 == minute] for minute in range(3)]
    loud = [sum(due.key == "Okelio" for due in minute) for minute in minutes]
    others = [len(minute) - one for minute, one in zip(minutes, loud, strict=True)]
    angry = [
        sum(any(ending in due.value.text for ending in endings) for due in minute if due.key == "Okelio")
        / count
        for minute, count in zip(minutes, loud, strict=True)
    ]

    # Then
    assert loud[1] / loud[0] == pytest.approx(crisis.louder, rel=0.15)
    assert loud[2] / loud[0] == pytest.approx(1, rel=0.15)
    assert others[1] / others[0] == pytest.approx(1, rel=0.1)
    assert angry[1] > 2 * max(angry[0], angry[2])


def test_a_crisis_without_an_end_lasts():
    dues = until(300_000, rate=20, crises=(Crisis("Fenwarrel", 0, math.inf),))
    assert sum(due.key == "Fenwarrel" for due in dues) / len(dues) == pytest.approx(4 / 103, rel=0.35)


def test_broken_records_come_only_when_asked_for_and_are_no_mentions():
    # When
    dues = take(10_000, broken=0.1)
    broken = [due for due in dues if isinstance(due.value, bytes)]

    # Then
    assert all(isinstance(due.value, Mention) for due in take(2_000))
    assert len(broken) / 10_000 == pytest.approx(0.1, rel=0.1)
    for due in broken:
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            DECODER.decode(due.encoded())


def test_the_worker_takes_every_mention_and_rejects_every_broken_record_whatever_is_wrong_with_it():
    # Given
    dues = take(5_000, broken=0.05)
    times_ms = [START_MS + round(due.at_ms) for due in dues]

    # When
    columns, rejected = decode(Records(range(5_000), times_ms, [due.encoded() for due in dues]), Limits())

    # Then
    broken = [number for number, due in enumerate(dues) if isinstance(due.value, bytes)]
    assert [verdict.offset for verdict in rejected] == broken
    assert len(columns.texts) == 5_000 - len(broken)
    assert len({verdict.reason for verdict in rejected}) >= 5


@settings(deadline=None, max_examples=10)
@given(st.integers(1, phrases.BRANDS_MAX))
def test_there_are_as_many_brands_as_asked_for_each_with_a_name_of_its_own(count):
    brands = phrases.brands(count)
    assert len({brand.name for brand in brands}) == count
    assert all(brand.weight > 0 for brand in brands)


def test_every_phrase_can_be_filled():
    parts = [phrases.OPENINGS, phrases.NEGATIVE + phrases.NEUTRAL + phrases.POSITIVE, phrases.TAILS]
    endings = phrases.ENDINGS_NEGATIVE + phrases.ENDINGS_NEUTRAL + phrases.ENDINGS_POSITIVE
    words = {"brand": "B", "tag": "B", "thing": "T", "good": "G", "bad": "D", "plain": "P", "n": 1}
    for part in [*parts, endings]:
        for phrase in part:
            assert "{" not in phrase.format(**words)

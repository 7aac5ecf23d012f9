"""The synthetic feed: the same for the same seed, and shaped as it says."""

import itertools
import math
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.feeds import phrases
from producers.feeds.crises import KINDS, SWARM, Crisis, crisis_of
from producers.feeds.scheduled import epoch_ms
from producers.feeds.seasonality import DAY_MS, season
from producers.feeds.synthetic import COPIES, DUPLICATES, LATE, World, synthesise
from stream_worker.core.records.batch import Records
from stream_worker.core.records.decode import decode
from stream_worker.core.records.dedup import text_key_bytes
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.mention import Mention

START_MS = 1_767_258_000_000
BRANDS = tuple(phrases.brands(12))
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


def test_brands_are_mentioned_by_their_weights_and_seasons():
    counts = Counter(due.key for due in take(20_000))
    now = {brand.name: brand.weight * season(brand, START_MS) for brand in BRANDS}
    for name, weight in now.items():
        assert counts[name] / 20_000 == pytest.approx(weight / sum(now.values()), rel=0.2)


def test_each_brand_has_its_crest_at_its_hour_and_a_weekend_of_its_own():
    monday_ms = 1_767_571_200_000  # 2026-01-05T00:00Z
    for brand in BRANDS:
        hours = [season(brand, monday_ms + hour * 3_600_000) for hour in range(24)]
        assert hours.index(max(hours)) == brand.peak_hour
        assert sum(hours) / 24 == pytest.approx(1)
        saturday = [season(brand, monday_ms + 5 * DAY_MS + hour * 3_600_000) for hour in range(24)]
        assert sum(saturday) / sum(hours) == pytest.approx(brand.weekend)


def test_the_rate_follows_the_season():
    # Given a start at the crest of most brands' evenings, and the same at night
    evening = until(60_000, rate=150)
    week = synthesise(world(0.05), 1, START_MS)
    hours = Counter(
        int(due.at_ms // 3_600_000) for due in itertools.takewhile(lambda d: d.at_ms < DAY_MS, week)
    )

    # Then the rate at the start is the one asked for, whatever the hour, and moves from there
    assert len(evening) == pytest.approx(9_000, rel=0.05)
    assert max(hours.values()) > 1.3 * min(hours[hour] for hour in range(24))


def test_some_come_twice_some_are_copies_and_some_are_late():
    # When
    dues = take(20_000)
    first = list({due.value.id: due for due in dues}.values())
    late = [due for due in first if START_MS + due.at_ms - epoch_ms(due.value.event_time) >= 60_000]
    texts = {text_key_bytes(due.key, due.value.text) for due in first}

    # Then
    assert (len(dues) - len(first)) / 20_000 == pytest.approx(DUPLICATES, rel=0.3)
    assert len(late) / 20_000 == pytest.approx(LATE, rel=0.3)
    repeats = (len(first) - len(texts)) / 20_000
    # Copies on purpose, and few by chance: else the worker would see a public of parrots.
    assert COPIES * 0.8 < repeats < COPIES * 2


def test_two_thousand_posts_are_nearly_all_different_and_no_two_brands_share_one():
    # When
    mentions = [due.value for due in take(2_000, rate=25)]
    bare = {brand.name: set() for brand in BRANDS}
    for mention in mentions:
        bare[mention.brand].add(mention.text.replace(mention.brand, ""))

    # Then
    assert len({mention.text for mention in mentions}) > 1_900
    for one, two in itertools.combinations(bare.values(), 2):
        assert not one & two
    assert len({mention.author for mention in mentions}) > 1_000
    assert {"en", "de", "ja"} < {mention.lang for mention in mentions}
    assert any(mention.text.startswith("RT @") for mention in mentions)


def test_no_mention_is_from_the_future():
    assert all(epoch_ms(due.value.event_time) <= START_MS + due.at_ms + 1 for due in take(5_000))


def test_in_a_crisis_a_brand_is_louder_and_its_trouble_is_told_and_the_others_stay_as_they_were():
    # Given a crisis in the second of three minutes
    #   minute      0              1              2
    #   Okelio      ordinary       crisis         ordinary
    crisis = Crisis("Okelio", 60_000, 120_000)
    trouble = BRANDS[0].trouble[BRANDS[0].default]

    # When
    dues = until(180_000, crises=(crisis,))
    minutes = [[due for due in dues if due.at_ms // 60_000 == minute] for minute in range(3)]
    loud = [sum(due.key == "Okelio" for due in minute) for minute in minutes]
    others = [len(minute) - one for minute, one in zip(minutes, loud, strict=True)]
    told = [
        sum(any(one in due.value.text.lower() for one in trouble) for due in minute if due.key == "Okelio")
        / count
        for minute, count in zip(minutes, loud, strict=True)
    ]

    # Then
    assert loud[1] / loud[0] == pytest.approx(crisis.louder, rel=0.2)
    assert loud[2] / loud[0] == pytest.approx(1, rel=0.2)
    assert others[1] / others[0] == pytest.approx(1, rel=0.1)
    assert told[0] == 0
    assert told[1] > 0.6
    assert told[2] < 0.1  # copies of what was said before


def test_a_rumour_is_one_text_that_few_accounts_copy_while_the_public_goes_on_as_before():
    # When
    quiet = [due.value for due in until(60_000) if due.key == "Velqua"]
    dues = until(60_000, crises=(crisis_of("Velqua", 0, math.inf, "rumour"),))
    loud = [due.value for due in dues if due.key == "Velqua"]
    swarm = [mention for mention in loud if mention.author in SWARM]

    # Then
    assert len(swarm) > 4 * len(quiet)
    assert len({text_key_bytes("Velqua", mention.text) for mention in swarm}) == 1
    assert len({mention.text for mention in swarm}) > len(swarm) / 4
    assert len(loud) - len(swarm) == pytest.approx(len(quiet), rel=0.25)


def test_a_past_is_filled_in_first_with_rising_record_times_and_goes_over_into_the_present():
    # When two minutes of past and one of present
    dues = until(60_000, rate=50, backfill_ms=120_000)
    past = [due for due in dues if due.record_ms is not None]

    # Then
    assert len(past) == pytest.approx(6_000, rel=0.06)
    assert len(dues) - len(past) == pytest.approx(3_000, rel=0.08)
    assert all(due.at_ms < 0 for due in past)
    assert dues[: len(past)] == past
    times_ms = [due.record_ms for due in past]
    assert times_ms == sorted(times_ms)
    assert START_MS - 120_000 <= times_ms[0] < times_ms[-1] <= START_MS
    assert all(epoch_ms(due.value.event_time) <= due.record_ms for due in past[:100])


def test_a_crisis_without_an_end_lasts():
    dues = until(300_000, rate=20, crises=(Crisis("Fenwarrel", 0, math.inf),))
    now = {brand.name: brand.weight * season(brand, START_MS) for brand in BRANDS}
    share = 4 * now["Fenwarrel"] / (sum(now.values()) + 3 * now["Fenwarrel"])
    assert sum(due.key == "Fenwarrel" for due in dues) / len(dues) == pytest.approx(share, rel=0.35)


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


def test_every_phrase_has_slots_that_can_be_filled_and_every_brand_all_it_needs():
    common = {"brand", "tag", "thing", "where", "habit", "good", "bad", "when", "who", "num", "trouble", ""}
    words = phrases.WORDS
    tables = [words.openings, words.asides, words.endings, words.crises, *(brand.posts for brand in BRANDS)]
    for table in tables:
        for templates in table.values():
            assert {slot for template in templates for _, slot in template} <= common
    for language in words.languages:
        slots = {slot for templates in language.posts.values() for one in templates for _, slot in one}
        assert slots <= {"brand", "noun", "num", ""}
    for brand in BRANDS:
        assert brand.trouble.keys() | {"rumour"} == KINDS.keys() == words.crises.keys()
        assert brand.default in brand.trouble
        assert len(brand.things) >= 10

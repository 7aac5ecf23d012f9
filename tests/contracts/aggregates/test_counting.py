"""Counting: where each cell of a delta goes, and that nothing but integers is added."""

import pytest

from stream_worker.core.aggregates.aggregate import increments
from stream_worker.core.aggregates.encoding import decode_sums
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.partition.effects import Apply
from stream_worker.core.time import DAY_MS, HOUR_MS
from tests.contracts.aggregates.worlds import NOON, Feeder, cells, close_up_to, minute, sums

EVERY = {measure: i + 2 for i, measure in enumerate(MEASURES[1:])}


def on(start, brand, kind="hm"):
    unit = HOUR_MS if kind == "hm" else DAY_MS
    return f"{kind}:{start - start % unit}:{brand}"


def test_each_measure_has_a_field_and_zeros_have_none(world):
    # Given a cell with every measure and one with a single mention
    feeder = Feeder(world.aggregates())

    # When they are counted
    feeder.apply((NOON, "acme", 1, EVERY), (NOON, "beta", 1, {"network": "y"}))

    # Then the minute holds just those, the totals, and the model
    assert world.dump()[f"m:{NOON}"] == {
        **{f"{measure}:x:acme": str(i + 1) for i, measure in enumerate(MEASURES)},
        "n:y:beta": "1",
        "mentions": "2",
        "model:m1:sk": "2",
        "models": "m1:sk",
    }
    assert world.dump()["minutes"] == [str(NOON)]


def test_deltas_add_up_and_a_second_model_is_named(world):
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 1, {"sum": -5}), (NOON, "acme", 2, {"sum": 9}))
    feeder.apply((NOON, "acme", 4, {"sum": -6}), model="m2:k1")

    stored = world.dump()[f"m:{NOON}"]
    assert (stored["n:x:acme"], stored["sum:x:acme"]) == ("7", "-2")
    assert (stored["mentions"], stored["model:m1:sk"], stored["model:m2:k1"]) == ("7", "3", "4")
    assert stored["models"] == "m1:sk,m2:k1"


def test_large_sums_stay_integers(world):
    # Given sums that Lua would print as 1e+14
    feeder = Feeder(world.aggregates())
    large = {"sum": 10**14}

    # When they are added, late and on time, twice
    for _ in range(2):
        feeder.apply((NOON, "acme", 10**14, large), (NOON, "acme", 1, {"sum": -(10**14), "late": True}))

    # Then every digit is there
    dump = world.dump()
    assert dump[f"m:{NOON}"]["sum:x:acme"] == "200000000000000"
    assert dump[f"m:{NOON}"]["late_sum:x:acme"] == "-200000000000000"
    assert decode_sums(dump[on(NOON, "acme")][str(NOON)]) == sums(n=2, sum=-2 * 10**14)


def test_late_cells_have_fields_of_their_own_and_go_to_history_at_once(world):
    # Given mentions that were late by their own partition's watermark
    feeder = Feeder(world.aggregates())

    # When they are counted beside others
    feeder.apply((NOON, "acme", 2, {"late": True, "neg": 1}), (NOON, "acme", 5, {"network": "y"}))

    # Then history has the late ones only, the model and the mentions the others
    dump = world.dump()
    assert dump[f"m:{NOON}"] == {
        "late_n:x:acme": "2",
        "late_neg:x:acme": "1",
        "late_mentions": "2",
        "n:y:acme": "5",
        "mentions": "5",
        "model:m1:sk": "5",
        "models": "m1:sk",
    }
    assert decode_sums(dump[on(NOON, "acme")][str(NOON)]) == sums(n=2, neg=1)
    assert decode_sums(dump[on(NOON, "acme", "hd")][str(NOON)]) == sums(n=2, neg=1)


def test_a_mention_of_a_sealed_minute_is_late_and_never_changes_what_was_frozen(world):
    # Given a sealed minute
    #        12:00          12:01          12:02
    #        |--- sealed ---)|--- open ----)
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 3), wm=minute(1))
    feeder.seal()
    frozen = feeder.aggregates.next_sealed(-1)

    # When more of it comes from a partition whose own watermark had not passed
    answer = feeder.apply((NOON, "acme", 4), (minute(1), "acme", 1))

    # Then it is filed as late
    assert answer.sealed_ms == minute(1)
    assert world.dump()[f"m:{NOON}"]["late_n:x:acme"] == "4"
    assert world.dump()[f"m:{minute(1)}"]["n:x:acme"] == "1"
    assert feeder.aggregates.next_sealed(-1).tallies == frozen.tallies == {"acme": sums(n=3)}


def test_below_the_floor_nothing_is_counted_but_that_it_expired(world):
    # Given a floor at 12:02
    feeder = Feeder(world.aggregates(), complete_from_ms=minute(2) - 1)

    # When cells lie on both sides of it
    answer = feeder.apply(
        (minute(1), "old", 3), (minute(2), "acme", 1), (minute(0), "old", 4, {"late": True})
    )

    # Then the older ones leave no trace but their number
    dump = world.dump()
    assert answer.expired == 7
    assert dump["ctl"]["expired"] == "7"
    assert dump["brands"] == {"acme": str(minute(2))}
    assert dump["minutes"] == [str(minute(2))]


def test_very_late_ones_go_to_hours_only_and_still_older_ones_expire(world):
    # Given minutes sealed up to noon of the fortieth day
    far = NOON + 40 * DAY_MS
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 1), (far, "acme", 1), wm=far)
    while feeder.seal().sealed_ms < far:
        pass

    # When late ones come of just 48 h, of more, and of more than 35 days before
    answer = feeder.apply(
        (far - 48 * HOUR_MS, "acme", 2), (far - 49 * HOUR_MS, "acme", 3), (far - 36 * DAY_MS, "acme", 5)
    )

    # Then minutes are kept for 48 h, hours for 35 days
    dump = world.dump()
    assert answer.expired == 5
    assert on(far - 48 * HOUR_MS, "acme") in dump
    assert on(far - 49 * HOUR_MS, "acme") not in dump
    hours = dump[on(far - 49 * HOUR_MS, "acme", "hd")]
    assert decode_sums(hours[str(far - 49 * HOUR_MS)]) == sums(n=3)
    assert dump["ctl"]["floor"] == str(far - 35 * DAY_MS)


@pytest.mark.parametrize(
    "brand",
    [
        "a:b",
        ":",
        "n:x:y",
        'quo"te\\',
        "💥 ünï",
        "a\nb\r\n",
        "nul\0",
        "é" * 300,
        " ",
        "*",
        "\ud83d alone",
        "late_n",
    ],
)
def test_a_brand_may_hold_any_character(world, brand):
    # Given a brand nobody would choose
    feeder = Feeder(world.aggregates())

    # When it is counted on time and late, sealed, closed over and drawn
    feeder.apply((NOON, brand, 2), (NOON, brand, 1, {"late": True}), (NOON, "plain", 1), wm=minute(1))
    feeder.seal()
    feeder.aggregates.refresh_view(None)

    # Then it comes back as it was
    assert feeder.aggregates.brands() == {brand: NOON, "plain": NOON}
    assert feeder.aggregates.next_sealed(-1).tallies == {brand: sums(n=2), "plain": sums(n=1)}
    assert world.dump()[f"now:{brand}"]["1m:n"] == "3"


def test_the_empty_brand_is_the_reserved_one(world):
    feeder = Feeder(world.aggregates())
    answer = feeder.apply((NOON, "", 2), wm=minute(1))
    feeder.seal()

    assert answer.refused_brands == 0
    assert feeder.aggregates.brands() == {}
    assert feeder.aggregates.next_sealed(-1).tallies == {"": sums(n=2)}


def test_brands_past_the_limit_are_counted_together_under_the_reserved_one(world):
    # Given room for two brands
    feeder = Feeder(world.aggregates(max_brands=2))

    # When four come, some twice, some late
    answer = feeder.apply((NOON, "a", 1), (NOON, "b", 1), (NOON, "c", 2), (NOON, "d", 3, {"late": True}))
    again = feeder.apply((NOON, "c", 4, {"network": "y"}), (NOON, "a", 1))

    # Then totals stay exact
    dump = world.dump()
    assert (answer.refused_brands, again.refused_brands) == (2, 1)
    assert set(dump["brands"]) == {"a", "b"}
    assert dump[f"m:{NOON}"] == {
        "n:x:a": "2",
        "n:x:b": "1",
        "n:x:": "2",
        "n:y:": "4",
        "late_n:x:": "3",
        "mentions": "9",
        "late_mentions": "3",
        "model:m1:sk": "9",
        "models": "m1:sk",
    }
    assert decode_sums(dump[on(NOON, "")][str(NOON)]) == sums(n=3)


def test_networks_past_the_limit_are_counted_together_too(world):
    # Given the 64 networks there may be
    feeder = Feeder(world.aggregates())
    feeder.apply(*((NOON, "acme", 1, {"network": f"n{i}"}) for i in range(64)))

    # When two more come
    answer = feeder.apply(*((NOON, "acme", 1, {"network": name}) for name in ("n7", "other", "another")))

    # Then they share the reserved empty one
    assert answer.refused_networks == 2
    assert world.dump()[f"m:{NOON}"]["n::acme"] == "2"
    assert world.dump()[f"m:{NOON}"]["n:n7:acme"] == "2"
    assert len(world.dump()["networks"]) == 64


def test_a_brand_begins_with_its_first_minute_on_time(world):
    # Given a brand that is first seen late, then on time, then earlier
    feeder = Feeder(world.aggregates())

    # When
    seen = []
    for start, late in ((minute(1), True), (minute(5), False), (minute(3), False), (minute(2), True)):
        feeder.apply((start, "acme", 1, {"late": late}))
        seen.append(feeder.aggregates.brands()["acme"])

    # Then late ones never count for it
    assert seen == [None, minute(5), minute(3), minute(3)]


def test_the_newest_minute_is_the_newest_on_time(world):
    feeder = Feeder(world.aggregates())
    feeder.apply((minute(2), "acme", 1), (minute(1), "acme", 1), (minute(7), "acme", 1, {"late": True}))

    assert world.dump()["ctl"]["newest"] == str(minute(2))


def test_five_thousand_increments_fit_one_call(world):
    # Given a delta of the largest size a worker sends
    feeder = Feeder(world.aggregates())
    rows = [(minute(i % 3), f"brand {i % 211}", 1, EVERY | {"network": f"n{i % 7}"}) for i in range(499)]
    delta = cells(*rows)
    assert 4_950 <= increments(delta) <= 5_000

    # When it is applied
    answer = feeder.aggregates.apply([Apply(0, 0, 499, 0, 499, delta)])[0]

    # Then all of it is there
    stored = [world.dump()[f"m:{minute(i)}"] for i in range(3)]
    assert answer.applied
    assert sum(int(fields["mentions"]) for fields in stored) == 499
    assert (
        sum(int(v) for fields in stored for f, v in fields.items() if f.startswith("neg_voices:")) == 499 * 10
    )


def test_a_larger_call_is_a_bug_of_the_caller(world):
    feeder = Feeder(world.aggregates())
    rows = [(minute(i), f"brand {i}", 1, EVERY) for i in range(601)]

    with pytest.raises(AssertionError, match="5,000"):
        feeder.apply(*rows)


def test_a_late_mention_of_a_minute_that_was_trimmed_goes_to_history_only(world):
    # Given a minute whose hash is gone, because all shards have closed far past it
    feeder = Feeder(world.aggregates())
    feeder.apply((NOON, "acme", 1), (minute(130), "acme", 1), wm=minute(131))
    feeder.seal()
    close_up_to(feeder.aggregates, minute(130))
    feeder.seal()
    assert feeder.aggregates.next_sealed(-1).start_ms == minute(11)

    # When one more of it comes
    feeder.apply((NOON, "acme", 1), (minute(11), "acme", 1))

    # Then its hash does not come back
    dump = world.dump()
    assert f"m:{NOON}" not in dump
    assert dump[f"m:{minute(11)}"]["late_n:x:acme"] == "1"
    assert decode_sums(dump[on(NOON, "acme")][str(NOON)]) == sums(n=1)

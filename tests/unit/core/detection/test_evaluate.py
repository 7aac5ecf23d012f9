"""Judging a shard: pure, restartable at any minute, and true to what was complete and what was not."""

import json
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.aggregates.damage import Damage, DamagedField
from stream_worker.core.aggregates.encoding import SHARDS, ZEROS, shard_of
from stream_worker.core.aggregates.shard import Close, SealedMinute, Shard
from stream_worker.core.detection import episodes
from stream_worker.core.detection.detector import Observation
from stream_worker.core.detection.evaluate import evaluate, observe
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.time import MINUTE_MS

BASE_MS = 1_800_000_000_000 // MINUTE_MS * MINUTE_MS
DETECTOR = ShareDetector()
BRANDS = [name for name in (f"brand {i}" for i in range(200)) if shard_of(name) == 5][:3]
A, B, C = BRANDS
OTHER = next(name for name in (f"other {i}" for i in range(99)) if shard_of(name) != 5)


def at(minute):
    return BASE_MS + minute * MINUTE_MS


def tally(voices, negative):
    return (voices + 2, negative, voices - negative, 0, 0, 0, -negative * 1_000_000, 2, voices, negative)


def sealed(minute, tallies=None, *, complete=True, models=("m1",)):
    return SealedMinute(at(minute), f"mark {minute}", complete, list(models), tallies or {}, now_ms=0)


def empty_shard(number=5):
    return Shard(number, -1, "0", "", {}, {})


def no_history(brand):
    return {}


def fields(call: Close):
    return {name: getattr(call, name) for name in Close.__slots__}


def written(shard: Shard, call: Close) -> Shard:
    """What a store holds after this close."""
    assert (call.expected_closed_ms, call.expected_state_id) == (shard.closed_ms, shard.state_id)
    kept = {**shard.episodes, **call.episodes}
    return Shard(
        shard.number,
        call.minute_ms + MINUTE_MS,
        str(int(shard.state_id) + 1),
        call.detector,
        {**shard.states, **call.states},
        {brand: record for brand, record in kept.items() if record is not None},
    )


def test_the_shard_of_a_brand_is_its_crc_32_mod_16():
    assert SHARDS == 16
    assert shard_of("Łódź") == crc32("Łódź".encode()) % 16
    assert shard_of("") == 0


def test_zeros_go_to_admitted_brands_from_their_first_on_time_minute_on():
    # minute      0     1     2
    # A           seen
    # B                       first on-time minute
    # C           only late mentions so far
    admitted = {A: at(0), B: at(2), C: None, OTHER: at(0)}

    call = evaluate(empty_shard(), sealed(1), admitted, DETECTOR, no_history)
    assert call.sums == {A: ZEROS}
    assert set(call.states) == {A}

    call = evaluate(empty_shard(), sealed(2), admitted, DETECTOR, no_history)
    assert call.sums == {A: ZEROS, B: ZEROS}


def test_an_incomplete_minute_gives_no_zeros_and_evaluates_what_it_saw():
    admitted = {A: at(0), B: at(0)}

    call = evaluate(
        empty_shard(),
        sealed(1, {A: tally(5, 1), OTHER: tally(9, 9)}, complete=False),
        admitted,
        DETECTOR,
        no_history,
    )

    assert call.sums == {A: tally(5, 1)}
    assert set(call.states) == {A}


# Damage


def damaged_history(damaged_brand):
    def history(brand):
        if brand == damaged_brand:
            raise DamagedField(Damage("history", f"hm:0:{brand}", "0"))
        return {}

    return history


def test_a_brand_with_a_damaged_record_is_not_evaluated_and_keeps_state_and_record():
    # Given two brands; the episode record of one is rubbish
    admitted = {A: at(0), B: at(0)}
    first = evaluate(empty_shard(), sealed(0), admitted, DETECTOR, no_history)
    shard = written(empty_shard(), first)
    shard.episodes[A], shard.key, shard.episode_prefix = "rubbish", "shard:5", "episode:"

    # When the next minute is evaluated
    counts = {A: tally(5, 5), B: tally(5, 1)}
    call = evaluate(shard, sealed(1, counts), admitted, DETECTOR, no_history)

    # Then both go to history, one is evaluated, and the other is named
    assert call.sums == counts
    assert set(call.states) == {B}
    assert call.episodes == {}
    assert call.damaged == [Damage("episode", "shard:5", f"episode:{A}")]
    in_peace = evaluate(written(empty_shard(), first), sealed(1, counts), admitted, DETECTOR, no_history)
    assert call.states[B] == in_peace.states[B]


def test_a_brand_with_a_damaged_count_has_no_minute_and_the_others_do():
    admitted = {A: at(0), B: at(0)}
    minute = sealed(1, {B: tally(5, 1)})
    minute.unreadable = {A: "n:x:a", OTHER: "n:x:other"}

    call = evaluate(empty_shard(), minute, admitted, DETECTOR, no_history)

    assert call.sums == {B: tally(5, 1)}
    assert set(call.states) == {B}
    assert call.damaged == [Damage("count", f"m:{at(1)}", "n:x:a")]


def test_a_brand_whose_history_is_damaged_waits_for_it_when_it_must_be_warmed_up():
    # Given a shard of another detector, and two brands of which one has damaged history
    admitted, counts = {A: at(0), B: at(0)}, {A: tally(5, 1), B: tally(5, 1)}
    shard = Shard(5, at(1), "1", "share/1", {A: "old", B: "old"}, {})

    # When minutes are evaluated
    call = evaluate(shard, sealed(1, counts), admitted, DETECTOR, damaged_history(A))
    assert (call.sums, call.states[A]) == (counts, "")
    assert call.damaged == [Damage("history", f"hm:0:{A}", "0")]
    after = Shard(5, at(2), "2", call.detector, call.states, {})
    again = evaluate(after, sealed(2, counts), admitted, DETECTOR, damaged_history(A))

    # Then it is not begun cold: once its history is mended, it is warmed up
    assert set(again.states) == {B}
    assert again.damaged == call.damaged
    after = Shard(5, at(2), "2", call.detector, call.states, {})
    past = {at(0): tally(5, 1), at(1): tally(5, 1)}
    mended = evaluate(after, sealed(2, counts), admitted, DETECTOR, lambda _: past)
    assert mended.damaged == []
    warm = evaluate(
        Shard(5, at(2), "2", "share/1", {}, {}), sealed(2, counts), admitted, DETECTOR, lambda _: past
    )
    assert mended.states[A] == warm.states[A]


def test_a_brand_with_a_sound_state_needs_no_history():
    first = evaluate(empty_shard(), sealed(0), {A: at(0)}, DETECTOR, no_history)

    call = evaluate(written(empty_shard(), first), sealed(1), {A: at(0)}, DETECTOR, damaged_history(A))

    assert (set(call.states), call.damaged) == ({A}, [])


def test_the_close_carries_all_that_the_script_compares():
    shard = Shard(5, at(3), "v7", "share/5", {}, {})

    call = evaluate(shard, sealed(3), {}, DETECTOR, no_history)

    assert (call.shard, call.minute_ms, call.seal_id) == (5, at(3), "mark 3")
    assert (call.expected_closed_ms, call.expected_state_id) == (at(3), "v7")
    assert call.detector == "share/5"


def test_the_reserved_brand_goes_to_history_and_is_never_evaluated():
    call = evaluate(empty_shard(0), sealed(0, {"": tally(500, 500)}), {"": at(0)}, DETECTOR, no_history)

    assert call.sums == {"": tally(500, 500)}
    assert call.states == {}
    assert evaluate(empty_shard(0), sealed(1), {"": at(0)}, DETECTOR, no_history).sums == {}


def test_a_minute_with_two_models_goes_to_history_and_is_a_hole_for_the_detector():
    # Given a brand with a past
    shard = written(
        empty_shard(), evaluate(empty_shard(), sealed(0, {A: tally(5, 1)}), {}, DETECTOR, no_history)
    )

    # When a minute was scored by two models
    call = evaluate(
        shard, sealed(1, {A: tally(500, 500)}, models=("m1", "m2")), {A: at(0)}, DETECTOR, no_history
    )

    # Then it is stored and nothing else is said
    assert call.sums == {A: tally(500, 500)}
    assert (call.states, call.episodes, call.outbox) == ({}, {}, {})

    # And the next minute has a hole before it
    shard = written(shard, call)
    after = evaluate(shard, sealed(2, {A: tally(5, 1)}), {A: at(0)}, DETECTOR, no_history)
    state, _ = DETECTOR.step(DETECTOR.start(), Observation(at(0), 5, 1, 7, 1, True, 0, "m1"))
    state, _ = DETECTOR.step(state, Observation(at(2), 5, 1, 7, 1, True, 1, "m1"))
    assert after.states == {A: DETECTOR.encode(state)}


def test_a_spike_puts_one_event_into_the_outbox_under_its_own_id():
    # minute   0 … 59         60 … 72
    # A        15 % of 40     100 % of 40
    shard = empty_shard()
    outbox = {}
    for minute in range(73):
        seen = tally(40, 6 if minute < 60 else 40)
        call = evaluate(shard, sealed(minute, {A: seen}), {A: at(0)}, DETECTOR, no_history)
        shard = written(shard, call)
        outbox |= call.outbox

    ((message, body),) = outbox.items()
    event = json.loads(body)
    assert message == event["id"] == f"{event['episode']}.opened"
    assert event["brand"] == A
    assert event["model"] == "m1"
    assert event["detector"] == "share/5"
    assert episodes.decode(shard.episodes[A]).id == event["episode"]


class Newer(ShareDetector):
    """The same detector under another version."""

    version = 99


def test_another_detector_starts_anew_from_history_and_leaves_no_old_state():
    # Given two brands evaluated by an older detector, one of them silent in this incomplete minute
    past = {at(i): tally(30, 4) for i in range(-120, 0)}
    shard = Shard(5, at(0), "9", "older/7", {A: "old A", B: "old B"}, {})
    asked = []

    def history(brand):
        asked.append(brand)
        return {**past, at(0): tally(999, 999), at(5): tally(999, 999)}  # late cells of open minutes

    # When the newer one evaluates
    call = evaluate(shard, sealed(0, {A: tally(30, 4)}, complete=False), {A: at(0)}, Newer(), history)

    # Then both brands have states that come from the closed minutes before
    assert call.detector == "share/99"
    assert sorted(asked) == sorted([A, B])
    state = Newer().start()
    for i, minute in enumerate(sorted(past)):
        seen = past[minute]
        state, _ = Newer().step(state, Observation(minute, seen[8], seen[9], seen[0], seen[1], True, 0))
        assert i < 120
    assert call.states[B] == Newer().encode(state)
    state, _ = Newer().step(state, Observation(at(0), 30, 4, 32, 4, False, 0, "m1"))
    assert call.states[A] == Newer().encode(state)


def test_another_detector_does_not_end_or_repeat_an_open_episode():
    # Given a brand whose episode is open
    opened = episodes.Episode(id=episodes.episode_id(A, at(-5)), opened_ms=at(-5), peak_score=20.0)
    shard = Shard(5, at(0), "9", "older/7", {A: "old"}, {A: episodes.encode(opened)})
    past = {at(i): tally(30, 28 if i >= -5 else 4) for i in range(-120, 0)}

    # When the newer detector takes over in the middle of it
    call = evaluate(shard, sealed(0, {A: tally(30, 28)}), {A: at(-120)}, Newer(), lambda brand: past)

    # Then no second event is made, and the spike was not learned
    assert call.outbox == {}
    assert A not in call.episodes or call.episodes[A] is not None
    assert Newer().decode(call.states[A]).expected.share < 0.2


def test_a_brand_without_a_state_begins_with_what_the_archive_knows_of_it():
    # Given a state that was learned from the archive, through minute -60
    state = DETECTOR.start()
    for i in range(-3_000, -60):
        state, _ = DETECTOR.step(state, observe(state.minute_ms, at(i), tally(30, 4), artefact="m1"))
    archived = {A: DETECTOR.encode(state)}
    past = {at(i): tally(30, 4) for i in range(-90, 0)}

    # When Redis knows nothing, and when it has the state of an older detector
    new = evaluate(
        empty_shard(), sealed(0, {A: tally(30, 4)}), {}, DETECTOR, no_history, archived=archived.get
    )
    old = evaluate(
        Shard(5, at(0), "9", "older/7", {A: "old"}, {}),
        sealed(0, {A: tally(30, 4)}),
        {},
        DETECTOR,
        lambda brand: past,
        archived=archived.get,
    )

    # Then it goes on from there, and history after it is fed once
    expected, _ = DETECTOR.step(state, observe(state.minute_ms, at(0), tally(30, 4), artefact="m1"))
    assert new.states[A] == DETECTOR.encode(expected)
    for i in range(-60, 1):
        state, _ = DETECTOR.step(state, observe(state.minute_ms, at(i), tally(30, 4)))
    assert old.states[A] == DETECTOR.encode(state)


def test_the_sensitivity_of_a_brand_decides_which_score_opens():
    # Given the same spike of two brands, one of them told to keep still
    def told(open_at):
        shard, kinds = empty_shard(), []
        for minute in range(70):
            seen = tally(40, 6 if minute < 60 else 28)
            call = evaluate(
                shard,
                sealed(minute, {A: seen, B: seen}),
                {A: at(0), B: at(0)},
                DETECTOR,
                no_history,
                open_at=open_at,
            )
            shard = written(shard, call)
            kinds += [json.loads(body)["brand"] for body in call.outbox.values()]
        return kinds

    assert sorted(told(lambda brand: 5.0)) == sorted([A, B])
    assert told({A: 5.0, B: 99.0}.__getitem__) == [A]


def test_a_two_model_minute_under_another_detector_still_replaces_old_states():
    shard = Shard(5, at(0), "9", "older/7", {A: "old"}, {})

    call = evaluate(shard, sealed(0, {}, models=("a", "b")), {}, DETECTOR, no_history)

    assert call.states == {A: DETECTOR.encode(DETECTOR.start())}


def changed(shard, minute, tallies, model):
    """Judge one minute by this model; returns what a store holds then, and what was told."""
    call = evaluate(shard, sealed(minute, tallies, models=(model,)), {A: at(0)}, DETECTOR, no_history)
    return written(shard, call), [json.loads(body) for body in call.outbox.values()]


def known_by(model, minutes=600):
    """A shard that has a brand with 10 % of 40 voices a minute."""
    shard = empty_shard()
    for minute in range(minutes):
        shard, _ = changed(shard, minute, {A: tally(40, 4)}, model)
    return shard


def test_a_model_that_calls_more_texts_negative_pages_nobody():
    # minute      … 599    600      601 …
    # model       old      both     new
    # negative    10 %              35 %
    shard = known_by("0123456789ab-k1")
    both = sealed(600, {A: tally(40, 9)}, models=("0123456789ab-k1", "ba9876543210-k1"))
    shard = written(shard, evaluate(shard, both, {A: at(0)}, DETECTOR, no_history))

    # When another model goes on with the stream, and when the same one had seen that
    told, untold, same = [], [], shard
    for minute in range(601, 800):
        shard, events = changed(shard, minute, {A: tally(40, 14)}, "ba9876543210-k1")
        told += events
        same, events = changed(same, minute, {A: tally(40, 14)}, "0123456789ab-k1")
        untold += events

    # Then only the same model's voices are a spike, and the share was learned anew
    assert [event["kind"] for event in untold][:1] == ["opened"]
    assert told == []
    state = DETECTOR.decode(shard.states[A])
    assert (state.model, state.expected.share) == ("ba9876543210", pytest.approx(0.35, abs=0.02))


def test_another_path_of_the_same_artefact_changes_nothing_that_was_learned():
    shard = known_by("0123456789ab-sk", 60)

    # When the kernel takes over from scikit-learn
    by_kernel, _ = changed(shard, 60, {A: tally(40, 4)}, "0123456789ab-k1")
    by_same, _ = changed(shard, 60, {A: tally(40, 4)}, "0123456789ab-sk")

    assert by_kernel.states == by_same.states


def test_what_was_learned_from_history_is_of_an_unknown_model_and_begins_anew():
    # Given the state of an older detector, and two days of history that do not say which model scored them
    shard = Shard(5, at(0), "9", "older/7", {A: "old"}, {})
    past = {at(i): tally(40, 4) for i in range(-600, 0)}

    # When the first minute is evaluated
    call = evaluate(shard, sealed(0, {A: tally(40, 12)}), {A: at(-600)}, DETECTOR, lambda brand: past)

    # Then its volume is known, and the share only as a guess
    baseline = DETECTOR.decode(call.states[A]).baseline
    assert baseline.known_voices < 21
    assert baseline.level == pytest.approx(40, abs=1)


def test_an_open_episode_stays_open_over_a_change_of_model_and_ends_once():
    # Given a spike that is open when the model changes, and goes on for three hours
    shard, told = known_by("old"), []
    for minute in range(600, 600 + 30 + 180 + 600):
        model = "old" if minute < 630 else "new"
        negative = 28 if minute < 630 + 180 else 10  # the new model finds 25 % where the old one found 10
        shard, events = changed(shard, minute, {A: tally(40, negative)}, model)
        told += [(event["kind"], minute) for event in events if event["kind"] in ("opened", "resolved")]

    # Then it is told once, and its end only when the spike was over
    assert [kind for kind, _ in told] == ["opened", "resolved"]
    assert told[1][1] > 630 + 180
    assert DETECTOR.decode(shard.states[A]).model == "new"


def test_a_damaged_state_is_made_again_from_history():
    shard = Shard(5, at(0), "9", "share/5", {A: "damaged"}, {})
    past = {at(-1): tally(30, 4)}

    call = evaluate(shard, sealed(0), {A: at(-1)}, DETECTOR, lambda brand: past)

    assert DETECTOR.decode(call.states[A]).baseline.negatives < DETECTOR.start().baseline.negatives - 0.3


cell = st.tuples(st.integers(0, 60), st.sampled_from([0.0, 0.1, 0.2, 0.7, 1.0]))
one_minute = st.fixed_dictionaries(
    {
        "skip": st.sampled_from([0, 0, 0, 0, 1, 50]),
        "complete": st.sampled_from([True, True, True, False]),
        "models": st.sampled_from([("m1",), ("m1",), ("m1",), ("m2",), ("m1", "m2"), ()]),
        "cells": st.dictionaries(st.sampled_from(BRANDS), cell, max_size=3),
        "again": st.integers(1, 12),
    }
)


def series(drawn):
    minute, made = 0, []
    for item in drawn:
        minute += item["skip"]
        cells = {brand: tally(n, int(n * share)) for brand, (n, share) in item["cells"].items()}
        for _ in range(item["again"]):
            made.append(sealed(minute, cells, complete=item["complete"], models=item["models"]))
            minute += 1
    return made


@settings(max_examples=150, deadline=None)
@given(st.lists(one_minute, max_size=15))
def test_judging_again_after_a_crash_at_any_point_gives_the_same_close(drawn):
    shard, admitted = empty_shard(), {A: at(0), B: at(3), C: None}
    for minute in series(drawn):
        # When one worker evaluates, dies, and another one evaluates the same minute from the same state
        first = evaluate(shard, minute, admitted, ShareDetector(), no_history)
        again = evaluate(shard, minute, admitted, ShareDetector(), no_history)

        # Then both would write the same, and neither changed what it read
        assert fields(first) == fields(again)
        shard = written(shard, first)


@settings(max_examples=150, deadline=None)
@given(st.lists(one_minute, max_size=15))
def test_a_brand_is_evaluated_alike_in_memory_and_across_reloads_of_its_shard(drawn):
    # Given a series of minutes, and quiet ones at its end
    made = series(drawn)
    last = (made[-1].start_ms - BASE_MS) // MINUTE_MS + 1 if made else 0
    made += [sealed(last + i) for i in range(40)]
    admitted = {A: at(0)}

    # When it goes through shards that are stored as text after each minute
    shard, events = empty_shard(), []
    for minute in made:
        call = evaluate(shard, minute, admitted, DETECTOR, no_history)
        shard = written(shard, call)
        events += [json.loads(body) for body in call.outbox.values()]

    # And through one object that never leaves memory
    state, episode, expected = DETECTOR.start(), None, []
    for minute in made:
        seen = minute.tallies.get(A) or (ZEROS if minute.complete else None)
        if seen is None or len(minute.models) > 1:
            continue
        gap = (minute.start_ms - state.minute_ms) // MINUTE_MS - 1 if state.minute_ms >= 0 else 0
        state, verdict = DETECTOR.step(
            state,
            Observation(
                minute.start_ms,
                seen[8],
                seen[9],
                seen[0],
                seen[1],
                minute.complete,
                gap,
                minute.models[0] if minute.models else "",
            ),
        )
        model = minute.models[0] if minute.models else None
        episode, event = episodes.advance(
            episode, episodes.EvaluatedMinute(A, minute.start_ms, verdict, "share/5", model, minute.complete)
        )
        expected += [event.id] if event else []

    # Then states and events are the same
    assert shard.states.get(A, DETECTOR.encode(DETECTOR.start())) == DETECTOR.encode(state)
    assert [event["id"] for event in events if event["brand"] == A] == expected

    # And each brand's events come in pairs of one opened and one resolved
    for brand in BRANDS:
        told = [(event["episode"], event["kind"]) for event in events if event["brand"] == brand]
        opened = [episode for episode, kind in told if kind == "opened"]
        resolved = [episode for episode, kind in told if kind == "resolved"]
        assert len(set(opened)) == len(opened)
        assert resolved == opened[: len(resolved)]
        assert len(opened) - len(resolved) <= 1

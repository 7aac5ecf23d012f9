"""Cursors: created once, moved by compare-and-set only, together with what they count."""

from stream_worker.core.archive.layout import Log
from stream_worker.core.partition.effects import Apply
from stream_worker.core.partition.inputs import Cursor
from tests.contracts.aggregates.worlds import LOG, NOON, Feeder, cells, minute


def changed(before, after):
    """What differs, but for the time of the last script, which every script notes."""
    for dump in (before, after):
        dump.get("ctl", {}).pop("last_script_ms", None)
        dump.get("ctl", {}).pop("returned_ms", None)
        dump.get("ctl", {}).pop("v", None)
    return {key for key in {**before, **after} if before.get(key, {}) != after.get(key, {})}


def test_a_cursor_is_created_once_and_the_second_maker_gets_the_first_ones(world):
    # Given two workers that both found no cursor
    aggregates, other = world.aggregates(), world.aggregates()

    # When both create it, with different starts
    first = aggregates.create_cursor(3, 100, 5_000, NOON)
    second = other.create_cursor(3, 40, 9_000, NOON - 60_000)

    # Then there is one, and the floor was not lowered
    assert first == second == aggregates.cursor(3) == Cursor(100, 5_000)
    assert world.dump()["ctl"]["floor"] == str(NOON)


def test_no_cursor_is_not_a_cursor_at_zero(world):
    # Given an empty Redis
    aggregates = world.aggregates()
    before = world.dump()

    # When somebody applies from 0, and jumps from 0
    answer = aggregates.apply([Apply(0, 0, 5, 0, 5, cells((NOON, "acme", 2)))])[0]
    jumped = aggregates.advance_cursor(0, 0, 9, 0, NOON)

    # Then both hear that there is none, and nothing changed
    assert (answer.applied, answer.cursor, jumped, aggregates.cursor(0)) == (False, None, None, None)
    assert changed(before, world.dump()) == set()


def test_a_delta_that_does_not_begin_at_the_cursor_changes_nothing(world):
    # Given a cursor at 10
    aggregates = world.aggregates()
    aggregates.create_cursor(0, 10, 0, NOON)
    before = world.dump()

    # When deltas begin before and after it, or at a number that only begins alike
    answers = aggregates.apply([Apply(0, at, 20, 7, 20, cells((NOON, "acme", 2))) for at in (9, 11, 1, 100)])

    # Then each is told the stored cursor
    assert [(a.applied, a.cursor) for a in answers] == [(False, Cursor(10, 0))] * 4
    assert changed(before, world.dump()) == set()


def test_a_delta_whose_answer_was_lost_is_counted_once(world):
    # Given a call that was applied and whose answer never came
    aggregates = world.aggregates()
    aggregates.create_cursor(0, 0, 0, NOON)
    call = Apply(0, 0, 5, NOON, 5, cells((NOON, "acme", 2)))
    assert aggregates.apply([call])[0].applied
    before = world.dump()

    # When the worker sends it again
    answer = aggregates.apply([call])[0]

    # Then it learns that it was applied
    assert (answer.applied, answer.cursor) == (False, Cursor(5, NOON))
    assert changed(before, world.dump()) == set()


def test_calls_of_one_trip_are_applied_in_order(world):
    # Given a batch that was cut twice
    aggregates = world.aggregates()
    aggregates.create_cursor(0, 0, 0, NOON)

    # When its calls travel together with one of another partition
    calls = [Apply(0, at, at + 1, at, 3, cells((NOON, "acme", 1))) for at in range(3)]
    answers = aggregates.apply([*calls[:2], Apply(1, 0, 1, 0, 1, None), calls[2]])

    # Then each found the one before it
    assert [a.applied for a in answers] == [True, True, False, True]
    assert answers[3].cursor == Cursor(3, 2)
    assert world.dump()[f"m:{NOON}"]["n:x:acme"] == "3"


def test_no_calls_ask_for_nothing(world):
    assert world.aggregates().apply([]) == []


def test_the_stored_watermark_never_falls(world):
    # Given a watermark in Redis above that of a worker that began elsewhere
    feeder = Feeder(world.aggregates())
    feeder.apply(wm=900)

    # When it reports a lower one, and jumps with a lower one
    answer = feeder.apply(wm=500)
    jumped = feeder.aggregates.advance_cursor(0, 2, 8, 100, NOON)

    # Then the higher one stays
    assert answer.cursor == Cursor(2, 900)
    assert jumped == Cursor(8, 900)


def test_a_jump_moves_the_cursor_raises_the_floor_and_drops_the_proof(world):
    # Given a cursor with a proof of idleness
    feeder = Feeder(world.aggregates())
    feeder.report(proof_t0_ms=NOON)

    # When the records behind it are gone
    world.advance(5)
    jumped = feeder.aggregates.advance_cursor(0, 0, 50, 7_000, minute(3) - 1)

    # Then it stands behind them; the minutes up to the floor are not held wholly
    cursors, ctl = world.dump()[f"cursors:{LOG.name}"], world.dump()["ctl"]
    assert jumped == Cursor(50, 7_000)
    assert "proof:0" not in cursors
    assert cursors["alive:0"] == str(NOON + 5)
    assert ctl["floor"] == str(minute(3))


def test_a_jump_from_elsewhere_changes_nothing(world):
    feeder = Feeder(world.aggregates())
    feeder.apply()
    before = world.dump()

    assert feeder.aggregates.advance_cursor(0, 0, 50, 7_000, minute(3)) == Cursor(1, 0)
    assert changed(before, world.dump()) == set()


def test_a_report_says_who_lives_and_only_progress_proof_or_pause_counts_as_life(world):
    # Given a worker with a name that applied once
    feeder = Feeder(world.aggregates(owner="host:1"))
    feeder.apply()

    def said():
        cursors = world.dump()[f"cursors:{LOG.name}"]
        return int(cursors["rep:0"]) - NOON, int(cursors["alive:0"]) - NOON

    # When it reports plainly, as paused, with a proof
    world.advance(10)
    feeder.report()
    plainly = said()
    world.advance(10)
    feeder.report(paused=True)
    as_paused = said()
    world.advance(10)
    feeder.report(proof_t0_ms=NOON)
    with_proof = said()

    # Then a plain report is no sign that it can read
    assert (plainly, as_paused, with_proof) == ((10, 0), (20, 20), (30, 30))
    assert world.dump()[f"cursors:{LOG.name}"]["owner:0"] == "host:1"
    assert world.dump()[f"cursors:{LOG.name}"]["end:0"] == "1"


def test_an_older_proof_that_arrives_late_takes_nothing_back(world):
    feeder = Feeder(world.aggregates())
    feeder.report(proof_t0_ms=NOON + 9)
    feeder.report(proof_t0_ms=NOON)

    assert world.dump()[f"cursors:{LOG.name}"]["proof:0"] == f"0,{NOON + 9}"


def test_logs_have_cursors_of_their_own(world):
    # Given a topic that was recreated
    old, new = world.aggregates(), world.aggregates(Log("mentions", "ffffffff"))
    old.create_cursor(0, 100, 0, NOON)

    # When the new one starts
    new.create_cursor(0, 0, 0, NOON)

    # Then neither sees the other's cursor, and the group stays where it is: the request might be late
    assert (old.cursor(0), new.cursor(0)) == (Cursor(100, 0), Cursor(0, 0))
    assert world.dump()["ctl"]["incarnation"] == LOG.name

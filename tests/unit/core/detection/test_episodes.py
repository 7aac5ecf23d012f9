"""Episodes: one opened, one end, what is told between them, and a body that a stranger can read."""

import itertools
import json
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.detection import episodes
from stream_worker.core.detection.detector import OPEN_AT, Verdict
from stream_worker.core.detection.episodes import CLOSE_AFTER_MINUTES, EvaluatedMinute
from stream_worker.core.detection.sensitivity import OPEN_SCORES
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import Unreadable

BASE_MS = 1_800_000_000_000 // MINUTE_MS * MINUTE_MS


def evaluated(minute, score, *, brand="acme", complete=True, model="0123456789ab sk"):
    verdict = Verdict(score, 5, 33, 24, 0.15)
    return EvaluatedMinute(brand, BASE_MS + minute * MINUTE_MS, verdict, "share/1", model, complete)


def play(scores, episode=None, first=0, open_at=OPEN_AT):
    events = []
    for minute, score in enumerate(scores, first):
        if score is None:  # not evaluated
            continue
        episode, event = episodes.advance(episode, evaluated(minute, score), open_at)
        if event is not None:
            events.append((minute, event))
    return episode, events


def kinds(events):
    return [(minute, event.kind) for minute, event in events]


def test_a_spike_opens_once_and_resolves_once_after_thirty_minutes_below():
    # minute   0  1  2  3  4 …               33
    # score    1 12 15 11  0 …                0
    # state    q  open ………………………………………………………… resolved at 33
    _, events = play([1, 12, 15, 11] + [0] * 60)

    assert kinds(events) == [(1, "opened"), (33, "resolved")]
    assert len({event.episode for _, event in events}) == 1


def test_the_score_that_opens_is_the_callers():
    assert kinds(play([7.9, 8.1], open_at=8.0)[1]) == [(1, "opened")]
    assert kinds(play([11.0, 14.0], open_at=12.5)[1]) == [(1, "opened")]


def test_a_score_that_trembles_about_either_threshold_tells_nobody_twice():
    # score   12  9 12  9 …  then  4 6 4 6 …  (never thirty in a row below 0.4 · 12 = 4.8)
    _, events = play([12, 9] * 50 + [4, 6] * 50)

    assert kinds(events) == [(0, "opened")]


def test_a_high_spike_ends_at_a_part_of_its_height():
    # score   30  9.9 x 30: below a third of 30
    _, events = play([30] + [9.9] * 30)

    assert kinds(events) == [(0, "opened"), (30, "resolved")]


def test_minutes_that_were_not_evaluated_neither_end_nor_prolong_an_episode():
    # score   12  0 x 20  | none x 500 |  0 x 9   0
    # below       20                        29    30 → resolved
    _, events = play([12] + [0] * 20 + [None] * 500 + [0] * 10)

    assert kinds(events) == [(0, "opened"), (530, "resolved")]


def test_a_spike_that_becomes_much_stronger_escalates_once():
    _, events = play([12, 19, 20, 15, 25] + [0] * 30)

    assert kinds(events) == [(0, "opened"), (2, "escalated"), (34, "resolved")]


def test_what_opens_as_a_storm_does_not_escalate_as_well():
    assert kinds(play([30, 35])[1]) == [(0, "opened")]


def test_reminders_come_every_six_hours_while_it_goes_on():
    # minute   0       360        720         722 …        751
    # score   12 ……    12 ……      12   12     0 x 30
    _, events = play([12] * 722 + [0] * 30)

    assert kinds(events) == [(0, "opened"), (360, "reminder"), (720, "reminder"), (751, "resolved")]
    assert [event.id.partition(".")[2] for _, event in events][1:3] == ["reminder.1", "reminder.2"]


def test_an_escalation_puts_the_reminder_off():
    _, events = play([12] * 200 + [21] + [12] * 400)

    assert kinds(events) == [(0, "opened"), (200, "escalated"), (560, "reminder")]


def test_nobody_is_reminded_of_what_is_about_to_end():
    _, events = play([12] * 350 + [0] * 29 + [12])

    assert kinds(events) == [(0, "opened"), (379, "reminder")]


def test_what_lasts_for_two_days_expires_and_needs_a_calm_minute_before_the_next():
    # minute   0 … 2880      2881 …      4000   4001 …     4400
    # score   12 … expired   12 (told already)  0          13 → opened
    episode, events = play([12] * 4_000)
    assert kinds(events)[-1] == (2_880, "expired")
    assert [kind for _, kind in kinds(events)].count("reminder") == 7

    _, events = play([0] + [1] * 399 + [13], episode, first=4_000)
    assert kinds(events) == [(4_400, "opened")]


def test_for_six_hours_only_a_higher_score_opens_again():
    # minute   0   1 … 30        31 … 389              390
    # score   14   0 (resolved)  14 (cooling down)     14
    _, events = play([14] + [0] * 30 + [14] * 359)
    assert kinds(events) == [(0, "opened"), (30, "resolved")]

    # Then an hour after the opening, if it is higher by a quarter
    ended, _ = play([14] + [0] * 30)
    assert kinds(play([18], ended, first=59)[1]) == []
    assert kinds(play([17], ended, first=60)[1]) == []
    assert kinds(play([18], ended, first=60)[1]) == [(60, "opened")]


def test_what_must_be_reached_again_sinks_for_two_days():
    # hours after its end    6      18           30           48
    # needed after 14        17.5   10 + 7.5/2   10 + 7.5/4   10
    ended, _ = play([14] + [0] * 30)

    for hours, needed in [(6, 17.5), (18, 13.75), (30, 11.875)]:
        first = 30 + hours * 60
        assert kinds(play([needed - 0.1], ended, first)[1]) == []
        assert kinds(play([needed + 0.1], ended, first)[1]) == [(first, "opened")]


def test_after_a_great_one_a_second_great_one_opens_six_hours_later():
    # Given a crisis as high as scores get
    ended, _ = play([45] + [0] * 30)

    # Then another one opens at the score that escalates
    assert kinds(play([44], ended, first=389)[1]) == []
    assert kinds(play([21], ended, first=390)[1]) == [(390, "opened")]


def test_what_never_became_high_is_over_soon():
    # score   8   4.7 x 30: below 0.6 · 8
    _, events = play([8] + [4.7] * 30, open_at=7)

    assert kinds(events) == [(0, "opened"), (30, "resolved")]


def test_an_episode_leaves_no_record_behind_after_its_cool_down():
    episode, _ = play([12] * 60 + [0] * 30 + [0] * 2_879)
    assert episode is not None

    assert play([0], episode, first=2_969)[0] is None


def test_ids_are_made_of_the_brand_and_the_opening_minute():
    # 1784203620000 = 2026-07-16T12:07:00Z
    assert episodes.episode_id("Łódź", 1784203620000) == (
        sha256("Łódź".encode()).hexdigest()[:16] + "-20260716T1207"
    )
    (_, opened), (_, resolved) = play([12] + [0] * 30)[1]
    assert opened.id == f"{opened.episode}.opened"
    assert resolved.id == f"{opened.episode}.resolved"


def test_the_body_says_what_was_seen_in_one_sentence():
    # Given an episode that opened
    ((_, event),) = play([12.345])[1]

    # When its body is read by somebody who has only JSON
    body = json.loads(msgspec.json.encode(event))

    # Then it has the evidence
    assert body["v"] == 1
    assert body["window"] == {"minutes": 5, "voices": 33, "negative_voices": 24}
    assert body["share"] == 0.7273
    assert body["baseline"] == 0.15
    assert body["score"] == 12.35
    assert body["model"] == "0123456789ab sk"
    assert body["complete"] is True
    assert body["minute"].endswith("Z")
    assert body["reason"] == ("24 of 33 voices in 5 minutes are negative (73%); usual for this brand is 15%.")


@pytest.mark.parametrize(
    ("minutes", "voices", "negative", "reason"),
    [
        (1, 1, 1, "1 of 1 voice in 1 minute is negative (100%)"),
        (2, 8, 1, "1 of 8 voices in 2 minutes is negative (12%)"),
        (1, 1, 0, "0 of 1 voice in 1 minute are negative (0%)"),
        (120, 3, 2, "2 of 3 voices in 2 hours are negative (67%)"),
    ],
)
def test_the_sentence_counts_one_in_the_singular(minutes, voices, negative, reason):
    # Given a minute whose verdict rests on so many minutes and voices
    verdict = Verdict(12.0, minutes, voices, negative, 0.15)

    # When its episode opens
    _, event = episodes.advance(None, EvaluatedMinute("acme", BASE_MS, verdict, "share/1", None, True))

    # Then
    assert event.reason == f"{reason}; usual for this brand is 15%."


@pytest.mark.parametrize("character", ["a", "\U0001d54f", "\x00", '"'])
def test_the_body_stays_below_twenty_kilobytes_for_the_longest_brand(character):
    episode, opened = episodes.advance(None, evaluated(0, 12, brand=character * 1_024))

    assert len(msgspec.json.encode(opened)) < 20_000
    assert episode is not None


def test_a_record_survives_text_and_a_damaged_one_is_named():
    episode, _ = play([12, 0, 0])

    assert episodes.decode(episodes.encode(episode)) == episode
    with pytest.raises(Unreadable, match="record of an episode"):
        episodes.decode("{}")


score = st.one_of(st.none(), st.sampled_from([0.0, 2.9, 3.0, 9.9, 10.0, 20.0, 40.0]), st.floats(0, 30))
runs = st.lists(st.tuples(score, st.sampled_from([1, 2, 29, 30, 31, 45, 400, 3_000])), max_size=10)


@settings(max_examples=100, deadline=None)
@given(runs, st.sampled_from(sorted(OPEN_SCORES.values())), st.data())
def test_every_episode_opens_once_and_ends_once_whatever_the_scores_and_wherever_it_crashes(
    parts, open_at, data
):
    # Given any series of scores, and a quiet hour at its end
    scores = [value for value, times in parts for _ in range(times)] + [0.0] * CLOSE_AFTER_MINUTES

    # When it is played, with the record put to text at any points, and crashes between judging and writing
    crashes = set(data.draw(st.lists(st.integers(0, len(scores) - 1), max_size=20)))
    episode, events = None, []
    for minute, value in enumerate(scores):
        if value is None:
            continue
        after, event = episodes.advance(episode, evaluated(minute, value), open_at)
        if minute in crashes:  # somebody else evaluates the same minute, from what is stored
            stored = episode and episodes.decode(episodes.encode(episode))
            assert episodes.advance(stored, evaluated(minute, value), open_at) == (after, event)
            after = after and episodes.decode(episodes.encode(after))
        episode = after
        if event is not None:
            events.append((minute, event))

    # Then each episode is told in order: opened, what is between, and exactly one end
    for _, told in itertools.groupby(events, lambda item: item[1].episode):
        first, *between, last = [event.kind for _, event in told]
        assert first == "opened"
        assert last in ("resolved", "expired")
        assert set(between) <= {"escalated", "reminder"}
        assert between.count("escalated") <= 1
    # … with an hour between openings, six between reminders, and no name twice
    openings = [minute for minute, event in events if event.kind == "opened"]
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(openings))
    for (earlier, _), (later, event) in itertools.pairwise(events):
        assert event.kind != "reminder" or later - earlier >= 360
    assert len({event.id for _, event in events}) == len(events)

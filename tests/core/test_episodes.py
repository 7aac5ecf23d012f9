"""Episodes: one opened, one resolved, and a body that a stranger can read."""

import itertools
import json
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core import episodes
from stream_worker.core.columns import MINUTE_MS
from stream_worker.core.detector import Verdict
from stream_worker.core.episodes import CLOSE_AFTER_MINUTES, Judged
from stream_worker.errors import Unreadable

BASE_MS = 1_800_000_000_000 // MINUTE_MS * MINUTE_MS


def judged(minute, score, *, brand="acme", complete=True, model="0123456789ab sk"):
    verdict = Verdict(score, 5, 33, 24, 0.15)
    return Judged(brand, BASE_MS + minute * MINUTE_MS, verdict, "share/1", model, complete)


def play(scores, episode=None, first=0):
    events = []
    for minute, score in enumerate(scores, first):
        if score is None:  # not judged
            continue
        episode, event = episodes.advance(episode, judged(minute, score))
        if event is not None:
            events.append((minute, event))
    return episode, events


def kinds(events):
    return [(minute, event.kind) for minute, event in events]


def test_a_spike_opens_once_and_resolves_once_after_thirty_minutes_below():
    # minute   0  1  2  3  4 …               33
    # score    1 12 50 11  0 …                0
    # state    q  open ………………………………………………………… resolved at 33
    _, events = play([1, 12, 50, 11] + [0] * 60)

    assert kinds(events) == [(1, "opened"), (33, "resolved")]
    assert len({event.episode for _, event in events}) == 1


def test_a_score_that_trembles_about_either_threshold_tells_nobody_twice():
    # score   12  9 12  9 …  then  2 4 2 4 …  (never thirty in a row below 3)
    _, events = play([12, 9] * 50 + [2, 4] * 50)

    assert kinds(events) == [(0, "opened")]


def test_minutes_that_were_not_judged_neither_end_nor_prolong_an_episode():
    # score   12  0 x 20  | none x 500 |  0 x 9   0
    # below       20                        29    30 → resolved
    _, events = play([12] + [0] * 20 + [None] * 500 + [0] * 10)

    assert kinds(events) == [(0, "opened"), (530, "resolved")]


def test_the_next_episode_opens_an_hour_after_the_last_opened_at_the_earliest():
    # minute   0   1 … 30         31 … 59       60
    # score   12   0 (resolved)   99 (cooling)  99
    episode, events = play([12] + [0] * 30 + [99] * 29)
    assert kinds(events) == [(0, "opened"), (30, "resolved")]
    assert episode is not None

    # Then at minute 60, and not before
    _, events = play([99], episode, first=60)
    assert kinds(events) == [(60, "opened")]


def test_a_long_episode_leaves_no_record_behind():
    episode, events = play([12] * 60 + [0] * 30)

    assert kinds(events)[-1] == (89, "resolved")
    assert episode is None


def test_the_baseline_is_frozen_for_a_day_and_then_learns_the_new_usual():
    episode, _ = play([12])

    assert not episodes.is_frozen(None, BASE_MS)
    assert episodes.is_frozen(episode, BASE_MS + 1_439 * MINUTE_MS)
    assert not episodes.is_frozen(episode, BASE_MS + 1_440 * MINUTE_MS)


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


@pytest.mark.parametrize("character", ["a", "\U0001d54f", "\x00", '"'])
def test_the_body_stays_below_twenty_kilobytes_for_the_longest_brand(character):
    episode, opened = episodes.advance(None, judged(0, 12, brand=character * 1_024))

    assert len(msgspec.json.encode(opened)) < 20_000
    assert episode is not None


def test_a_record_survives_text_and_a_damaged_one_is_named():
    episode, _ = play([12, 0, 0])

    assert episodes.decode(episodes.encode(episode)) == episode
    with pytest.raises(Unreadable, match="record of an episode"):
        episodes.decode("{}")


score = st.one_of(st.none(), st.sampled_from([0.0, 2.9, 3.0, 9.9, 10.0, 40.0]), st.floats(0, 30))
runs = st.lists(st.tuples(score, st.integers(1, 45)), max_size=12)


@settings(max_examples=300, deadline=None)
@given(runs)
def test_every_episode_opens_once_and_resolves_once_whatever_the_scores(parts):
    # Given any series of scores, and a quiet hour at its end
    scores = [value for value, times in parts for _ in range(times)] + [0.0] * CLOSE_AFTER_MINUTES

    # When it is played, with every record put to text in between
    episode, events = None, []
    for minute, value in enumerate(scores):
        if value is None:
            continue
        episode, event = episodes.advance(episode, judged(minute, value))
        if event is not None:
            events.append((minute, event))
        episode = episode and episodes.decode(episodes.encode(episode))

    # Then opened and resolved take turns, in pairs of one episode, an hour between openings
    assert [event.kind for _, event in events] == ["opened", "resolved"] * (len(events) // 2)
    for (_, opened), (_, resolved) in zip(events[::2], events[1::2], strict=True):
        assert opened.episode == resolved.episode
    openings = [minute for minute, event in events if event.kind == "opened"]
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(openings))
    assert len({event.id for _, event in events}) == len(events)
    assert play(scores)[1] == events

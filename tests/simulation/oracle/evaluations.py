"""What a close must say: recomputed from the frozen sums that the oracle knows (docs/design.md#minutes)."""

import json
from zlib import crc32

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
OPEN_AT, CLOSE_BELOW, CLOSE_BELOW_PEAK, CLOSE_AFTER = 10, 3, 0.4, 30
REMIND_MS = REOPEN_MS = 6 * HOUR_MS
EXPIRE_MS = FORGOTTEN_MS = 48 * HOUR_MS
ONCE_MORE, ONCE_MORE_HALF_LIFE_MS = 1.25, 12 * HOUR_MS


def check_close(oracle, call):
    """A close was accepted: its minute is the next one of its shard, and it says what was frozen."""
    seen, minute, k = oracle.seen, call.minute_ms, call.shard
    due = seen.closed[k]
    if due not in seen.marks:
        due = min((m for m in seen.marks if m >= seen.closed[k]), default=None)
    oracle.check(minute == due, "closed out of order", k, minute, due, seen.closed[k])
    oracle.check(call.seal_id == seen.marks[minute], "closed by the mark of another seal", k, minute)
    found = {brand: list(sums) for brand, sums in call.sums.items()}
    expected = _without_excused(oracle, call, found, _expected(seen, minute, k))
    oracle.check(found == expected, "a close adds the frozen sums", k, minute, found, expected)
    seen.closed[k] = minute + MINUTE_MS
    if len(seen.models[minute]) > 1:
        oracle.bite("minute of two models")
        oracle.check(not call.outbox and not call.episodes, "judged a minute of two models", minute)
        return
    events = {}
    for brand, sums in expected.items():
        if oracle.damage.excuses_evaluation(brand, call):
            oracle.bite("a damaged brand was not evaluated")
        elif brand:
            _evaluate(oracle, call, brand, sums, events)
    sent = {key: json.loads(body) for key, body in call.outbox.items()}
    told = {(it["brand"], it["kind"], it["minute"]) for it in sent.values()}
    oracle.check(told == set(events), "what is told", minute, told, set(events))
    for key, body in sent.items():
        oracle.check(seen.outbox.setdefault(key, body) == body, "one body per message", key)
        oracle.check(json.loads(oracle.state.outbox[key]) == body, "outbox", key)
        oracle.bite(f"episode {body['kind']}")


def _expected(seen, minute, k):
    """The sums of the brands of a shard, zeros included."""
    expected = _frozen(seen, minute, k)
    if seen.complete[minute]:
        for brand, first in seen.first.items():
            if first <= minute and _shard(brand) == k and brand:
                expected.setdefault(brand, [0] * 10)
    return expected


def _without_excused(oracle, call, found, expected):
    """Leave out the brands whose counts were damaged; of mended ones believe what is left."""
    excused = {brand for brand in expected if oracle.damage.excuses_sums(call.minute_ms, brand, call)}
    oracle.bite("a damaged count was left out", len(excused - found.keys()))
    sound = {brand: sums for brand, sums in expected.items() if brand not in excused}
    return sound | {brand: found[brand] for brand in excused & found.keys()}


def _frozen(seen, minute, k):
    sums = {}
    for (_, brand, late), cell in seen.cells.get(minute, {}).items():
        if not late and _shard(brand) == k:
            into = sums.setdefault(brand, [0] * 10)
            for i, value in enumerate(cell):
                into[i] += value
    return sums


def _evaluate(oracle, call, brand, sums, events):
    """Feed one brand's minute to the detector's rule, and move its episode."""
    seen, minute, negative = oracle.seen, call.minute_ms, sums[9]
    known = seen.fed.get(brand, (-1, 0, 0))
    if known is None:
        known = _believed(call.states[brand], minute, negative if seen.complete[minute] else 0)
    last, learned, fed = known
    learned += negative if seen.complete[minute] else 0
    gap = (minute - last) // MINUTE_MS - 1 if last >= 0 else 0
    seen.fed[brand] = minute, learned, fed + 1
    artefact = "".join(seen.models[minute])  # at most one: else nothing is judged
    expected = f"{minute},{learned},{fed + 1},{gap},{artefact}"
    oracle.check(call.states[brand] == expected, "states", brand, call.states[brand], expected)
    kind = _move(seen, brand, minute, 12 if negative >= 2 else 5 * negative)
    if kind:
        events[brand, kind, _instant(minute)] = True


def _believed(state, minute, negative):
    """What a detector was fed before this minute, by its state: it was warmed up from mended history."""
    _, learned, fed, gap, _ = state.split(",")
    last = minute - (int(gap) + 1) * MINUTE_MS if int(fed) > 1 else -1
    return last, int(learned) - negative, int(fed) - 1


def _move(seen, brand, minute, score):
    """Return what is told of a brand's episode in this minute, if anything.

    An episode is [opened, minutes below, ended, highest score, told, expired and not below since]. The scores
    here are 0, 5 and 12: nothing escalates, and nothing is higher than the first within six hours of its end.
    """
    episode = seen.episodes.get(brand)
    if episode is None:
        if score >= OPEN_AT:
            seen.episodes[brand] = [minute, 0, None, score, minute, False]
        return "opened" if score >= OPEN_AT else None
    opened, _, ended, _, _, expired = episode
    if ended is not None:
        if expired:
            episode[5] = score >= CLOSE_BELOW
            return None
        if minute < ended + REOPEN_MS or minute < opened + HOUR_MS:
            return None
        part = 0.5 ** ((minute - ended - REOPEN_MS) / ONCE_MORE_HALF_LIFE_MS)
        again = score > OPEN_AT + (ONCE_MORE * episode[3] - OPEN_AT) * part
        if again or minute >= ended + FORGOTTEN_MS:
            seen.episodes[brand] = None
        return _move(seen, brand, minute, score) if again else None
    return _go_on(episode, minute, score)


def _go_on(episode, minute, score):
    opened, below, _, highest, told, _ = episode
    episode[1] = below = below + 1 if score < max(CLOSE_BELOW, CLOSE_BELOW_PEAK * highest) else 0
    if below >= CLOSE_AFTER:
        episode[2] = minute
        return "resolved"
    if minute >= opened + EXPIRE_MS:
        episode[2], episode[5] = minute, True
        return "expired"
    if below == 0 and minute >= told + REMIND_MS:
        episode[4] = minute
        return "reminder"
    return None


def _shard(brand):
    return crc32(brand.encode()) % 16


def _instant(time_ms):
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"

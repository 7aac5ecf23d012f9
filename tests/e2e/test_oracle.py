"""The oracle itself: it says what a hand says of a hand-made log, and it names what is wrong."""

import json
from dataclasses import replace

import pytest

from tests.e2e.broken_values import BIG, COMMON, ENORMOUS
from tests.e2e.compare_archive import compare_archive, compare_letters
from tests.e2e.compare_picture import compare_frozen, compare_picture
from tests.e2e.expectation import expect, report
from tests.e2e.naive_worker import LOG, TOPIC, flagged, stored, work
from tests.e2e.oracle import Limits, Record, Refused, decode, judge
from tests.e2e.traffic import Phase, traffic

NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z
DEFAULTS = Limits()
GOOD = {"id": "1", "brand": "Acme", "network": "x", "author": "ann", "text": "so good", "event_time": NOON_MS}


def record(offset, *, at_ms=NOON_MS, **changes):
    value = json.dumps(GOOD | {"id": f"{offset}", "text": f"text {offset}", "event_time": at_ms} | changes)
    return Record(0, offset, at_ms, b"Acme", value.encode())


def flags(records, limits=DEFAULTS):
    """The flags of each record as letters: d(uplicate) r(epeat) v(oice) l(ate), or - for a rejected one."""
    names = ("duplicate", "repeat", "voice", "late")
    verdicts, _ = judge(records, limits)
    return ["".join(name[0] for name in names if getattr(it, name)) if it.mention else "-" for it in verdicts]


def test_a_duplicate_has_the_same_network_id_and_brand_within_the_horizon():
    records = [
        record(0, id="a", author=None),
        record(1, id="a", author=None),
        record(2, id="a", author=None, network="y"),
        record(3, id="a", author=None, brand="Other"),
        record(5, id="a", author=None),
        record(16, id="a", author=None),
    ]
    assert flags(records, Limits(dedup_window_offsets=10)) == ["v", "dv", "v", "v", "dv", "v"]


def test_the_horizon_ends_by_record_time_too_and_one_that_is_later_in_time_is_within():
    hour_ms = 3_600_000
    records = [
        record(0, id="a", author=None),
        record(1, id="a", author=None, at_ms=NOON_MS + hour_ms + 1),
        record(2, id="a", author=None, at_ms=NOON_MS + hour_ms),
    ]
    assert flags(records) == ["v", "v", "dv"]


def test_a_copy_is_a_repeat_however_it_is_disguised_but_not_of_another_brand():
    texts = ["Love  it", "RT @ann: LOVE it http://t.example/1", "love\nIT rt", "love it !", "love it", ""]
    brands = ["Acme", "Acme", "Acme", "Acme", "Other", "Acme"]
    records = [
        record(i, text=text, brand=brand, author=None)
        for i, (text, brand) in enumerate(zip(texts, brands, strict=True))
    ]
    assert flags(records) == ["v", "r", "r", "v", "v", "-"]


def test_a_voice_is_among_its_authors_first_three_where_repeats_and_duplicates_are_counted():
    records = [
        record(0),
        record(1, text="text 0"),
        record(2, id="0", text="text 0"),
        record(3),
        record(4, author="bob"),
        record(5, brand="Other"),
        record(6, author=None),
    ]
    assert flags(records) == ["v", "r", "dr", "", "v", "v", "v"]


def test_late_means_that_the_watermark_has_reached_the_end_of_the_window():
    #  11:59:30  12:00:00           12:00:30
    #      |---------|------------------|--------> event time; lateness 30 s, so W = newest - 30 s
    at = NOON_MS - 30_000
    records = [
        record(0, at_ms=at),
        record(1, at_ms=NOON_MS + 29_999),
        record(2, at_ms=at),  # W = 11:59:59.999: in time
        record(3, at_ms=NOON_MS + 30_000),
        record(4, at_ms=at),  # W = 12:00:00.000: late
    ]
    assert [it[-1:] == "l" for it in flags(records)] == [False, False, False, False, True]
    assert judge(records, Limits())[1] == NOON_MS


def test_no_post_pushes_the_watermark_past_its_record_time_and_no_rejected_one_moves_it():
    early = record(0, at_ms=NOON_MS, event_time=NOON_MS + 240_000)
    rejected = record(1, at_ms=NOON_MS + 900_000, text="")
    verdicts, watermark = judge([early, rejected, record(2, at_ms=NOON_MS)], Limits(lateness_ms=1_000))
    assert [it.watermark_ms for it in verdicts] == [None, NOON_MS - 1_000, NOON_MS - 1_000]
    assert watermark == NOON_MS - 1_000


@pytest.mark.parametrize(
    ("written", "event_time_ms"),
    [
        (NOON_MS, NOON_MS),
        ("2026-01-01T12:00:00Z", NOON_MS),
        ("2026-01-01T17:30:00+05:30", NOON_MS),
        ("2026-01-01T04:00:00.25-08:00", NOON_MS + 250),
        ("2026-01-01T12:00:00.001999Z", NOON_MS + 1),
        ("2000-01-01T00:00:00Z", 946_684_800_000),
        (NOON_MS + 300_000, NOON_MS + 300_000),
    ],
)
def test_event_time_is_rfc_3339_or_milliseconds(written, event_time_ms):
    assert decode(record(0, event_time=written), Limits()).event_time_ms == event_time_ms


@pytest.mark.parametrize("kind", [*COMMON, *BIG, *ENORMOUS])
def test_a_broken_value_is_rejected(kind):
    value = (COMMON | BIG | ENORMOUS)[kind](GOOD)
    with pytest.raises(Refused):
        decode(Record(0, 0, NOON_MS, None, value), Limits())


def test_an_event_more_than_five_minutes_ahead_is_rejected():
    with pytest.raises(Refused, match="event time"):
        decode(record(0, event_time=NOON_MS + 300_001), Limits())


def test_unknown_fields_are_kept():
    assert decode(record(0, mood={"a": [1]}, **{"": None}), Limits()).extra == {"mood": {"a": [1]}, "": None}


# ---------------------------------------------------------------- the whole comparison can fail

LIMITS = Limits(dedup_window_offsets=120, dedup_window_ms=600_000, lateness_ms=5_000)
PHASES = (Phase(1_200, NOON_MS, NOON_MS + 900_000, ahead=True, ancient=True),)


def small_log():
    records = {partition: [] for partition in range(2)}
    for it in traffic(3, PHASES, partitions=2, dedup_window_offsets=120):
        these = records[it.partition]
        these.append(Record(it.partition, len(these), it.record_time_ms, it.key, it.value))
    return records


@pytest.fixture(scope="module")
def world():
    """A small log, what must be found, and what the naive worker leaves behind."""
    records = small_log()
    ends = {partition: len(these) for partition, these in records.items()}
    return expect(TOPIC, LOG, records, ends, LIMITS), *work(records, LIMITS)


def compare(expected, files, picture, letters):
    differences, rows = compare_archive(expected, stored(files))
    return [*differences, *compare_letters(expected, letters), *compare_picture(expected, rows, picture)]


def test_oracle_and_naive_worker_agree_on_every_flag(world):
    for partition, records in small_log().items():
        naive = [it[2:] for it in flagged(records, LIMITS)]
        verdicts = world[0].verdicts[partition]
        assert [(it.duplicate, it.repeat, it.voice, it.late, it.watermark_ms) for it in verdicts] == naive
        assert all(any(it[flag] for it in naive) for flag in range(4)), "each flag occurs"


def test_the_same_seed_gives_the_same_traffic_and_another_one_does_not():
    assert traffic(3, PHASES) == traffic(3, PHASES) != traffic(4, PHASES)


def test_nothing_differs_in_what_the_naive_worker_leaves_behind(world):
    differences = compare(*world)
    assert not differences, report(differences)


def _document(files, kind, change):
    """Change one JSON document below `_plans` or `_manifests`."""
    name = next(it for it in sorted(files) if it.startswith(kind) and not it.endswith("head.json"))
    files[name] = json.dumps(json.loads(files[name]) | change(json.loads(files[name]))).encode()


def _other_row(world_of):
    """Swap one object for one that has another text in it."""
    from tests.e2e.naive_worker import _parquet
    from tests.e2e.stored_archive import rows_of

    files = world_of[1]
    name = next(it for it in sorted(files) if it.endswith(".parquet"))
    rows = rows_of(files[name])[1]
    rows[0]["text"] += "."
    files[name] = _parquet(rows)


def _remove(files, suffix, kind=""):
    del files[
        next(it for it in sorted(files) if it.endswith(suffix) and it.startswith(kind) and "head" not in it)
    ]


def _move(history, by):
    key = next(iter(history))
    at = next(iter(history[key]))
    first, *rest = history[key][at]
    history[key] = history[key] | {at: (first + by, *rest)}


def _note(picture, **changes):
    minute_ms = next(it for it, notes in picture.notes.items() if notes["mentions"] != "0")
    picture.notes[minute_ms] = picture.notes[minute_ms] | changes


def _cell(picture, measure, by):
    cell = next(it for it in picture.cells if picture.cells[it].get(measure))
    picture.cells[cell] = picture.cells[cell] | {measure: picture.cells[cell][measure] + by}


def _unlate(picture):
    """File a late mention as if it had been on time: the sum is right, the place is not."""
    cell = next(it for it in picture.cells if picture.cells[it].get("late_n"))
    fields = dict(picture.cells[cell])
    fields["n"] = fields.get("n", 0) + fields.pop("late_n")
    picture.cells[cell] = fields


TAMPERED = {
    "an object is lost": ("objects", lambda w: _remove(w[1], ".parquet")),
    "a manifest is lost": ("plans without a manifest", lambda w: _remove(w[1], ".json", "_manifests")),
    "a plan is lost": ("plans chain", lambda w: _remove(w[1], ".json", "_plans")),
    "a head is lost": ("head", lambda w: w[1].pop(f"_plans/{LOG}/head.json")),
    "a plan ends early": (
        "plans chain",
        lambda w: _document(w[1], "_plans", lambda it: {"end": it["end"] - 1}),
    ),
    "a plan's watermark": (
        "plans' watermark_end",
        lambda w: _document(w[1], "_plans", lambda _: {"watermark_end": 1}),
    ),
    "an outcome": (
        "manifests' outcomes",
        lambda w: _document(w[1], "_manifests", lambda _: {"outcomes": {}}),
    ),
    "a manifest's late": ("manifests' late", lambda w: _document(w[1], "_manifests", lambda _: {"late": -1})),
    "a text": ("rows' text", _other_row),
    "an object's bytes": ("objects' sha256", _other_row),
    "a dead letter is lost": ("dead letters", lambda w: w[3].pop()),
    "a letter's value": ("dead letters' value", lambda w: w[3].append(replace(w[3].pop(), value=b"changed"))),
    "a letter too many": (
        "dead letters",
        lambda w: w[3].append(replace(w[3][0], headers=(*w[3][0].headers, ("sw-offset", b"77777")))),
    ),
    "one mention more": ("minutes' n", lambda w: _cell(w[2], "n", 1)),
    "one voice less": ("minutes' voices", lambda w: _cell(w[2], "voices", -1)),
    "a late one on time": ("late is counted late", lambda w: _unlate(w[2])),
    "a minute's sum": ("minutes' sum", lambda w: _cell(w[2], "sum", 1)),
    "a cell of nobody": ("minutes' n", lambda w: w[2].cells.update({(NOON_MS, "x", "Nobody"): {"n": 1}})),
    "history of minutes": ("minutes' history", lambda w: _move(w[2].minutes, 1)),
    "history of hours": ("hours' history", lambda w: _move(w[2].hours, -1)),
    "a cursor": ("cursors", lambda w: w[2].cursors.update({0: {"next": "1", "wm": "1"}})),
    "a shard is behind": ("all minutes are closed", lambda w: w[2].closed_ms.update({3: NOON_MS})),
    "a minute's total": ("minutes' totals", lambda w: _note(w[2], mentions="0")),
    "a second model": ("minutes' models", lambda w: _note(w[2], **{"model:other": "1"})),
    "an incomplete minute": ("sealed and complete", lambda w: _note(w[2], complete="0")),
    "expired ones": ("mentions below the floor", lambda w: setattr(w[2], "expired", 99)),
    "a brand is not admitted": ("admitted brands", lambda w: w[2].brands.discard("Acme")),
}


COPIED = ("cells", "notes", "minutes", "hours", "cursors", "closed_ms")


@pytest.mark.parametrize("what", TAMPERED)
def test_what_is_tampered_with_is_named(world, what):
    expected, files, picture, letters = world
    check, tamper = TAMPERED[what]
    copies = {name: dict(getattr(picture, name)) for name in COPIED}
    copied = [expected, dict(files), replace(picture, brands=set(picture.brands), **copies), list(letters)]

    tamper(copied)

    differences = compare(*copied)
    assert check in {it.check for it in differences}, report(differences)


def test_a_frozen_field_that_changes_is_named(world):
    picture = world[2]
    (minute_ms, *cell), fields = next(it for it in picture.cells.items() if it[1].get("n"))
    frozen = {minute_ms: {tuple(cell): {"n": fields["n"] + 1}}}
    assert {it.check for it in compare_frozen(frozen, picture)} == {"frozen fields"}

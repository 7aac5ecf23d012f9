"""Verdicts: every reason to reject a record, and that a bad record never hurts its neighbours."""

import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_worker.core.records.decode import DEPTH_MAX, REASONS, decode, take
from stream_worker.core.records.limits import Limits
from tests.builders import ABSENT, NOON_MS, columns, mention, records

LIMITS = Limits(value_bytes_max=6_000_000)
DEEP = b"[" * 100_000


def value(**raw):
    """A mention whose fields are given as JSON text, for what no JSON encoder writes."""
    plain = {
        "id": '"1"',
        "brand": '"b"',
        "network": '"x"',
        "text": '"t"',
        "event_time": str(NOON_MS),
    } | raw
    return ("{" + ",".join(f'"{name}":{text}' for name, text in plain.items()) + "}").encode(
        "utf-8", "surrogatepass"
    )


def verdict(value, limits=LIMITS, time_ms=NOON_MS):
    """(reason, field) of one rejected record, or "mention"."""
    made, rejected = decode(records(value, time_ms=time_ms), limits)
    assert len(made) + len(rejected) == 1
    return "mention" if len(made) else (rejected[0].reason, rejected[0].field)


REJECTED = [
    (None, "tombstone", ""),
    (b"x" * 6_000_001, "too_large", ""),
    (b"", "not_json", ""),
    (b"mention", "not_json", ""),
    (mention()[:-1], "not_json", ""),
    (mention() + b"{}", "not_json", ""),
    (b"\xef\xbb\xbf" + mention(), "not_json", ""),
    (mention().decode().encode("utf-16"), "not_json", ""),
    (value(text='"t\xff"'.encode("latin-1").decode("latin-1")).replace(b"\xc3\xbf", b"\xff"), "not_json", ""),
    (value(text='"\\ud800"'), "not_json", ""),
    (value(text='"\ud800"'), "not_json", ""),
    (value(unknown='"\\udfff"'), "not_json", ""),
    (value(reach="NaN"), "not_json", ""),
    (value(reach="Infinity"), "not_json", ""),
    (value(reach="1e999"), "not_json", ""),
    (value(event_time="1" + "0" * 5_000), "not_json", ""),
    (DEEP, "too_deep", ""),
    (value(unknown="[" * 5_000 + "]" * 5_000), "too_deep", ""),
    (value(text="[" * 5_000 + "]" * 5_000), "too_deep", ""),
    (value(unknown='{"a":' * 5_000 + "1" + "}" * 5_000), "too_deep", ""),
    (mention(id=ABSENT), "missing_field", "id"),
    (mention(brand=ABSENT), "missing_field", "brand"),
    (mention(network=ABSENT), "missing_field", "network"),
    (mention(text=ABSENT), "missing_field", "text"),
    (mention(event_time=ABSENT), "missing_field", "event_time"),
    (b"{}", "missing_field", "id"),
    (mention(id=""), "empty_field", "id"),
    (mention(brand=""), "empty_field", "brand"),
    (mention(text=""), "empty_field", "text"),
    (mention(text=" \t\n\u3000"), "empty_field", "text"),
    (mention(brand=" "), "empty_field", "brand"),
    (mention(id="\u2003"), "empty_field", "id"),
    (mention(id="x" * 513), "too_long", "id"),
    (mention(brand="x" * 1_025), "too_long", "brand"),
    (mention(author="x" * 513), "too_long", "author"),
    (mention(text="x" * 1_000_001), "too_long", "text"),
    (b"[]", "wrong_type", ""),
    (b"null", "wrong_type", ""),
    (b'"mention"', "wrong_type", ""),
    (mention(id=1), "wrong_type", "id"),
    (mention(brand=["acme"]), "wrong_type", "brand"),
    (mention(text={"en": "hello"}), "wrong_type", "text"),
    (mention(network=None), "wrong_type", "network"),
    (mention(author=7), "wrong_type", "author"),
    (mention(url=False), "wrong_type", "url"),
    (mention(lang=1), "wrong_type", "lang"),
    (mention(reply_to=[]), "wrong_type", "reply_to"),
    (mention(reach=1.5), "wrong_type", "reach"),
    (mention(reach=-1), "wrong_type", "reach"),
    (mention(reach=2**63), "wrong_type", "reach"),
    (mention(reach=2**70), "wrong_type", "reach"),
    (mention(event_time=None), "wrong_type", "event_time"),
    (mention(event_time=True), "wrong_type", "event_time"),
    (mention(event_time=float(NOON_MS)), "wrong_type", "event_time"),
    (mention(event_time=1.79e12), "wrong_type", "event_time"),
    (mention(network=""), "bad_network", "network"),
    (mention(network="Reddit"), "bad_network", "network"),
    (mention(network="a b"), "bad_network", "network"),
    (mention(network="reddit\n"), "bad_network", "network"),
    (mention(network="x" * 33), "bad_network", "network"),
    (mention(event_time="2026-09-22T12:00:00"), "bad_time", "event_time"),
    (mention(event_time="yesterday"), "bad_time", "event_time"),
    (mention(event_time=""), "bad_time", "event_time"),
    (mention(event_time=str(NOON_MS)), "bad_time", "event_time"),
    (mention(event_time="2026-02-30T12:00:00Z"), "bad_time", "event_time"),
    (mention(event_time=NOON_MS // 1000), "time_unit", "event_time"),
    (mention(event_time=NOON_MS * 1000), "time_unit", "event_time"),
    (mention(event_time=-1), "time_unit", "event_time"),
    (mention(event_time=0), "time_unit", "event_time"),
    (mention(event_time=10**30), "time_unit", "event_time"),
    (value(event_time="9" * 4_300), "time_unit", "event_time"),
    (mention(event_time="0001-01-01T00:00:00+14:00"), "time_unit", "event_time"),
    (mention(event_time="9999-12-31T23:59:59-14:00"), "time_unit", "event_time"),
    (mention(event_time=NOON_MS + 300_001), "time_future", "event_time"),
    (mention(event_time="2099-01-01T00:00:00Z"), "time_future", "event_time"),
]


@pytest.mark.parametrize(("bad", "reason", "field"), REJECTED)
def test_a_record_that_cannot_be_used_says_why_and_where(bad, reason, field):
    assert verdict(bad) == (reason, field)


def test_every_reason_has_an_example_here():
    assert {reason for _, reason, _ in REJECTED} == set(REASONS)


@pytest.mark.parametrize(("bad", "reason", "field"), REJECTED)
def test_an_unknown_field_changes_no_verdict(bad, reason, field):
    if bad is None or not bad.startswith(b'{"id"') or not bad.endswith(b"}"):
        return
    assert verdict(bad[:-1] + b',"unknown":1}')[0] == reason


GOOD = [
    mention(),
    mention(id="x" * 512, brand="x" * 1_024, author="x" * 512),
    mention(text="x" * 1_000_000),
    mention(brand="Łódź: a,b\n\x00 🙂"),
    mention(network="a-b_c.9" + "x" * 25),
    mention(author=None, url=None, lang=None, reach=None, reply_to=None),
    mention(reach=0),
    mention(reach=2**63 - 1),
    mention(event_time=NOON_MS + 300_000),
    mention(event_time=946_684_800_000),
    b" \n" + mention() + b"\n",
    b'{"id":5,"id":"5",' + mention()[1:],
]


@pytest.mark.parametrize("good", GOOD)
def test_what_the_contract_allows_is_a_mention(good):
    assert verdict(good) == "mention"


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        (NOON_MS, NOON_MS),
        ("2026-09-22T12:00:00Z", NOON_MS),
        ("2026-09-22t12:00:00z", NOON_MS),
        ("2026-09-22T12:00:00+00:00", NOON_MS),
        ("2026-09-22T14:00:00+02:00", NOON_MS),
        ("2026-09-22T17:45:00+05:45", NOON_MS),
        ("2026-09-21T22:00:00-14:00", NOON_MS),
        ("2026-09-22T12:00:00.5Z", NOON_MS + 500),
        ("2026-09-22T12:00:00.999999Z", NOON_MS + 999),
        ("2026-09-22T11:59:59.9999Z", NOON_MS - 1),
        ("2001-01-01T00:00:00.0009Z", 978_307_200_000),
    ],
)
def test_a_time_is_milliseconds_utc_rounded_down(written, ms):
    assert columns(mention(event_time=written)).event_times_ms.tolist() == [ms]


def test_a_time_before_1970_is_rounded_down_and_then_rejected():
    assert verdict(mention(event_time="1969-12-31T23:59:59.9Z")) == ("time_unit", "event_time")


def test_how_far_ahead_an_event_may_be_is_a_limit():
    ahead = mention(event_time=NOON_MS + 1_000)

    assert verdict(ahead, Limits(future_ms=1_000)) == "mention"
    assert verdict(ahead, Limits(future_ms=999)) == ("time_future", "event_time")


def test_a_value_as_large_as_the_limit_is_decoded_and_one_byte_more_is_not():
    # Given 5 MB: text may have a million characters, each of up to four bytes, and then unknown fields
    large = mention(text="🙂" * 1_000_000, unknown="x" * 1_000_000)
    large += b" " * (5_000_000 - len(large))

    assert verdict(large, Limits(value_bytes_max=len(large))) == "mention"
    assert verdict(large, Limits(value_bytes_max=len(large) - 1)) == ("too_large", "")


def test_unknown_fields_are_kept_as_json_and_known_ones_are_not():
    unknown = {"likes": 3, "geo": {"at": [1.5, None]}, "id2": "é🙂", "huge": 2**64 - 1, "huger": 2**70}

    made = columns(mention(id="7"), mention(id="8", **unknown), mention(id="9"))

    assert made.ids == ["7", "8", "9"]
    assert made.extras[0] is None
    assert made.extras[2] is None
    assert json.loads(made.extras[1]) == unknown


def test_all_fields_arrive_in_their_columns():
    full = {"author": "ann", "url": "https://e.org/1", "lang": "en", "reach": 12, "reply_to": "0"}

    made = columns(mention(**full), offsets=[17], time_ms=NOON_MS + 5)

    assert made.offsets.tolist() == [17]
    assert made.record_times_ms.tolist() == [NOON_MS + 5]
    found = {field.name: getattr(made, field.name) for field in fields(made)}
    assert {name: values[0] for name, values in found.items() if isinstance(values, list)} == {
        "ids": "1",
        "brands": "acme",
        "networks": "reddit",
        "texts": "a text",
        "authors": "ann",
        "urls": "https://e.org/1",
        "langs": "en",
        "reaches": 12,
        "reply_tos": "0",
        "extras": None,
    }


def test_a_rejected_record_keeps_its_coordinates_and_its_bytes():
    bad = mention(id="")

    _, [letter] = decode(records(bad, offsets=[41], time_ms=NOON_MS + 3), LIMITS)

    assert letter[:3] == (41, NOON_MS + 3, bad)
    assert letter.value is bad


SECRET = "S3CRET"
TELLTALE = [
    *(mention(**{name: [SECRET]}) for name in ("id", "brand", "network", "text", "author", "event_time")),
    *(mention(**{name: SECRET * 200}) for name in ("id", "brand", "network", "author", "event_time")),
    mention(id=ABSENT, text=SECRET, author=SECRET, **{SECRET: SECRET}),
    mention(text=SECRET)[:-1],
    mention(text=SECRET) + SECRET.encode(),
    SECRET.encode() + b"\xff",
    b'"' + SECRET.encode() + b'\xff"',
]


@pytest.mark.parametrize("bad", TELLTALE)
def test_an_error_never_quotes_what_the_author_wrote(bad):
    _, [letter] = decode(records(bad), LIMITS)

    assert SECRET not in letter.error + letter.field + letter.reason
    assert 0 < len(letter.error) <= 300


def test_how_deep_is_too_deep_is_a_number_and_not_what_the_stack_holds():
    allowed = value(unknown="[" * DEPTH_MAX + "]" * DEPTH_MAX)
    too_deep = value(unknown="[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1))

    def under(frames, bad):
        return verdict(bad) if frames == 0 else under(frames - 1, bad)

    for frames in (0, 200, 400):
        assert under(frames, allowed) == "mention"
        assert under(frames, too_deep) == ("too_deep", "")


def test_brackets_in_a_text_are_not_depth():
    brackets = '[{"\\' * 1_000

    made = columns(mention(text=brackets, unknown=brackets))

    assert made.texts == [brackets]
    assert json.loads(made.extras[0]) == {"unknown": brackets}


def test_nothing_is_no_columns():
    made, rejected = decode(records(), LIMITS)

    assert (len(made), rejected, made.offsets.tolist()) == (0, [], [])


# Properties

BAD = [bad for bad, _, _ in REJECTED if bad is None or len(bad) < 1_000]
WITH_EXTRA = [mention(unknown=[1, {"a": None}]), mention(author="ann", zz="top")]


@st.composite
def mixes(draw):
    kinds = st.sampled_from(BAD + GOOD[:2] + GOOD[3:] + WITH_EXTRA) | st.binary(max_size=40)
    values = draw(st.lists(kinds, max_size=30))
    gaps = draw(st.lists(st.integers(1, 5), min_size=len(values), max_size=len(values)))
    return records(*values, offsets=np.cumsum(gaps).tolist(), time_ms=NOON_MS)


@given(mixes())
@settings(max_examples=150, deadline=None)
def test_a_batch_is_decoded_as_its_records_one_by_one(mix):
    together, rejected = decode(mix, LIMITS)

    one_by_one = [decode(records(v, offsets=[o]), LIMITS) for o, _, v in zip(*mix, strict=True)]

    assert rejected == [letter for _, letters in one_by_one for letter in letters]
    for field in fields(together):
        alone = [cell for made, _ in one_by_one for cell in list(getattr(made, field.name))]
        assert list(getattr(together, field.name)) == alone, field.name
    assert sorted([*together.offsets.tolist(), *(letter.offset for letter in rejected)]) == mix.offsets


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["id", "brand", "network", "text", "event_time", "author", "reach", "url", "other"])


@given(st.dictionaries(FIELDS, JSONISH, max_size=4))
@example({"event_time": 10**400})
@settings(max_examples=150, deadline=None)
def test_any_json_ends_as_a_mention_or_with_a_known_reason(changed):
    found = verdict(mention(**changed))

    assert found == "mention" or found[0] in REASONS


@given(st.binary(max_size=200), st.integers(0, 120), st.binary(max_size=3))
@settings(max_examples=200, deadline=None)
def test_any_bytes_end_as_a_mention_or_with_a_known_reason(noise, at, spliced):
    damaged = mention(author="ann")[:at] + spliced + mention(author="ann")[at + 1 :]

    made, rejected = decode(records(noise, mention(), damaged, mention(other=1)), LIMITS)

    assert len(made) + len(rejected) == 4
    assert {1, 3} <= set(made.offsets.tolist())
    assert {letter.reason for letter in rejected} <= set(REASONS)


@given(st.permutations(range(6)), st.integers(0, 6))
def test_rows_are_taken_in_the_given_order(order, count):
    made = columns(*(mention(id=str(k), brand=f"b{k}", unknown=k) for k in range(6)))

    taken = take(made, list(order[:count]))

    assert taken.ids == [str(k) for k in order[:count]]
    assert taken.extras == [f'{{"unknown":{k}}}' for k in order[:count]]
    assert taken.offsets.tolist() == list(order[:count])

"""Duplicates, repeats and voices against brute force: every earlier mention compared."""

from itertools import chain, product

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_worker.core.archive.layout import TEXT_KEY_VERSION
from stream_worker.core.records.decode import take
from stream_worker.core.records.dedup import VOICE_MENTIONS_MAX, DedupWindow, text_key_bytes
from tests.builders import NOON_MS, columns, keys, mention


def flags(dedup_window, made):
    return [list(map(bool, flag)) for flag in dedup_window.add(made)]


def by_brute_force(made, dedup_window_offsets, dedup_window_ms):
    """The rule as docs/design.md#dedup-window says it, row by row."""
    duplicate, copy, voice = [], [], []
    for i in range(len(made)):
        earlier = [
            j
            for j in range(i)
            if made.offsets[i] - made.offsets[j] <= dedup_window_offsets
            and made.record_times_ms[i] - made.record_times_ms[j] <= dedup_window_ms
            and made.brands[j] == made.brands[i]
        ]
        same = [j for j in earlier if (made.networks[j], made.ids[j]) == (made.networks[i], made.ids[i])]
        text = text_key_bytes(made.brands[i], made.texts[i])
        copied = [j for j in earlier if text_key_bytes(made.brands[j], made.texts[j]) == text]
        author = made.authors[i]
        said = [j for j in earlier if author is not None and made.authors[j] == author]
        duplicate.append(bool(same))
        copy.append(bool(copied))
        voice.append(not copied and len(said) < 3)
    return [duplicate, copy, voice]


POSTS = [
    mention(id=identity, brand=brand, network=network, text=text, author=author)
    for identity, brand, network, text, author in product(
        "ab", ["acme", "acm"], "xy", ["one", "ONE ", "e one"], [None, "ann", "bob"]
    )
]


@st.composite
def logs(draw):
    """Few ids, texts and authors, gaps in the offsets, record times that go back and forth."""
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(POSTS), st.sampled_from([1, 1, 1, 2, 3, 9]), st.integers(-6, 6)),
            min_size=1,
            max_size=25,
        )
    )
    posts, gaps, jitter = zip(*rows, strict=True)
    offsets = np.cumsum(gaps) + draw(st.integers(-1, 40))
    times_ms = NOON_MS + np.arange(len(rows)) * draw(st.integers(0, 2)) + np.array(jitter)
    return columns(*posts, offsets=offsets.tolist(), times_ms=times_ms.tolist())


@given(logs(), st.integers(1, 20), st.integers(0, 12))
@settings(max_examples=300, deadline=None)
def test_flags_are_those_of_brute_force(made, dedup_window_offsets, dedup_window_ms):
    found = flags(DedupWindow(dedup_window_offsets, dedup_window_ms, keys), made)

    assert found == by_brute_force(made, dedup_window_offsets, dedup_window_ms)


@given(logs(), st.integers(1, 20), st.integers(0, 12), st.data())
@settings(max_examples=80, deadline=None)
def test_cutting_into_batches_changes_no_flag(made, dedup_window_offsets, dedup_window_ms, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(made)), max_size=5)))
    dedup_window = DedupWindow(dedup_window_offsets, dedup_window_ms, keys)

    parts = [
        flags(dedup_window, take(made, list(range(low, high))))
        for low, high in zip([0, *cuts], [*cuts, len(made)], strict=True)
    ]

    assert [list(chain(*flag)) for flag in zip(*parts, strict=True)] == flags(
        DedupWindow(dedup_window_offsets, dedup_window_ms, keys), made
    )


@given(logs(), st.integers(1, 20), st.integers(0, 12), st.data())
@settings(max_examples=80, deadline=None)
def test_a_memory_that_is_refilled_from_one_horizon_below_gives_the_same_flags(
    made, dedup_window_offsets, dedup_window_ms, data
):
    # Given all flags, and a row at which reading begins again after a seek
    expected = flags(DedupWindow(dedup_window_offsets, dedup_window_ms, keys), made)
    row = data.draw(st.integers(0, len(made) - 1))
    position = int(made.offsets[row])

    # When a memory that held something else is emptied and filled from `position - horizon_offsets`
    dedup_window = DedupWindow(dedup_window_offsets, dedup_window_ms, keys)
    dedup_window.add(made)
    dedup_window.clear()
    refill = [i for i in range(row) if made.offsets[i] >= position - dedup_window_offsets]
    dedup_window.add(take(made, refill))
    found = flags(dedup_window, take(made, list(range(row, len(made)))))

    # Then nothing is different from there on
    assert found == [flag[row:] for flag in expected]


def test_the_horizon_ends_at_its_last_offset_and_its_last_millisecond():
    #  offset   100      110        111            |   record time  0       +50     +51
    #           a        a = within a = one too far|                a       within  one too long
    near = columns(mention(), mention(), offsets=[100, 110])
    far = columns(mention(), mention(), offsets=[100, 111])
    assert flags(DedupWindow(10, 1_000, keys), near)[0] == [False, True]
    assert flags(DedupWindow(10, 1_000, keys), far)[0] == [False, False]

    soon = columns(mention(), mention(), times_ms=[NOON_MS, NOON_MS + 50])
    later = columns(mention(), mention(), times_ms=[NOON_MS, NOON_MS + 51])
    assert flags(DedupWindow(10, 50, keys), soon)[0] == [False, True]
    assert flags(DedupWindow(10, 50, keys), later)[0] == [False, False]


def test_an_earlier_mention_counts_whatever_its_own_flags():
    # Given three of the same: the third lies within the horizon of the second only, itself a duplicate
    made = columns(mention(), mention(), mention(), offsets=[0, 8, 16])

    assert flags(DedupWindow(10, 1_000, keys), made)[0] == [False, True, True]


def test_an_older_offset_answers_when_the_newer_one_lies_too_far_back_in_time():
    #  offset       0        1        2
    #  record time  +100     0        +120        horizon 50 ms: only offset 0 is within
    made = columns(mention(), mention(), mention(), times_ms=[NOON_MS + 100, NOON_MS, NOON_MS + 120])

    assert flags(DedupWindow(10, 50, keys), made)[0] == [False, True, True]


def test_the_fourth_mention_of_an_author_on_a_brand_is_no_voice():
    def said(count, **fields):
        return [mention(id=str(k), text=f"text {k}", **fields) for k in range(count)]

    ann = columns(*said(VOICE_MENTIONS_MAX + 1, author="ann"))
    nobody = columns(*said(VOICE_MENTIONS_MAX + 2))
    two_brands = columns(*said(2, author="ann"), *said(2, author="ann", brand="other"))

    assert flags(DedupWindow(50, 1_000, keys), ann)[2] == [True, True, True, False]
    assert flags(DedupWindow(50, 1_000, keys), nobody)[2] == [True] * 5
    assert flags(DedupWindow(50, 1_000, keys), two_brands)[2] == [True] * 4


def test_duplicates_and_repeats_use_up_a_voice():
    # Given the same post three times, then something else by the same author
    made = columns(*[mention(author="ann")] * 3, mention(id="2", text="else", author="ann"))

    duplicate, copy, voice = flags(DedupWindow(50, 1_000, keys), made)

    assert duplicate == [False, True, True, False]
    assert copy == [False, True, True, False]
    assert voice == [True, False, False, False]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"brand": "ab", "id": "c"}, {"brand": "a", "id": "bc"}),
        ({"brand": "a", "author": "bc"}, {"brand": "ab", "author": "c"}),
        ({"brand": "a1", "id": "x"}, {"brand": "a", "id": "1x"}),
        ({"brand": "a\x001", "id": "x"}, {"brand": "a", "id": "1\x00x"}),
        ({"network": "x", "id": "1"}, {"network": "y", "id": "1"}),
    ],
)
def test_other_words_are_other_keys_wherever_they_are_cut(left, right):
    made = columns(mention(text="1", **left), mention(text="2", **right))

    assert flags(DedupWindow(50, 1_000, keys), made)[:2] == [[False, False], [False, False]]


def test_nothing_is_remembered_for_an_empty_batch():
    assert flags(DedupWindow(50, 1_000, keys), columns()) == [[], [], []]


# The text key, version 1: brand, NUL, lower-cased words without http… and @… and rt, joined by one space


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Great phone", "great phone"),
        ("  Great \t\n phone ", "great phone"),
        ("Great\u2003phone\u00a0!", "great phone !"),
        ("RT @ann: Great phone https://t.co/x", "great phone"),
        ("rt Rt rT", ""),
        ("art start rtx rt", "art start rtx"),
        ("@ann", ""),
        ("mail me@home", "mail me@home"),
        ("@", ""),
        ("HTTP HTTPS://X http:x httpd", ""),
        ("xhttp", "xhttp"),
        ("GROẞ ÄÖÜ", "groß äöü"),
        ("İstanbul", "i\u0307stanbul"),
        ("🙂 @x 🙂", "🙂 🙂"),
        ("", ""),
    ],
)
def test_the_text_key_is_what_the_contract_says(text, key):
    assert TEXT_KEY_VERSION == 1
    assert text_key_bytes("Acme", text) == b"Acme\0" + key.encode()


@given(st.text(alphabet="rtRT @htp:/.aé\u2003\n", max_size=40))
@settings(deadline=None)
def test_the_text_key_of_any_text_is_the_contract_word_by_word(text):
    words = [
        word
        for word in text.lower().split()
        if word != "rt" and not word.startswith("http") and not word.startswith("@")
    ]

    assert text_key_bytes("b", text) == f"b\0{' '.join(words)}".encode()


def test_the_hash_of_a_text_key_is_xxh64():
    _, texts, _ = keys(["x"], ["acme"], ["1"], ["RT hello"], [None])

    assert texts.tolist() == [xxhash.xxh64(b"acme\0hello").intdigest()]

"""The keys of the kernel against those of Python, bit for bit, on any Unicode."""

import re
import sys

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import KernelMissing
from models.native import library
from models.native.keys import native_keys, text_keys
from stream_worker.core.records.dedup import plain_keys, text_key_bytes

BLANKS = "".join(char for char in map(chr, range(sys.maxunicode + 1)) if char.isspace())
PIECES = st.one_of(
    st.text(max_size=8),
    st.text(alphabet=BLANKS, min_size=1, max_size=3),
    st.sampled_from(
        [
            "rt",
            "RT",
            "Rt ",
            " @",
            "@ann",
            "http",
            "HTTPS://x",
            "hTtP",
            "tt",
            "ΑΣ",
            "Σ",
            "İ",
            "K",
            "ẞ",
            "Ⱥ",
            "🙂",
        ]
    ),
    st.text(alphabet="rtRT @htp:/.aéΣİ\u2003\u00a0\n\x1c\0", max_size=20),
)
CODE_POINTS = [*range(0x3000), *range(0xA000, 0xAC00), *range(0xFB00, 0x12000), *range(0x12000, 0x110000, 97)]
TEXTS = st.lists(PIECES, max_size=8).map("".join)
WORDS = st.one_of(st.text(max_size=6), st.sampled_from(["acme", "É", "a\x001", ""]))
plain = plain_keys(xxhash.xxh64_intdigest)
native = native_keys(plain)


def test_there_is_a_kernel_in_this_checkout():
    assert native is not plain


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, TEXTS, st.none() | WORDS), max_size=12))
@settings(max_examples=120, deadline=None)
def test_the_keys_of_any_mentions_are_those_of_python(mentions):
    columns = [[row[i] for row in mentions] for i in range(5)]
    signed = [author is not None for author in columns[4]]

    posts, texts, authors = native(*columns)
    posts_too, texts_too, authors_too = plain(*columns)

    assert posts.tolist() == posts_too.tolist()
    assert texts.tolist() == texts_too.tolist()
    assert authors[signed].tolist() == authors_too[signed].tolist()


def test_the_text_key_of_a_single_character_is_that_of_python():
    # Given code points, alone, inside a word, and between two
    chars = [chr(c) for c in CODE_POINTS if not 0xD800 <= c <= 0xDFFF]
    texts = [f"{c} x{c} a{c}b" for c in chars]
    brands = ["b"] * len(texts)

    expected = [xxhash.xxh64_intdigest(text_key_bytes("b", text)) for text in texts]

    assert text_keys(brands, texts).tolist() == expected


def test_long_texts_of_characters_that_grow_in_lower_case_fit():
    texts = ["Ⱥ" * 50_000, "İ" * 50_000, "", "@" * 100_000, "rt " * 30_000, "x" * 100_000]

    expected = [xxhash.xxh64_intdigest(text_key_bytes("b", text)) for text in texts]

    assert text_keys(["b"] * len(texts), texts).tolist() == expected


def test_a_lone_surrogate_ends_as_in_python():
    # Given one inside a word that counts, and one inside a word that does not
    with pytest.raises(UnicodeEncodeError):
        native(["x"], ["b"], ["1"], ["a \ud800"], [None])

    keys = native(["x"], ["b"], ["1"], ["a @\ud800"], [None])

    assert [it.tolist() for it in keys] == [it.tolist() for it in plain(["x"], ["b"], ["1"], ["a"], [None])]


def test_without_a_library_python_does_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "PATH", tmp_path / "kernel.so")
    library.kernel.cache_clear()
    try:
        assert native_keys(plain) is plain
        with pytest.raises(KernelMissing, match="not in this installation"):
            text_keys(["b"], ["a"])
    finally:
        library.kernel.cache_clear()


def test_a_library_of_another_release_is_not_used(monkeypatch):
    monkeypatch.setattr(library, "ABI", 0)
    library.kernel.cache_clear()
    try:
        with pytest.raises(KernelMissing, match="install again"):
            library.kernel()
    finally:
        library.kernel.cache_clear()


def test_the_table_of_characters_is_what_python_says_of_each():
    table = library.chars_table()

    chars = [chr(c) for c in CODE_POINTS]
    assert [bool(it) for it in table[CODE_POINTS] & library.SPACE] == [c.isspace() for c in chars]
    assert [bool(it) for it in table[CODE_POINTS] & library.WORD] == [bool(re.match(r"\w", c)) for c in chars]
    lower = table[CODE_POINTS] & 0x1FFFFF
    special = {"İ", "Σ"}
    assert {c for c, it in zip(chars, table[CODE_POINTS], strict=True) if it & library.SPECIAL} == special
    assert np.array_equal(lower, [ord(c if c in special else c.lower()) for c in chars])

"""Texts made by rule: what the labelled sets lack (emoji, emoticons, hashtags, negation, odd names).

Rules:
1. Words and sentences stand in `lexicon.toml` and `sentences.toml`; here they are only put together.
2. The same generator state gives the same texts in the same order.
3. A made text has a class of its own: its label is (negative, neutral, positive), a distribution.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import msgspec

HERE: Final = Path(__file__).parent
SURE: Final = {
    "negative": (0.94, 0.04, 0.02),
    "neutral": (0.04, 0.90, 0.06),
    "positive": (0.02, 0.04, 0.94),
    "spared": (0.03, 0.32, 0.65),  # "not bad": good, or nothing in particular
    "sarcasm": (0.75, 0.10, 0.15),
    "nothing": (0.32, 0.36, 0.32),  # digits, control characters, a link alone
}
"""Labels of made texts. None is certain, so that confidence stays calibrated."""

ENDS: Final = ("", "", "", "", ".", "!", "!!", " at all", " tbh", "...", " lol", " today", " imo", " really")


class AugmentedText(NamedTuple):
    """One made text and its label: p(negative), p(neutral), p(positive)."""

    text: str
    label: tuple[float, float, float]


class Lexicon(NamedTuple):
    """Both files: `words[table][key]` lists of words or names; `sentences[kind]` lists of templates."""

    words: dict[str, dict[str, list[str]]]
    sentences: dict[str, list[str]]


@functools.cache
def lexicon() -> Lexicon:
    """Read the two files beside this one. A list of a single line with | in it holds names with spaces."""
    raw = msgspec.toml.decode((HERE / "lexicon.toml").read_bytes(), type=dict[str, dict[str, str]])
    words = {table: {key: _items(text) for key, text in keys.items()} for table, keys in raw.items()}
    sentences = msgspec.toml.decode((HERE / "sentences.toml").read_bytes(), type=dict[str, list[str]])
    return Lexicon(words, sentences)


def _items(text: str) -> list[str]:
    lines = text.strip().splitlines()
    return lines[0].split("|") if len(lines) == 1 and "|" in text else text.split()


def make(random: Random, share: float = 1.0) -> list[AugmentedText]:
    """Return made texts of every kind; `share` scales how many (1.0: about 105,000)."""
    made: list[AugmentedText] = []
    for count, maker in KINDS:
        made += [maker(random) for _ in range(max(1, int(count * share)))]
    return made


def brand(random: Random) -> str:
    """Return the name of a company: a real one, or one that nobody has."""
    names = lexicon().words["brands"]
    if random.random() < 0.45:
        return random.choice(names["real"])
    word = "".join(random.choice(names["syllables"]) for _ in range(random.randrange(1, 4)))
    word = (word + random.choice(names["endings"])).capitalize()
    kind = random.random()
    if kind < 0.25:
        return f"{word} {random.choice(names['second'])}"
    if kind < 0.32:
        other = "".join(random.choice(names["syllables"]) for _ in range(2)).capitalize()
        return f"{word} & {other}"
    return word.upper() if kind < 0.37 else word


def fill(random: Random, template: str) -> str:
    """Put words into a template."""
    words, names = lexicon().words["words"], lexicon().words["things"]["nouns"]
    forms = lexicon().words["forms"]

    def word(match: re.Match[str]) -> str:
        key = match[1]
        if key in {"b", "b2"}:
            return _called(random, brand(random))
        if key in forms:
            return random.choice(forms[key])
        if key == "n":
            return random.choice(names)
        table = WORDS_OF[key.rstrip("2")]
        chosen = random.choice(words[table])
        return chosen + ("d" if chosen.endswith("e") else "ed") if key == "liked" else chosen

    return re.sub(r"\{(\w+)\}", word, template).strip()


def emoji(random: Random, mood: str) -> str:
    """Return one to four emoji of a class, with or without skin tones and variation selectors."""
    words = lexicon().words["emoji"]
    count = random.choices((1, 2, 3, 4), (0.6, 0.2, 0.15, 0.05))[0]
    first = random.choice(words[mood])
    chosen = [first] * count if random.random() < 0.6 else [random.choice(words[mood]) for _ in range(count)]
    tone = random.choice(words["skin_tones"]) if random.random() < 0.4 else ""
    toned = [one + tone if one in words["take_a_tone"] else one for one in chosen]
    shown = (" " if random.random() < 0.1 else "").join(toned)
    return shown.replace("\ufe0f", "") if random.random() < 0.4 else shown


def emoticon(random: Random, mood: str) -> str:
    """Return an emoticon of a class."""
    chosen = random.choice(lexicon().words["emoticons"][mood])
    return f"{chosen} {chosen}" if random.random() < 0.05 else chosen


def hashtag(random: Random, mood: str) -> str:
    """Return a hashtag of a class in some spelling."""
    tag = random.choice(lexicon().words["hashtags"][mood])
    spelling = random.random()
    if spelling < 0.2:
        tag = tag.capitalize()
    elif spelling < 0.32:
        tag = tag.upper()
    return f"#{tag}"


def elongated(random: Random, word: str) -> str:
    """Repeat one letter of a word two to six times: a vowel, or the last letter."""
    places = [place for place, letter in enumerate(word) if letter in "aeiou"] or [len(word) - 1]
    place = random.choice([*places, len(word) - 1])
    return word[:place] + word[place] * random.randrange(3, 7) + word[place + 1 :]


def _called(random: Random, name: str) -> str:
    kind = random.random()
    if kind < 0.80:
        return name
    bare = re.sub(r"\W", "", name)
    if kind < 0.92:
        suffix = random.choice(lexicon().words["brands"]["handles"]) if random.random() < 0.4 else ""
        return f"@{bare}{suffix}"
    return f"#{bare}" if kind < 0.97 else name.lower()


def _mood(random: Random, neutral: float = 0.15) -> str:
    return "neutral" if random.random() < neutral else random.choice(("negative", "positive"))


def _around(random: Random, signs: str) -> str:
    carrier = fill(random, random.choice(lexicon().sentences["carrier"]))
    place = random.random()
    if place < 0.62 or not carrier:
        return f"{carrier} {signs}".strip()
    if place < 0.75:
        return f"{carrier}{signs}"
    return f"{signs} {carrier}" if place < 0.95 else f"{signs} {carrier} {signs}"


def _with_emoji(random: Random) -> AugmentedText:
    mood = _mood(random)
    return AugmentedText(_around(random, emoji(random, mood)), SURE[mood])


def _with_emoticon(random: Random) -> AugmentedText:
    mood = _mood(random, neutral=0.0)
    return AugmentedText(_around(random, emoticon(random, mood)), SURE[mood])


def _with_hashtag(random: Random) -> AugmentedText:
    mood = _mood(random, neutral=0.3)
    tags = [hashtag(random, mood) for _ in range(random.randrange(1, 3))]
    if random.random() < 0.15:
        tags.append(hashtag(random, "neutral"))
    if mood != "neutral" and random.random() < 0.08:
        tags = ["#" + re.sub(r"\W", "", brand(random)) + tags[0][1:]]
    return AugmentedText(_around(random, " ".join(tags)), SURE[mood])


def _elongated(random: Random) -> AugmentedText:
    mood = random.choice(("negative", "positive"))
    word = elongated(random, random.choice(lexicon().words["words"][mood]))
    so = (
        elongated(random, "so")
        if random.random() < 0.4
        else random.choice(("", "is", "so", "really", "very"))
    )
    carrier = fill(random, random.choice(lexicon().sentences["carrier"][:-1]))
    return AugmentedText(f"{carrier} {so} {word}".replace("  ", " "), SURE[mood])


def _misspelt(random: Random) -> AugmentedText:
    """Return a sentence whose words of feeling have two letters swapped, or one left out or doubled."""
    mood = random.choice(("negative", "positive"))
    word = random.choice([one for one in lexicon().words["words"][mood] if len(one) > LONG_MIN])
    place = random.randrange(1, len(word) - 1)
    kind = random.random()
    middle = word[place + 1] + word[place] if kind < 0.6 else "" if kind < 0.8 else word[place] * 2
    spoilt = word[:place] + middle + word[place + (2 if kind < 0.6 else 1) :]
    carrier = fill(random, random.choice(lexicon().sentences["carrier"][:-1]))
    return AugmentedText(
        f"{carrier} {random.choice(('', 'is', 'so', 'really', 'very'))} {spoilt}".replace("  ", " "),
        SURE[mood],
    )


def _nothing(random: Random) -> AugmentedText:
    """Return what says nothing: digits, punctuation, control characters, letters by chance."""
    signs = random.choice(NOTHING)
    words = ["".join(random.choices(signs, k=random.randrange(1, 12))) for _ in range(random.randrange(1, 5))]
    return AugmentedText(" ".join(words), SURE["nothing"])


def _sentence(kind: str, mood: str) -> Callable[[Random], AugmentedText]:
    def made(random: Random) -> AugmentedText:
        text = fill(random, random.choice(lexicon().sentences[kind]))
        end = random.choice(ENDS) if text[-1:] not in "?.!" else ""
        return AugmentedText(text + end, SURE[mood])

    return made


LONG_MIN: Final = 4
NOTHING: Final = (
    "0123456789",
    "0123456789.,:-/+%$",
    "?!.,-_=*&/()",
    "".join(map(chr, range(1, 32))),
    "\u200b\ufeff\u200d\x7f",
    "bcdfghjklmnpqrstvwxz",
)
WORDS_OF: Final = {
    "good": "positive",
    "bad": "negative",
    "deny": "can_be_denied",
    "spare": "bad_that_can_be_denied",
    "like": "verbs_positive",
    "liked": "verbs_positive",
    "hate": "verbs_negative",
}
KINDS: Final[tuple[tuple[int, Callable[[Random], AugmentedText]], ...]] = (
    (20_000, _with_emoji),
    (7_000, _with_emoticon),
    (6_000, _with_hashtag),
    (2_500, _elongated),
    (5_000, _misspelt),
    (3_000, _sentence("denied_afar", "negative")),
    (9_000, _nothing),
    (9_000, _sentence("denied_good", "negative")),
    (16_000, _sentence("spared", "spared")),
    (4_000, _sentence("once_good", "negative")),
    (1_000, _sentence("once_bad", "positive")),
    (3_000, _sentence("plain_good", "positive")),
    (3_000, _sentence("plain_bad", "negative")),
    (3_000, _sentence("complaints", "negative")),
    (1_000, _sentence("sarcasm", "sarcasm")),
    (12_000, _sentence("neutral", "neutral")),
)

"""The words of the synthetic feed: invented brands, and what people might write about them.

Rules:
1. Every brand is invented. A likeness to a real one is chance.
2. A phrase is a template: `{brand}`, `{tag}` (the brand without spaces), `{thing}` (what it sells),
   `{good}`, `{bad}`, `{plain}`. Few phrases, many texts: openings, slots, tails and endings make the variety,
   so that a text seldom comes twice by chance (the worker would call it a repeat).
"""

from typing import NamedTuple


class Brand(NamedTuple):
    """An invented brand."""

    name: str
    weight: float
    """Its share of all mentions, relative to the others'."""
    negative: float
    """Share of its mentions that are negative on an ordinary day."""
    positive: float
    things: tuple[str, ...]


BRANDS = (
    Brand("Okelio", 30, 0.22, 0.40, ("playlist", "app", "subscription", "recommendations", "offline mode")),
    Brand("Aerovanta", 20, 0.45, 0.20, ("flight", "check-in", "lounge", "baggage desk", "seat upgrade")),
    Brand("Zundora Mobile", 15, 0.42, 0.18, ("signal", "data plan", "support chat", "roaming", "new phone")),
    Brand("Quillfox Games", 10, 0.30, 0.45, ("patch", "new map", "servers", "trailer", "battle pass")),
    Brand("Brambleton Coffee", 8, 0.10, 0.60, ("latte", "cold brew", "queue", "oat milk", "loyalty card")),
    Brand("Pellwick Bank", 6, 0.40, 0.12, ("card", "app login", "transfer", "mortgage desk", "hotline")),
    Brand("Marrowby Foods", 5, 0.20, 0.35, ("pasta sauce", "delivery", "price", "packaging", "vegan range")),
    Brand("Trundlecar", 3, 0.35, 0.30, ("ride", "driver", "surge price", "car share", "app")),
    Brand("Nimbrook & Söhne", 2, 0.12, 0.50, ("blender", "warranty", "spare part", "toaster", "manual")),
    Brand("Fenwarrel", 1, 0.18, 0.48, ("winter jacket", "sizing", "return label", "sneakers", "sale")),
)

NETWORKS = (("x", 50), ("bluesky", 15), ("reddit", 15), ("mastodon", 8), ("instagram", 8), ("news", 4))

NEGATIVE = (
    "the {brand} {thing} is {bad} today",
    "third time this week the {thing} fails. {brand}, this is {bad}",
    "@{tag} I have been waiting two hours for an answer about the {thing}. {bad}.",
    "cancelled my {brand} account, the {thing} is just {bad}",
    "who at {brand} thought this {thing} was a good idea? {bad}",
    "never again {brand}. {bad} {thing}, rude answer, no refund",
    "is the {brand} {thing} down for anyone else? {bad} service lately",
    "{brand} charged me twice for the {thing} and nobody replies. {bad}",
    "so disappointed by the {thing} from {brand}, it used to be better",
    "can't believe how {bad} the {brand} {thing} has become #{tag}fail",
)
NEUTRAL = (
    "anyone tried the {brand} {thing} yet?",
    "{brand} announces a {plain} {thing} for next month",
    "where do I find the {thing} settings, @{tag}?",
    "reading about the {plain} {brand} {thing}",
    "{brand} opens a second office, the {thing} stays where it is",
    "comparing the {brand} {thing} with the one I have now",
    "does the {brand} {thing} work abroad?",
    "TIL {brand} also does a {plain} {thing}",
)
POSITIVE = (
    "the {brand} {thing} is {good}",
    "honestly {good} {thing} from {brand} today",
    "shout-out to @{tag}: {good} help with my {thing}",
    "switched to {brand} last week and the {thing} is {good}",
    "love the new {thing}, {brand}!",
    "{good} experience with the {brand} {thing}, thank you",
    "the {thing} alone is worth it. {good} work {brand} #{tag}",
    "five stars for the {brand} {thing}, {good}",
    "my week is saved by the {thing} from {brand}, {good}",
)

GOOD = (
    "great",
    "brilliant",
    "so good",
    "amazing",
    "really smooth",
    "the best I've had",
    "lovely",
    "fantastic",
)
BAD = ("terrible", "awful", "a joke", "so slow", "unacceptable", "the worst", "broken again", "useless")
PLAIN = ("new", "second", "updated", "smaller", "regional", "monthly")

OPENINGS = (
    "", "", "", "", "", "ok so ", "hey all, ", "small update: ", "lol ", "just saying: ", "tbh ", "right, ",
    "quick note: ", "day 3: ", "to whom it may concern: ", "my two cents: ", "PSA: ", "so, ",
)  # fmt: skip
TAILS = (
    "", "", "", "", "", " this morning", " since Monday", " again", " (second try)", " here in the north",
    " on my way to work", " after the update", " for my mum", " at least for me", " just now", " tonight",
    " in my town", " says my sister", " over the weekend", " before lunch",
)  # fmt: skip
ENDINGS_NEGATIVE = ("", "", "", " 😡", " 🤬", " 👎", " smh", " 😤😤", " #fail")
ENDINGS_NEUTRAL = ("", "", "", "", " 🤔", " https://example.com/p/{n}", " (asking for a friend)")
ENDINGS_POSITIVE = ("", "", "", " 😍", " 🎉", " ❤️", " 👏👏", " :)", " https://example.com/p/{n}")

_FIRST = ("Al", "Bri", "Cor", "Del", "Em", "Fal", "Gri", "Hol", "Ister", "Jo", "Kel", "Lum")
_MIDDLE = ("a", "be", "di", "fe", "go", "li", "mo", "na", "ra", "ta", "vo", "zi")
_LAST = ("bar", "dex", "fin", "gard", "lia", "mont", "nix", "pool", "ria", "sett", "tron", "wick")
BRANDS_MAX = 10_000


def brands(count: int) -> list[Brand]:
    """Return the first `count` brands; past the hand-made ones, each is rarer than the one before it."""
    assert 1 <= count <= BRANDS_MAX
    return [*BRANDS[:count], *(_further(number) for number in range(len(BRANDS), count))]


def _further(number: int) -> Brand:
    rest, first = divmod(number, len(_FIRST))
    rest, middle = divmod(rest, len(_MIDDLE))
    fourth, last = divmod(rest, len(_LAST))
    name = _FIRST[first] + _MIDDLE[middle] + _LAST[last] + (f" {fourth + 1}" if fourth else "")
    model = BRANDS[number % len(BRANDS)]
    return Brand(name, len(BRANDS) / number, model.negative, model.positive, model.things)

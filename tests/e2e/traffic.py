"""Hostile traffic for the end-to-end tests: one seed and one clock give one list of records.

Mostly mentions as people write them; among them duplicates near and past the horizon, copies, edited posts,
authors who shout, late, very late and early ones, odd brands, all ways to write a time, unknown fields, and
the broken values of `broken_values.py`. The record time is set by us, so that event time may run ahead fast.
"""

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import xxhash

from tests.e2e.broken_values import ENORMOUS, broken

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
SPREAD_BRAND = "Everywhere Ltd"  # its key is the author: the one brand that all partitions know

BRANDS = (
    SPREAD_BRAND,
    "Acme",
    "Globex",
    "Initech",
    "Umbrella",
    "Stark Industries",
    "Wayne & Sons",
    "a:b:c",
    ":",
    "::x::",
    "fox 🦊🏳️‍🌈",
    'say "hi"',
    "it's",
    "back\\slash",
    "{sw}",
    "{curly",
    "line\nbreak",
    "tab\tbed",
    "nul\0nul",
    "L" * 300,
    "ß" * 300,
    " spaced  brand ",
    "İstanbul",
    "ΟΔΟΣ",
    "日本",
    "caf\u00e9",
    "cafe\u0301",
    "%s %d {0}",
    "<b>x</b>",
    "__proto__",
    "null",
    "0",
    "-1",
    "1e5",
    "007",
    ",comma,",
    "$(id)",
    "../../etc",
    "late_n:x:y",
    "model:sk",
    "n",
    "\u2028sep",
    "\u202eright to left",
    "#tag",
    "🙂",
    "[]",
    "\x1b[31m",
)
NETWORKS = ("twitter", "reddit", "bluesky", "mastodon", "x", "news.example-1", "a_b.c-d", "0", "n" * 32)
WORDS = (
    "love",
    "hate",
    "this",
    "that",
    "great",
    "awful",
    "the",
    "delivery",
    "was",
    "late",
    "support",
    "never",
    "ever",
    "broken",
    "phone",
    "refund",
    "please",
    "why",
    "thank",
    "you",
    "so",
    "much",
    "terrible",
    "service",
    "amazing",
    "update",
    "crash",
    "login",
    "queue",
    "hours",
    "today",
    "quality",
    "price",
    "worth",
    "nothing",
    "nice",
    "ugly",
    "ÜBER",
    "ΣΊΣΥΦΟΣ",
    "İZMİR",
    "naïve",
    "東京",
    "😀",
    "😡",
    "❤️",
    "meh",
    "fine",
    "bad",
)
SPACES = (" ", " ", " ", " ", "  ", "\n", "\t", "\u00a0", "\u3000")
ZONES_MIN = (0, 60, 330, -480, 765, -210)
UNKNOWN = (
    {"source_app": "ios"},
    {"mood": {"a": [1, 2.5, None, "ü🙂"], "b": {}}, "weight": 1e-7},
    {"topic": "t", "partition": 7, "offset": -1, "duplicate": True, "schema": 99},
    {"verified": False, "followers": 9007199254740991, "": "nameless"},
    {"geo": {"lat": 52.520008, "lon": -13.404954}, "tags": []},
)

DUPLICATE, FAR_DUPLICATE, EDITED, COPY, BROKEN = 0.03, 0.01, 0.003, 0.07, 0.03
OUT_OF_ORDER, LATE, VERY_LATE, EARLY, TOO_EARLY = 0.08, 0.012, 0.002, 0.004, 0.004


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of traffic: so many records with record times spread over [start, end).

    With `ahead` some events run up to 4 minutes ahead of their record time, though not past the end; with
    `ancient` some are days old.
    """

    count: int
    start_ms: int
    end_ms: int
    ahead: bool = False
    ancient: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A record to produce; `minute` names nothing but itself: sorted as it is produced."""

    partition: int
    key: bytes | None
    value: bytes | None
    record_time_ms: int


def traffic(seed, phases, *, partitions=4, lateness_ms=5_000, dedup_window_offsets=2_000, enormous=False):
    """The records of all phases, in the order in which they are produced."""
    talk = _Talk(random.Random(seed), partitions, lateness_ms, dedup_window_offsets)
    planned = []
    for phase in phases:
        step_ms = (phase.end_ms - phase.start_ms) / phase.count
        planned.extend(talk.record(phase, int(phase.start_ms + i * step_ms)) for i in range(phase.count))
    if enormous:
        middle = len(planned) // 2
        good = talk.mention(talk.post(), planned[middle].record_time_ms)
        value = ENORMOUS["5 MB"](good)
        planned[middle] = Planned(planned[middle].partition, b"5 MB", value, planned[middle].record_time_ms)
    return planned


@dataclass(slots=True)
class _Talk:
    """Who said what so far, so that it can be said again."""

    rng: random.Random
    partitions: int
    lateness_ms: int
    dedup_window_offsets: int
    said: dict = field(default_factory=dict)  # partition -> [(offset, key, post)]
    written: dict = field(default_factory=dict)  # partition -> records planned so far: the next offset
    posts: int = 0

    def record(self, phase, now_ms):
        rng = self.rng
        record_time_ms = now_ms + rng.randrange(-300, 300)
        key, post = self._choose()
        partition = self._partition(key)
        mention = self.mention(post, self._event_time_ms(phase, record_time_ms))
        if rng.random() < BROKEN:
            value = broken(rng, mention)
        else:
            value = self._bytes(mention)
            if len(value) < 1 << 20:
                offset = self.written.get(partition, 0)
                self.said.setdefault(partition, []).append((offset, key, post))
        self.written[partition] = self.written.get(partition, 0) + 1
        return Planned(partition, key, value, record_time_ms)

    def _choose(self):
        """A key and a post: new, or one that was there before in some way."""
        dice = self.rng.random()
        for share, again in (
            (DUPLICATE, lambda: self._before(0, 400)),
            (
                FAR_DUPLICATE,
                lambda: self._before(self.dedup_window_offsets - 50, 3 * self.dedup_window_offsets),
            ),
            (EDITED, self._edited),
            (COPY, self._copy),
        ):
            if dice < share:
                return again() or self._new()
            dice -= share
        return self._new()

    def _new(self):
        post = self.post()
        if post["brand"] == SPREAD_BRAND:
            key = (post.get("author") or post["id"]).encode()
        else:
            key = None if self.rng.random() < 0.01 else post["brand"].encode()
        return key, post

    def _before(self, nearest, farthest):
        """A post of some partition that lies so many offsets back, if there is one; else None."""
        partition = self.rng.randrange(self.partitions)
        end, said = self.written.get(partition, 0), self.said.get(partition, [])
        for _ in range(8):
            if not said:
                return None
            offset, key, post = said[max(0, len(said) - 1 - self.rng.randrange(nearest, farthest))]
            if nearest <= end - offset <= farthest and key is not None:
                return key, post
        return None

    def _edited(self):
        found = self._before(0, 400)
        return found and (found[0], found[1] | {"text": self._text()})

    def _copy(self):
        found = self._before(0, 3 * self.dedup_window_offsets if self.rng.random() < 0.2 else 800)
        if not found:
            return None
        key, post = found
        author = post.get("author") if post["brand"] == SPREAD_BRAND else self._author()
        return key, post | {"id": self._id(), "author": author, "text": self._disguised(post["text"])}

    def _disguised(self, text):
        rng = self.rng
        changes = (
            str.upper,
            str.title,
            lambda it: f"RT @some.one: {it}",
            lambda it: f"{it} https://t.example/{rng.randrange(10**6)}",
            lambda it: f"HTTP://a.example @you {it}",
            lambda it: "  " + it.replace(" ", "   ") + "\n",
            lambda it: it + " !",  # a word more: this is no copy
            lambda it: it,
        )
        return rng.choice(changes)(text)

    def post(self):
        """Who says what about which brand; when is decided later."""
        rng = self.rng
        brand = BRANDS[min(int(rng.paretovariate(0.9)) - 1, 10**6) % len(BRANDS)]
        post = {"id": self._id(), "brand": brand, "network": rng.choice(NETWORKS), "text": self._text()}
        author = self._author()
        if author is not None or rng.random() < 0.5:
            post["author"] = author
        if rng.random() < 0.2:
            post |= {"url": f"https://x.example/{post['id']}", "lang": rng.choice(("en", "de", "tr", None))}
        if rng.random() < 0.2:
            post |= {
                "reach": rng.choice((0, 1, 250, 10**9, (1 << 63) - 1, None)),
                "reply_to": rng.choice(("1", None)),
            }
        if rng.random() < 0.06:
            post |= rng.choice(UNKNOWN)
        return post

    def _id(self):
        self.posts += 1
        return self.rng.choice(("{}", "id:{}", "{}\U0001f642", "urn:{}:x")).format(self.posts)

    def _author(self):
        dice = self.rng.random()
        if dice < 0.05:
            return None
        return f"loud {int(dice * 300)}" if dice < 0.15 else f"user-{self.rng.randrange(5000)}"

    def _text(self):
        rng = self.rng
        dice = rng.random()
        if dice < 0.004:
            return f"https://only.example/{rng.randrange(10**9)}"  # its text key has no word left
        words = rng.choices(WORDS, k=rng.randrange(600, 900) if dice < 0.006 else rng.randrange(3, 14))
        words.append(
            f"#{rng.getrandbits(40):x}" if dice < 0.97 else rng.choice(("\0", "</script>", "rt", "\u2028"))
        )
        return "".join(word + rng.choice(SPACES) for word in words)

    def _partition(self, key):
        if key is None:
            return self.rng.randrange(self.partitions)
        return xxhash.xxh64_intdigest(key) % self.partitions

    def _event_time_ms(self, phase, record_time_ms):
        rng, dice = self.rng, self.rng.random()
        ahead_ms = phase.end_ms - record_time_ms if phase.ahead else 0
        for share, back_ms in (
            (OUT_OF_ORDER, lambda: rng.randrange(900, self.lateness_ms)),
            (LATE, lambda: rng.randrange(self.lateness_ms, 25 * MINUTE_MS)),
            (
                VERY_LATE,
                lambda: rng.choice((3, 5, 60, 72, 40 * 24) if phase.ancient else (3,)) * 60 * MINUTE_MS,
            ),
            (TOO_EARLY, lambda: -rng.randrange(5 * MINUTE_MS + 1, 9 * MINUTE_MS)),
            (EARLY, lambda: -rng.randrange(max(1, min(4 * MINUTE_MS, ahead_ms)))),
        ):
            if dice < share:
                return record_time_ms - back_ms()
            dice -= share
        return record_time_ms - rng.randrange(50, 900)

    def mention(self, post, event_time_ms):
        return post | {"event_time": self._written_time(event_time_ms)}

    def _written_time(self, event_time_ms):
        if self.rng.random() < 0.5:
            return event_time_ms
        zone = timezone(timedelta(minutes=self.rng.choice(ZONES_MIN)))
        moment = datetime.fromtimestamp(event_time_ms // 1000, UTC).astimezone(zone)
        fraction = self.rng.choice(("", f".{event_time_ms % 1000:03d}", f".{event_time_ms % 1000:03d}789"))
        whole, offset = moment.strftime("%Y-%m-%dT%H:%M:%S"), moment.strftime("%z")
        suffix = f"{offset[:3]}:{offset[3:]}"
        return whole + fraction + ("Z" if suffix == "+00:00" and self.rng.random() < 0.9 else suffix)

    def _bytes(self, mention):
        rng = self.rng
        items = list(mention.items())
        if rng.random() < 0.3:
            rng.shuffle(items)
        padding = rng.choice((b"", b"", b"", b" \n"))
        separators = rng.choice(((",", ":"), (", ", ": ")))
        text = json.dumps(dict(items), ensure_ascii=rng.random() < 0.4, separators=separators)
        return padding + text.encode() + padding

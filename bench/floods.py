"""Floods: raw mentions of bots through the real repeat and author rules to the detector, crises beside them.

    python -m bench.floods                60 floods of six kinds, each on a calm brand of its own
    python -m bench.floods --seed 702 --each 20

A brand lives calmly for three days. Then a flood of negative mentions comes, 50 to 2,000 a minute (or as many
as bench/brands.py simulates), on top of the brand's own mentions. From half an hour before it to an hour
after it every mention is written as JSON, decoded, compared with those before it, folded, and each minute
evaluated. The same minutes are evaluated once more without the rules, every mention being a voice. A crisis
of the same minutes and numbers, each mention by an author of its own in words of their own, must be found.
Every mention of a flood and of a crisis is scored as negative: no model helps.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from bench.brands import DAY, FIRST, make_calm
from bench.raw import Post, Tallies, count, live, openings
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.detection.sensitivity import DEFAULT
from stream_worker.core.time import MINUTE_MS

CALM_DAYS, BEFORE, AFTER = 3, 30, 60
SENSITIVITIES = (DEFAULT, 1.0)
_N, _NEG, _VOICES = (MEASURES.index(measure) for measure in ("n", "neg", "voices"))

Writer = Callable[[np.random.Generator, int], list[Post]]


class Found(NamedTuple):
    """Whether an episode opened, by sensitivity."""

    ruled: dict[float, bool]
    raw: dict[float, bool]
    mentions: int
    voices: int


# ---- what is written: any number of mentions with their authors, in any order


def one_text(_rng: np.random.Generator, count: int) -> list[Post]:
    """Post one text from many accounts."""
    return [(f"bot{i}", "This is awful, never buy there") for i in range(count)]


def dressed(rng: np.random.Generator, count: int) -> list[Post]:
    """Post one text as retweets, with other links, names, cases and blanks."""
    return [(f"bot{i}", _dress(rng, i, "This is awful, never buy there")) for i in range(count)]


def few_authors(rng: np.random.Generator, count: int) -> list[Post]:
    """Let 3 to 20 authors post many texts."""
    authors = rng.integers(0, rng.integers(3, 21), count).tolist()
    return [(f"troll{author}", f"Awful thing number {i}") for i, author in enumerate(authors)]


def swarm(rng: np.random.Generator, count: int) -> list[Post]:
    """Let 5 to 40 accounts post 2 to 20 texts over and over, dressed up."""
    authors = rng.integers(0, rng.integers(5, 41), count).tolist()
    texts = rng.integers(0, rng.integers(2, 21), count).tolist()
    return [
        (f"bot{author}", _dress(rng, i, f"Awful again, reason {text}"))
        for i, (author, text) in enumerate(zip(authors, texts, strict=True))
    ]


def changed(rng: np.random.Generator, count: int) -> list[Post]:
    """Post one text from many accounts; 2 to 6 % are changed, so that they pass as voices."""
    passing = rng.random(count) < rng.uniform(0.02, 0.06)
    posts = one_text(rng, count)
    return [(author, f"{text} {i}" if passing[i] else text) for i, (author, text) in enumerate(posts)]


def mixture(rng: np.random.Generator, count: int) -> list[Post]:
    """Do all of that at once."""
    parts = rng.multinomial(count, rng.dirichlet(np.ones(4)))
    writers = (dressed, few_authors, swarm, changed)
    posts = [post for writer, part in zip(writers, parts, strict=True) for post in writer(rng, int(part))]
    return [posts[i] for i in rng.permutation(count)]


def all_changed(_rng: np.random.Generator, count: int) -> list[Post]:
    """Post one text from many accounts, each with a number of its own: to the rules these are voices."""
    return [(f"bot{i}", f"This is awful, never buy there {i}") for i in range(count)]


def crisis(_rng: np.random.Generator, count: int) -> list[Post]:
    """Let everybody say it in words of their own."""
    return [(f"person{i}", f"What {i} saw there was awful, says {i}") for i in range(count)]


KINDS: dict[str, Writer] = {
    "one text, many accounts": one_text,
    "one text, other links, names and cases": dressed,
    "3 to 20 authors, many texts": few_authors,
    "5 to 40 accounts, 2 to 20 texts": swarm,
    "one text, 2 to 6 % changed": changed,
    "all of these at once": mixture,
}
UNSEEN = "one text, every copy changed"


def _dress(rng: np.random.Generator, number: int, text: str) -> str:
    forms: tuple[Callable[[], str], ...] = (
        lambda: text,
        lambda: f"RT @fan{number % 7}: {text}",
        lambda: f"{text} https://example.com/{number}",
        lambda: f"@friend{number} {text.upper()}",
        lambda: f"  {text.lower().replace(' ', '  ')} http://t.example/{number} @shop",
    )
    return forms[rng.integers(0, len(forms))]()


# ---- what comes of it


def size_of(rng: np.random.Generator) -> tuple[int, float]:
    """Draw the minutes of a flood and its mentions a minute: most are short, one in six goes on for hours."""
    rate = float(np.exp(rng.uniform(np.log(50), np.log(2_000))))
    return (
        (int(rng.uniform(90, 240)), min(rate, 200.0))
        if rng.random() < 1 / 6
        else (int(rng.uniform(5, 30)), rate)
    )


def size_as_simulated(rng: np.random.Generator, daily: float) -> tuple[int, float]:
    """Draw the same as bench/brands.py does: 3 to 30 % of a day within 3 to 30 minutes."""
    minutes = int(rng.uniform(3, 30))
    return minutes, max(30, rng.uniform(0.03, 0.30) * daily) / minutes


def try_one(seed: int, number: int, daily: float, write: Writer, *, simulated: bool = False) -> Found:
    """Let one brand live and a flood come; say whether an episode opened within it or an hour after it."""
    for attempt in range(10):
        rng = np.random.default_rng([seed, number, attempt])
        length, rate = size_as_simulated(rng, daily) if simulated else size_of(rng)
        begin = CALM_DAYS * DAY + int(rng.uniform(60, DAY - 60))
        voices, negative = make_calm(rng, daily, CALM_DAYS + 2)
        first, end = begin - BEFORE, begin + length + AFTER
        state = live(voices[:first], negative[:first])
        counts = np.zeros(end - first, np.int64)
        counts[BEFORE : BEFORE + length] = rng.poisson(rate, length)
        tallies = _tallies(rng, voices[first:end], negative[first:end], counts, first, write)
        ruled = {by: openings(tallies, state, by) for by in SENSITIVITIES}
        if any(min(opened, default=begin) < begin for opened in ruled.values()):
            continue  # an episode was open already: draw another brand
        all_voices = {minute: (*sums[:_VOICES], sums[_N], sums[_NEG]) for minute, sums in tallies.items()}
        wild = {by: bool(openings(all_voices, state, by)) for by in SENSITIVITIES}
        flood = range(begin, begin + length)
        mentions, said = (sum(tallies[minute][of] for minute in flood) for of in (_N, _VOICES))
        return Found({by: bool(opened) for by, opened in ruled.items()}, wild, mentions, said)
    raise SystemExit(f"no calm brand of {daily:.0f} voices a day in ten draws")


def _tallies(
    rng: np.random.Generator,
    voices: np.ndarray,
    negative: np.ndarray,
    flood: np.ndarray,
    first: int,
    write: Writer,
) -> Tallies:
    """Write the mentions of all minutes, those of the flood among them, and count them as the worker does."""
    posts = iter(write(rng, int(flood.sum())))
    log: list[tuple[int, Post]] = []
    columns = (column.tolist() for column in (voices, negative, flood))
    for minute, (v, n, more) in enumerate(zip(*columns, strict=True), first):
        said = [(f"p{minute}.{i}", f"{'Awful' if i < n else 'Seen'} today {minute} {i}") for i in range(v)]
        said += [next(posts) for _ in range(more)]
        times = np.sort(rng.integers(0, MINUTE_MS, len(said))) + (FIRST + minute) * MINUTE_MS
        log += zip(times.tolist(), (said[i] for i in rng.permutation(len(said))), strict=True)
    return count(log, range(first, first + len(voices)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=701)
    parser.add_argument("--each", type=int, default=10, help="floods of each kind")
    asked = parser.parse_args()
    columns = ["with the rules, at 0.25", "at 1", "without them, at 0.25", "at 1", "mentions", "voices"]
    print(f"| opened an episode | {' | '.join(columns)} |\n|{'---|' * 7}")
    for name, founds in _rows(asked.seed, asked.each):
        cells = [
            f"{sum(found[by] for found in one)} of {len(one)}"
            for one in ([f.ruled for f in founds], [f.raw for f in founds])
            for by in SENSITIVITIES
        ]
        mentions, voices = sum(f.mentions for f in founds), sum(f.voices for f in founds)
        print(f"| {name} | {' | '.join(cells)} | {mentions:,} | {voices:,} |", flush=True)


def _rows(seed: int, each: int) -> Iterator[tuple[str, list[Found]]]:
    """Yield the rows of the table; brands have 100 to 100,000 voices a day, in every kind alike."""
    dailies = [float(10 ** (2 + 3 * (i + 0.5) / each)) for i in range(each)]
    everything = []
    for place, (name, write) in enumerate(KINDS.items()):
        founds = [try_one(seed, 1_000 * place + i, daily, write) for i, daily in enumerate(dailies)]
        everything += founds
        yield name, founds
    yield f"**all {len(everything)} floods**", everything
    more = [float(10 ** (2 + 3 * (i + 0.5) / len(everything))) for i in range(len(everything))]
    yield (
        "**as many, of the sizes that `make spikes` simulates**",
        [try_one(seed, 10_000 + i, daily, changed, simulated=True) for i, daily in enumerate(more)],
    )
    yield (
        "**as many true crises: same sizes, own words, own authors**",
        [
            try_one(seed, 1_000 * place + i, daily, crisis)
            for place in range(len(KINDS))
            for i, daily in enumerate(dailies)
        ],
    )
    founds = [try_one(seed, 20_000 + i, daily, all_changed) for i, daily in enumerate(dailies)]
    yield f"not seen by the rules: {UNSEEN}, by another account", founds


if __name__ == "__main__":
    main()

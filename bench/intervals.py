"""Does the interval of net sentiment hold the truth? Counts of held-out texts, halved, and windows drawn.

Half of the held-out texts, drawn at random, is what is known of the model's errors. From the other half
windows are drawn: a class mix (each class 10 to 80 %), so many mentions of it, each with the label that the
model gave. The interval holds if the true net of those very mentions lies in it; beside it, whether that of
the mix does.

    python -m bench.intervals                  coverage by size of the window, at home and away
    python -m bench.intervals --count FOLDER   score <set>.parquet (text, label) again, write the counts first

The counts, truth by label, are `bench/labels_by_truth.toml`: numbers of the shipped model, no texts. They
come in the halves of models/training/split.py: the manifest has those of first halves, the second test it.
"""

import argparse
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stream_worker.core.sentiment.correction import ConfusionMatrix
from stream_worker.core.sentiment.net import net_sentiment

COUNTS = Path(__file__).with_name("labels_by_truth.toml")
RECIPE = Path(__file__).parents[1] / "config" / "models" / "sentiment-en.yaml"
HELD_OUT = ("tse_test", "goemotions_dev", "semeval_val")
CALIBRATION = "semeval_train_held_out"  # the part of the gold texts that the model never saw
SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000)
SEED = 20_261_123
NET = np.array([-1, 0, 1])


class Drawn(NamedTuple):
    """k windows: tallies as ten sums, the true net of their mentions, and that of the mix they came from."""

    tallies: list[tuple[int, ...]]
    true: np.ndarray
    of_mix: np.ndarray


class Found(NamedTuple):
    """Shares of windows whose interval held the truth, and mean half widths."""

    held: float
    held_mix: float
    width: float
    naive_held: float
    naive_width: float


def read_counts() -> dict[str, np.ndarray]:
    """Return the counts (3, 5) of each held-out set."""
    first, second = read_half("first_half"), read_half("second_half")
    return {name: counts + second[name] for name, counts in first.items()}


def read_half(which: str) -> dict[str, np.ndarray]:
    """Return the counts (3, 5) of the first or the second half of each held-out set."""
    return {name: np.array(counts) for name, counts in _read()[which].items()}


def counted_model() -> str:
    """Return the artefact that the counts are of."""
    return str(_read()["model"])


def _read() -> dict[str, Any]:
    return tomllib.loads(COUNTS.read_text(encoding="utf-8"))


def halved(counts: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split texts at random into two halves, class by class."""
    half = np.array([random.multivariate_hypergeometric(row, row.sum() // 2) for row in counts])
    return half, counts - half


def mixes(count: int, random: np.random.Generator) -> np.ndarray:
    """Draw class mixes (count, 3), each class 10 to 80 %."""
    drawn = random.dirichlet([1, 1, 1], size=count * 8 + 200)
    fit = drawn[(drawn.min(axis=1) >= 0.1) & (drawn.max(axis=1) <= 0.8)]
    assert len(fit) >= count
    return fit[:count]


def windows(pool: np.ndarray, size: int, count: int, random: np.random.Generator) -> Drawn:
    """Draw windows of `size` mentions from texts with counts (3, 5); their truth leaves out the unscored."""
    drawn, labels = mixes(count, random), pool / pool.sum(axis=1, keepdims=True)
    of_class = random.multinomial(size, drawn)
    by_class = np.stack([random.multinomial(of_class[:, k], labels[k]) for k in range(3)], axis=1)
    true = by_class[:, :, :4].sum(axis=2) @ NET / np.maximum(1, size - by_class[:, :, 4].sum(axis=1))
    tallies = [
        (size, neg, neu, pos, uncertain, unscored, (pos - neg) * 1_000_000, 0, size, neg)
        for neg, neu, pos, uncertain, unscored in by_class.sum(axis=1).tolist()
    ]
    return Drawn(tallies, true, drawn @ NET)


def evaluated(errors: ConfusionMatrix, drawn: Drawn) -> list[tuple[bool, bool, float, bool, float]]:
    """Say of each window what `Found` says of all."""
    found = []
    for sums, interval, true, mix in zip(
        drawn.tallies, errors.intervals(drawn.tallies), drawn.true, drawn.of_mix, strict=True
    ):
        naive = net_sentiment(sums)
        if interval is None or naive is None:
            continue
        (_, low, high), (_, naive_low, naive_high, _) = interval, naive
        held, held_mix = low - 1e-9 <= true <= high + 1e-9, low <= mix <= high
        found.append(
            (held, held_mix, (high - low) / 2, naive_low <= true <= naive_high, (naive_high - naive_low) / 2)
        )
    return found


def measure(
    known: np.ndarray, drawn_from: np.ndarray | None, size: int, splits: int, per_split: int, seed: int = SEED
) -> Found:
    """Measure one size of window; without `drawn_from` at home: one half known, windows from the other."""
    random, found = np.random.default_rng([seed, size]), []
    for _ in range(splits):
        half, other = halved(known, random)
        pool = other if drawn_from is None else drawn_from
        found += evaluated(ConfusionMatrix(half.tolist()), windows(pool, size, per_split, random))
    return Found(*np.mean(found, axis=0).tolist())


def count(folder: Path) -> str:
    """Score the held-out sets with the shipped model; return the counts as TOML."""
    from models.registry import load  # noqa: PLC0415  scikit-learn is large
    from models.training.corpus import calibration  # noqa: PLC0415
    from models.training.dataset import read  # noqa: PLC0415
    from models.training.recipe import read_recipe  # noqa: PLC0415
    from models.training.split import first_half  # noqa: PLC0415

    scorer = load()
    sets = {name: read(folder / f"{name}.parquet") for name in HELD_OUT}
    sets[CALIBRATION] = calibration(read_recipe(RECIPE), folder)
    halves: dict[str, list[str]] = {"first_half": [], "second_half": []}
    lines = [
        "# Held-out texts by truth (negative, neutral, positive) and by the label the shipped model gave",
        "# (those three, uncertain, unscored). Made by: python -m bench.intervals --count FOLDER",
        f'model = "{scorer.version.partition("-")[0]}"',
    ]
    for name, labelled in sets.items():
        texts, truth = labelled.texts, labelled.labels
        labels = np.concatenate(
            [scorer.score(texts[at : at + 1000]).label for at in range(0, len(texts), 1000)]
        )
        first = first_half(texts)
        for which, inside in (("first_half", first), ("second_half", ~first)):
            counts = np.zeros((3, 5), int)
            np.add.at(counts, (truth[inside], labels[inside]), 1)
            halves[which].append(f"{name} = {counts.tolist()}")
    lines += [line for which, of in halves.items() for line in ("", f"[{which}]", *of)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=Path, metavar="FOLDER")
    parser.add_argument("--splits", type=int, default=40)
    parser.add_argument("--windows", type=int, default=50, help="windows of each size and split")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    if asked.count:
        COUNTS.write_text(count(asked.count), encoding="utf-8")
    sets = read_counts()
    sets["all"] = sum(sets.values())
    print(f"seed {asked.seed}, {asked.splits} splits x {asked.windows} windows of each size")
    print("at home: held, held the mix, half width | sampling only: held, half width")
    for name, counts in sets.items():
        for size in SIZES:
            of = measure(counts, None, size, asked.splits, asked.windows, asked.seed)
            naive = f"{of.naive_held:.3f}  {of.naive_width:.3f}"
            print(f"{name:16}{size:>7,}  {of.held:.3f}  {of.held_mix:.3f}  {of.width:.3f} | {naive}")
    print("away: held, half width, over windows of 100, 1,000 and 10,000")
    for name, counts in sets.items():
        for other, pool in sets.items():
            if "all" not in (name, other) and other != name:
                away = [
                    measure(counts, pool, n, asked.splits, asked.windows, asked.seed)
                    for n in (100, 1_000, 10_000)
                ]
                told = "  ".join(f"{of.held:.3f} {of.width:.3f}" for of in away)
                print(f"known {name:16} windows {other:16} {told}")


if __name__ == "__main__":
    main()

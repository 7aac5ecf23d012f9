"""Why a text got its score: how each of its words moved the log odds of its label.

Rules:
1. The weight of a word is the log odds of the explained class with the whole text, less those without the
   word: the *weight of evidence* of M. Robnik-Šikonja and I. Kononenko, Explaining classifications for
   individual instances, IEEE Trans. Knowl. Data Eng. 20(5), 2008. It asks the model and knows nothing of its
   inside, so it works for any pipeline, and sees what the word does to those beside it (negation, pairs).
2. Explained is the most probable of the three classes; of a text that the language gate keeps out, the gate.
3. `log_odds` = sum of the weights + `rest`: what no single word accounts for, the prior and words together.
4. Emoji, emoticons, links, @names, #tags and runs of punctuation are words of their own. A word comes as
   often as it is written, in the order of the text.
5. A text without its only known word is as likely of each class.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from models.scorers.scores import CLASSES, MICRO, UNCERTAIN, UNSCORED, TextScores

TEXT_CHARS_MAX: Final = 1_000
LABELS: Final = (*CLASSES, "uncertain", "unscored")
OTHER: Final = "other language"
SURE: Final = 1e-6  # probabilities are cut there: the log odds of certainty are no number
_WORD: Final = re.compile(
    r"https?://\S+"
    r"|[@#]\w+"
    r"|[<>]?[:;=xX][-^'o]?[()\[\]{}dDpP/\\|*oO]+(?!\w)|[:;]-?3(?!\w)|<3+"  # emoticons
    r"|\^[_.]?\^|[-oO>][_.][-oO<]|[)(]+[-']?[:;=](?!\w)"
    r"|[\U0001F1E6-\U0001F1FF]{2}"  # a flag
    r"|(?:[\u2190-\u2bff\U0001F000-\U0001FAFF][\ufe0f\U0001F3FB-\U0001F3FF]*\u200d?)+?(?<!\u200d)"
    r"|\w+(?:['\u2019-]\w+)*"
    r"|[^\w\s]+?(?=\s|\w|$|[\u2190-\u2bff\U0001F000-\U0001FAFF])"
)


class Explainable(Protocol):
    """A scorer that gives probabilities as well as labels."""

    version: str

    def score(self, texts: Sequence[str]) -> TextScores:
        """Score a batch."""

    def probability(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return (n, 3) or, with a language gate, (n, 4) probabilities; NaN where there are none."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word, where it stands in the text, and its weight; None for an unscored text."""

    word: str
    start: int
    end: int
    weight: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a text got its label. `explained` is the class whose log odds the weights are about."""

    label: str
    why: str | None  # of what is uncertain or unscored
    probability: dict[str, float] | None  # of the three classes
    sentiment: float
    explained: str | None
    log_odds: float | None
    rest: float | None
    words: list[Word]
    model: str


def words_of(text: str) -> list[tuple[int, int]]:
    """Cut a text into words; returns where each begins and ends."""
    return [found.span() for found in _WORD.finditer(text)]


def explain(scorer: Explainable, text: str) -> Explanation:
    """Explain the score of a text. Raises ValueError when it is longer than `TEXT_CHARS_MAX`."""
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"the text has {len(text)} characters; at most {TEXT_CHARS_MAX} are explained")
    scores, spans = scorer.score([text]), words_of(text)
    label = int(scores.label[0])
    without = [text[:start] + text[end:] for start, end in spans]
    probability = np.asarray(scorer.probability([text, *without]), np.float64)
    whole = probability[0]
    sentiment = int(scores.sentiment_micro[0]) / MICRO
    gated = label == UNSCORED and len(whole) > len(CLASSES)
    if np.isnan(whole).any() or (label == UNSCORED and not gated):
        words = [Word(text[start:end], start, end, None) for start, end in spans]
        why = "the model knows nothing in this text, or failed on it"
        return Explanation(
            label=LABELS[UNSCORED],
            why=why,
            probability=None,
            sentiment=sentiment,
            explained=None,
            log_odds=None,
            rest=None,
            words=words,
            model=scorer.version,
        )
    log_odds, explained = (_gate(probability), OTHER) if gated else _most_probable(probability)
    weights = log_odds[0] - log_odds[1:]
    return Explanation(
        label=LABELS[label],
        why=_why(label, whole),
        probability=None if gated else dict(zip(CLASSES, map(float, _of_three(whole)), strict=True)),
        sentiment=sentiment,
        explained=explained,
        log_odds=float(log_odds[0]),
        rest=float(log_odds[0] - weights.sum()),
        words=[
            Word(text[start:end], start, end, float(weight))
            for (start, end), weight in zip(spans, weights, strict=True)
        ],
        model=scorer.version,
    )


def _most_probable(probability: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], str]:
    """Return (n,) log odds of the class that is most probable for the first text, and its name."""
    three = _of_three(probability)
    chosen = int(three[0].argmax())
    return _log_odds(np.nan_to_num(three[:, chosen], nan=1 / len(CLASSES))), CLASSES[chosen]


def _gate(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (n,) log odds of another language."""
    return _log_odds(np.nan_to_num(probability[:, len(CLASSES)], nan=0.5))


def _of_three(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the part of the three classes, which adds up to one."""
    three = probability[..., : len(CLASSES)]
    with np.errstate(all="ignore"):
        return np.asarray(three / three.sum(axis=-1, keepdims=True))


def _log_odds(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    inside = np.clip(probability, SURE, 1 - SURE)
    return np.log(inside / (1 - inside))


def _why(label: int, probability: npt.NDArray[np.float64]) -> str | None:
    if label == UNSCORED:
        return f"the model does not cover this language ({probability[len(CLASSES)]:.0%} sure of that)"
    if label == UNCERTAIN:
        return f"no class is probable enough: the best has {_of_three(probability).max():.0%}"
    return None

"""How labelled texts are split: by the text itself, so that anybody gets the same halves anywhere.

Rules:
1. A split depends on the key of a text and a seed, not on its place in a file.
2. Two spellings of one text are on the same side.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from models.training.dataset import key

HALVES_SEED: Final = 1
"""Seed of the halves: the first half counts how a model errs (`labels_by_truth`), the second tests that."""

_SCALE: Final = float(1 << 64)


def held_out(texts: Sequence[str], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Say of each text whether it is in the part of about `share` that is held out."""
    places = (xxhash.xxh64_intdigest(key(text).encode("utf-8", "replace"), seed) for text in texts)
    return np.fromiter((place / _SCALE < share for place in places), np.bool_, len(texts))


def first_half(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Say of each text whether it is in the first half."""
    return held_out(texts, 0.5, HALVES_SEED)

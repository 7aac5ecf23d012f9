"""Net sentiment corrected for the model's errors, with a 95 % interval for sampling and those errors.

The estimate is of (truly positive - truly negative) / scored, over the mentions of a window and others like
them. It rests on the labels that a model gave, and on how often the model gave which label to which class of
held-out texts (`labels_by_truth`). Labels are not the truth: a model that misses half of the negative
mentions makes every brand look better than it is, and no number of mentions mends that.

Rules:
1. A label is evidence of a class only as far as the held-out texts say. `uncertain` is a label like the
   others: it comes oftener with some classes. Unscored mentions are left out on both sides: they have no
   label.
2. The class mix of a window has a posterior: the likelihood of the labels, with every mix equally likely
   beforehand. The interval is its middle 95 %, the estimate its median, so that both lie within ± 1, few
   mentions say little, and labels that do not tell the classes apart (a singular matrix) say nothing.
3. The held-out texts are finite, and a stream is another sample than they are: the variance that comes from
   their counts is taken twice. It enters as a number of mentions: labels weigh as many as have that variance.
4. A copy is no new evidence: it counts in the shares and not in the certainty.
5. The net of n mentions is a multiple of 1/n: ends are rounded outwards to one, which matters for a handful.
6. No random numbers: the posterior is summed over a fixed grid, the same for every window.

The interval holds only while the model errs on the stream as it did on the held-out texts. Elsewhere (another
kind of text, another language) the errors differ by more than chance, and the interval is too narrow:
docs/models.md#how-far-off-net-sentiment-may-be says by how much, as bench/intervals.py measures it.

Sources: the correction is *adjusted classify and count* (G. Forman, Quantifying counts and costs via
classification, Data Min. Knowl. Discov. 17, 2008; in epidemiology W. J. Rogan, B. Gladen, Am. J. Epidemiol.
107, 1978), by likelihood as in M. Saerens, P. Latinne, C. Decaestecker, Neural Computation 14 (2002), with a
posterior in place of a point as in A. Ziegler, P. Czyz, Bayesian quantification with black-box estimators,
TMLR (2024).
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_worker.core.aggregates.measures import MEASURES

Floats = npt.NDArray[np.float64]

CLASSES: Final = 3
LABELS: Final = 5
LABEL_SUMS: Final = [MEASURES.index(name) for name in ("neg", "neu", "pos", "uncertain")]
"""The positions of the labels that are evidence, among ten sums."""
_REPEATS: Final = MEASURES.index("repeats")
_NET: Final = np.array([-1.0, 0.0, 1.0])

_PRIOR_COUNT: Final = 0.5
"""Added to each count of the held-out texts: an error never seen is rare, not impossible (Jeffreys)."""
_ERROR_VARIANCE_TIMES: Final = 2.0
"""Rule 3."""
_MENTIONS_MAX: Final = 4_000.0
"""No window weighs more mentions: the grid cannot show a narrower posterior."""
_NET_CELLS, _NEUTRAL_CELLS = 128, 24
_WINDOWS_AT_ONCE: Final = 16
"""The grids of so many windows fit into a processor's cache together."""
_QUANTILES: Final = (0.5, 0.025, 0.975)
"""The median, and the ends of the middle 95 %."""
_CACHE_MAX: Final = 65_536
"""Intervals that are kept; one beyond empties the cache."""
_SINGULAR: Final = 1e-6
"""Singular values below this part of the largest one say nothing of the classes."""
_ROUNDING: Final = 1e-9
"""An end this close to a multiple of 1/n is that multiple."""


class CorrectedNet(NamedTuple):
    """Corrected net sentiment, -1 … 1, and its 95 % interval."""

    estimate: float
    low: float
    high: float


class ConfusionMatrix:
    """The known errors of a model, and the estimates that follow from them for tallies.

    `labels_by_truth` are the counts of a held-out set: truth (negative, neutral, positive) by label (those
    three, uncertain, unscored). Raises ValueError when it is anything but 3 x 5 counts.
    """

    def __init__(self, labels_by_truth: Sequence[Sequence[int]]) -> None:
        counts = np.asarray(labels_by_truth, np.float64)
        if counts.shape != (CLASSES, LABELS) or not np.isfinite(counts).all() or (counts < 0).any():
            raise ValueError(f"labels_by_truth must be {CLASSES} x {LABELS} counts")
        counts = counts[:, : len(LABEL_SUMS)] + _PRIOR_COUNT
        self._texts = counts.sum(axis=1)
        self._label = counts / self._texts[:, None]  # (3, 4): how often a class gets a label
        seen = self._label / self._label.mean(axis=0)
        # (3, 4): from label shares to the class mix
        self._mix_of = np.linalg.pinv(self._label @ seen.T, rcond=_SINGULAR) @ seen
        self.weights: Floats = _NET @ self._mix_of
        """The net sentiment of each label (negative, neutral, positive, uncertain), so that errors cancel."""
        self._spread = self._label @ self.weights**2 - (self._label @ self.weights) ** 2
        self._grid = _grid(self._label)
        self._cache: dict[tuple[int, ...], CorrectedNet] = {}

    def intervals(self, tallies: Sequence[Sequence[int]]) -> list[CorrectedNet | None]:
        """Return the interval of each tally, ten sums in the order of MEASURES; None: nothing is scored."""
        keys = [(*(max(0, sums[at]) for at in LABEL_SUMS), max(0, sums[_REPEATS])) for sums in tallies]
        cache, scored = self._cache, [key for key in dict.fromkeys(keys) if any(key[:-1])]
        if len(cache) + len(scored) > _CACHE_MAX:
            cache = self._cache = {}
        if new := [key for key in scored if key not in cache]:
            cache.update(zip(new, self._intervals(np.array(new, np.float64)), strict=True))
        return [cache.get(key) for key in keys]

    def levels(self, sums: npt.NDArray[np.int64]) -> Floats:
        """Return plain estimates (k) of tallies (k, 10): the mean net sentiment of their labels."""
        labels = sums[:, LABEL_SUMS]
        return np.asarray(np.clip(labels @ self.weights / np.maximum(1, labels.sum(axis=1)), -1.0, 1.0))

    def _intervals(self, keys: Floats) -> Iterator[CorrectedNet]:
        counts = keys[:, :-1]
        scored = counts.sum(axis=1)
        independent = np.maximum(1.0, scored - keys[:, -1])  # rule 4
        shares = counts / scored[:, None]
        median, low, high = self._quantiles(shares * self._weight(shares, independent)[:, None])
        step = 1.0 / independent  # rule 5
        low = np.clip(np.floor(low / step + _ROUNDING) * step, -1.0, 1.0)
        high = np.clip(np.ceil(high / step - _ROUNDING) * step, -1.0, 1.0)
        columns = zip(median.tolist(), low.tolist(), high.tolist(), strict=True)
        return (CorrectedNet(*row) for row in columns)

    def _weight(self, shares: Floats, independent: Floats) -> Floats:
        """Return how many mentions the labels of each window weigh, given that the held-out texts are finite.

        Both variances are those of the plain estimate; so many labels have the sum of both as theirs (rule
        3).
        """
        mix = np.clip(shares @ self._mix_of.T, 0.0, None) + 1e-9
        mix /= mix.sum(axis=1, keepdims=True)
        label = mix @ self._label
        of_one_mention = label @ self.weights**2 - (label @ self.weights) ** 2
        of_errors = _ERROR_VARIANCE_TIMES * (mix**2 / self._texts) @ self._spread
        relative = of_errors / np.maximum(of_one_mention, 1e-12)
        return np.asarray(1.0 / (1.0 / independent + relative + 1.0 / _MENTIONS_MAX))

    def _quantiles(self, evidence: Floats) -> list[Floats]:
        """Return the `_QUANTILES` (k each) of the posterior under weighted label counts (k, 4)."""
        rows = np.ones((len(evidence), len(LABEL_SUMS) + 1), np.float32)
        rows[:, :-1] = evidence
        density = np.empty((len(rows), _NET_CELLS))
        for at in range(0, len(rows), _WINDOWS_AT_ONCE):
            # Not a matrix product: one so small is lost in the threads of BLAS
            posterior = np.einsum("ij,jk->ik", rows[at : at + _WINDOWS_AT_ONCE], self._grid)
            posterior -= posterior.max(axis=1, keepdims=True)
            np.exp(posterior, out=posterior)
            cells = posterior.reshape(-1, _NEUTRAL_CELLS, _NET_CELLS)
            density[at : at + _WINDOWS_AT_ONCE] = cells.sum(axis=1)
        below = np.zeros((len(rows), _NET_CELLS + 1))
        np.cumsum(density, axis=1, out=below[:, 1:])
        below /= below[:, -1:]
        return [_quantile(below, share) for share in _QUANTILES]


def _grid(label: Floats) -> npt.NDArray[np.float32]:
    """Return the log likelihood of each label at every mix, and the log size of the mix's cell; (5, cells).

    Cells are equal slices of net, each cut into equal parts of the possible neutral share; net runs fastest.
    """
    net = (np.arange(_NET_CELLS) + 0.5) * 2 / _NET_CELLS - 1
    room = 1 - np.abs(net)
    neutral = room * ((np.arange(_NEUTRAL_CELLS) + 0.5) / _NEUTRAL_CELLS)[:, None]
    negative = (1 - neutral - net) / 2
    mixes = np.stack([negative, neutral, negative + net], axis=-1).reshape(-1, CLASSES)
    size = np.tile(np.log(room), _NEUTRAL_CELLS)
    return np.vstack([np.log(mixes @ label).T, size]).astype(np.float32)


def _quantile(below: Floats, share: float) -> Floats:
    """Return where the cumulated slices (k, slices + 1) reach a share, on the scale -1 … 1."""
    at = (below[:, 1:] < share).sum(axis=1)[:, None]
    before, after = (np.take_along_axis(below, at + i, axis=1)[:, 0] for i in (0, 1))
    part = (share - before) / np.maximum(after - before, 1e-300)
    return np.asarray((at[:, 0] + part) * 2 / _NET_CELLS - 1)

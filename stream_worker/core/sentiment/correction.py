"""Net sentiment as it truly is, with a 95 % interval that holds sampling and the model's errors.

What is estimated: (truly positive - truly negative) / scored, over the mentions of a window and others like
them. Known are the labels that a model gave, and from held-out texts how often it gives which label to which
class (`labels_by_truth`). Labels are not the truth: a model that misses half of the negative ones makes every
brand look better than it is, and no number of mentions mends that.

Rules:
1. A label speaks of the class only as far as the held-out texts say. `uncertain` is a label like the others:
   it comes oftener with some classes. What is unscored is left out on both sides: nothing is known of it.
2. The class mix of a window has a posterior: the likelihood of the labels, every mix being equally likely
   beforehand. The interval is its middle 95 %, the estimate its median, so that both lie within ± 1, few
   mentions say little, and labels that do not tell the classes apart (a singular matrix) say nothing.
3. The held-out texts are finite, and a stream is another sample than they are: the variance that comes from
   their counts is taken twice. It is put in as mentions: labels weigh as many as give that variance.
4. A copy is no new evidence: it counts in the shares and not in the certainty.
5. The net of n mentions is a multiple of 1/n: ends are rounded outwards to one, which matters for a handful.
6. No random numbers: the posterior is summed over a fixed grid, the same for every window.

It holds only while the model errs on the stream as it did on the held-out texts. Elsewhere (another kind of
text, another language) the errors differ by more than by chance, and the interval is too narrow:
docs/models.md has measured by how much.

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
TAKEN: Final = [MEASURES.index(name) for name in ("neg", "neu", "pos", "uncertain")]
"""Where the labels that speak stand among ten sums."""
_REPEATS: Final = MEASURES.index("repeats")
_NET: Final = np.array([-1.0, 0.0, 1.0])

_SEEN_BEFORE: Final = 0.5
"""Added to each count of the held-out texts: what was never seen is rare, not impossible (Jeffreys)."""
_TIMES: Final = 2.0
"""Rule 3."""
_WEIGHT_MAX: Final = 4_000.0
"""No window weighs more mentions: the grid is that fine."""
_NETS, _NEUTRALS = 128, 24
_AT_ONCE: Final = 16
"""Windows whose grids fit into a processor's cache together."""
_ENDS: Final = (0.5, 0.025, 0.975)
_KNOWN_MAX: Final = 65_536


class CorrectedNet(NamedTuple):
    """Net sentiment as it truly is, -1 … 1, and the 95 % interval it lies in."""

    estimate: float
    low: float
    high: float


class ConfusionMatrix:
    """What a model is known to mistake, and what follows from that for tallies.

    `labels_by_truth` are the counts of a held-out set: truth (negative, neutral, positive) by label (those
    three, uncertain, unscored). Raises ValueError when it is anything else than 3 x 5 counts.
    """

    def __init__(self, labels_by_truth: Sequence[Sequence[int]]) -> None:
        counts = np.asarray(labels_by_truth, np.float64)
        if counts.shape != (CLASSES, LABELS) or not np.isfinite(counts).all() or (counts < 0).any():
            raise ValueError(f"labels_by_truth must be {CLASSES} x {LABELS} counts")
        counts = counts[:, : len(TAKEN)] + _SEEN_BEFORE
        self._texts = counts.sum(axis=1)
        self._label = counts / self._texts[:, None]  # (3, 4): how often a class gets a label
        seen = self._label / self._label.mean(axis=0)
        self._mix_of = np.linalg.pinv(self._label @ seen.T, rcond=1e-6) @ seen  # (3, 4): label shares to mix
        self.weights: Floats = _NET @ self._mix_of
        """What each label is worth (negative, neutral, positive, uncertain), so that errors cancel."""
        self._spread = self._label @ self.weights**2 - (self._label @ self.weights) ** 2
        self._grid = _grid(self._label)
        self._known: dict[tuple[int, ...], CorrectedNet] = {}

    def intervals(self, tallies: Sequence[Sequence[int]]) -> list[CorrectedNet | None]:
        """Return the interval of each tally, ten sums in the order of MEASURES; None: nothing is scored."""
        keys = [(*(max(0, sums[at]) for at in TAKEN), max(0, sums[_REPEATS])) for sums in tallies]
        keep, asked = self._known, [key for key in dict.fromkeys(keys) if any(key[:-1])]
        if len(keep) + len(asked) > _KNOWN_MAX:
            keep = self._known = {}
        if new := [key for key in asked if key not in keep]:
            keep.update(zip(new, self._work_out(np.array(new, np.float64)), strict=True))
        return [keep.get(key) for key in keys]

    def levels(self, sums: npt.NDArray[np.int64]) -> Floats:
        """Return plain estimates (k) of tallies (k, 10): the mean of what their labels are worth."""
        labels = sums[:, TAKEN]
        return np.asarray(np.clip(labels @ self.weights / np.maximum(1, labels.sum(axis=1)), -1.0, 1.0))

    def _work_out(self, keys: Floats) -> Iterator[CorrectedNet]:
        counts = keys[:, :-1]
        scored = counts.sum(axis=1)
        independent = np.maximum(1.0, scored - keys[:, -1])  # rule 4
        shares = counts / scored[:, None]
        ends = self._quantiles(shares * self._weight(shares, independent)[:, None])
        step = 1.0 / independent
        low = np.clip(np.floor(ends[:, 1] / step + 1e-9) * step, -1.0, 1.0)
        high = np.clip(np.ceil(ends[:, 2] / step - 1e-9) * step, -1.0, 1.0)
        columns = zip(ends[:, 0].tolist(), low.tolist(), high.tolist(), strict=True)
        return (CorrectedNet(*row) for row in columns)

    def _weight(self, shares: Floats, independent: Floats) -> Floats:
        """How many mentions the labels of windows weigh, once the finite held-out texts are reckoned in.

        Both variances are those of the plain estimate; labels are taken as so many that theirs alone is the
        sum (rule 3).
        """
        mix = np.clip(shares @ self._mix_of.T, 0.0, None) + 1e-9
        mix /= mix.sum(axis=1, keepdims=True)
        label = mix @ self._label
        of_one_mention = label @ self.weights**2 - (label @ self.weights) ** 2
        of_errors = _TIMES * (mix**2 / self._texts) @ self._spread
        worth = of_errors / np.maximum(of_one_mention, 1e-12)
        return np.asarray(1.0 / (1.0 / independent + worth + 1.0 / _WEIGHT_MAX))

    def _quantiles(self, evidence: Floats) -> Floats:
        """Return median, lower and upper end (k, 3) of the posterior under weighted label counts (k, 4)."""
        rows = np.ones((len(evidence), len(TAKEN) + 1), np.float32)
        rows[:, :-1] = evidence
        density = np.empty((len(rows), _NETS))
        for at in range(0, len(rows), _AT_ONCE):
            # Not a matrix product: one so small is lost in the threads of BLAS
            likely = np.einsum("ij,jk->ik", rows[at : at + _AT_ONCE], self._grid)
            likely -= likely.max(axis=1, keepdims=True)
            np.exp(likely, out=likely)
            density[at : at + _AT_ONCE] = likely.reshape(-1, _NEUTRALS, _NETS).sum(axis=1)
        below = np.zeros((len(rows), _NETS + 1))
        np.cumsum(density, axis=1, out=below[:, 1:])
        below /= below[:, -1:]
        return np.stack([_quantile(below, share) for share in _ENDS], axis=1)


def _grid(label: Floats) -> npt.NDArray[np.float32]:
    """Return log chances of the labels at every mix of the grid, and the log size of its cell; (5, cells).

    Cells are equal slices of net, each cut into equal parts of what neutral can be; net runs fastest.
    """
    net = (np.arange(_NETS) + 0.5) * 2 / _NETS - 1
    room = 1 - np.abs(net)
    neutral = room * ((np.arange(_NEUTRALS) + 0.5) / _NEUTRALS)[:, None]
    negative = (1 - neutral - net) / 2
    mixes = np.stack([negative, neutral, negative + net], axis=-1).reshape(-1, CLASSES)
    size = np.tile(np.log(room), _NEUTRALS)
    return np.vstack([np.log(mixes @ label).T, size]).astype(np.float32)


def _quantile(below: Floats, share: float) -> Floats:
    """Return where cumulated slices (k, slices + 1) reach a share, on the scale -1 … 1."""
    at = (below[:, 1:] < share).sum(axis=1)[:, None]
    before, after = (np.take_along_axis(below, at + i, axis=1)[:, 0] for i in (0, 1))
    part = (share - before) / np.maximum(after - before, 1e-300)
    return np.asarray((at[:, 0] + part) * 2 / _NETS - 1)

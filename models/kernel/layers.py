"""The classifier at the end of a pipeline: its coefficients, and what makes probabilities of sums."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

from models.errors import Uncompilable

Array = npt.NDArray[Any]

WIDTH_MAX: Final = 64
"""Numbers per feature that the kernel sums, as in score.c."""


def layers(classifier: Any) -> tuple[Array, Callable[[Array], Array]]:
    """Return (features, numbers) coefficients, and what makes probabilities of their sums."""
    kind = type(classifier)
    if kind is LogisticRegression:
        return classifier.coef_.T, _last(classifier.coef_, classifier.intercept_, _softmax)
    if kind is SGDClassifier and classifier.loss == "log_loss":
        return classifier.coef_.T, _last(classifier.coef_, classifier.intercept_, _one_against_rest)
    if kind is MLPClassifier and len(classifier.coefs_) == 2 and classifier.out_activation_ == "softmax":
        if classifier.coefs_[0].shape[1] > WIDTH_MAX:
            raise Uncompilable(f"a hidden layer of more than {WIDTH_MAX}")
        return classifier.coefs_[0], _hidden(classifier)
    raise Uncompilable(f"the classifier {kind.__name__}")


def _last(
    coefficients: Array, intercept: Array, activate: Callable[[Array], Array]
) -> Callable[[Array], Array]:
    classes = len(coefficients)
    if classes < 3 or classes > WIDTH_MAX:
        raise Uncompilable(f"a classifier of {classes} sets of coefficients")
    shift = np.broadcast_to(np.asarray(intercept, np.float64), classes).copy()
    return lambda sums: activate(sums[:, :classes] + shift)


def _hidden(classifier: Any) -> Callable[[Array], Array]:
    activate: dict[str, Callable[[Array], Array]] = {
        "relu": lambda x: np.maximum(x, 0.0), "tanh": np.tanh, "identity": lambda x: x, "logistic": _expit,
    }  # fmt: skip
    inner = activate[classifier.activation]
    (first, second), weights = classifier.intercepts_, np.asarray(classifier.coefs_[1], np.float64)
    numbers = len(first)
    return lambda sums: _softmax(inner(sums[:, :numbers] + first) @ weights + second)


def _softmax(decisions: Array) -> Array:
    powers: Array = np.exp(decisions - decisions.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def _expit(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _one_against_rest(decisions: Array) -> Array:
    each = _expit(decisions)
    total = each.sum(axis=1, keepdims=True)
    return np.where(total == 0.0, 1.0 / each.shape[1], each / np.where(total == 0.0, 1.0, total))

"""The classifier at the end of a pipeline: its coefficients, and what makes probabilities of sums."""

import ctypes
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

from models.errors import Uncompilable
from models.kernel.library import Kernel

Array = npt.NDArray[Any]

WIDTH_MAX: Final = 64
"""Numbers per feature that the kernel sums, as in score.c."""


def layers(classifier: Any, kernel: Kernel) -> tuple[Array, Callable[[Array], Array]]:
    """Return (features, numbers) coefficients, and what makes probabilities of their sums."""
    kind = type(classifier)
    if kind is LogisticRegression:
        return classifier.coef_.T, _softmax(*_last(classifier), kernel)
    if kind is SGDClassifier and classifier.loss == "log_loss":
        return classifier.coef_.T, _one_against_rest(*_last(classifier))
    if kind is MLPClassifier and len(classifier.coefs_) == 2 and classifier.out_activation_ == "softmax":
        if classifier.coefs_[0].shape[1] > WIDTH_MAX:
            raise Uncompilable(f"a hidden layer of more than {WIDTH_MAX}")
        return classifier.coefs_[0], _hidden(classifier, kernel)
    raise Uncompilable(f"the classifier {kind.__name__}")


def _last(classifier: Any) -> tuple[int, Array]:
    """Return the number of classes and the intercepts of a linear classifier."""
    classes = len(classifier.coef_)
    if classes < 3 or classes > WIDTH_MAX:
        raise Uncompilable(f"a classifier of {classes} sets of coefficients")
    return classes, np.broadcast_to(np.asarray(classifier.intercept_, np.float64), classes).copy()


def _softmax(classes: int, intercepts: Array, kernel: Kernel) -> Callable[[Array], Array]:
    def probabilities(sums: Array) -> Array:
        made = np.empty((len(sums), classes))
        kernel.library.softmax(
            ctypes.c_void_p(sums.ctypes.data), ctypes.c_int64(len(sums)), ctypes.c_int32(sums.shape[1]),
            ctypes.c_int32(classes), ctypes.c_void_p(intercepts.ctypes.data),
            ctypes.c_void_p(made.ctypes.data),
        )  # fmt: skip
        return made

    return probabilities


def _hidden(classifier: Any, kernel: Kernel) -> Callable[[Array], Array]:
    activate: dict[str, Callable[[Array], Array]] = {
        "relu": lambda x: np.maximum(x, 0.0), "tanh": np.tanh, "identity": lambda x: x, "logistic": _expit,
    }  # fmt: skip
    inner = activate[classifier.activation]
    first, second = (np.asarray(shift, np.float64) for shift in classifier.intercepts_)
    weights = np.asarray(classifier.coefs_[1], np.float64)
    numbers, last = len(first), _softmax(len(second), second, kernel)
    return lambda sums: last(inner(sums[:, :numbers] + first) @ weights)


def _one_against_rest(classes: int, intercepts: Array) -> Callable[[Array], Array]:
    def probabilities(sums: Array) -> Array:
        each = _expit(sums[:, :classes] + intercepts)
        total = each.sum(axis=1, keepdims=True)
        return np.where(total == 0.0, 1.0 / classes, each / np.where(total == 0.0, 1.0, total))

    return probabilities


def _expit(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))

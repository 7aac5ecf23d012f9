"""The classifier at the end of a pipeline: its coefficients, and what makes probabilities of sums."""

import ctypes
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

from models.errors import Uncompilable
from models.native.library import Kernel

Array = npt.NDArray[np.float64]
Activation = Callable[..., object]
"""A function of the kernel that makes probabilities of decisions."""

ACTIVATIONS: Final = ("identity", "relu", "tanh", "logistic")
"""In the order of types.h."""

WIDTH_MAX: Final = 64
"""Numbers per feature that the kernel sums, as in types.h."""


def layers(classifier: BaseEstimator, kernel: Kernel) -> tuple[Array, Callable[[Array], Array]]:
    """Return (features, numbers) coefficients, and what makes probabilities of their sums."""
    kind = type(classifier)
    if kind is LogisticRegression:
        return classifier.coef_.T, _linear(classifier, kernel.library.softmax)
    if kind is SGDClassifier and classifier.loss == "log_loss":
        return classifier.coef_.T, _linear(classifier, kernel.library.one_against_rest)
    if kind is MLPClassifier and len(classifier.coefs_) == 2 and classifier.out_activation_ == "softmax":
        if classifier.coefs_[0].shape[1] > WIDTH_MAX:
            raise Uncompilable(f"a hidden layer of more than {WIDTH_MAX}")
        return classifier.coefs_[0], _hidden(classifier, kernel)
    raise Uncompilable(f"the classifier {kind.__name__}")


def share(classifier: BaseEstimator, rows: npt.NDArray[np.float32] | Array) -> None:
    """Have the classifier keep its coefficients where the kernel has them: the same ones, in memory once."""
    if type(classifier) is MLPClassifier:
        classifier.coefs_[0] = rows
    else:
        classifier.coef_ = rows.T


def _linear(classifier: BaseEstimator, activate: Activation) -> Callable[[Array], Array]:
    classes = len(classifier.coef_)
    if classes < 3 or classes > WIDTH_MAX:
        raise Uncompilable(f"a classifier with coefficients of the shape {classifier.coef_.shape}")
    shift = np.broadcast_to(np.asarray(classifier.intercept_, np.float64), classes).copy()
    return lambda sums: _last(activate, sums, shift)


def _last(activate: Activation, sums: Array, intercepts: Array) -> Array:
    """Return (n, classes) probabilities of (n, width) sums."""
    made = np.empty((len(sums), len(intercepts)))
    activate(
        _at(sums),
        ctypes.c_int64(len(sums)),
        ctypes.c_int32(sums.shape[1]),
        ctypes.c_int32(len(intercepts)),
        _at(intercepts),
        _at(made),
    )
    return made


def _hidden(classifier: BaseEstimator, kernel: Kernel) -> Callable[[Array], Array]:
    first, second = (np.ascontiguousarray(shift, np.float64) for shift in classifier.intercepts_)
    weights = np.ascontiguousarray(classifier.coefs_[1], np.float64)
    activation = ACTIVATIONS.index(classifier.activation)

    def probabilities(sums: Array) -> Array:
        decisions = np.empty((len(sums), len(second)))
        kernel.library.hidden(
            _at(sums),
            ctypes.c_int64(len(sums)),
            ctypes.c_int32(sums.shape[1]),
            ctypes.c_int32(len(first)),
            ctypes.c_int32(activation),
            _at(first),
            _at(weights),
            ctypes.c_int32(len(second)),
            _at(decisions),
        )
        return _last(kernel.library.softmax, decisions, second)

    return probabilities


def _at(array: npt.NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)

"""A pipeline that the kernel scores: the answers of scikit-learn, an order of magnitude sooner.

Rules:
1. The rules of models/scorers/pipeline.py hold here too: a failure stays with its text, a text without a
   feature that the model knows is unscored, a text is cut, and a score depends on its text alone.
2. A text that UTF-8 cannot hold (a lone surrogate) is left to scikit-learn itself.
"""

import ctypes
import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models.native.arrow import Column, column
from models.native.compile_pipeline import Program
from models.native.library import Kernel
from models.scorers.pipeline import TEXT_CHARS_SCORED_MAX, PipelineScorer
from models.scorers.scores import TextScores

Array = npt.NDArray[np.float64]
LINE_BYTES = 64
"""A line of the processor's cache; what is remembered of a word fills one."""

Judge = Callable[[Array], TextScores]


class CompiledScorer:
    """Scores with a compiled pipeline.

    `otherwise` is the same pipeline in scikit-learn; `judge` makes scores of (n, classes) probabilities.
    """

    def __init__(
        self, program: Program, kernel: Kernel, otherwise: PipelineScorer, judge: Judge, version: str
    ) -> None:
        self.version = version
        self.reason: str | None = None
        self._judge = judge
        self._program = program
        self._kernel = kernel
        self._otherwise = otherwise
        self._lock = threading.Lock()  # the workspace serves one batch at a time
        library = kernel.library
        self._space = np.zeros(library.workspace_bytes(), np.uint8)
        width = ctypes.c_int32(program.width)
        self._kept = [
            np.zeros(library.kept_bytes(width) + LINE_BYTES, np.uint8) if sums_words else None
            for sums_words in program.sums_words
        ]
        self._kept_at = (ctypes.c_void_p * program.count)(
            *(
                -(-kept.ctypes.data // LINE_BYTES) * LINE_BYTES if kept is not None else None
                for kept in self._kept
            )
        )
        slots = library.slots_needed(ctypes.c_int32(program.sizes_counted)) if program.sizes_counted else 0
        self._slots, self._used = np.zeros(slots * 16, np.uint8), np.zeros(slots, np.uint32)

    def score(self, texts: Sequence[str]) -> TextScores:
        """Score a batch. Raises nothing but what stops a process: failures are rows of the answer."""
        return self._judge(self.probability(texts))

    def probability(self, texts: Sequence[str]) -> Array:
        """Return (n, classes) probabilities as scikit-learn gives them; a row of NaN where there are none."""
        try:
            columns = column(texts)
        except UnicodeEncodeError:
            return self._probability_one_by_one(texts)
        sums, known, todo = self._sums(columns, lowered=False)
        if len(todo):  # their lower case depends on what is around a character
            lower = column([texts[row][:TEXT_CHARS_SCORED_MAX].lower() for row in todo])
            sums[todo], known[todo], _ = self._sums(lower, lowered=True)
        with np.errstate(all="ignore"):
            probability = self._program.finish(sums)
        probability[~known] = np.nan
        return probability

    def _probability_one_by_one(self, texts: Sequence[str]) -> Array:
        """Leave to scikit-learn what UTF-8 cannot hold."""
        odd = np.array([not _is_utf8(text) for text in texts])
        theirs = self._otherwise.probability(
            [text for text, is_odd in zip(texts, odd, strict=True) if is_odd]
        )
        probability = np.full((len(texts), theirs.shape[1]), np.nan)
        probability[odd] = theirs
        if not odd.all():
            rest = [text for text, is_odd in zip(texts, odd, strict=True) if not is_odd]
            probability[~odd] = self.probability(rest)
        return probability

    def _sums(
        self, texts: Column, *, lowered: bool
    ) -> tuple[Array, npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
        """Return (n, width) sums, (n,) whether a feature is known, and the rows that Python has to lower."""
        program, rows = self._program, texts.rows
        sums = np.zeros((rows, program.width))
        known, todo = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
        with self._lock:
            left = self._kernel.library.score_texts(
                _at(self._kernel.chars),
                program.vectorizers,
                ctypes.c_int32(program.count),
                ctypes.c_int32(program.width),
                ctypes.c_int32(program.lower),
                ctypes.c_int32(lowered),
                ctypes.c_void_p(texts.data),
                ctypes.c_void_p(texts.starts),
                ctypes.c_int64(rows),
                _at(self._space),
                self._kept_at,
                _at(self._slots),
                _at(self._used),
                _at(sums),
                _at(known),
                _at(todo),
            )
        return sums, known, np.flatnonzero(todo) if left else np.empty(0, np.intp)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _at(array: npt.NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)

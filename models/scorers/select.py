"""Which path scores: the kernel where it is exact, else scikit-learn, and why.

Rules:
1. The kernel scores only a pipeline that was compiled without a guess (models/native/compile_pipeline.py),
   and only after its answers to a fixed batch of texts were compared with scikit-learn's: the same texts
   unscored, the same labels, probabilities to 1e-6.
2. Whatever else happens, scikit-learn scores, and `reason` says why in one line.
"""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from sklearn.base import BaseEstimator

from models import native
from models.errors import KernelMissing, Uncompilable
from models.native.compile_pipeline import compile_pipeline
from models.native.library import kernel
from models.scorers.compiled import CompiledScorer, Judge
from models.scorers.pipeline import PipelineScorer

PROBE: Final = Path(native.__file__).with_name("probe.json")
PROBABILITY_DIFFERENCE_MAX: Final = 1e-6


def fastest(
    pipeline: BaseEstimator, otherwise: PipelineScorer, judge: Judge, version: str
) -> CompiledScorer | PipelineScorer:
    """Return the compiled scorer of this version, or `otherwise` with the reason why."""
    try:
        library = kernel()
        program = compile_pipeline(pipeline, library)
    except (KernelMissing, Uncompilable) as why:
        otherwise.reason = str(why)
        return otherwise
    scorer = CompiledScorer(program, library, otherwise, judge, version)
    otherwise.reason = difference(scorer, otherwise, judge)
    return scorer if otherwise.reason is None else otherwise


def difference(compiled: CompiledScorer, otherwise: PipelineScorer, judge: Judge) -> str | None:
    """Return how the two paths differ on the probe batch; None where they do not."""
    texts = probe_texts()
    ours, theirs = compiled.probability(texts), otherwise.probability(texts)
    if ours.shape != theirs.shape or not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return "the kernel leaves other texts of the probe batch unscored"
    apart = float(np.nan_to_num(np.abs(ours - theirs)).max())
    if apart > PROBABILITY_DIFFERENCE_MAX:
        return f"the kernel's probabilities of the probe batch are {apart:.1e} off"
    if not np.array_equal(judge(ours).label, judge(theirs).label):
        return "the kernel gives a text of the probe batch another label"
    return None


def probe_texts() -> list[str]:
    """Return the texts that both paths must agree on before the kernel scores."""
    return msgspec.json.decode(PROBE.read_bytes(), type=list[str])

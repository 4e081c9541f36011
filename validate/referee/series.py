"""Series of a run that several predictions look at: log R, the validation loss, both without their trend."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import detrend

from spectral_edge.simulate import window_sigma
from spectral_edge.theory import gap_ratio, gram_rtol
from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import metric
from spectral_edge.validate.referee.statistics import Estimate, clustered_proportion


def ratio(run: GramSequence, W: int) -> FloatArray:
    """R of every window, (n,), NaN where there is no gap: ``run.window(W).ratio`` to rounding, for runs and copies.

    Twenty copies of noise are asked for nothing else, and directions of their windows would take longest.
    """

    def make() -> FloatArray:
        rtol = max(gram_rtol(W), float(np.sqrt(W * run.rounding)))
        return np.asarray(gap_ratio(window_sigma(run.K, W), rtol=rtol))

    return run.once(("ratio", W), make)


def log_ratio(run: GramSequence, W: int) -> FloatArray:
    """Log R of every window, (n,); where a window has no gap, the line between its neighbours."""
    R = ratio(run, W)
    known = np.flatnonzero(np.isfinite(R))
    if len(known) < 2:
        return np.full(len(R), np.nan)
    return np.asarray(np.interp(np.arange(len(R)), known, np.log(R[known])))


def validation_loss(run: GramSequence) -> FloatArray | None:
    """The validation (or test) loss at every record, (T,); None where it was not recorded throughout."""
    loss = metric(run, "test_loss")
    if loss is None or not np.all(np.isfinite(loss)):
        return None
    return np.asarray(loss, dtype=float)


def log_loss(run: GramSequence, W: int) -> FloatArray | None:
    """Log of the validation loss at the end of every window, (n,); None where there is none, or none positive."""
    loss = validation_loss(run)
    return None if loss is None or np.any(loss <= 0) else np.log(loss[W - 1 :])


def has_gap(run: GramSequence, copies: Sequence[GramSequence], W: int) -> NDArray[np.bool_]:
    """Windows, (n,), whose R exceeds that of every noise copy there; the others have no gap to speak of (2.6).

    By chance that is one window in ``len(copies) + 1``.
    """
    highest = np.max([np.nan_to_num(ratio(copy, W)) for copy in copies], axis=0)
    return np.asarray(ratio(run, W) > highest)  # a window without ratio is not above


def gap_share(
    pairs: Sequence[tuple[GramSequence, Sequence[GramSequence]]],
    W: int,
    among: Callable[[GramSequence], NDArray[np.bool_]] | None = None,
) -> tuple[Estimate, bool]:
    """Share of the windows of runs, each with its noise copies, that have a gap, and whether chance makes fewer.

    `among` says which windows of a run count, by default all; they count once per W, since they share updates.
    """
    counts = []
    for run, copies in pairs:
        counted = np.ones(run.T - W + 1, dtype=bool) if among is None else among(run)
        counts.append((np.sum(has_gap(run, copies, W) & counted), np.sum(counted)))
    share = clustered_proportion(*np.array(counts, dtype=float).T / W)
    return share, share.low > 1 / (1 + min(len(copies) for _, copies in pairs))


def without_trend(x: FloatArray) -> FloatArray:
    """The series less its straight line, scaled to length one; zeros where nothing is left."""
    rest = np.asarray(detrend(x))
    length = np.linalg.norm(rest)
    return rest / length if length > 1e-12 * max(1.0, float(np.abs(x).max())) * np.sqrt(len(x)) else 0 * rest

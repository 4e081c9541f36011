"""Series of a run that several predictions look at: log R, the validation loss, both without their trend."""

import numpy as np
from scipy.signal import detrend

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import metric


def log_ratio(run: GramSequence, W: int) -> FloatArray:
    """Log R of every window, (n,); where a window has no gap, the line between its neighbours."""
    ratio = run.window(W).ratio
    known = np.flatnonzero(np.isfinite(ratio))
    if len(known) < 2:
        return np.full(len(ratio), np.nan)
    return np.asarray(np.interp(np.arange(len(ratio)), known, np.log(ratio[known])))


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


def without_trend(x: FloatArray) -> FloatArray:
    """The series less its straight line, scaled to length one; zeros where nothing is left."""
    rest = np.asarray(detrend(x))
    length = np.linalg.norm(rest)
    return rest / length if length > 1e-12 * max(1.0, float(np.abs(x).max())) * np.sqrt(len(x)) else 0 * rest

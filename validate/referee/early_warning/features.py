"""What may warn of a transition: scores of every record of a run, each from the records up to it and no later one."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee.cards import card, learning_rate, metric

#: Window of the spectra.
W = 10
#: Records over which a change is taken.
CHANGE = 5
#: Records at the start of a run that no feature is judged on: the changes of the spectra begin after them.
WARM_UP = W - 1 + CHANGE

SPECTRAL, BASELINE, TRIVIAL, TOGETHER = "spectral", "baseline", "trivial", "together"


class Feature(NamedTuple):
    """One score that may warn.

    Attributes
    ----------
    name : str
    group : {"spectral", "baseline", "trivial"}
        From the windows; what one watches anyway; what a warning must beat to be one (time, weight decay, size).
    meaning : str
        What the score is, in words.
    score : callable
        ``score(run, windows)`` gives (T,) float64, entry t from records up to t only; NaN where it is unknown.
    """

    name: str
    group: str
    meaning: str
    score: Callable[[GramSequence, WindowSpectra], FloatArray]


def scores(run: GramSequence, features: tuple[Feature, ...]) -> dict[str, FloatArray]:
    """Score every record of `run` by every feature, (T,) each; infinities count as unknown."""
    windows = run.window(W)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {feature.name: np.asarray(feature.score(run, windows), dtype=float) for feature in features}
    return {name: np.where(np.isfinite(score), score, np.nan) for name, score in found.items()}


def at_records(run: GramSequence, of_windows: FloatArray) -> FloatArray:
    """Put the values of the last windows at the records where these windows end."""
    return np.concatenate([np.full(run.T - len(of_windows), np.nan), of_windows])


def _below_peak(values: FloatArray) -> FloatArray:
    return values - np.fmax.accumulate(values)


def change(values: FloatArray) -> FloatArray:
    """Change over the last `CHANGE` records."""
    return values - np.concatenate([np.full(CHANGE, np.nan), values[:-CHANGE]])


def _log_g_23(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    return at_records(run, np.log(windows.g_23))


def _log_size(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    return at_records(run, np.log(windows.lam.sum(axis=1)))


def _log_ratio(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    return at_records(run, np.log(windows.ratio))


def _adiabatic(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    """Log 𝒜 from the window before to this one, so that it is known at this record."""
    return at_records(run, np.log(windows.adiabatic(learning_rate(run)[windows.W :])))


def _log_loss(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    loss = metric(run, "test_loss")
    return np.full(run.T, np.nan) if loss is None else np.log(loss)


def _log_weight_norm(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    """Log of the norm of all recorded matrices together, over that at the first record."""
    norms = [values for name, values in run.metrics.items() if name.endswith(".norm")]
    if not norms:
        return np.full(run.T, np.nan)
    total = np.log(np.square(norms).sum(axis=0)) / 2
    return total - total[0]


def _weight_decay(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    decay = card(run).weight_decay
    return np.full(run.T, np.nan if decay is None else decay)


#: Set, like every constant of the early warning, before a recorded spectrum was looked at.
FEATURES = (
    Feature(
        "g_23", SPECTRAL, "log g_23 below its highest so far", lambda r, w: _below_peak(_log_g_23(r, w))
    ),
    Feature(
        "g_23 share", SPECTRAL, "log of g_23 over the sum of all λ", lambda r, w: _log_g_23(r, w) - _log_size(r, w)
    ),
    Feature("R", SPECTRAL, "log of the gap ratio", _log_ratio),
    Feature("R change", SPECTRAL, "change of log R over 5 records", lambda r, w: change(_log_ratio(r, w))),
    Feature("k*", SPECTRAL, "gap position", lambda r, w: at_records(r, w.k_star)),
    Feature("adiabatic", SPECTRAL, "log 𝒜 of the last step of the window", _adiabatic),
    Feature("validation loss", BASELINE, "log of the validation loss", _log_loss),
    Feature(
        "loss below peak", BASELINE, "log validation loss below its highest so far",
        lambda r, w: _below_peak(_log_loss(r, w)),
    ),
    Feature(
        "loss change", BASELINE, "change of log validation loss over 5 records",
        lambda r, w: change(_log_loss(r, w)),
    ),
    Feature("weight norm", BASELINE, "log of the norm of the weights over the first", _log_weight_norm),
    Feature(
        "norm change", BASELINE, "change of log weight norm over 5 records",
        lambda r, w: change(_log_weight_norm(r, w)),
    ),
    Feature("steps", TRIVIAL, "log of the steps since the start", lambda r, w: np.log1p(r.steps.astype(float))),
    Feature("weight decay", TRIVIAL, "weight decay of the run, known before it starts", _weight_decay),
    Feature(
        "update size", TRIVIAL, "log of the sum of all λ below its highest so far",
        lambda r, w: _below_peak(_log_size(r, w)),
    ),
)  # fmt: skip

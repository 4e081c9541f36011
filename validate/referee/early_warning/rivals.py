"""Other things that may warn of a transition, from K and the metrics that recordings hold: rivals of the gap."""

import numpy as np

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee.early_warning.features import SPECTRAL, Feature, at_records, change

#: Windows that a straight line is laid through.
PAST = 3


def _log_drift(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    """Log of the squared mean update of the window: the mean of its block of K."""
    return at_records(run, np.log(windows.blocks.mean(axis=(1, 2))))


def _drift_share(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    """The same over the mean squared update: 1 where all updates are equal, 1/W where they are orthogonal."""
    blocks = windows.blocks
    return at_records(run, blocks.mean(axis=(1, 2)) / np.trace(blocks, axis1=1, axis2=2) * windows.W)


def _first_share(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    return at_records(run, windows.lam[:, 0] / windows.lam.sum(axis=1))


def _modes(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    """Participation: how many modes share the energy of the window."""
    return at_records(run, windows.lam.sum(axis=1) ** 2 / (windows.lam**2).sum(axis=1))


def _layers(run: GramSequence, kind: str) -> FloatArray | None:
    """A figure of every recorded matrix, (matrices, T)."""
    found = [np.asarray(values, float) for name, values in run.metrics.items() if name.endswith(f".{kind}")]
    return np.array(found) if found else None


def _layer_ratio(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    """Log of the largest σ_1/σ_2 of a weight matrix."""
    one, two = _layers(run, "sigma_1"), _layers(run, "sigma_2")
    return np.full(run.T, np.nan) if one is None or two is None else np.log(one / two).max(axis=0)


def _layer_spread(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    """Standard deviation over the matrices of the change of their log norms over `CHANGE` records."""
    norms = _layers(run, "norm")
    if norms is None:
        return np.full(run.T, np.nan)
    return np.array([change(row) for row in np.log(norms)]).std(axis=0)


def _closing(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    """One over the records until the gap at k* would be closed by a straight line of ln σ_k/σ_{k+1}; 0: never."""
    log_ratio = np.log(windows.ratios)
    found = np.full(len(log_ratio), np.nan)
    for row in range(PAST - 1, len(log_ratio)):
        if np.isfinite(windows.k_star[row]):
            line = log_ratio[row - PAST + 1 : row + 1, int(windows.k_star[row]) - 1]
            found[row] = max(-(line[-1] - line[0]) / (PAST - 1), 0.0) / line[-1]
    return at_records(run, found)


#: Set before one of them was computed on a recorded run.
RIVALS = (
    Feature("drift", SPECTRAL, "log of the mean of K over the window", _log_drift),
    Feature("drift change", SPECTRAL, "its change over 5 records", lambda r, w: change(_log_drift(r, w))),
    Feature("drift share", SPECTRAL, "mean of K over the window over mean squared update", _drift_share),
    Feature("λ_1 share", SPECTRAL, "share of λ_1", _first_share),
    Feature("modes", SPECTRAL, "participation: modes that share the window's energy", _modes),
    Feature("layer ratio", SPECTRAL, "log of the largest σ_1/σ_2 of a weight matrix", _layer_ratio),
    Feature(
        "layer spread", SPECTRAL, "spread of the matrices' log norm changes over 5 records", _layer_spread
    ),
    Feature("gap closing", SPECTRAL, "speed at which a straight line closes the gap at k*", _closing),
)

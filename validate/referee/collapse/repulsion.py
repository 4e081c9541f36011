"""Do levels repel in data as second-order perturbation says (4.3)? From one window to the next, from K alone.

With M = vᵀΔC v in the modes of a window, first order moves the gap λ_k − λ_{k+1} to
g = λ_k − λ_{k+1} + M_kk − M_{k+1,k+1}; the two modes by themselves then stand √(g² + 4M²_{k,k+1}) apart, which is g and
2M²_{k,k+1}/(λ_k − λ_{k+1}) where ΔC is small. What is measured is by how much the gap of the next window exceeds |g|.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.theory.gram import window_blocks
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.collapse.states import LEADING
from spectral_edge.validate.referee.collapse.tracks import W
from spectral_edge.validate.referee.statistics import Estimate, mean

Floats = NDArray[np.float64]

#: Modes below this share of σ_1 are left out: their levels are rounding.
FLOOR = 1e-5
#: The perturbation counts as small where it moves no element of M by more than this share of the gap.
SMALL = 0.3


class Repulsion(NamedTuple):
    """By how much neighbouring levels move apart beyond first order, shares of their gap, m of all windows and pairs.

    Attributes
    ----------
    expected, measured : (m,) arrays
        √(g² + 4M²) − |g|, and the gap of the next window less |g|.
    small : (m,) bool
        Whether the perturbation was small against the gap.
    """

    expected: Floats
    measured: Floats
    small: NDArray[np.bool_]


def repulsion(run: GramSequence, W: int = W) -> Repulsion:
    """Every pair of neighbouring leading modes, from every window to the next.

    Parameters
    ----------
    run : GramSequence
        K full or a band of W lags at least.
    W : int
        Window.

    Returns
    -------
    Repulsion

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge.validate import GramSequence
    >>> found = repulsion(GramSequence.from_updates(np.random.default_rng(0).normal(size=(200, 500))))
    >>> bool(np.corrcoef(found.expected, found.measured)[0, 1] > 0.5)  # noise repels too
    True
    """
    windows, blocks = run.window(W), window_blocks(run.K, W + 1)
    lam, u = windows.lam[:-1], windows.u[:-1]
    sigma = np.sqrt(lam)
    with np.errstate(divide="ignore", invalid="ignore"):
        entering = np.einsum("ns,nsj->nj", blocks[:, -1, :-1], u) / sigma
    entering[sigma <= FLOOR * sigma[:, :1]] = 0  # left out below
    leaving = u[:, 0] * sigma
    pair = np.arange(min(LEADING, W - 1))
    M = entering[:, :, None] * entering[:, None] - leaving[:, :, None] * leaving[:, None]
    own, other, cross = M[:, pair, pair], M[:, pair + 1, pair + 1], M[:, pair, pair + 1]
    gap = lam[:, pair] - lam[:, pair + 1]
    first = gap + own - other
    after = windows.lam[1:, pair] - windows.lam[1:, pair + 1]
    known = (sigma[:, pair + 1] > FLOOR * sigma[:, :1]) & (gap > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (np.hypot(first, 2 * cross) - np.abs(first)) / gap
        measured = (after - np.abs(first)) / gap
        small = np.maximum(np.maximum(np.abs(own), np.abs(other)), np.abs(cross)) < SMALL * gap
    return Repulsion(expected[known], measured[known], small[known])


def agreement(runs: Sequence[GramSequence]) -> Estimate:
    """Mean over runs of Spearman's ρ between expected and measured repulsion, where the perturbation is small."""
    found = [repulsion(run) for run in runs]
    return mean([
        stats.spearmanr(one.expected[one.small], one.measured[one.small]).statistic
        for one in found if one.small.sum() > 10
    ])  # fmt: skip

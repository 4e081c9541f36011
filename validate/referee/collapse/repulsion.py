"""Do levels repel in data as second-order perturbation says (4.3)? From one window to the next, from K alone.

With M = vᵀΔC v in the modes of a window, first order moves the gap λ_k − λ_{k+1} to
g = λ_k − λ_{k+1} + M_kk − M_{k+1,k+1}. To second order the two push each other apart by
2M²_{k,k+1}/(λ_k − λ_{k+1}), and every other level m pushes each by M²_{km}/(λ_k − λ_m); so does, as a level at 0, what
the entering update has outside the window. What is measured is by how much the gap of the next window exceeds g.
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
#: The perturbation is small where M_km is below this share of the distance of any two levels, M_kk of the gap.
SMALL = 0.3


class Repulsion(NamedTuple):
    """By how much neighbouring levels move apart beyond first order, shares of their gap, m of all windows and pairs.

    Attributes
    ----------
    neighbour, all_levels, measured : (m,) arrays
        What the two do to each other, what all levels do to the two, and what is seen.
    """

    neighbour: Floats
    all_levels: Floats
    measured: Floats


def repulsion(run: GramSequence, W: int = W) -> Repulsion:
    """Every pair of neighbouring leading modes, from every window to the next, where the perturbation is small.

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
    >>> found = repulsion(GramSequence.from_updates(np.random.default_rng(0).normal(size=(300, 500)).cumsum(axis=0)))
    >>> bool(np.corrcoef(found.all_levels, found.measured)[0, 1] > 0.9)  # a random walk repels too
    True
    """
    windows, blocks = run.window(W), window_blocks(run.K, W + 1)
    lam, u = windows.lam[:-1], windows.u[:-1]
    sigma = np.sqrt(lam)
    with np.errstate(divide="ignore", invalid="ignore"):
        entering = np.einsum("ns,nsj->nj", blocks[:, -1, :-1], u) / sigma
    entering[sigma <= FLOOR * sigma[:, :1]] = 0  # left out below
    leaving = u[:, 0] * sigma
    M = entering[:, :, None] * entering[:, None] - leaving[:, :, None] * leaving[:, None]
    apart = lam[:, :, None] - lam[:, None]
    outside = np.maximum(blocks[:, -1, -1] - (entering**2).sum(axis=1), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        pushed = np.where(apart != 0, M**2 / apart, 0).sum(axis=2) + entering**2 * outside[:, None] / lam
        share = np.where(apart != 0, np.abs(M / apart), 0).max(axis=2)
    pair = np.arange(min(LEADING, W - 1))
    own, other = M[:, pair, pair], M[:, pair + 1, pair + 1]
    gap = lam[:, pair] - lam[:, pair + 1]
    after = windows.lam[1:, pair] - windows.lam[1:, pair + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        neighbour = 2 * (M[:, pair, pair + 1] / gap) ** 2
        all_levels = (pushed[:, pair] - pushed[:, pair + 1]) / gap
        measured = (after - (gap + own - other)) / gap
    known = (sigma[:, pair + 1] > FLOOR * sigma[:, :1]) & (gap > 0)
    small = np.maximum(share[:, pair], share[:, pair + 1]) < SMALL
    small &= np.maximum(np.abs(own), np.abs(other)) < SMALL * gap
    return Repulsion(*(x[known & small] for x in (neighbour, all_levels, measured)))


def agreement(runs: Sequence[GramSequence]) -> tuple[Estimate, Estimate]:
    """Mean over runs of Spearman's ρ with what is measured: of what neighbours do to each other, and of all levels."""
    found = [one for one in map(repulsion, runs) if len(one.measured) > 10]
    neighbour, all_levels = (
        mean([stats.spearmanr(getattr(one, name), one.measured).statistic for one in found])
        for name in ("neighbour", "all_levels")
    )
    return neighbour, all_levels

"""Prediction 6: modes above the gap are stable, that at the gap less, those below it least."""

from collections.abc import Callable, Sequence
from operator import neg

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import stability as published
from spectral_edge.validate.referee.statistics import Comparison, against
from spectral_edge.validate.referee.verdict import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    beyond,
    drawn,
    passes,
    tried,
)

W = 10
SMALLEST = 0.1  # of the order: one window in ten
RUNS = 5  # fewer runs with a mode above their gap decide nothing

Floats = NDArray[np.float64]


def _overlaps(windows: WindowSpectra) -> Floats:
    """⟨v_j(t), v_j(t+1)⟩², (n − 1, W)."""
    return np.einsum("njj->nj", windows.overlaps) ** 2


READINGS: dict[str, Callable[[WindowSpectra], Floats]] = {
    "exact overlaps ⟨v_j, v_j′⟩²": _overlaps,
    "α_j, C = 4, operator norm": lambda windows: windows.alpha(),
    "α_j, C = 1, Frobenius norm": lambda windows: windows.alpha(1.0, "frobenius"),
    "α_j, C = 1, eigenvalues alone": lambda windows: windows.alpha(1.0, "eigenvalue"),
}
#: Where the gap is; the rule's first. The last ratios of a window whose tail is noise are noise: weighted.
POSITIONS: dict[str, Callable[[WindowSpectra], Floats]] = {
    "weighted k*": lambda windows: windows.k_star_weighted,
    "plain k*": lambda windows: windows.k_star,
}


def hierarchy(k_stars: Floats, stability: Floats) -> float:
    """The smaller of two mean signs: of (α above k*) − (α at k*), and of (α at k*) − (α below); in [−1, 1].

    1 is the claim in every window. Where k* = 1 there is nothing above it, and the first says nothing; NaN where that
    is so in every window.
    """
    known = np.isfinite(k_stars[:-1]) & np.isfinite(stability).all(axis=1)
    alpha, k = stability[known], k_stars[:-1][known].astype(int)
    total, at = np.cumsum(alpha, axis=1), np.take_along_axis(alpha, k[:, None] - 1, axis=1)[:, 0]
    to_k = np.take_along_axis(total, k[:, None] - 1, axis=1)[:, 0]
    inside = k > 1
    above = (to_k - at)[inside] / (k[inside] - 1) - at[inside]
    below = at - (total[:, -1] - to_k) / (alpha.shape[1] - k)
    if not len(above):
        return float("nan")
    # a sum of equal numbers may be off by its rounding
    signs = [np.sign(np.where(np.abs(one) > 1e-12, one, 0.0)).mean() for one in (above, below)]
    return float(min(signs))


def _of_noise(orders: Sequence[float]) -> Floats:
    """The orders of a run's noise; noise that has nothing above its gap in any copy shows none."""
    found = np.array(orders)
    return np.zeros(len(found)) if np.isnan(found).all() else found


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """The order of stabilities around k*, by α and by the exact overlaps, against that in noise at the same places."""
    chosen = [(run, others) for run, others in zip(runs, noise, strict=True) if run.T > W and run.W_max >= W]
    if not chosen:
        return PREDICTION.not_run(f"no run with two windows of {W} updates")
    found: dict[str, Comparison] = {}
    counted = 0
    for name, stability in tried(READINGS, 2).items():
        values = [[stability(one.window(W)) for one in (run, *copies)] for run, copies in chosen]
        for where, k_star in tried(POSITIONS).items():
            orders = [
                [
                    hierarchy(k_star(one.window(W)), alpha)
                    for one, alpha in zip((run, *copies), row, strict=True)
                ]
                for (run, copies), row in zip(chosen, values, strict=True)
            ]
            found[f"{name}, {where}"] = against(
                [row[0] for row in orders], [_of_noise(row[1:]) for row in orders]
            )
            if not counted:
                counted = int(np.isfinite([row[0] for row in orders]).sum())
    overlaps, alpha = (found[f"{name}, {next(iter(POSITIONS))}"] for name in list(READINGS)[:2])
    if np.isnan(overlaps.p_value):
        return PREDICTION.not_run("a run with a window whose weighted k* is above 1")
    return PREDICTION.verdict(
        _verdict(overlaps, alpha) if counted >= RUNS else UNDECIDED,
        statistic=overlaps.treated.value,
        control=overlaps.control.value,
        statistic_name="order of stability around k* (1: as claimed in every window)",
        effect=overlaps.excess,
        effect_name="order of the exact overlaps, less that in noise",
        p_value=max(overlaps.p_value, alpha.p_value),
        n=counted,
        readings=tuple(Reading.tested(name, one) for name, one in found.items()),
        meaning=(
            "By the exact overlaps, modes are ordered around the gap as claimed to a degree of "
            f"{overlaps.treated.value:.2f} (noise {overlaps.control.value:.2f}); by the guaranteed coefficients α to "
            f"one of {alpha.treated.value:.2f} (noise {alpha.control.value:.2f}). One would be every window; overlaps "
            "of windows that share all updates but two are ordered in noise too. Runs whose weighted k* is 1 "
            f"throughout have nothing above it and do not count ({len(chosen) - counted} of {len(chosen)})."
        ),
    )


def _verdict(overlaps: Comparison, alpha: Comparison) -> str:
    """More order than in noise, and in the sense of the claim: above 0; refuted below both."""
    found = beyond((overlaps, alpha), SMALLEST)
    above = passes(overlaps.treated, 0.0) and passes(alpha.treated, 0.0)
    below = passes(overlaps.treated, 0.0) is False and passes(alpha.treated, 0.0) is False
    return UNDECIDED if (found == SUPPORTED and not above) or (found == REFUTED and not below) else found


PREDICTION = Prediction(
    number=6,
    id="stability-hierarchy",
    version=4,
    claim="Modes above k* are stable, that at k* less, those below least.",
    reference="figure 3; docs/theory.md, 5.3 to 5.5",
    statistic="order of α_j and of the exact overlaps around the weighted k*",
    treatment="all runs",
    control="noise of the same effective dimension, norms and colour, around its own k*",
    rule=f"both orders above 0 and p < 0.05 against noise; not specific where {SMALLEST:g} more than noise is excluded",
    boundaries=(0.0, SMALLEST),
    changed_by=(
        "Overlaps of windows that share no update, W records apart: those of neighbouring windows are ordered "
        "in noise too, since they share all but two updates. In runs recorded at every step with full batch "
        "modes last so long."
    ),
    judge=judge,
    published=published.HIERARCHY,
    planted=worlds.planted("stability-hierarchy"),
    turned={"READINGS": neg},
    picture=drawn("stability"),
    needs=Needs(records=W + 1),
)

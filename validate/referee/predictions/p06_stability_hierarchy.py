"""Prediction 6: modes above the gap are stable, that at the gap less, those below it least."""

from collections.abc import Callable, Sequence
from operator import neg

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.statistics import Comparison, against
from spectral_edge.validate.referee.verdict import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    beyond_both,
    drawn,
    passes,
)

W = 10

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


def hierarchy(k_stars: Floats, stability: Floats) -> float:
    """The smaller of two mean signs: of (α above k*) − (α at k*), and of (α at k*) − (α below); in [−1, 1].

    1 is the claim in every window. Where k* = 1 there is nothing above it to be more stable: 0.
    """
    steps: tuple[list[float], list[float]] = ([], [])
    for k_star, alpha in zip(k_stars[:-1], stability, strict=True):
        if np.isnan(k_star) or not np.isfinite(alpha).all():
            continue
        k = int(k_star) - 1
        steps[0].append(np.sign(alpha[:k].mean() - alpha[k]) if k > 0 else 0.0)
        steps[1].append(np.sign(alpha[k] - alpha[k + 1 :].mean()))
    return float(min(np.mean(steps[0]), np.mean(steps[1]))) if steps[0] else float("nan")


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """The order of stabilities around k*, by α and by the exact overlaps, against that in noise at the same places."""
    chosen = [(run, others) for run, others in zip(runs, noise, strict=True) if run.T > W and run.W_max >= W]
    if not chosen:
        return PREDICTION.not_run(f"no run with two windows of {W} updates")
    found: dict[str, Comparison] = {}
    for name, stability in READINGS.items():
        orders = [
            [hierarchy(run.window(W).k_star, stability(one.window(W))) for one in (run, *copies)]
            for run, copies in chosen
        ]
        found[name] = against([row[0] for row in orders], [np.array(row[1:]) for row in orders])
    overlaps, alpha = list(found.values())[:2]
    if np.isnan(overlaps.p_value):
        return PREDICTION.not_run("a run whose windows have a gap")
    return PREDICTION.verdict(
        _verdict(overlaps, alpha),
        statistic=overlaps.treated.value,
        control=overlaps.control.value,
        statistic_name="order of stability around k* (1: as claimed in every window)",
        effect=overlaps.excess,
        effect_name="order of the exact overlaps, less that in noise",
        p_value=max(overlaps.p_value, alpha.p_value),
        n=len(chosen),
        readings=tuple(Reading.tested(name, one) for name, one in found.items()),
        meaning=(
            "By the exact overlaps, modes are ordered around the gap as claimed to a degree of "
            f"{overlaps.treated.value:.2f} (noise {overlaps.control.value:.2f}); by the guaranteed coefficients α to "
            f"one of {alpha.treated.value:.2f} (noise {alpha.control.value:.2f}). One would be every window; overlaps "
            "of windows that share all updates but two are ordered in noise too."
        ),
    )


def _verdict(overlaps: Comparison, alpha: Comparison) -> str:
    """More order than in noise, and in the sense of the claim: above 0."""
    if overlaps.treated.high <= 0 or alpha.treated.high <= 0:
        return REFUTED
    found = beyond_both(overlaps, alpha)
    above = passes(overlaps.treated, 0.0) and passes(alpha.treated, 0.0)
    return found if found != SUPPORTED or above else UNDECIDED


PREDICTION = Prediction(
    number=6,
    id="stability-hierarchy",
    version=1,
    claim="Modes above k* are stable, that at k* less, those below least.",
    reference="figure 3; docs/theory.md, 5.3 to 5.5",
    statistic="order of α_j and of the exact overlaps around k*",
    treatment="all runs",
    control="noise of the same effective dimension, norms and colour, around the run's own k*",
    rule="both orders above 0, and p < 0.05 against noise for both",
    judge=judge,
    planted=worlds.planted("stability-hierarchy"),
    turned={"READINGS": neg},
    picture=drawn("stability"),
    needs=Needs(records=W + 1),
)

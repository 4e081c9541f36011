"""Prediction 4: the gap position is bounded by the number of sharp directions."""

from collections.abc import Callable, Sequence
from operator import neg

import numpy as np
from numpy.typing import NDArray

from spectral_edge import theory
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card, knows, number
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.statistics import Estimate, clustered_proportion, monte_carlo_p
from spectral_edge.validate.referee.verdict import Prediction, Reading, Verdict, decide, passes

W = 10
SHARE = 0.95
PERMUTATIONS = 200

Bound = Callable[[GramSequence, "NDArray[np.float64]"], NDArray[np.float64]]


def _count(run: GramSequence, h: NDArray[np.float64], steps: float = 1.0) -> NDArray[np.float64]:
    """K = #{j : h_j ≥ 1/(ηW)}; `steps` optimiser steps an update of the window."""
    return theory.krylov_count(h, number(run, "learning_rate") * steps, W).astype(float)


READINGS: dict[str, Bound] = {
    "k* ≤ K, as published": _count,
    "k* ≤ K + 1": lambda run, h: _count(run, h) + 1,
    "k* ≤ K, η of all steps between two records": lambda run, h: _count(run, h, card(run).record_every or 1),
}


def _windows(run: GramSequence) -> tuple[WindowSpectra, NDArray[np.int64], NDArray[np.float64]]:
    """The windows, which of them have a gap and all their curvatures, and those curvatures (m, W)."""
    windows = run.window(W)
    h = windows.curvature()
    rows = np.flatnonzero(np.isfinite(h).all(axis=1) & np.isfinite(windows.k_star))
    return windows, rows, h[rows]


def _shares(run: GramSequence, bound: Bound, seed: int) -> tuple[float, NDArray[np.float64], int]:
    """Share of windows within the bound, the same with curvatures dealt out over windows, number of windows."""
    windows, rows, h = _windows(run)
    k_star = windows.k_star[rows]
    limit = bound(run, h)
    rng = np.random.default_rng(worlds.key(run, seed))
    permuted = [float(np.mean(k_star <= limit[rng.permutation(len(rows))])) for _ in range(PERMUTATIONS)]
    return float(np.mean(k_star <= limit)), np.array(permuted), len(rows)


def _guaranteed(runs: Sequence[GramSequence]) -> Reading:
    """The corrected bound (8.1): k* ≤ K + 1 in the windows whose last singular values stand above the rest.

    The Hessian is known within the window: its Ritz values take the place of the curvatures, the components of the
    oldest update along its Ritz vectors that of ⟨δ, e_j⟩.
    """
    inside, total = [], []
    for run in runs:
        windows, rows, _ = _windows(run)
        eta = number(run, "learning_rate") * (card(run).record_every or 1)
        lam, u = windows.lam[rows], windows.u[rows]
        M = windows.probes["hessian"][W - 1 :][rows][:, W - 1 :: -1, W - 1 :: -1]
        basis = u / np.sqrt(lam)[:, None, :]
        ritz, vectors = np.linalg.eigh(np.swapaxes(basis, 1, 2) @ M @ basis)
        # the oldest update is row 0: its component along v_j is u_{0j} σ_j
        first = np.einsum("nj,njk->nk", u[:, 0] * np.sqrt(lam), vectors)
        beta = theory.slow_mode_bound(ritz, first, eta, W)
        noise = np.sqrt(lam[:, W // 2 :].mean(axis=1))
        held = theory.krylov_guaranteed(windows.ratio[rows], np.sqrt(lam[:, -1]), beta, noise)
        count = theory.krylov_count(ritz, eta, W)
        inside.append(float(np.sum((windows.k_star[rows] <= count + 1) & held)))
        total.append(float(held.sum()))
    share = clustered_proportion(np.array(inside) / W, np.array(total) / W) if sum(total) else None
    unknown = Estimate(float("nan"), 0.0, 1.0)
    name = "k* ≤ K + 1 where R·σ_W > β + ‖N‖ (8.1, corrected)"
    return Reading(name, share or unknown, unknown, passes(share, SHARE) if share else None, None)


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Share of windows with k* ≤ K, against the curvatures of other windows of the same run."""
    chosen = [
        run for run in runs
        if "hessian" in run.probes and knows(run, "learning_rate") and min(run.T, run.W_max) >= W
        and len(_windows(run)[1]) > 1
    ]  # fmt: skip
    if not chosen:
        return PREDICTION.not_run("no run with the window Hessian and its learning rate")
    readings: list[Reading] = []
    for name, bound in READINGS.items():
        found = [_shares(run, bound, PREDICTION.number) for run in chosen]
        shares = np.array([share for share, _, _ in found])
        permuted = np.array([draws for _, draws, _ in found])
        disjoint = np.maximum(1.0, np.array([n for _, _, n in found]) / W)
        share = clustered_proportion(shares * disjoint, disjoint)
        control = clustered_proportion(permuted.mean(axis=1) * disjoint, disjoint)
        if not readings:
            p_value = monte_carlo_p(shares.mean() - 1e-12, permuted.mean(axis=0))
        readings.append(Reading(name, share, control, passes(share, SHARE), passes(control, SHARE)))
    first = readings[0]
    return PREDICTION.verdict(
        decide(first.passes, first.control_passes),
        statistic=first.treated.value,
        control=first.control.value,
        statistic_name="share of windows with k* ≤ K",
        effect=first.treated,
        effect_name="the share",
        p_value=p_value,
        n=len(chosen),
        readings=(*readings, _guaranteed(chosen)),
        meaning=(
            f"k* is at most the number of sharp directions K in {first.treated.value:.0%} of the windows, and in "
            f"{first.control.value:.0%} when the curvatures come from other windows of the run. The curvatures are "
            "those of the plain loss, not of the preconditioned one that the optimiser sees."
        ),
    )


PREDICTION = Prediction(
    number=4,
    id="krylov-bound",
    version=1,
    claim="The gap position is at most the number of directions with h_j ≥ 1/(ηW).",
    reference="Krylov bound; docs/theory.md, 8.1",
    statistic="share of windows with k* ≤ K, h_j from Hessian-vector products in the window",
    treatment="runs with the window Hessian",
    control="h_j of other windows of the same run",
    rule=f"≥ {SHARE:.0%} of the windows",
    judge=judge,
    planted=worlds.planted("krylov-bound", 12),
    turned={"READINGS": neg},
    needs=Needs(config=("learning_rate",), probes=("hessian",)),
)

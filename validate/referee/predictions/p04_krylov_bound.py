"""Prediction 4: the gap position is bounded by the number of sharp directions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import neg

import numpy as np
from numpy.typing import NDArray

from spectral_edge import theory
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card, knows, number
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import spectra as published
from spectral_edge.validate.referee.series import gap_share, has_gap
from spectral_edge.validate.referee.statistics import Estimate, clustered_proportion, monte_carlo_p
from spectral_edge.validate.referee.verdict import (
    REFUTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    decide,
    passes,
    tried,
)

W = 10
SHARE = 0.95
PERMUTATIONS = 200

Bound = Callable[[GramSequence, "NDArray[np.float64]"], NDArray[np.float64]]


def _count(run: GramSequence, h: NDArray[np.float64], steps: float = 1.0) -> NDArray[np.float64]:
    """K = #{j : h_j ≥ 1/(ηW)}; `steps` optimiser steps per update of the window."""
    return theory.krylov_count(h, number(run, "learning_rate") * steps, W).astype(float)


READINGS: dict[str, Bound] = {
    "k* ≤ K, as published": _count,
    "k* ≤ K + 1": lambda run, h: _count(run, h) + 1,
    "k* ≤ K, η of all steps between two records": lambda run, h: _count(run, h, card(run).record_every or 1),
}


#: Optimisers whose step is not along the gradient: the plain curvature is not the one they see.
PRECONDITIONED = ("adam", "muon", "rmsprop", "adagrad", "lion", "shampoo", "soap", "sophia")


Copies = Sequence[GramSequence]


def _measured(run: GramSequence) -> NDArray[np.bool_]:
    """Windows whose curvatures were all measured."""
    return np.asarray(np.isfinite(run.window(W).curvature()).all(axis=1))


def _windows(
    run: GramSequence, copies: Copies
) -> tuple[WindowSpectra, NDArray[np.int64], NDArray[np.float64]]:
    """The windows, which of them have a gap beyond noise and all their curvatures, and those curvatures (m, W)."""
    windows = run.window(W)
    rows = np.flatnonzero(_measured(run) & has_gap(run, copies, W))
    return windows, rows, windows.curvature()[rows]


def _shares(
    run: GramSequence, copies: Copies, bound: Bound, seed: int
) -> tuple[float, NDArray[np.float64], int]:
    """Share of windows within the bound, the same with curvatures permuted over windows, number of windows."""
    windows, rows, h = _windows(run, copies)
    k_star = windows.k_star[rows]
    limit = bound(run, h)
    rng = np.random.default_rng(worlds.key(run, seed))
    permuted = [float(np.mean(k_star <= limit[rng.permutation(len(rows))])) for _ in range(PERMUTATIONS)]
    return float(np.mean(k_star <= limit)), np.array(permuted), len(rows)


def _guaranteed(pairs: Sequence[tuple[GramSequence, Copies]]) -> Reading:
    """The corrected bound (8.1): k* ≤ K + 1 in the windows whose last singular values stand above the rest.

    The Hessian is known within the window: its Ritz values take the place of the curvatures, the components of the
    oldest update along its Ritz vectors that of ⟨δ, e_j⟩.
    """
    inside, total = [], []
    for run, copies in pairs:
        windows, rows, _ = _windows(run, copies)
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
    known = [
        (run, copies) for run, copies in zip(runs, noise, strict=True)
        if "hessian" in run.probes and knows(run, "learning_rate") and min(run.T, run.W_max) >= W
        and _measured(run).any()
    ]  # fmt: skip
    if not known:
        return PREDICTION.not_run("no run with the window Hessian and its learning rate")
    chosen = [(run, copies) for run, copies in known if len(_windows(run, copies)[1])]
    gaps, enough = gap_share(known, W, _measured)
    if not chosen:
        return replace(
            PREDICTION.verdict(UNDECIDED, n=len(known)), meaning="No window has a gap beyond that of noise."
        )
    readings: list[Reading] = []
    p_value = float("nan")  # of the first reading
    for name, bound in tried(READINGS).items():
        found = [_shares(run, copies, bound, PREDICTION.number) for run, copies in chosen]
        shares = np.array([share for share, _, _ in found])
        permuted = np.array([draws for _, draws, _ in found])
        disjoint = np.maximum(1.0, np.array([n for _, _, n in found]) / W)
        share = clustered_proportion(shares * disjoint, disjoint)
        control = clustered_proportion(permuted.mean(axis=1) * disjoint, disjoint)
        if not readings:
            p_value = monte_carlo_p(shares.mean() - 1e-12, permuted.mean(axis=0))
        readings.append(Reading(name, share, control, passes(share, SHARE), passes(control, SHARE)))
    first = readings[0]
    verdict = decide(first.passes, first.control_passes)
    # of a curvature that is not the optimiser's, or of what chance makes, nothing follows against the claim
    blind = any(word in (card(run).optimizer or "").lower() for run, _ in chosen for word in PRECONDITIONED)
    if not enough or (blind and verdict == REFUTED):
        verdict = UNDECIDED
    return PREDICTION.verdict(
        verdict,
        statistic=first.treated.value,
        control=first.control.value,
        statistic_name="share of windows with k* ≤ K",
        effect=first.treated,
        effect_name="the share",
        p_value=p_value,
        n=len(chosen),
        readings=(*readings, _guaranteed(chosen)),
        meaning=(
            f"k* is at most the number of sharp directions K in {first.treated.value:.0%} of the windows whose gap "
            f"exceeds that of noise ({gaps.value:.0%} of those with curvatures), and in {first.control.value:.0%} when "
            "the curvatures come from other windows of the run. "
            + (
                "They are those of the plain loss, not of the one that the optimiser preconditions: a bound that fails "
                "by them is not refuted."
                if blind
                else "They are those of the plain loss, which the optimiser follows."
            )
            + ("" if enough else " So few gaps are what chance makes.")
        ),
    )


PREDICTION = Prediction(
    number=4,
    id="krylov-bound",
    version=2,
    claim="The gap position is at most the number of directions with h_j ≥ 1/(ηW).",
    reference="Krylov bound; docs/theory.md, 8.1",
    statistic="share of windows with k* ≤ K, of those whose R exceeds that of noise",
    treatment="runs with the window Hessian: h_j from Hessian-vector products in the window",
    control="h_j of other windows of the same run",
    rule=f"≥ {SHARE:.0%} of the windows",
    boundaries=(SHARE,),
    changed_by=(
        "Curvature as the optimiser sees it: the probe `response` (δᵀD⁻¹Hδ), which costs no more Hessian "
        "products than the plain one, in runs whose windows have a gap."
    ),
    judge=judge,
    published=published.KRYLOV,
    planted=worlds.planted("krylov-bound", 12),
    turned={"READINGS": neg},
    needs=Needs(config=("learning_rate",), probes=("hessian",)),
)

"""Prediction 4: the gap position is bounded by the number of sharp directions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import neg
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge import theory
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import knows, learning_rate
from spectral_edge.validate.referee.curvature import Curvature, deciding, known, plain, rate, seen, source
from spectral_edge.validate.referee.needs import CURVATURE, Needs
from spectral_edge.validate.referee.published import spectra as published
from spectral_edge.validate.referee.series import gap_share, has_gap
from spectral_edge.validate.referee.statistics import Estimate, clustered_proportion, monte_carlo_p
from spectral_edge.validate.referee.verdict import (
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

Copies = Sequence[GramSequence]
Floats = NDArray[np.float64]
#: The largest k* that a reading allows in each window, (n,); NaN where it does not say.
Bound = Callable[[GramSequence], Floats]


def _count(run: GramSequence, curvature: Curvature, rates: Floats) -> Floats:
    """K = #{j : h_j ≥ 1/(ηW)} of every window, (n,); NaN where curvatures down to k* are not known.

    Weaker modes whose curvature is rounding count as flat. η is that of the record with which the window ends, of
    `rates`, (T,).
    """
    windows, h, eta = run.window(W), curvature(run, W), rates[W - 1 :]
    down_to = np.nan_to_num(windows.k_star).astype(int)
    ranks = np.arange(1, W + 1)
    told = (np.isfinite(h) | (ranks > down_to[:, None])).all(axis=1) & np.isfinite(h[:, 0]) & np.isfinite(eta)
    count = theory.krylov_count(np.where(np.isfinite(h), h, 0.0), np.where(np.isfinite(eta), eta, 1.0), W)
    return np.where(told, count, np.nan)


READINGS: dict[str, Bound] = {
    "k* ≤ K": lambda run: _count(run, seen, rate(run)),
    "k* ≤ K + 1": lambda run: _count(run, seen, rate(run)) + 1,
    "k* ≤ K, η of one step": lambda run: _count(run, seen, learning_rate(run)),
}
#: By the curvature of the plain loss, which runs without the optimiser's hold too.
PLAIN: dict[str, Bound] = {
    "k* ≤ K, curvature of the plain loss": lambda run: _count(run, plain, rate(run)),
    "k* ≤ K, curvature of the plain loss, η of one step": lambda run: _count(run, plain, learning_rate(run)),
}


def _measured(run: GramSequence) -> NDArray[np.bool_]:
    """Windows whose curvatures are known as far down as the gap lies."""
    return np.asarray(np.isfinite(READINGS["k* ≤ K"](run)))


class _Found(NamedTuple):
    """Of one run: the share of windows within the bound, that with bounds of other windows, number of windows."""

    share: float
    permuted: Floats
    windows: int


def _within(run: GramSequence, copies: Copies, bound: Bound) -> _Found | None:
    """Of the windows with a gap beyond noise and a bound; None where there are none."""
    limit = bound(run)
    rows = np.flatnonzero(np.isfinite(limit) & has_gap(run, copies, W))
    if not len(rows):
        return None
    k_star, limit = run.window(W).k_star[rows], limit[rows]
    rng = np.random.default_rng(worlds.key(run, PREDICTION.number))
    permuted = [float(np.mean(k_star <= rng.permutation(limit))) for _ in range(PERMUTATIONS)]
    return _Found(float(np.mean(k_star <= limit)), np.array(permuted), len(rows))


def _reading(name: str, found: Sequence[_Found]) -> Reading:
    shares, controls = (
        np.array(x) for x in zip(*((one.share, one.permuted.mean()) for one in found), strict=True)
    )
    disjoint = np.maximum(1.0, np.array([one.windows for one in found]) / W)
    share, control = (clustered_proportion(x * disjoint, disjoint) for x in (shares, controls))
    return Reading(name, share, control, passes(share, SHARE), passes(control, SHARE))


def _guaranteed(pairs: Sequence[tuple[GramSequence, Copies]]) -> Reading:
    """The corrected bound (8.1): k* ≤ K + 1 in the windows whose last singular values stand above the rest.

    The plain Hessian is known within the window: its Ritz values take the place of the curvatures, the components of
    the oldest update along its Ritz vectors that of ⟨δ, e_j⟩.
    """
    inside, total = [], []
    for run, copies in pairs:
        windows, eta = run.window(W), rate(run)[W - 1 :]
        told = known(windows.sigma, run.probes["hessian"], 2) & np.isfinite(windows.curvature())
        rows = np.flatnonzero(told.all(axis=1) & np.isfinite(eta) & has_gap(run, copies, W))
        if not len(rows):
            continue
        lam, u, eta = windows.lam[rows], windows.u[rows], eta[rows]
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
    name = "k* ≤ K + 1 where R·σ_W > β + ‖N‖ (8.1, corrected; curvature of the plain loss)"
    return Reading(name, share or unknown, unknown, passes(share, SHARE) if share else None, None)


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Share of windows with k* ≤ K, against the curvatures of other windows of the same run."""
    copies = {id(run): made for run, made in zip(runs, noise, strict=True)}
    long_enough = [
        run for run in runs if knows(run, "learning_rate") and min(run.T, run.W_max) >= W
    ]  # fmt: skip
    usable = [run for run in long_enough if source(run, W) is not None and _measured(run).any()]
    if not usable:
        return PREDICTION.not_run("no run with the curvature that its optimiser sees and its learning rate")
    own, others = deciding(usable)

    def found(of: Sequence[GramSequence], bound: Bound) -> list[_Found]:
        return [one for run in of if (one := _within(run, copies[id(run)], bound)) is not None]

    gaps, enough = gap_share([(run, copies[id(run)]) for run in own], W, _measured)
    first = found(own, READINGS["k* ≤ K"])
    if not first:
        return replace(
            PREDICTION.verdict(UNDECIDED, n=len(own)), meaning="No window has a gap beyond that of noise."
        )
    readings = [_reading("k* ≤ K", first)]
    for name, bound in tried(READINGS).items():
        if name != "k* ≤ K" and (rows := found(own, bound)):
            readings.append(_reading(name, rows))
    for name, bound in tried(PLAIN, 0).items():
        if rows := found([run for run in own if "hessian" in run.probes], bound):
            readings.append(_reading(name, rows))
    for name, of in tried({"k* ≤ K, records further apart": others}, 0).items():
        if rows := found(of, READINGS["k* ≤ K"]):
            readings.append(_reading(name, rows))
    for _, of in tried({"guaranteed": own}, 0).items():
        readings.append(_guaranteed([(run, copies[id(run)]) for run in of if "hessian" in run.probes]))
    decisive = readings[0]
    verdict = decide(decisive.passes, decisive.control_passes)
    return PREDICTION.verdict(
        verdict if enough else UNDECIDED,  # of what chance makes nothing follows
        statistic=decisive.treated.value,
        control=decisive.control.value,
        statistic_name="share of windows with k* ≤ K",
        effect=decisive.treated,
        effect_name="the share",
        p_value=monte_carlo_p(
            float(np.mean([one.share for one in first])) - 1e-12,
            np.mean([one.permuted for one in first], axis=0),
        ),
        n=len(first),
        readings=tuple(readings),
        meaning=(
            f"k* is at most the number of sharp directions K in {decisive.treated.value:.0%} of the windows whose gap "
            f"exceeds that of noise ({gaps.value:.0%} of those with curvatures), and in {decisive.control.value:.0%} "
            "when the curvatures come from other windows of the run. They are those that the optimiser sees, and η is "
            "that of all steps between two records."
            + ("" if enough else " So few gaps are what chance makes.")
        ),
    )


PREDICTION = Prediction(
    number=4,
    id="krylov-bound",
    version=3,
    claim="The gap position is at most the number of directions with h_j ≥ 1/(ηW).",
    reference="Krylov bound; docs/theory.md, 8.1",
    statistic="share of windows with k* ≤ K, of those whose R exceeds that of noise",
    treatment=(
        "windows of runs recorded at every step (of all runs where there are none), h_j = v_jᵀD⁻¹Hv_j as the optimiser "
        "sees it, η that of the steps between two records"
    ),
    control="h_j of other windows of the same run",
    rule=f"≥ {SHARE:.0%} of the windows",
    boundaries=(SHARE,),
    changed_by=(
        "More windows with a gap beyond noise: full batches at every step have them, and the probe `response` "
        "(δᵀD⁻¹Hδ) costs no more Hessian products than the plain one."
    ),
    dense=True,
    judge=judge,
    published=published.KRYLOV,
    planted=worlds.planted("krylov-bound", 12),
    turned={"READINGS": neg},
    needs=Needs(config=("learning_rate",), probes=(CURVATURE,)),
)

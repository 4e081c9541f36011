"""Prediction 1: every window is above the BBP threshold."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from spectral_edge import simulate, theory
from spectral_edge.theory.gram import norms_squared
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import knows, learning_rate, metric, number
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import spectra as published
from spectral_edge.validate.referee.statistics import Estimate, geometric_mean, monte_carlo_p, short
from spectral_edge.validate.referee.verdict import NOT_SPECIFIC, Prediction, Reading, Verdict, decide, tried

W = 10
ACCEPTANCE = 5.0  # the published rule: σ_W/d_crit > 5 in every window
COPIES = 5  # white noise sequences beside each run
OVER = (
    1e-6  # a training loss that is down to this has nothing left to teach: windows from then on do not count
)


def training(run: GramSequence) -> NDArray[np.bool_]:
    """Windows, (n,), all of whose updates moved the parameters, while the training loss, if known, was above `OVER`."""
    if run.T < W:
        return np.ones(0, dtype=bool)
    moves = sliding_window_view(norms_squared(run.K) > 0, W).all(axis=1)
    loss = metric(run, "train_loss")
    if loss is None:
        return np.asarray(moves)
    over = np.maximum.accumulate(loss <= OVER)  # NaN is not below
    return np.asarray(moves & ~over[W - 1 :])


def _sigma(run: GramSequence) -> NDArray[np.float64]:
    return simulate.window_sigma(run.K, W)[training(run)]


def _a_priori(run: GramSequence) -> float:
    """Min over windows of σ_W/d_crit with ν = η/√(BP), the thesis's own scale: η and B of one step."""
    rates, P = learning_rate(run)[W - 1 :][training(run)], run.P or 0
    known = np.isfinite(rates)
    nu = theory.a_priori_nu(np.where(known, rates, 1.0), number(run, "batch_size"), P)
    return float(np.nanmin(np.where(known, _sigma(run)[:, -1] / theory.bbp_threshold(nu, P, W), np.nan)))


def _estimated(run: GramSequence) -> float:
    """The same with ν̂ from the lower half of each window's spectrum."""
    return float(np.nanmin(published.over_threshold(_sigma(run), run.P or 0)))


def _typical(ratios: ArrayLike) -> Estimate:
    """Their geometric mean; a window with fewer directions than updates has 0, which has no logarithm."""
    return geometric_mean(np.maximum(ratios, np.finfo(float).tiny))


READINGS = {"ν = η/√(BP), a priori": _a_priori, "ν̂ from the lower half": _estimated}


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Compare the weakest singular value of every window with the threshold, on the runs and on noise."""
    runs_noise = [
        (run, others) for run, others in zip(runs, noise, strict=True)
        if run.P and knows(run, "learning_rate", "batch_size")
        and min(run.T, run.W_max) >= W and training(run).any()
    ]  # fmt: skip
    if not runs_noise:
        return PREDICTION.not_run(
            "no run with its P, learning rate and batch size and a window before the loss is nil"
        )
    readings: list[Reading] = []
    weakest = weakest_noise = p_value = float("nan")  # of the first reading
    white = [worlds.white_noise(run, PREDICTION.number, COPIES) for run, _ in runs_noise]
    left_out = sum(int((~training(run)).sum()) for run, _ in runs_noise)
    for name, statistic in tried(READINGS).items():
        treated = [statistic(run) for run, _ in runs_noise]
        control = [[statistic(other) for other in others] for others in white]
        if not readings:
            # how often noise of the same size stands as high above the threshold as the runs do
            p_value = monte_carlo_p(min(treated), np.min(control, axis=0))
            weakest, weakest_noise = min(treated), float(np.min(control))
        readings.append(
            Reading(
                name,
                _typical(treated),
                _typical(np.min(control, axis=1)),
                bool(min(treated) > ACCEPTANCE),
                bool(np.min(control) > ACCEPTANCE),
            )
        )
    first = readings[0]
    return PREDICTION.verdict(
        decide(first.passes, first.control_passes),
        statistic=weakest,
        control=weakest_noise,
        statistic_name="smallest σ_W/d_crit of any window",
        effect=first.treated,
        effect_name="geometric mean over runs of the smallest σ_W/d_crit",
        p_value=p_value,
        n=len(runs_noise),
        readings=tuple(readings),
        details={"windows_left_out": left_out},
        meaning=(
            f"The weakest singular value of any window stands {short(weakest)} times above the threshold (rule: "
            f"{ACCEPTANCE:g}). White noise of the same norms stands {short(weakest_noise)} times above it: "
            + (
                "passing says nothing about signal."
                if first.control_passes
                else "passing tells signal from noise."
            )
            + (f" {left_out:,} windows of runs whose training was over do not count." if left_out else "")
        ),
    )


def _white(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    return [worlds.white_noise(run, seed, 1)[0] for run in runs]


PREDICTION = Prediction(
    number=1,
    id="bbp-vacuous",
    version=3,
    claim="Every window lies above the BBP detection threshold.",
    reference="Proposition 4.1; docs/theory.md, 2.1",
    reported="σ_W/d_crit ≫ 1 in every window; > 5 is its acceptance",
    statistic="min over windows of σ_W/d_crit",
    treatment="all runs",
    control="noise of the same effective dimension and norms, white in time",
    rule=f"> {ACCEPTANCE:g} in every window of every run while it trains (loss above {OVER:g})",
    changed_by=(
        "A noise level that is measured, where η/√(BP) is assumed: the spread of a hundred mini-batch "
        "gradients at one step of each run. The claim would say something if the runs stood higher above that "
        "threshold than noise of the same norms does."
    ),
    judge=judge,
    published=published.ABOVE_THRESHOLD,
    planted=worlds.planted("bbp-vacuous"),
    null_runs=_white,
    # noise of the same norms stands at least as high (docs/theory.md, 2.2), so no world can be specific
    expected_when_planted=NOT_SPECIFIC,
    turned={"READINGS": lambda ratio: 1 / ratio},
    needs=Needs(config=("learning_rate", "batch_size"), P=True),
)

"""Prediction 2: the gap ratio exceeds what noise gives."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from spectral_edge import simulate
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.published import spectra as published
from spectral_edge.validate.referee.series import ratio
from spectral_edge.validate.referee.statistics import Estimate, clustered_proportion, monte_carlo_p
from spectral_edge.validate.referee.verdict import Prediction, Reading, Verdict, decide, passes, tried

W = 10
QUANTILE = 0.99
MAJORITY = 0.5
DRAWS = 200  # noise sequences behind each window's quantile
SAMPLES = 4000  # windows behind the quantile of stationary noise
SEED = 2

Levels = Callable[[GramSequence], NDArray[np.float64]]


def _own_norms(run: GramSequence) -> NDArray[np.float64]:
    ratios = worlds.noise_ratios(run, DRAWS, SEED)
    quantile = np.nanquantile if np.isnan(ratios).any() else np.quantile  # the former goes window by window
    return quantile(ratios, QUANTILE, axis=0)


def _stationary(run: GramSequence) -> NDArray[np.float64]:
    P_eff, tau = worlds.noise_model(run).P_eff, worlds.mean_autocorrelation(run)
    return np.atleast_1d(
        simulate.null_quantile(QUANTILE, P_eff, W, autocorrelation=tau, n=SAMPLES, seed=SEED)
    )


def _white(run: GramSequence) -> NDArray[np.float64]:
    P_eff = worlds.noise_model(run).P_eff
    return np.atleast_1d(simulate.null_quantile(QUANTILE, P_eff, W, n=SAMPLES, seed=SEED))


#: The level that R must exceed in each window, by reading of what noise is.
READINGS: dict[str, Levels] = {
    "noise with the run's colour, record by record, and norms": _own_norms,
    "noise with the run's mean autocorrelation": _stationary,
    "white noise": _white,
}


def _share(run: GramSequence, levels: NDArray[np.float64]) -> float:
    return float(np.mean(ratio(run, W) > levels))


def _pooled(runs: Sequence[GramSequence], shares: Sequence[float]) -> Estimate:
    disjoint = np.array([(run.T - W + 1) / W for run in runs])
    return clustered_proportion(np.array(shares) * disjoint, disjoint)


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Share of windows whose R exceeds the 99 % quantile of noise, on the runs and on noise."""
    chosen = [(run, others) for run, others in zip(runs, noise, strict=True) if min(run.T, run.W_max) >= W]
    if not chosen:
        return PREDICTION.not_run(f"no run with a window of {W} updates")
    runs = [run for run, _ in chosen]
    readings: list[Reading] = []
    p_value = float("nan")  # of the first reading
    for name, levels_of in tried(READINGS).items():
        levels = [levels_of(run) for run in runs]
        treated = [_share(run, level) for run, level in zip(runs, levels, strict=True)]
        control = [
            [_share(other, level) for other in others]
            for (_, others), level in zip(chosen, levels, strict=True)
        ]
        if not readings:
            p_value = monte_carlo_p(float(np.mean(treated)), np.mean(control, axis=0))
        pooled, noise_pooled = _pooled(runs, treated), _pooled(runs, np.mean(control, axis=1).tolist())
        readings.append(
            Reading(name, pooled, noise_pooled, passes(pooled, MAJORITY), passes(noise_pooled, MAJORITY))
        )
    first, white = readings[0], readings[-1]
    return PREDICTION.verdict(
        decide(first.passes, first.control_passes),
        statistic=first.treated.value,
        control=first.control.value,
        statistic_name=f"share of windows with R above the {QUANTILE:.0%} quantile of noise",
        effect=first.treated,
        effect_name="the share",
        p_value=p_value,
        n=len(runs),
        readings=tuple(readings),
        details={"P_eff": [worlds.noise_model(run).P_eff for run in runs]},
        meaning=(
            f"R exceeds what noise with the run's own colour and norms shows in {first.treated.value:.0%} of the "
            f"windows (white noise: {white.treated.value:.0%}). What follows from the {simulate.MEMORY} updates before "
            "counts as noise here, signal included; a direction that persists beyond them does not."
        ),
    )


PREDICTION = Prediction(
    number=2,
    id="gap-above-noise",
    version=2,
    claim="The gap ratio exceeds what noise alone shows.",
    reference="remark 1.7; docs/theory.md, 2.6 and 2.7",
    statistic=f"share of windows with R above the {QUANTILE:.0%} quantile of noise",
    treatment="all runs",
    control="noise of the same effective dimension, norms and colour",
    rule=f"> {MAJORITY:.0%} of the windows",
    boundaries=(MAJORITY,),
    changed_by=(
        "Twin runs (same start, other batches): what two of them share is signal, and no model of noise is "
        "needed. Nine were made (docs/beyond.md): the gaps of a run are no larger than those of what sets it "
        "apart from its twin. More of them, with shorter stretches. Or records at every step with full batch, where a "
        "direction outlasts the four updates that noise remembers."
    ),
    judge=judge,
    published=published.HAS_GAP,
    planted=worlds.planted("gap-above-noise"),
    noise_refutes="noise does not exceed itself",
    turned={"_share": lambda share: 1 - share},
)

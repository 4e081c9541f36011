"""Prediction 3: the gap position is small."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.statistics import Estimate, against, clustered_proportion
from spectral_edge.validate.referee.verdict import Prediction, Reading, Verdict, decide, drawn, passes

W = 10
SMALL = 3
SHARE = 0.9

READINGS: dict[str, Callable[[WindowSpectra], NDArray[np.float64]]] = {
    "k* = argmax σ_j/σ_{j+1}": lambda windows: windows.k_star,
    "k* weighted by σ_j": lambda windows: windows.k_star_weighted,
}


def _shares(
    runs: Sequence[GramSequence], k_star: Callable[[WindowSpectra], NDArray[np.float64]]
) -> list[float]:
    return [float(np.mean(k_star(run.window(W)) <= SMALL)) for run in runs]


def _pooled(runs: Sequence[GramSequence], shares: Sequence[float]) -> Estimate:
    disjoint = np.array([(run.T - W + 1) / W for run in runs])
    return clustered_proportion(np.array(shares) * disjoint, disjoint)


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Share of windows with k* ≤ 3 with weight decay; without it, and in noise, it must not pass as well."""
    long = [(run, others) for run, others in zip(runs, noise, strict=True) if min(run.T, run.W_max) >= W]
    treated = [(run, others) for run, others in long if (card(run).weight_decay or 0) > 0]
    without = [run for run, _ in long if card(run).weight_decay == 0]
    if not treated:
        return PREDICTION.not_run(f"no run with weight decay and a window of {W} updates")
    chosen = [run for run, _ in treated]
    readings: list[Reading] = []
    for name, k_star in READINGS.items():
        shares = _shares(chosen, k_star)
        share = _pooled(chosen, shares)
        in_noise = np.array([_shares(others, k_star) for _, others in treated])
        controls = {"noise": _pooled(chosen, in_noise.mean(axis=1).tolist())}
        if without:
            controls["no weight decay"] = _pooled(without, _shares(without, k_star))
        if not readings:
            p_value = against(shares, list(in_noise)).p_value
        for control, estimate in controls.items():
            readings.append(
                Reading(
                    f"{name}, against {control}",
                    share,
                    estimate,
                    passes(share, SHARE),
                    passes(estimate, SHARE),
                )
            )
    first = [reading for reading in readings if reading.name.startswith(next(iter(READINGS)))]
    controls_pass = [reading.control_passes for reading in first]
    # one control that passes is enough to say that the claim is not specific
    any_passes = True if True in controls_pass else None if None in controls_pass else False
    return PREDICTION.verdict(
        decide(first[0].passes, any_passes),
        statistic=first[0].treated.value,
        control=first[0].control.value,
        statistic_name=f"share of windows with k* ≤ {SMALL}",
        effect=first[0].treated,
        effect_name="the share",
        p_value=p_value,
        n=len(chosen) + len(without),
        readings=tuple(readings),
        details={"k_star_counts": [
            np.bincount(k[np.isfinite(k)].astype(int), minlength=W)[1:].tolist()
            for k in (run.window(W).k_star for run in chosen)
        ]},
        meaning=(
            f"k* is at most {SMALL} in {first[0].treated.value:.0%} of the windows of runs with weight decay. Noise "
            f"like these runs has it there in {first[0].control.value:.0%} of its windows"
            + (f", runs without weight decay in {first[-1].control.value:.0%}." if without else ".")
        ),
    )  # fmt: skip


PREDICTION = Prediction(
    number=3,
    id="small-gap-position",
    version=1,
    claim=f"The gap position is at most {SMALL}.",
    reference="key result; docs/theory.md, section 1",
    statistic=f"share of windows with k* ≤ {SMALL}",
    treatment="runs with weight decay",
    control="runs without weight decay; noise of the same effective dimension, norms and colour",
    rule=f"≥ {SHARE:.0%} of the windows",
    judge=judge,
    planted=worlds.planted("small-gap-position", 12, with_controls=True),
    turned={"_shares": lambda shares: [1 - share for share in shares]},
    picture=drawn("positions"),
    needs=Needs(runs="runs with weight decay, and better also without", config=("weight_decay",)),
)

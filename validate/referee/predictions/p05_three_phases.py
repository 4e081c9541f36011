"""Prediction 5: the gap ratio rises, stays, and falls."""

from collections.abc import Sequence
from operator import neg

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import spectra as published
from spectral_edge.validate.referee.series import log_ratio
from spectral_edge.validate.referee.statistics import against, block_shuffled
from spectral_edge.validate.referee.verdict import Prediction, Reading, Verdict, beyond, drawn

W = 10
SURROGATES = 200
KNOTS = 24  # places where a phase may end, evenly spaced
SHORTEST = 3  # records of the shortest phase
SMALLEST = 0.05  # share of the variance: phases that explain less are of no account

Floats = NDArray[np.float64]


def phase_score(y: Floats) -> Floats:
    """How much of the variance of each row needs both a rise at first and a fall at last, (m,) for y (m, n).

    The best fit c − a·(s − t)₊ − b·(t − e)₊ with a, b > 0 over the knots s < e, less the better of the two with a or b
    alone: 0 for a series that only rises, or only falls, or falls before it rises.
    """
    n = y.shape[1]
    t = np.arange(n, dtype=float)
    centred = y - y.mean(axis=1, keepdims=True)
    variance = np.einsum("mt,mt->m", centred, centred)
    knots = np.unique(np.linspace(SHORTEST, n - 1 - SHORTEST, KNOTS).round())

    def pieces(hinges: Floats) -> tuple[Floats, Floats]:
        x = hinges - hinges.mean(axis=1, keepdims=True)
        return x, centred @ x.T

    rise, along_rise = pieces(-np.maximum(knots[:, None] - t, 0))
    fall, along_fall = pieces(-np.maximum(t - knots[:, None], 0))
    rr, ff, rf = (rise**2).sum(1), (fall**2).sum(1), rise @ fall.T
    best = np.zeros(len(y))
    alone = np.max(
        np.concatenate([np.maximum(along_rise, 0) ** 2 / rr, np.maximum(along_fall, 0) ** 2 / ff], axis=1),
        axis=1,
    )
    for i, s in enumerate(knots):
        for j in np.flatnonzero(knots >= s + SHORTEST):
            determinant = rr[i] * ff[j] - rf[i, j] ** 2
            a = (ff[j] * along_rise[:, i] - rf[i, j] * along_fall[:, j]) / determinant
            b = (rr[i] * along_fall[:, j] - rf[i, j] * along_rise[:, i]) / determinant
            explained = a * along_rise[:, i] + b * along_fall[:, j]
            best = np.where((a > 0) & (b > 0), np.maximum(best, explained), best)
    return np.divide(np.maximum(best - alone, 0), variance, out=np.zeros(len(y)), where=variance > 0)


def _scores(runs: Sequence[GramSequence]) -> Floats:
    return phase_score(np.array([log_ratio(run, W) for run in runs]))


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """The phase score of log R against that of shuffled blocks of it, and against that of noise."""
    chosen = [
        (run, others) for run, others in zip(runs, noise, strict=True)
        if run.T - W + 1 >= 4 * SHORTEST and run.W_max >= W and np.isfinite(log_ratio(run, W)).all()
    ]  # fmt: skip
    if not chosen:
        return PREDICTION.not_run(f"no run with {4 * SHORTEST} windows of {W} updates")
    observed = [_scores([run])[0] for run, _ in chosen]
    shuffled = [
        phase_score(block_shuffled(log_ratio(run, W), W, SURROGATES,
                                   np.random.default_rng(worlds.key(run, PREDICTION.number))))
        for run, _ in chosen
    ]  # fmt: skip
    blocks = against(observed, shuffled)
    others = against(observed, [_scores(copies) for _, copies in chosen])
    return PREDICTION.verdict(
        beyond((blocks, others), SMALLEST),
        statistic=blocks.treated.value,
        control=blocks.control.value,
        statistic_name="variance of log R that needs both a rise and a fall",
        effect=blocks.excess,
        effect_name="that, less what shuffled blocks give",
        p_value=max(blocks.p_value, others.p_value),
        n=len(chosen),
        readings=(
            Reading.tested("against shuffled blocks of R", blocks),
            Reading.tested("against noise", others),
        ),
        meaning=(
            f"A rise, a plateau and a fall explain {blocks.treated.value:.0%} of the variance of log R beyond what a "
            f"rise or a fall alone explains. Shuffled blocks of the same series give {blocks.control.value:.0%}, "
            f"noise gives {others.control.value:.0%}: what phases may explain beyond noise is at most "
            f"{max(0.0, others.excess.high):.0%}."
        ),
    )


PREDICTION = Prediction(
    number=5,
    id="three-phases",
    version=2,
    claim="The gap ratio rises, stays, and falls.",
    reference="figure 1C; docs/theory.md, 8.3",
    statistic="variance of log R explained by rise, plateau and fall, beyond a rise or a fall alone",
    treatment="all runs",
    control="shuffled blocks of R; noise of the same norms and colour",
    rule=f"p < 0.05 against both, and both excesses above 0; not specific where an excess of {SMALLEST:g} is excluded",
    boundaries=(0.0, SMALLEST),
    changed_by=(
        "Nothing cheap: it takes runs whose R rises, stays and falls by more than its own fluctuations, and "
        "for that records some ten times as dense around a transition; the runs are short."
    ),
    judge=judge,
    published=published.PHASES,
    planted=worlds.planted("three-phases"),
    turned={"log_ratio": neg},
    picture=drawn("phases"),
    needs=Needs(records=W + 4 * SHORTEST - 1),
)

"""Prediction 15: the gap ratio moves with the validation loss."""

from collections.abc import Sequence
from operator import neg

import numpy as np
from numpy.typing import NDArray
from scipy.signal import detrend

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import loss as published
from spectral_edge.validate.referee.series import log_loss, log_ratio, without_trend
from spectral_edge.validate.referee.statistics import against, mean, phase_randomised
from spectral_edge.validate.referee.verdict import Prediction, Reading, Verdict, beyond, drawn

W = 10
SURROGATES = 200
FEWEST = 20  # windows
SMALLEST = 0.1  # of |r|: one hundredth of the variance

Floats = NDArray[np.float64]


def _series(run: GramSequence) -> tuple[Floats, Floats] | None:
    """Log R and log loss at the windows' ends, both without trend; None where one of them is missing."""
    if min(run.T - FEWEST + 1, run.W_max) < W:
        return None
    ratio, loss = log_ratio(run, W), log_loss(run, W)
    if loss is None or not np.isfinite(ratio).all():
        return None
    return without_trend(ratio), without_trend(loss)


def strength(ratio: Floats, loss: Floats) -> float:
    """|r| of two series without trend."""
    return float(abs(ratio @ loss))


def _of_copies(copies: Sequence[GramSequence], loss: Floats) -> Floats:
    """|r| of log R of each of the noise copies with the log loss of their run."""
    ratios = [log_ratio(copy, W) for copy in copies]
    return np.array([
        strength(without_trend(ratio), loss) if np.isfinite(ratio).all() else np.nan for ratio in ratios
    ])  # fmt: skip


def _of_phases(run: GramSequence, ratio: Floats, loss: Floats) -> Floats:
    """|r| of series of the spectrum of log R, with random phases, with the log loss."""
    rng = np.random.default_rng(worlds.key(run, PREDICTION.number))
    return _strengths(phase_randomised(ratio, SURROGATES, rng), loss)


def _strengths(rows: Floats, other: Floats) -> Floats:
    """|r| of each of the rows, without its trend, with `other`."""
    rest = detrend(rows)
    length = np.linalg.norm(rest, axis=1)
    return np.array([strength(row, other) for row in rest / np.where(length > 0, length, 1.0)[:, None]])


def _of_others(run: GramSequence, ratio: Floats, others: Sequence[tuple[GramSequence, Floats]]) -> Floats:
    """|r| of log R with the log losses of the other runs, each stretched to the length of this one.

    Of runs of the same side of the contrast alone: those that learn, beside one that learns.
    """
    side = card(run).contrast[1]
    along = np.linspace(0, 1, len(ratio))
    stretched = [
        np.interp(along, np.linspace(0, 1, len(loss)), loss)
        for other, loss in others
        if other is not run and card(other).contrast[1] == side
    ]
    return _strengths(np.array(stretched), ratio) if stretched else np.zeros(0)


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """|r| of log R and log loss, against R of random phases, and against R of noise beside the same loss."""
    chosen = [
        (run, others, pair)
        for run, others in zip(runs, noise, strict=True)
        if (pair := _series(run)) is not None
    ]
    if not chosen:
        return PREDICTION.not_run(f"no run with its validation loss and {FEWEST} windows of {W} updates")
    signed = [float(ratio @ loss) for _, _, (ratio, loss) in chosen]
    observed = [strength(ratio, loss) for _, _, (ratio, loss) in chosen]
    phases = against(observed, [_of_phases(run, ratio, loss) for run, _, (ratio, loss) in chosen])
    copies = against(observed, [_of_copies(others, loss) for _, others, (_, loss) in chosen])
    losses = [(run, loss) for run, _, (_, loss) in chosen]
    elsewhere = against(observed, [_of_others(run, ratio, losses) for run, _, (ratio, _) in chosen])
    return PREDICTION.verdict(
        beyond((phases, copies, elsewhere), SMALLEST),
        statistic=phases.treated.value,
        control=phases.control.value,
        statistic_name="|r| of log R and log validation loss, without trend",
        effect=phases.excess,
        effect_name="that, less what random phases give",
        p_value=float(np.max([phases.p_value, copies.p_value, elsewhere.p_value])),
        n=len(chosen),
        readings=(Reading.tested("against random phases", phases),
                  Reading.tested("against noise beside the same loss", copies),
                  Reading.tested("against the losses of other runs", elsewhere),
                  Reading("r with its sign", mean(signed), phases.control, None, None)),
        meaning=(
            f"Without their trends, log R and log loss correlate by |r| = {phases.treated.value:.2f}; a series of the "
            f"same spectrum with random phases gives {phases.control.value:.2f}, noise beside the same loss "
            f"{copies.control.value:.2f}"
            + (f", R beside the loss of another run {elsewhere.control.value:.2f}: what runs have in common over time "
               "is not a link." if np.isfinite(elsewhere.control.value) else ". There is no other run to compare with.")
        ),
    )  # fmt: skip


PREDICTION = Prediction(
    number=15,
    id="gap-tracks-loss",
    version=2,
    claim="The gap ratio co-varies with the validation loss.",
    reference="figures 1D and 2",
    statistic="|r| of log R and log validation loss, both without trend",
    treatment="all runs",
    control="R with random phases; noise beside the same loss; R beside the losses of other runs",
    rule=f"p < 0.05 against each, and every excess above 0; not specific where an excess of {SMALLEST:g} is excluded",
    boundaries=(0.0, SMALLEST),
    changed_by=(
        "Losses on the batches that made the updates of a window, in the place of the validation loss at its "
        "end, recorded at every step: a link, if there is one, is between those."
    ),
    judge=judge,
    published=published.TRACKS,
    planted=worlds.planted("gap-tracks-loss"),
    turned={"strength": neg},
    picture=drawn("against_loss"),
    needs=Needs(metrics=("test_loss",), records=W + FEWEST - 1),
)

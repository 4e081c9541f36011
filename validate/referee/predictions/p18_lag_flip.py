"""Prediction 18: the lead of R over the loss flips its sign between W = 10 and W = 20."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import loss as published
from spectral_edge.validate.referee.series import log_loss, log_ratio, without_trend
from spectral_edge.validate.referee.statistics import (
    Comparison,
    against,
    mean,
    monte_carlo_p,
    phase_randomised,
)
from spectral_edge.validate.referee.verdict import REFUTED, SUPPORTED, UNDECIDED, Prediction, Reading, Verdict

WINDOWS = (10, 20)
LEVEL = 0.05
LONGEST = 15  # lags, in records
SURROGATES = 200
RUNS = 5  # fewer runs that correlate by themselves decide nothing
FEWEST = 60  # records of the shortest run judged: four times the longest lag

Floats = NDArray[np.float64]


def cross_correlation(ratio: Floats, loss: Floats) -> Floats:
    """Correlation of the rows of `ratio` at t with `loss` at t + l, (m, 2·LONGEST + 1): l > 0 where R leads."""
    n = ratio.shape[1]
    out = np.empty((len(ratio), 2 * LONGEST + 1))
    for column, lag in enumerate(range(-LONGEST, LONGEST + 1)):
        x, y = ratio[:, max(0, -lag) : n - max(0, lag)], loss[max(0, lag) : n + min(0, lag)]
        x = x - x.mean(axis=1, keepdims=True)
        y = y - y.mean()
        size = np.sqrt(np.einsum("mt,mt->m", x, x) * (y @ y))
        out[:, column] = np.divide(x @ y, size, out=np.zeros(len(x)), where=size > 0)
    return out


def _series(run: GramSequence, W: int) -> tuple[Floats, Floats] | None:
    if run.T < FEWEST or run.W_max < W:
        return None
    ratio, loss = log_ratio(run, W), log_loss(run, W)
    if loss is None or not np.isfinite(ratio).all():
        return None
    return without_trend(ratio), without_trend(loss)


def _both(run: GramSequence) -> list[tuple[Floats, Floats]]:
    """Those of both windows; none where one is missing."""
    found = [pair for W in WINDOWS if (pair := _series(run, W)) is not None]
    return found if len(found) == len(WINDOWS) else []


def _best(ratio: Floats, loss: Floats) -> tuple[float, float]:
    """The lag at which |r| is largest, NaN at the edge of the scan, and that |r|."""
    r = np.abs(cross_correlation(ratio[None], loss)[0])
    lag = float(r.argmax() - LONGEST)
    return lag if abs(lag) < LONGEST else float("nan"), float(r.max())


def _of_phases(run: GramSequence, ratio: Floats, loss: Floats) -> Floats:
    """The largest |r| of series of the spectrum of log R, with random phases."""
    rng = np.random.default_rng(worlds.key(run, PREDICTION.number))
    return np.abs(cross_correlation(phase_randomised(ratio, SURROGATES, rng), loss)).max(axis=1)


def _of_copies(copies: Sequence[GramSequence], W: int, loss: Floats) -> Floats:
    """The largest |r| of log R of each of the noise copies, beside the loss of their run."""
    ratios = [log_ratio(copy, W) for copy in copies]
    found, known = np.full(len(ratios), np.nan), [i for i, R in enumerate(ratios) if np.isfinite(R).all()]
    if known:
        rows = np.array([without_trend(ratios[i]) for i in known])
        found[known] = np.abs(cross_correlation(rows, loss)).max(axis=1)
    return found


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """The lag of the largest |r| between log R and log loss for both windows, each against random phases."""
    chosen = [
        (run, copies, series) for run, copies in zip(runs, noise, strict=True) if (series := _both(run))
    ]
    if not chosen:
        return PREDICTION.not_run(
            f"no run of {FEWEST} records with its validation loss and a band of {max(WINDOWS)}"
        )
    found: dict[str, Comparison] = {}
    lags: dict[int, Floats] = {}
    alone = np.ones(len(chosen), dtype=bool)  # runs whose correlations are significant one by one
    for i, W in enumerate(WINDOWS):
        pairs = [(run, copies, *series[i]) for run, copies, series in chosen]
        rows = np.array([_best(ratio, loss) for _, _, ratio, loss in pairs])
        lags[W] = rows[:, 0]
        nulls = {
            "random phases": [_of_phases(run, ratio, loss) for run, _, ratio, loss in pairs],
            "noise beside the same loss": [_of_copies(copies, W, loss) for _, copies, _, loss in pairs],
        }
        for name, draws in nulls.items():
            found[f"largest |r| at W = {W} against {name}"] = against(rows[:, 1], draws)
            alone &= [monte_carlo_p(r, row) <= LEVEL for r, row in zip(rows[:, 1], draws, strict=True)]
    known = alone & np.isfinite(lags[WINDOWS[0]] + lags[WINDOWS[1]])
    short, long = (mean(lags[W][known]) for W in WINDOWS)
    difference = mean((lags[WINDOWS[0]] - lags[WINDOWS[1]])[known])
    significant = all(one.p_value < LEVEL for one in found.values())
    flips = (short.low > 0 and long.high < 0) or (short.high < 0 and long.low > 0)
    same = (short.low > 0 and long.low > 0) or (short.high < 0 and long.high < 0)
    enough = known.sum() >= RUNS
    verdict = SUPPORTED if enough and significant and flips else REFUTED if enough and same else UNDECIDED
    return PREDICTION.verdict(
        verdict,
        statistic=short.value,
        control=long.value,
        statistic_name=f"records by which R leads the loss, W = {WINDOWS[0]} (control: W = {WINDOWS[1]})",
        effect=difference,
        effect_name="difference of the leads",
        p_value=max(one.p_value for one in found.values()),
        n=int(known.sum()),
        readings=(
            Reading(f"lead at W = {WINDOWS[0]} against W = {WINDOWS[1]}", short, long, flips, None),
            *(Reading.tested(name, one) for name, one in found.items()),
        ),
        meaning=(
            f"{known.sum()} of {len(chosen)} runs correlate by themselves at both windows, at a lag within the scan of "
            f"{LONGEST} records"
            + (
                f": there R leads the loss by {short.value:.1f} records at W = {WINDOWS[0]} and by {long.value:.1f} at "
                f"W = {WINDOWS[1]} (negative: it follows). "
                if known.any()
                else ". "
            )
            + ("" if enough else f"Fewer than {RUNS} decide nothing. ")
            + "A window looks back over W records, so its centre moves by five records "
            "between the two whatever the training does."
        ),
    )  # fmt: skip


PREDICTION = Prediction(
    number=18,
    id="lag-flip",
    version=2,
    claim="The lead of R over the loss changes its sign between W = 10 and W = 20.",
    reference="list of predictions, 18",
    statistic="lag of the largest correlation of log R and log validation loss, both without trend",
    treatment="all runs of 60 records or more",
    control="R with random phases; noise beside the same loss",
    rule=(
        f"both correlations significant against both (p < {LEVEL:g}); leads of opposite sign, intervals without 0, "
        f"over at least {RUNS} runs that correlate by themselves"
    ),
    changed_by=(
        "Records at every few steps, so that a lag of the size of a window lies well within the scan, in runs "
        "of 300 records and more: a run whose largest correlation stands at the edge, or is no larger than "
        "that of random phases, does not count."
    ),
    judge=judge,
    published=published.FLIPS,
    planted=worlds.planted("lag-flip"),
    turned={"cross_correlation": lambda r: r[..., ::-1] * np.linspace(0, 1, r.shape[-1])},
    needs=Needs(metrics=("test_loss",), records=FEWEST, band=max(WINDOWS)),
)

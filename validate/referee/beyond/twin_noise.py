"""Predictions 2 and 3, and the referee's model of noise, beside what sets twins apart.

All was set before a result was seen: windows of ten records, one in every stretch of the twin, decide; those of five,
of which a stretch holds six, are readings.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge import simulate, theory
from spectral_edge.theory.gram import window_blocks
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.beyond.finding import Finding, judged, paired
from spectral_edge.validate.referee.beyond.twins import KINDS, Twins
from spectral_edge.validate.referee.predictions.p02_gap_above_noise import DRAWS, QUANTILE
from spectral_edge.validate.referee.predictions.p03_small_gap_position import SMALL
from spectral_edge.validate.referee.statistics import Estimate, clustered_proportion, mean
from spectral_edge.validate.referee.verdict import SUPPORTED, UNDECIDED

#: The window that decides, and the other.
W, NARROW = worlds.W, 5
#: Copies of its noise that are judged beside every difference, each by noise fitted to the copy.
COPIES = 3
SEED = 18
#: The smallest excess of log R that matters. A twin that begins anew has less correlation at first, which in noise
#: alone makes a difference of 0.01.
LEAST = 0.05
#: The statements: on signal that twins share, and on the referee's noise.
SHARED, NOISE = ("twins, gap", "twins, position"), "twins, noise"


class Looked(NamedTuple):
    """What the windows of one sequence are like, those within stretches of the twin.

    Attributes
    ----------
    log_R, noise_log_R : float
        Mean over the windows; the same of noise.
    small, noise_small : float
        Share of windows with k* ≤ 3; the same of noise.
    k_star : float
        Mean.
    rank : float
        Mean over the windows of the share of noise that has a smaller R there: 1/2 for noise.
    above : float
        Share of windows whose R lies above the 99 % quantile of noise.
    windows : int
        How many of them share no update.
    """

    log_R: float
    noise_log_R: float
    small: float
    noise_small: float
    k_star: float
    rank: float
    above: float
    windows: int


def starts(T: int, stretch: int, W: int) -> NDArray[np.int64]:
    """First records of the windows that lie within one stretch.

    Examples
    --------
    >>> starts(20, 10, 10).tolist(), starts(8, 4, 3).tolist()
    ([0, 10], [0, 1, 4, 5])
    """
    first = np.arange(T - W + 1)
    return first[first // stretch == (first + W - 1) // stretch]


def within(sequence: GramSequence, stretch: int, W: int = W) -> worlds.NoiseModel:
    """Noise like `sequence` as the referee models it, but of which every stretch begins anew, as a twin does.

    Parameters
    ----------
    sequence : GramSequence
        K in full, whole stretches.
    stretch, W : int

    Returns
    -------
    worlds.NoiseModel
        The colour is fitted to every stretch by itself. Where the twin begins anew correlation breaks off, which noise
        fitted across would take for colour.
    """
    memory = min(simulate.MEMORY, (W - 1) // 2, stretch - 1)
    parts = [slice(first, first + stretch) for first in range(0, sequence.T, stretch)]
    colours = [simulate.local_colour(sequence.K[part, part], memory=memory) for part in parts]
    colour = simulate.Colour(
        np.concatenate([one.phi for one in colours]), np.concatenate([one.variance for one in colours])
    )
    P_eff = min(simulate.effective_dimension(sequence.K, colour, W), float(sequence.P or np.inf))
    return worlds.noise_model(sequence, W)._replace(P_eff=max(P_eff, 2.0 * W), colour=colour)


def _made(model: worlds.NoiseModel, rng: np.random.Generator) -> NDArray[np.float64]:
    P, norms, colour = model
    made = simulate.noise(len(norms), P=P, norms=norms, autocorrelation=colour, fix_norms=True, seed=rng)
    return made.K


def _spectra(K: NDArray[np.float64], at: NDArray[np.int64], W: int) -> NDArray[np.float64]:
    """σ of the windows that begin at `at`, (n, W)."""
    lam = np.linalg.eigvalsh(window_blocks(K, W)[at])[:, ::-1]
    return np.sqrt(np.maximum(lam, 0))


def look(
    sequence: GramSequence, model: worlds.NoiseModel, at: NDArray[np.int64], W: int, rng: np.random.Generator
) -> Looked:
    """The windows of `sequence` that begin at `at`, beside draws of noise."""
    rtol = theory.gram_rtol(W)
    own = _spectra(sequence.K, at, W)
    drawn = np.array([_spectra(_made(model, rng), at, W) for _ in range(DRAWS)])
    (R, noise_R), (k, noise_k) = (
        (of(own, rtol=rtol), of(drawn, rtol=rtol)) for of in (theory.gap_ratio, theory.gap_position)
    )
    return Looked(
        log_R=float(np.mean(np.log(R))),
        noise_log_R=float(np.mean(np.log(noise_R))),
        small=float(np.mean(k <= SMALL)),
        noise_small=float(np.mean(noise_k <= SMALL)),
        k_star=float(np.mean(k)),
        rank=float(np.mean(noise_R < R)),
        above=float(np.mean(np.quantile(noise_R, QUANTILE, axis=0) < R)),
        windows=len(np.unique(at // W)),
    )


class Beside(NamedTuple):
    """A run beside its twin, by one window.

    Attributes
    ----------
    run, sum, difference : Looked
        By noise of which every stretch begins anew (`within`).
    copies : list of Looked
        Noise like the difference, judged as the difference is.
    refereed : Looked
        The run by the referee's own noise (`worlds.noise_model`), which knows of no new starts.
    larger : float
        Share of windows in which R of the run exceeds that of the difference.
    """

    run: Looked
    sum: Looked
    difference: Looked
    copies: list[Looked]
    refereed: Looked
    larger: float


def beside(twins: Twins, W: int = W, copies: int = COPIES) -> Beside:
    """Look at a run and its twin."""
    of = {kind: twins.sequence(kind) for kind in KINDS}
    rng = np.random.default_rng(worlds.key(of["run"], SEED))
    at = starts(twins.T, twins.stretch, W)
    models = {kind: within(one, twins.stretch, W) for kind, one in of.items()}
    found = {kind: look(of[kind], model, at, W, rng) for kind, model in models.items()}
    noise = [
        GramSequence.from_inner_products(_made(models["difference"], rng), P=twins.P) for _ in range(copies)
    ]
    R, other = (
        theory.gap_ratio(_spectra(of[kind].K, at, W), rtol=theory.gram_rtol(W))
        for kind in ("run", "difference")
    )
    return Beside(
        **found,
        copies=[look(copy, within(copy, twins.stretch, W), at, W, rng) for copy in noise],
        refereed=look(of["run"], worlds.noise_model(of["run"], W), at, W, rng),
        larger=float(np.mean(other < R)),
    )


def judge(runs: Sequence[Twins], found: Sequence[Beside], narrow: Sequence[Beside] = ()) -> list[Finding]:
    """The three statements.

    Parameters
    ----------
    runs : sequence of Twins
    found : sequence of Beside
        Of each, by windows of ten.
    narrow : sequence of Beside
        Of each, by windows of five: readings.
    """
    return [_gap(runs, found, narrow), _position(found, narrow), _noise(runs, found, narrow)]


def _nulls(found: Sequence[Beside], name: str) -> tuple[Any, Any]:
    """The run against the difference: as they are, and each less its own noise."""
    own, other = (
        np.array([[getattr(one, f"{prefix}{name}") for prefix in ("", "noise_")] for one in looked])
        for looked in ([one.run for one in found], [one.difference for one in found])
    )
    return paired(own[:, 0], other[:, 0]), paired(own[:, 0] - own[:, 1], other[:, 0] - other[:, 1])


def _gap(runs: Sequence[Twins], found: Sequence[Beside], narrow: Sequence[Beside]) -> Finding:
    plain, beyond = _nulls(found, "log_R")
    readings = {
        "excess when each is taken less its own noise": beyond.excess,
        "share of windows in which the run has the larger R": _share(
            [(one.larger, one.run.windows) for one in found]
        ),
        "mean log R of the sum of the twins": mean([one.sum.log_R for one in found]),
    }
    for family in dict.fromkeys(one.family for one in runs):
        of = [one for one, run in zip(found, runs, strict=True) if run.family == family]
        readings[f"excess, {family}"] = mean([one.run.log_R - one.difference.log_R for one in of])
    if narrow:
        readings |= dict(zip(
            (f"excess, windows of {NARROW}", f"excess, windows of {NARROW}, each less its own noise"),
            (one.excess for one in _nulls(narrow, "log_R")), strict=True,
        ))  # fmt: skip
    first, last = (
        mean([float(np.mean(run.shared[place :: run.stretch])) for run in runs])
        for place in (0, runs[0].stretch - 1)
    )
    readings |= {
        "share of an update's energy that the twins have in common, first record of a stretch": first,
        "the same, last record": last,
    }
    verdict = judged((plain, beyond), smallest=LEAST)
    if verdict == SUPPORTED and min(plain.excess.low, beyond.excess.low) <= LEAST:
        verdict = UNDECIDED
    return Finding.of(
        plain, len(found), id=SHARED[0],
        claim="The gap of a run is larger than that of what sets it apart from its twin (prediction 2).",
        statistic="mean of log R over windows of ten records, the run",
        against="(δ_A − δ_B)/√2 of the run and its twin",
        verdict=verdict,
        rule=f"log R of the run exceeds that of the difference by {LEAST:g}, also with each taken less its own noise",
        readings=readings,
    )  # fmt: skip


def _position(found: Sequence[Beside], narrow: Sequence[Beside]) -> Finding:
    plain, beyond = _nulls(found, "small")
    readings = {"excess when each is taken less its own noise": beyond.excess}
    for width, looked in ((W, found), (NARROW, narrow)):
        if looked:
            readings |= {
                f"mean k*, windows of {width}, {kind}": mean([getattr(one, kind).k_star for one in looked])
                for kind in ("run", "difference")
            }
    return Finding.of(
        plain, len(found), id=SHARED[1],
        claim="The gap position of a run is small, and that of what sets it apart from its twin is not (prediction 3).",
        statistic=f"share of windows of ten records with k* ≤ {SMALL}, the run",
        against="(δ_A − δ_B)/√2 of the run and its twin",
        verdict=judged((plain, beyond)),
        rule="the share of the run exceeds that of the difference, also with each taken less its own noise",
        readings=readings,
    )  # fmt: skip


def _noise(runs: Sequence[Twins], found: Sequence[Beside], narrow: Sequence[Beside]) -> Finding:
    ranks = paired(
        [one.difference.rank for one in found],
        [float(np.mean([copy.rank for copy in one.copies])) for one in found],
    )
    level = f"share of windows above {QUANTILE:.0%} of noise"
    readings: dict[str, Estimate] = {}
    for width, looked in ((W, found), (NARROW, narrow)):
        if not looked:
            continue
        for name, shares in {
            "difference": [one.difference for one in looked],
            "noise like it": [copy for one in looked for copy in one.copies],
            "run": [one.run for one in looked],
            "run by the referee's noise": [one.refereed for one in looked],
        }.items():
            readings[f"{level}, windows of {width}, {name}"] = _share(
                [(one.above, one.windows) for one in shares]
            )
    readings["rank of the run"] = mean([one.run.rank for one in found])
    if narrow:
        readings[f"rank of the difference, windows of {NARROW}"] = mean(
            [one.difference.rank for one in narrow]
        )
    return Finding.of(
        ranks, len(found), id=NOISE,
        claim="What sets twins apart has larger gaps than the referee's noise of its norms and colour.",
        statistic="share of noise with a smaller R, mean over windows of ten records, (δ_A − δ_B)/√2",
        against="the same of noise like it, by noise fitted to that",
        verdict=judged((ranks,)),
        rule="the share of the difference exceeds that of noise",
        readings=readings,
    )  # fmt: skip


def _share(shares: Sequence[tuple[float, int]]) -> Estimate:
    """Of windows, pooled over runs."""
    share, windows = np.array(shares).T
    return clustered_proportion(share * windows, windows)

"""Formation and persistence of a gap (11.2) in the bundled dense runs with Adam; nothing is trained.

The thesis says that the *formation* of a gap is explained only where the preconditioner commutes with H, its
*persistence* also where it does not. What a formed gap is, and how it is explained, is not published. Our reading: a
gap forms at k where k is not the gap position now and is in the next window that shares no update with this one, and
persists where it is in both. Explained is what the curvatures foresee, every mode by itself (10.2), which is all there
is to say of a mode where D and H commute. D⁻¹H is symmetric on the window exactly where D and H commute on it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge import theory
from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.beyond.finding import Finding, judged, paired
from spectral_edge.validate.referee.collapse.forecasts import decay_factor, operator, propagated
from spectral_edge.validate.referee.collapse.states import LEADING
from spectral_edge.validate.referee.collapse.tracks import Tracks, W
from spectral_edge.validate.referee.statistics import Comparison, Estimate, against

Floats = NDArray[np.float64]

#: Windows of either kind that a run needs, and the smallest excess of a correlation that would matter.
FEWEST, LEAST = 10, 0.05


class Foreseen(NamedTuple):
    """What was foreseen of the gap in the windows of a run, n of them.

    Attributes
    ----------
    apart : (n,) array
        How little D and H commute: ‖A − Aᵀ‖_F/‖A + Aᵀ‖_F of A = VᵀD⁻¹HV on the leading modes.
    missed : (n,) array
        |foreseen − observed| of ln σ_k/σ_{k+1}, W records on, k the gap position there, by modes that go on by
        themselves.
    missed_together : (n,) array
        The same by the propagated window, which knows how they mix.
    formed : (n,) bool
        Whether k is another position than now.
    """

    apart: Floats
    missed: Floats
    missed_together: Floats
    formed: NDArray[np.bool_]


def apart(blocks: Floats, response: Floats, modes: int = LEADING) -> Floats:
    """‖A − Aᵀ‖_F/‖A + Aᵀ‖_F, A = VᵀD⁻¹HV on the leading modes of each window, (m,).

    Parameters
    ----------
    blocks : (m, W, W)
        Gram matrices of the windows, parameter units squared.
    response : (m, W, W)
        δ_sᵀD⁻¹Hδ_r in the same order.
    modes : int

    Examples
    --------
    >>> turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> apart(np.eye(2)[None] * [[2.0], [1.0]], np.eye(2)[None] * [[2.0], [1.0]]).round(12)
    array([0.])
    >>> K, A = np.diag([4.0, 1.0]), np.array([[1.0, 0.5], [0.0, 1.0]])
    >>> rows = np.sqrt(K)
    >>> bool(np.isclose(apart(K[None], (rows @ A @ rows)[None])[0], np.sqrt(0.5 / 8.5)))
    True
    """
    A = operator(theory.window_rows(blocks), response)[:, :modes, :modes]
    other = np.swapaxes(A, 1, 2)
    return np.asarray(np.linalg.norm(A - other, axis=(1, 2)) / np.linalg.norm(A + other, axis=(1, 2)))


def foreseen(run: GramSequence) -> Foreseen | None:
    """What curvature foresees of the gap in every window of `run`; None where it holds no response of Adam."""
    if "response" not in run.probes:
        return None
    tracks = Tracks.of(run)
    tracks = replace(tracks, looked=tracks.looked[tracks.looked + W < len(tracks.windows.steps)])
    now, later = tracks.looked, tracks.looked + W
    h, response, together = tracks.curvature, tracks.response, propagated(tracks)
    assert h is not None
    assert response is not None
    assert together is not None
    rates = tracks.optimizer.spacing * np.log(decay_factor(tracks, h))
    k_now, k = tracks.windows.k_star[now], tracks.windows.k_star[later]
    known = np.isfinite(k_now) & np.isfinite(k)
    row, upper = np.arange(len(now)), np.where(known, k, 1).astype(int) - 1

    def ratio(values: Floats) -> Floats:
        """Of the two that bound the later gap."""
        return np.asarray(values[row, upper] - values[row, upper + 1])

    with np.errstate(divide="ignore", invalid="ignore"):
        ln_now, ln_later = np.log(tracks.windows.sigma[now]), np.log(tracks.windows.sigma[later])
        alone = ratio(-np.sort(-(ln_now + W * rates), axis=1))  # strengths that overtake change their ranks
        mixed = ratio(np.log(together.sigma[:, W]))
        missed, missed_together = (np.abs(one - ratio(ln_later)) for one in (alone, mixed))
    kept = known & np.isfinite(missed)
    return Foreseen(
        apart(tracks.blocks, response)[kept], missed[kept], missed_together[kept], (k_now != k)[kept]
    )


def _rises(one: Foreseen, missed: Floats, formed: bool) -> tuple[float, Floats] | None:
    """Spearman's ρ of `apart` and what was missed, in windows of one kind, and the same with other times' `apart`."""
    kind = (one.formed == formed) & np.isfinite(missed)
    if kind.sum() < FEWEST:
        return None

    other = stats.rankdata(missed[kind])

    def rho(values: Floats) -> float:
        return float(np.corrcoef(stats.rankdata(values[kind]), other)[0, 1])

    shifts = range(3, len(one.apart) - 2)
    return rho(one.apart), np.array([rho(np.roll(one.apart, shift)) for shift in shifts])


def _compared(runs: Sequence[Foreseen], formed: bool, mixed: bool = False) -> tuple[Comparison, list[float]]:
    """Against other times, and of every run; NaN where it has too few windows."""
    found = [_rises(one, one.missed_together if mixed else one.missed, formed) for one in runs]
    known = [one for one in found if one is not None]
    return against([rho for rho, _ in known], [draws for _, draws in known]), [
        float("nan") if one is None else one[0] for one in found
    ]


def formation(runs: Sequence[Foreseen]) -> Finding:
    """The less D and H commute the worse is a formation foreseen, and a persistence not."""
    time, forms = _compared(runs, True)
    still, persists = _compared(runs, False)
    contrast = paired(forms, persists)
    mixed, _ = _compared(runs, True, mixed=True)
    readings: dict[str, Estimate] = {
        "where the gap persists": still.treated,
        "where it persists, excess over other times": still.excess,
        "excess over where it persists": contrast.excess,
        "by the propagated window, where it forms": mixed.treated,
    }
    return Finding.of(
        time, int(np.isfinite(forms).sum()), id="formation",
        claim="The formation of a gap is explained only where D and H commute, its persistence also where not.",
        statistic="ρ of ‖A − Aᵀ‖/‖A + Aᵀ‖, A = VᵀD⁻¹HV, and the error of what curvature foresees, where a gap forms",
        against="the response of other times of the run", verdict=judged((time, contrast), smallest=LEAST),
        rule="ρ exceeds that with the response of other times, and that where the gap persists",
        readings=readings,
    )  # fmt: skip


def world(seed: int, planted: bool = True, n: int = 150) -> Foreseen:
    """A run in which what is foreseen of a formation is the worse the less D and H commute, or is not.

    Examples
    --------
    >>> formation([world(seed) for seed in range(4)]).verdict
    'supported'
    """
    rng = np.random.default_rng([whole("seed", seed, 0), int(planted)])
    c = np.exp(rng.normal(size=n))
    formed = rng.random(n) < 0.3
    missed, mixed = np.exp(rng.normal(size=(2, n)))
    return Foreseen(c, missed * np.where(planted & formed, c, 1.0), mixed, formed)

"""Section 2: the published test of BBP vacuity, and what pure noise does under it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import positive, whole
from spectral_edge.theory.detection import a_priori_nu, bbp_threshold, noise_edges, noise_floor
from spectral_edge.theory.spectrum import descending
from spectral_edge.theory.spikes import direction_scale

ACCEPTANCE = 5.0  # the published rule: vacuous when sigma_W/d_crit > 5


@dataclass(frozen=True)
class BBPVacuity:
    """Whether the BBP threshold is vacuous here, and whether that means anything.

    Attributes
    ----------
    P, W : int
        Parameters and window.
    nu : float, parameter units
        A-priori noise per entry.
    d_crit, noise_floor, direction_scale : float, parameter units
        The three scales: detection (2.1), where pure noise lies (2.2), half-recovery of a direction (2.3).
    ratio : float
        min sigma_W/d_crit over the windows given; for pure noise at nu when none was given.
    noise_ratio : float
        The same ratio for pure noise, nu(sqrt(P) - sqrt(W))/d_crit, close to (P/(W - 1))^{1/4}.
    floor_ratio : float
        min sigma_W/noise_floor.
    acceptance : float
        The published rule asks for ratio > acceptance.
    observed : bool
        Whether singular values were given.
    vacuous : bool
        ratio > acceptance.
    informative : bool
        Whether the rule can tell signal from noise here: pure noise would *not* pass it.
    """

    P: int
    W: int
    nu: float
    d_crit: float
    noise_floor: float
    direction_scale: float
    ratio: float
    noise_ratio: float
    floor_ratio: float
    acceptance: float
    observed: bool
    vacuous: bool
    informative: bool

    def __str__(self) -> str:
        verdict = "vacuous" if self.vacuous else "not vacuous"
        if self.observed:
            found = (
                f"the weakest sigma_W seen lies at {self.ratio:.3g} times d_crit = {self.d_crit:.3g} and at "
                f"{self.floor_ratio:.3g} times the noise floor nu*sqrt(P) = {self.noise_floor:.3g} (noise alone "
                "gives 1)"
            )
            meaning = (
                f"pure noise would not pass this rule ({self.noise_ratio:.3g}), so passing it says something"
                if self.informative
                else f"pure noise passes too ({self.noise_ratio:.3g}), so it is no evidence of signal"
            )
        else:
            found = (
                f"pure noise lies at the noise floor nu*sqrt(P) = {self.noise_floor:.3g}, {self.ratio:.3g} times "
                f"d_crit = {self.d_crit:.3g}"
            )
            meaning = (
                "it would not pass this rule, so passing says something"
                if self.informative
                else "it passes this rule, so passing is no evidence of signal"
            )
        return (
            f"The BBP threshold is {verdict} here: {found}; {meaning}, and a direction in parameter "
            f"space is half recovered only at d = {self.direction_scale:.3g}."
        )


def bbp_vacuity(
    P: float, W: int, eta: float, B: float, sigma: ArrayLike | None = None, acceptance: float = ACCEPTANCE
) -> BBPVacuity:
    """[T] Apply the published test of BBP vacuity, with [D] what pure noise does under it (2.1-2.3).

    Parameters
    ----------
    P, W : int
        Parameters and window, 2 <= W <= P.
    eta, B : float
        Learning rate and batch size: nu = eta/sqrt(BP).
    sigma : array_like, (..., W), optional
        Singular values, descending, parameter units; the smallest sigma_W decides, rows with NaN (no
        window) are left out. Without it the question is asked of pure noise.
    acceptance : float
        The published rule is ratio > 5.

    Returns
    -------
    BBPVacuity
        ``str()`` of it is one sentence.

    Raises
    ------
    ValueError
        If a parameter is not positive, W < 2, W > P, or `sigma` is not a spectrum of W values.

    Examples
    --------
    >>> answer = bbp_vacuity(P=10**8, W=10, eta=1e-3, B=32)
    >>> answer.vacuous, answer.informative
    (True, False)
    """
    P = whole("P", P, 2)
    W = whole("W", W, 2, P)
    acceptance = float(positive("acceptance", acceptance))
    nu = float(a_priori_nu(eta, B, P))
    d_crit, floor = float(bbp_threshold(nu, P, W)), float(noise_floor(nu, P))
    noise = float(noise_edges(nu, P, W)[0])
    weakest = noise if sigma is None else _weakest(sigma, W)
    return BBPVacuity(
        P=P,
        W=W,
        nu=nu,
        d_crit=d_crit,
        noise_floor=floor,
        direction_scale=float(direction_scale(nu, P, W)),
        ratio=weakest / d_crit,
        noise_ratio=noise / d_crit,
        floor_ratio=weakest / floor,
        acceptance=acceptance,
        observed=sigma is not None,
        vacuous=weakest / d_crit > acceptance,
        informative=noise / d_crit <= acceptance,
    )


def _weakest(sigma: ArrayLike, W: int) -> float:
    array = descending("sigma", sigma)
    if array.shape[-1] != W:
        raise ValueError(f"sigma must have W = {W} values on its last axis, got {array.shape[-1]}")
    last = array[..., -1]
    if np.all(np.isnan(last)):
        raise ValueError("sigma must hold at least one window without NaN")
    return float(np.nanmin(last))

"""When two neighbouring modes will exchange ranks: every form of forecast, of every window that is looked at.

A form takes `Tracks` and returns (m, W - 1) times in records, of the modes of ranks j and j + 1 in each of the m
windows: infinite where it foresees no exchange, NaN where it cannot be evaluated. Nothing
later than the window is used.

**What is fitted.** 3.1 leaves the absolute scale of the source open, so p is multiplied by one number for both modes of
a pair, chosen so that 3.1 gives the growth of u = d² that was seen over the last windows: per mode
u̇ = −2η(h+ω)u + s·2ηWp, least squares on u̇/u. "flow, nothing fitted" takes p as measured.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spectral_edge import theory
from spectral_edge.validate.referee.collapse.continuation import AHEAD, Continuation, continued
from spectral_edge.validate.referee.collapse.states import HORIZON
from spectral_edge.validate.referee.collapse.tracks import PAST, Tracks

Floats = NDArray[np.float64]
Form = Callable[[Tracks], "Floats | None"]

#: Rank of the fitted recurrence, or as much as the window allows.
RANK = 8
#: Records back from which a forecast is checked against what has come since, and how much less wrong than the
#: propagated window the fitted one must have been to take its place.
CHECKED, HALF = 10, 0.5


# -- the window carried on (10.3, 10.4) -------------------------------------------------------------------------


def propagated(tracks: Tracks, other_time: bool = False) -> Continuation | None:
    """10.3, with the response of the window, or of another time of the run."""
    if not tracks.exact:
        return None
    return tracks.once(("propagated", other_time), lambda: _carried_on(tracks, other_time=other_time))


def _carried_on(tracks: Tracks, corrected: int = 0, other_time: bool = False) -> Continuation:
    """The windows carried on at the learning rate that they end with; nothing is said where that is not known."""
    own, response = tracks.stepping, elsewhen(tracks) if other_time else tracks.response
    assert response is not None
    assert own.name is not None
    known = np.isfinite(own.eta)
    with np.errstate(over="ignore", invalid="ignore"):  # what grows beyond all numbers is cut off
        future = theory.propagate_window(
            tracks.blocks, np.where(known[:, None, None], response, np.nan), eta=np.where(known, own.eta, 1.0),
            omega=own.omega, momentum=own.momentum, optimizer=own.name, n=AHEAD, decay=own.decay,
            interval=own.spacing, corrected=corrected,
        )  # fmt: skip
        return continued(tracks.blocks, future)


def corrected(tracks: Tracks) -> Continuation | None:
    """10.3 for gradient descent, corrected by the window's own rows: what 10.6 says each step has seen.

    For other optimisers as it is: where D changes from record to record, older rows say as much about D as about H.
    Chosen on runs of seeds 200 to 202, which are not bundled.
    """
    own = tracks.optimizer
    if not tracks.exact or (own.name, own.momentum) != ("sgd", 0) or tracks.response is None:
        return propagated(tracks)
    return tracks.once("corrected", lambda: _carried_on(tracks, min(RANK, tracks.W - 2)))


def fitted(tracks: Tracks) -> Continuation:
    """10.4, from K alone."""
    with np.errstate(over="ignore", invalid="ignore"):
        return tracks.once(
            "fitted",
            lambda: continued(
                tracks.blocks, theory.fit_window(tracks.blocks, min(RANK, tracks.W - 1), n=AHEAD)
            ),
        )


def operator(rows: Floats, response: Floats) -> Floats:
    """VᵀD⁻¹HV on the modes of each window, (m, W, W), from its rows and δ_sᵀD⁻¹Hδ_r; 0 where there is no mode."""
    sigma = np.linalg.norm(rows, axis=1)
    inverse = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=sigma > 0)
    u = rows * inverse[:, None]
    return np.asarray(inverse[:, :, None] * (np.swapaxes(u, 1, 2) @ response @ u) * inverse[:, None])


def elsewhen(tracks: Tracks) -> Floats:
    """The placebo: the response of each window with the operator of the window half the run away, in its basis."""
    rows, response = theory.window_rows(tracks.blocks), tracks.response
    assert response is not None
    A = operator(rows, response)
    other = np.roll(A, len(A) // 2, axis=0)
    return rows @ other @ np.swapaxes(rows, 1, 2)


def misses(tracks: Tracks, found: Continuation) -> Floats:
    """By how much the forecast made `CHECKED` records ago was wrong since, mean |Δ ln σ_j|, (m, W); NaN if none was."""
    when = {int(window): row for row, window in enumerate(tracks.looked)}
    out = np.full((len(tracks.looked), tracks.W), np.nan)
    for row, window in enumerate(tracks.looked):
        earlier = when.get(int(window) - CHECKED)
        if earlier is not None:
            seen = tracks.windows.sigma[window - CHECKED + 1 : window + 1]
            with np.errstate(divide="ignore", invalid="ignore"):
                out[row] = np.abs(np.log(found.sigma[earlier, 1 : CHECKED + 1] / seen)).mean(axis=0)
    return out


def checked(tracks: Tracks) -> Floats | None:
    """The propagated window, or, pair by pair, the fitted one where it has been less than half as wrong of late."""
    one = propagated(tracks)
    if one is None:
        return None
    other = fitted(tracks)
    wrong, alternative = (m[:, :-1] + m[:, 1:] for m in (misses(tracks, found) for found in (one, other)))
    better = (alternative < HALF * wrong) | (np.isnan(wrong) & np.isfinite(alternative))
    return np.where(better, other.time, one.time)


def blended(tracks: Tracks) -> Floats | None:
    """The geometric mean of what the corrected and the fitted window say; of "never", the horizon.

    They err for different reasons: one by a Hessian of another moment, the other by ten rows of which it knows nothing
    else. Chosen on runs of seeds 200 to 202.
    """
    one = corrected(tracks)
    if one is None:
        return None
    a, b = (np.minimum(found.time, HORIZON) for found in (one, fitted(tracks)))
    mean = np.sqrt(np.where(np.isnan(a), b, a) * np.where(np.isnan(b), a, b))
    return np.where(mean >= HORIZON, np.inf, mean)


def _times(make: Callable[[Tracks], Continuation | None], tracks: Tracks) -> Floats | None:
    found = make(tracks)
    return None if found is None else found.time


# -- the flow of the thesis (3.3 to 3.6), damping (10.2) --------------------------------------------------------


def pairs(values: Floats) -> Floats:
    """Values of neighbours, (…, W) to (…, W - 1, 2)."""
    return np.stack([values[..., :-1], values[..., 1:]], axis=-1)


def source_scale(tracks: Tracks, h: Floats, p: Floats) -> Floats:
    """The number by which p of a pair must be multiplied for 3.1 to give the growth that was seen, at least 0."""
    own = tracks.stepping
    pace = own.pace[:, None, None]
    u = pairs(tracks.past**2)
    level, growth = u.mean(axis=1), (u[:, -1] - u[:, 0]) / ((PAST - 1) * own.spacing)
    decay = 2 * pace * (h + own.omega)
    with np.errstate(divide="ignore", invalid="ignore"):
        source = 2 * pace * tracks.W * p / level
        scale = (source * (growth / level + decay)).sum(axis=-1) / (source**2).sum(axis=-1)
    return np.where(scale > 0, scale, 0.0)


def flow(tracks: Tracks, form: str = "exact", fit: bool = True, other_time: bool = False) -> Floats | None:
    """3.1 with the curvature and the gradient power of the window."""
    own, h, p = tracks.stepping, tracks.curvature, tracks.power
    if h is None or p is None or not tracks.steps_known:
        return None
    if other_time:
        h = np.roll(h, len(h) // 2, axis=0)
    d, h, p = (pairs(x) for x in (tracks.past[:, -1], h, p))
    if fit:
        p = p * source_scale(tracks, h, p)[..., None]
    known = np.isfinite(h).all(axis=-1) & np.isfinite(p).all(axis=-1) & (d > 0).all(axis=-1)
    pace = np.broadcast_to(own.pace[:, None], known.shape)
    known &= np.isfinite(pace)
    out = np.full(known.shape, np.nan)
    out[known] = theory.collapse_time(
        d[known], h=h[known], p=p[known], eta=pace[known], omega=own.omega, W=tracks.W, form=form
    )
    return np.where(known, never(out) / own.spacing, np.nan)


def damping(tracks: Tracks, other_time: bool = False) -> Floats | None:
    """10.2: strengths decay as the optimiser's own recurrence has them along each mode by itself, without a source."""
    own, h = tracks.optimizer, tracks.curvature
    if h is None or not tracks.steps_known:
        return None
    if other_time:
        h = np.roll(h, len(h) // 2, axis=0)
    return meeting(tracks, own.spacing * np.log(decay_factor(tracks, h)))


def decay_factor(tracks: Tracks, h: Floats) -> Floats:
    """Factor per step by which an update along a mode of curvature `h` shrinks: the larger root of 10.3."""
    own = tracks.stepping
    eta = own.eta[:, None]
    keeps = 1.0 if own.decay == "coupled" else 1 - eta * own.omega
    step = eta * (1 - own.momentum) if own.name in ("adam", "adamw") else eta
    half = (1 + own.momentum - eta * own.omega - step * h) / 2
    root = np.sqrt((half**2 - own.momentum * keeps).astype(complex))
    return np.maximum(np.maximum(np.abs(half + root), np.abs(half - root)), np.finfo(float).tiny)


# -- what knows no theory ---------------------------------------------------------------------------------------


def never(times: Floats) -> Floats:
    """Infinite where a time is not a number or lies in the past."""
    return np.where(np.isfinite(times) & (times >= 0), times, np.inf)


def meeting(tracks: Tracks, rates: Floats) -> Floats:
    """Records until ln σ_j = ln σ_{j+1} where each changes by its own rate per record, (m, W)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x = -np.diff(np.log(tracks.past[:, -1]), axis=1)
        times = x / np.diff(rates, axis=1)
    return np.where(np.isnan(rates[:, :-1] + rates[:, 1:]), np.nan, never(times))


def line(tracks: Tracks) -> Floats:
    """Ln σ goes on as it went over the last windows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return meeting(tracks, np.log(tracks.past[:, -1] / tracks.past[:, 0]) / (PAST - 1))


def line_of_gap(tracks: Tracks) -> Floats:
    """The gap σ_j − σ_{j+1} goes on as it went over the last windows."""
    gap = -np.diff(tracks.past, axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return never(gap[:, -1] / ((gap[:, 0] - gap[:, -1]) / (PAST - 1)))


def transport(tracks: Tracks) -> Floats:
    """10.6, from K alone: every row became the next in the last shift, by a factor that each mode keeps.

    The rate is a backward difference, 1 − 1/ρ where rows go on by the factor ρ, which is near −1 where they alternate.
    """
    rates = theory.transport_rate(tracks.run.K, tracks.W, lagged=True)[np.maximum(tracks.looked - 1, 0)]
    with np.errstate(divide="ignore"):
        return meeting(tracks, -np.log(np.abs(1 - rates)))


def size(tracks: Tracks) -> Floats:
    """How far the two are apart, ln(σ_j/σ_{j+1}): a control, that says which pair comes first and not when."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.diff(np.log(tracks.past[:, -1]), axis=1)


#: Forecasts by name: those of `validate.forecast` first.
FORMS: dict[str, Form] = {
    "propagated": partial(_times, propagated),
    "fitted": partial(_times, fitted),
    "corrected": partial(_times, corrected),
    "checked": checked,
    "blended": blended,
    "flow": flow,
    "flow-frozen": partial(flow, form="frozen"),
    "flow-linear": partial(flow, form="linear"),
    "flow-unfitted": partial(flow, fit=False),
    "damping": damping,
    "transport": transport,
    "line": line,
    "line-of-gap": line_of_gap,
}
#: The same with the curvature of another time of the run: what they must not be as good as.
PLACEBOS: dict[str, Form] = {
    "propagated": lambda tracks: _times(partial(propagated, other_time=True), tracks),
    "flow": partial(flow, other_time=True),
    "damping": partial(damping, other_time=True),
}

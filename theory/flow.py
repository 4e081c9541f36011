"""Section 3: the flow of the gap between two modes k and k+1, in closed form where coefficients are constant."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.theory import crossing
from spectral_edge.theory.checks import FloatArray, choice, finite, nonnegative, pair, positive
from spectral_edge.theory.crossing import TwoModes
from spectral_edge.theory.signal import equilibrium_gap, stationary_strength

FORMS = ("exact", "frozen", "linear")


class GapTerms(NamedTuple):
    """The three terms of the gap flow 3.3, parameter units per step; their sum is dg/dt.

    Attributes
    ----------
    curvature : ndarray
        Curvature asymmetry, -eta·(h_k - h_{k+1})·d_bar.
    damping : ndarray
        -eta·(h_bar + omega)·g.
    driving : ndarray
        Gradient driving, eta·W·(p_k/d_k - p_{k+1}/d_{k+1}).
    """

    curvature: FloatArray
    damping: FloatArray
    driving: FloatArray


def gap_terms(
    g: ArrayLike,
    d_bar: ArrayLike,
    *,
    h: ArrayLike,
    p: ArrayLike,
    eta: ArrayLike,
    omega: ArrayLike,
    W: ArrayLike,
) -> GapTerms:
    """[D] Curvature asymmetry, damping and gradient driving of the gap (3.3).

    Parameters
    ----------
    g, d_bar : array_like
        Gap and mean strength of modes k and k+1, parameter units, |g| < 2·d_bar.
    h, p : array_like, (..., 2)
        Curvature and gradient power of the two modes.
    eta, omega, W : array_like
        Learning rate, weight decay, window.

    Returns
    -------
    GapTerms

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> terms = gap_terms(1.0, 2.0, h=[1.0, 2.0], p=[0.0, 0.0], eta=0.1, omega=0.0, W=10)
    >>> float(terms.curvature), round(float(terms.damping), 12), float(terms.driving)
    (0.2, -0.15, 0.0)
    """
    g, d_bar = finite("g", g), positive("d_bar", d_bar)
    if np.any(np.abs(g) >= 2 * d_bar):
        raise ValueError("g must be smaller than 2·d_bar in size: both strengths are positive")
    return terms_of(g, d_bar, *_coefficients(h, p, eta, omega, W))


def terms_of(
    g: FloatArray, d_bar: FloatArray, h: FloatArray, p: FloatArray, eta: FloatArray, omega: Any, W: Any
) -> GapTerms:
    """`gap_terms` of what has been checked; a mode without gradient power may have died out."""
    strength = np.stack(np.broadcast_arrays(d_bar + g / 2, d_bar - g / 2), axis=-1)
    p, strength = np.broadcast_arrays(p, strength)
    source = np.divide(p, strength, out=np.zeros_like(strength), where=p > 0)
    return GapTerms(
        -eta * (h[..., 0] - h[..., 1]) * d_bar,
        -eta * (h.mean(axis=-1) + omega) * g,
        eta * W * (source[..., 0] - source[..., 1]),
    )


def _coefficients(
    h: ArrayLike, p: ArrayLike, eta: ArrayLike, omega: ArrayLike, W: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    power = pair("p", p)
    nonnegative("p", power)
    return pair("h", h), power, positive("eta", eta), finite("omega", omega), positive("W", W)


class LinearGapFlow(NamedTuple):
    """The gap flow linearised at g = 0, d_bar frozen (3.5): dg/dt = c - rate·g.

    Attributes
    ----------
    c : ndarray, parameter units per step
        Drive at g = 0; c > 0 viable, c < 0 collapsing.
    rate : ndarray, per step
        kappa (frozen) or kappa_eff (linear).
    """

    c: FloatArray
    rate: FloatArray

    @property
    def equilibrium(self) -> FloatArray:
        """Gap c/rate at which the linear flow rests, parameter units; NaN where rate <= 0."""
        c, rate = np.broadcast_arrays(self.c, self.rate)
        return np.divide(c, rate, out=np.full(c.shape, np.nan), where=rate > 0)

    def collapse_time(self, g0: FloatArray) -> FloatArray:
        """Time at which the gap g0 > 0 reaches 0: ln(1 + rate·g0/|c|)/rate; NaN = never.

        Parameters
        ----------
        g0 : array_like
            Gap at t = 0, parameter units.

        Returns
        -------
        ndarray, steps

        Examples
        --------
        >>> flow = linear_gap_flow(7.0, h=[0.9, 0.4], p=[2.0, 2.2], eta=1e-3, omega=0.1, W=10)
        >>> bool(flow.collapse_time(6.0) > 0)
        True
        """
        g0, c, rate = np.broadcast_arrays(g0, self.c, self.rate)
        scaled = np.divide(rate * g0, -c, out=np.full(c.shape, np.nan), where=c < 0)
        falls = (c < 0) & (g0 > 0) & (scaled > -1)
        logs = np.log1p(scaled, out=np.full(c.shape, np.nan), where=falls)
        time = np.divide(g0, -c, out=np.full(c.shape, np.nan), where=falls & (rate == 0))
        return np.divide(logs, rate, out=time, where=falls & (rate != 0))


def linear_gap_flow(
    d_bar: ArrayLike,
    *,
    h: ArrayLike,
    p: ArrayLike,
    eta: ArrayLike,
    omega: ArrayLike,
    W: ArrayLike,
    form: str = "linear",
) -> LinearGapFlow:
    """[T] Drive and damping of the gap near g = 0 with d_bar frozen; [D] for form "linear" (3.4, 3.5).

    Parameters
    ----------
    d_bar : array_like
        Mean strength, parameter units.
    h, p : array_like, (..., 2)
        Curvature and gradient power of modes k and k+1.
    eta, omega, W : array_like
        Learning rate, weight decay, window.
    form : {"linear", "frozen"}
        "frozen" is the thesis: damping kappa = eta(h_bar + omega), the driving held at g = 0. "linear" is
        the true first order: kappa_eff = kappa + eta·W(p_k + p_{k+1})/(2·d_bar²), twice kappa at
        stationary d_bar with equal modes.

    Returns
    -------
    LinearGapFlow

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> equal = dict(h=[1.0, 1.0], p=[1.0, 1.0], eta=0.1, omega=0.0, W=4)
    >>> float(linear_gap_flow(2.0, **equal).rate / linear_gap_flow(2.0, **equal, form="frozen").rate)
    2.0
    """
    choice("form", form, FORMS[1:])
    d_bar = positive("d_bar", d_bar)
    h, p, eta, omega, W = _coefficients(h, p, eta, omega, W)
    c = -eta * (h[..., 0] - h[..., 1]) * d_bar + eta * W * (p[..., 0] - p[..., 1]) / d_bar
    rate = eta * (h.mean(axis=-1) + omega)
    if form == "linear":
        rate = rate + eta * W * (p[..., 0] + p[..., 1]) / (2 * d_bar**2)
    return LinearGapFlow(np.asarray(c), np.asarray(rate))


def collapse_time(
    d0: ArrayLike,
    *,
    h: ArrayLike,
    p: ArrayLike,
    eta: ArrayLike,
    omega: ArrayLike,
    W: ArrayLike,
    form: str = "exact",
) -> FloatArray:
    """[D] First t > 0 at which the two strengths meet, constant coefficients (3.6; 3.4 and 3.5 by `form`).

    Parameters
    ----------
    d0 : array_like, (..., 2)
        Strengths of modes k and k+1 at t = 0, parameter units.
    h, p : array_like, (..., 2)
        Curvature and gradient power.
    eta, omega, W : array_like, (...)
        Learning rate, weight decay, window.
    form : {"exact", "frozen", "linear"}
        "exact": u_k(t) = u_{k+1}(t). "frozen": the thesis' ln(1 + kappa·g0/|c|)/kappa with d_bar and the
        driving held, [T]. "linear": the same with kappa_eff.

    Returns
    -------
    ndarray, (...), steps
        NaN = never.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> equal = dict(h=[1.0, 1.0], p=[0.0, 1.0], eta=0.01, omega=0.0, W=10)
    >>> float(collapse_time([2.0, 1.0], **equal).round(4))
    13.1182
    """
    choice("form", form, FORMS)
    if form == "exact":
        return crossing_times(d0, h=h, p=p, eta=eta, omega=omega, W=W).first
    d = pair("d0", d0)
    nonnegative("d0", d)
    flow = linear_gap_flow(d.mean(axis=-1), h=h, p=p, eta=eta, omega=omega, W=W, form=form)
    return flow.collapse_time(np.asarray(d[..., 0] - d[..., 1]))


class Crossings(NamedTuple):
    """Times at which u_k = u_{k+1} (3.6), in order; NaN = there is none.

    Attributes
    ----------
    first, second : ndarray, steps
        Collapse and, if it happens, re-opening.
    """

    first: FloatArray
    second: FloatArray


def _modes(
    d0: ArrayLike, h: ArrayLike, p: ArrayLike, eta: ArrayLike, omega: ArrayLike, W: ArrayLike
) -> TwoModes:
    d = pair("d0", d0)
    nonnegative("d0", d)
    h, p, eta, omega, W = _coefficients(h, p, eta, omega, W)
    da, db = d[..., 0], d[..., 1]
    stiffness, source = 2 * eta[..., None] * (h + omega[..., None]), 2 * (eta * W)[..., None] * p
    values = ((da - db) * (da + db), da**2, db**2, stiffness[..., 0], stiffness[..., 1])
    return TwoModes(*np.broadcast_arrays(*values, source[..., 0], source[..., 1]))


def crossing_times(
    d0: ArrayLike, *, h: ArrayLike, p: ArrayLike, eta: ArrayLike, omega: ArrayLike, W: ArrayLike
) -> Crossings:
    """[D] The at most two times at which u_k = u_{k+1}, constant coefficients (3.6).

    Parameters
    ----------
    d0, h, p, eta, omega, W
        As `collapse_time`.

    Returns
    -------
    Crossings

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    With equal damping, log1p(kappa·Delta/D)/(2 kappa). Otherwise the only extremum t_m of the difference
    separates the roots, and each is bracketed and solved to rounding. A double root at t_m counts once.

    Examples
    --------
    >>> times = crossing_times([1.1, 1.0], h=[1.0, 0.2], p=[1.0, 0.1], eta=0.01, omega=0.0, W=1)
    >>> float(times.first.round(3)), float(times.second)
    (nan, nan)
    """
    modes = _modes(d0, h, p, eta, omega, W)
    first, second = crossing.roots(TwoModes(*(np.ravel(field) for field in modes)))
    return Crossings(first.reshape(modes.delta.shape), second.reshape(modes.delta.shape))


def gap_regime(
    d0: ArrayLike,
    *,
    h: ArrayLike,
    p: ArrayLike,
    eta: ArrayLike,
    omega: ArrayLike,
    W: ArrayLike,
    rtol: float = 1e-9,
) -> NDArray[np.str_]:
    """[F] Regime of the gap under constant coefficients (3.8).

    Parameters
    ----------
    d0, h, p, eta, omega, W
        As `collapse_time`.
    rtol : float
        A gap that never closes is marginal when |g*| <= rtol·max(d_k*, d_{k+1}*).

    Returns
    -------
    ndarray of str, (...)
        "transient" (two crossings), "collapsing" (one), and without a crossing "marginal" or "viable".
        Where a mode has no equilibrium (h + omega <= 0) g* does not exist and "viable" means only that
        the gap never closes.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> flow = dict(eta=0.01, omega=0.0, W=10, h=[1.0, 1.0])
    >>> str(gap_regime([2.0, 1.0], p=[0.0, 1.0], **flow)), str(gap_regime([2.0, 1.0], p=[2.0, 1.0], **flow))
    ('collapsing', 'viable')
    """
    times = crossing_times(d0, h=h, p=p, eta=eta, omega=omega, W=W)
    g = equilibrium_gap(h, p, omega, W)
    omega, W = finite("omega", omega)[..., None], positive("W", W)[..., None]
    largest = np.max(stationary_strength(h, p, omega, W), axis=-1)
    flat = np.abs(g) <= float(nonnegative("rtol", rtol)) * largest
    collapsing, transient = np.isfinite(times.first), np.isfinite(times.second)
    names = np.array(["viable", "marginal", "collapsing", "transient"])
    index = np.where(flat, 1, 0)
    index = np.where(collapsing, 2, index)
    return names[np.where(transient, 3, index)]


def opening_time(
    d0: ArrayLike,
    *,
    h: ArrayLike,
    p: ArrayLike,
    eta: ArrayLike,
    omega: ArrayLike,
    W: ArrayLike,
    fraction: float = 0.9,
) -> FloatArray:
    """[D] First time at which the gap reaches a stated fraction of g* (3.6).

    Parameters
    ----------
    d0, h, p, eta, omega, W
        As `collapse_time`.
    fraction : float
        In (0, 1).

    Returns
    -------
    ndarray, (...), steps
        0 where the gap starts at or above it; NaN where g* <= 0 or does not exist.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    The first passage is looked for on 400 times, spaced geometrically between 1e-6 of the fastest and 60
    of the slowest time constant, then solved to rounding.

    Examples
    --------
    >>> flow = dict(h=[1.0, 1.0], p=[4.0, 1.0], eta=0.01, omega=0.0, W=1)
    >>> float(opening_time([1.0, 1.0], **flow, fraction=0.5).round(2))
    26.95
    """
    fraction = float(positive("fraction", fraction))
    if fraction >= 1:
        raise ValueError(f"fraction must be below 1, got {fraction}")
    m = _modes(d0, h, p, eta, omega, W)
    shape = m.delta.shape
    target = np.broadcast_to(fraction * equilibrium_gap(h, p, omega, W), shape).ravel()
    m = TwoModes(*(np.ravel(field) for field in m))
    out = np.where(np.sqrt(m.ua) - np.sqrt(m.ub) >= target, 0.0, np.nan)
    out[~(target > 0)] = np.nan
    wanted = np.isnan(out) & (target > 0)
    if np.any(wanted):
        out[wanted] = crossing.first_passage(TwoModes(*(field[wanted] for field in m)), target[wanted])
    return out.reshape(shape)

"""The gap equation as a run: integrate, locate the collapse, keep the three terms apart, draw."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.simulate import _coefficients
from spectral_edge.simulate._compiling import compiling, in_python, is_once
from spectral_edge.theory import flow
from spectral_edge.theory.checks import FloatArray, finite, nonnegative, positive, whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Coefficient = float | Callable[[float], float]
Pair = ArrayLike | tuple[Coefficient, Coefficient] | Callable[[float], tuple[float, float]]

_MAX_STEPS = 5_000_000
_FEW_STEPS = 500  # which take the interpreter about half as long as the compiled kernel takes to load


class _Found(NamedTuple):
    """How an integration ended, and what it met."""

    status: int
    reached: float
    steps: int
    minimum: float
    gap: FloatArray
    mean: FloatArray
    crossings: FloatArray


@dataclass(frozen=True)
class GapRun:
    """One integrated gap equation.

    Attributes
    ----------
    t : numpy.ndarray, shape (n,), float64
        Times (steps).
    gap, d : numpy.ndarray, shape (n,), float64
        Gap g = d_k - d_k+1 and mean signal (parameter units). Modes keep their labels: after the collapse the
        gap is negative, and the ordered gap is its absolute value.
    terms : theory.flow.GapTerms of numpy.ndarray, shape (n,), float64
        `curvature`, `damping` and `driving`, whose sum is the slope of the gap (parameter units per step).
    collapse_time, reopen_time : float
        First and second crossing of g = 0 before t_max (steps); NaN where there is none.
    crossings : numpy.ndarray, shape (c,), float64
        All crossings (steps).
    minimum : float
        The smallest gap reached (parameter units).
    regime : str
        "viable", "collapsing", "transient" or "marginal" (section 3.8 of docs/theory.md). With constant
        coefficients it belongs to the equation and not to t_max: a collapse may lie beyond. With coefficients
        in time it is what happened until t_max: no crossing, an odd number, or an even one.
    n_steps : int
        Accepted steps.
    feedback : numpy.ndarray, shape (n,), float64, or None
        With feedback, its term b(1 - eps²/g²)_+ (parameter units per step).
    """

    t: FloatArray
    gap: FloatArray
    d: FloatArray
    terms: flow.GapTerms
    collapse_time: float
    reopen_time: float
    crossings: FloatArray
    minimum: float
    regime: str
    n_steps: int
    feedback: FloatArray | None = None

    @property
    def sigma(self) -> FloatArray:
        """Both signals d_k and d_k+1, shape (n, 2), parameter units."""
        return np.stack([self.d + self.gap / 2, self.d - self.gap / 2], axis=-1)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw both signals, the gap between them, and where it closes; return the axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default axes of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> from spectral_edge import simulate
        >>> simulate.gap_ode().plot().get_xlabel()
        'time (steps)'
        """
        from spectral_edge.simulate import _figures

        return _figures.gap_run(self, ax)

    def plot_terms(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the three terms and their sum against time; return the axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default axes of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> from spectral_edge import simulate
        >>> len(simulate.gap_ode().plot_terms().lines) >= 4
        True
        """
        from spectral_edge.simulate import _figures

        return _figures.gap_terms(self, ax)

    def to_dataframe(self) -> "pd.DataFrame":
        """One row per time: t, gap, d, d_k, d_next and the three terms (needs pandas).

        Returns
        -------
        pandas.DataFrame

        Examples
        --------
        >>> from spectral_edge import simulate
        >>> list(simulate.gap_ode().to_dataframe().columns)
        ['t', 'gap', 'd', 'd_k', 'd_next', 'curvature', 'damping', 'driving']
        """
        import pandas as pd

        upper, lower = self.sigma.T
        columns = {"t": self.t, "gap": self.gap, "d": self.d, "d_k": upper, "d_next": lower}
        terms = {name: getattr(self.terms, name) for name in ("curvature", "damping", "driving")}
        return pd.DataFrame(columns | terms)


def gap_ode(
    g0: float = 6.0,
    d0: float = 7.0,
    *,
    h: Pair = (0.9, 0.4),
    p: Pair = (2.0, 2.2),
    eta: Coefficient = 1e-3,
    omega: float = 0.1,
    W: int = 10,
    t_max: float = 3000.0,
    t_eval: ArrayLike | None = None,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    max_step: float | None = None,
    feedback: tuple[float, float] | None = None,
) -> GapRun:
    """Integrate the gap equation, sections 3.3 and 3.7 of docs/theory.md; without arguments, a collapse.

    The closed system of gap and mean signal is integrated by an adaptive Dormand-Prince method of order 5(4);
    the crossing g = 0 is located to the tolerance. With constant coefficients the result agrees with the
    closed form `theory.signal_flow`.

    Parameters
    ----------
    g0 : float
        Gap at t = 0 (parameter units), at least 0.
    d0 : float
        Mean signal at t = 0 (parameter units), above g0/2.
    h, p : pair of float or callable, or one callable that returns a pair
        Curvatures (1/eta scale) and gradient powers (not negative) of modes k and k+1, constant or functions
        of time. Functions are compiled with numba if that is possible (what they read from outside is frozen
        then) and called in Python otherwise. [T] p is an effective source strength: its absolute scale is not
        derived (section 3.1).
    eta : float or callable
        Learning rate (per step), constant or a schedule.
    omega : float
        Decoupled weight decay.
    W : int
        Window.
    t_max : float
        End of the integration (steps).
    t_eval : array_like, shape (n,), optional
        Increasing output times within [0, t_max]; 501 equidistant ones by default.
    rtol, atol : float
        Tolerances of a step, relative and absolute (parameter units), on the gap and on both signals.
    max_step : float, optional
        Longest step; t_max/100 by default where a coefficient depends on time, so that no change is stepped
        over.
    feedback : (b, eps), optional
        Feedback strength (parameter units per step) and perturbation scale (parameter units) of section 7.3. The
        mean signal is frozen at d0 then, as in 3.4, and g = 0 absorbs where the drive is negative; coefficients
        must be constants. [F]

    Returns
    -------
    GapRun

    Raises
    ------
    ValueError
        For arguments out of range, a coefficient that raises or is not finite (with its t), or tolerances
        that cannot be reached.

    Examples
    --------
    >>> from spectral_edge import simulate, theory
    >>> run = simulate.gap_ode()
    >>> run.regime
    'collapsing'
    >>> exact = theory.collapse_time((10, 4), h=(0.9, 0.4), p=(2.0, 2.2), eta=1e-3, omega=0.1, W=10)
    >>> bool(abs(run.collapse_time / exact - 1) < 1e-6)
    True
    """
    g0, d0, omega, W, t_max = _checked(g0, d0, omega, W, t_max)
    rtol, atol = _tolerances(rtol, atol)
    constant = _coefficients.constants(h, p, eta)
    if feedback is not None:
        if constant is None:
            raise ValueError("h, p and eta must be constants with feedback, got a function of time")
        return _with_feedback(
            feedback, constant, g0, d0, omega, W, _output_times(t_eval, t_max), t_max, rtol, atol
        )
    if max_step is None:
        max_step = np.inf if constant else t_max / 100
    elif not max_step > 0:
        raise ValueError(f"max_step must be positive, got {max_step!r}")
    times = _output_times(t_eval, t_max)
    with nullcontext() if constant else _coefficients.compiled(h, p, eta) as function:
        start, limits = (g0, d0, omega, W, t_max), (float(max_step), rtol, atol, times)
        found = (
            _integrate_constant(constant, start, *limits)
            if constant
            else _integrate(function, start, *limits)
        )
        if found.status != 0:
            _fail(found.status, found.reached, h, p, eta, rtol, atol)
        values = np.array([function(t) if function else constant for t in times])
    gap, mean, crossings = found.gap, found.mean, found.crossings
    first, second = (float(crossings[i]) if crossings.size > i else np.nan for i in range(2))
    return GapRun(
        t=times, gap=gap, d=mean, crossings=crossings, collapse_time=first, reopen_time=second,
        terms=flow.terms_of(gap, mean, values[:, :2], values[:, 2:4], values[:, 4], omega, W),
        minimum=found.minimum, n_steps=found.steps,
        regime=_regime(g0, d0, constant, omega, W, crossings.size),
    )  # fmt: skip


def _checked(
    g0: float, d0: float, omega: float, W: int, t_max: float
) -> tuple[float, float, float, int, float]:
    for name, value in (("g0", g0), ("d0", d0), ("omega", omega), ("t_max", t_max)):
        if np.ndim(value):
            raise ValueError(
                f"{name} must be one number, got shape {np.shape(value)} (gap_sweep takes arrays)"
            )
    nonnegative("g0", g0)
    positive("d0", d0)
    if not d0 > g0 / 2:
        raise ValueError(
            f"d0 must exceed g0/2 so that both signals are positive, got d0 = {d0!r}, g0 = {g0!r}"
        )
    nonnegative("omega", omega)
    positive("t_max", t_max)
    return float(g0), float(d0), float(omega), whole("W", W, 2), float(t_max)


def _tolerances(rtol: float, atol: float) -> tuple[float, float]:
    if not 1e-13 <= rtol <= 1e-2:
        raise ValueError(f"rtol must lie between 1e-13 (rounding) and 1e-2, got {rtol!r}")
    positive("atol", atol)
    return float(rtol), float(atol)


def _output_times(t_eval: ArrayLike | None, t_max: float) -> FloatArray:
    if t_eval is None:
        return np.linspace(0.0, t_max, 501)
    times = np.atleast_1d(finite("t_eval", t_eval))
    if times.ndim != 1 or times.size == 0 or np.any(np.diff(times) < 0) or times[0] < 0 or times[-1] > t_max:
        raise ValueError(f"t_eval must be increasing times within [0, t_max = {t_max:g}], got {t_eval!r}")
    return times


def _integrate(
    function: Any,
    start: tuple[float, float, float, float, float],
    max_step: float,
    rtol: float,
    atol: float,
    times: FloatArray,
) -> _Found:
    """With coefficients of time; `start` is (g0, d0, omega, W, t_max)."""
    with compiling("the gap kernel"):
        from spectral_edge.simulate._kernels import gap as kernel
    gap, mean, crossings = np.empty(times.size), np.empty(times.size), np.empty(16)
    while True:
        end = kernel.integrate(
            function, (1.0, 1.0, 1.0, 1.0, 1.0), *start, max_step, rtol, atol, _MAX_STEPS,
            times, gap, mean, crossings,
        )  # fmt: skip
        if end.crossings <= crossings.size:
            found = crossings[: end.crossings].copy()
            return _Found(end.status, end.reached, end.steps, end.minimum, gap, mean, found)
        crossings = np.empty(end.crossings)


def _integrate_constant(
    c: tuple[float, ...], start: tuple[float, ...], max_step: float, rtol: float, atol: float, times: FloatArray
) -> _Found:  # fmt: skip
    """With constants, which have two crossings at most."""
    if is_once():
        with np.errstate(all="ignore"):  # the compiled kernel says nothing of an overflow either
            found = _run_constant(in_python("taylor"), _FEW_STEPS, c, start, max_step, rtol, atol, times)
        if found.steps < _FEW_STEPS:
            return found
    with compiling("the gap kernel"):
        from spectral_edge.simulate._kernels import taylor as kernel
    return _run_constant(kernel, _MAX_STEPS, c, start, max_step, rtol, atol, times)


def _run_constant(
    kernel: Any, max_steps: int, c: tuple[float, ...], start: tuple[float, ...], max_step: float, rtol: float,
    atol: float, times: FloatArray,
) -> _Found:  # fmt: skip
    g0, d0, omega, W, t_max = start
    gap, mean, out = np.empty(times.size), np.empty(times.size), np.empty((8, 1))
    columns = tuple(np.full(1, value) for value in (g0, d0, *c, omega, float(W), t_max))
    kernel.integrate_part(columns, 0, 1, max_step, max_steps, rtol, atol, times, gap, mean, out)
    first, second, _, minimum, _, status, reached, steps = map(float, out[:, 0])
    crossings = np.array([t for t in (first, second) if np.isfinite(t)])
    return _Found(int(status), reached, int(steps), minimum, gap, mean, crossings)


def _regime(g0: float, d0: float, c: Any, omega: float, W: int, n_crossings: int) -> str:
    """Regime of the closed form for constant coefficients `c`; else what was seen."""
    if c:
        d = (d0 + g0 / 2, d0 - g0 / 2)
        return str(flow.gap_regime(d, h=c[:2], p=c[2:4], eta=c[4], omega=omega, W=W))
    if n_crossings == 0:
        return "viable"
    return "collapsing" if n_crossings % 2 else "transient"


def _with_feedback(
    feedback: Any, constant: Any, g0: float, d0: float, omega: float, W: int, times: FloatArray, t_max: float,
    rtol: float, atol: float,
) -> GapRun:  # fmt: skip
    """The loop of 7.3: kappa and c of the frozen form 3.4, projected on g >= 0."""
    b, eps = (float(positive("feedback", part)) for part in feedback)
    h, p = constant[:2], constant[2:4]
    frozen = flow.linear_gap_flow(d0, h=h, p=p, eta=constant[4], omega=omega, W=W, form="frozen")
    kappa, c = float(positive("kappa = eta(h + omega)", frozen.rate)), float(frozen.c)
    with compiling("the feedback kernel"):
        from spectral_edge.simulate._kernels import feedback as kernel
    gap = np.empty(times.size)
    status, reached, closes, last = kernel.integrate_loop(
        (kappa, b, c, eps), g0, t_max, rtol, atol, _MAX_STEPS, times, gap
    )
    if status != 0:
        _fail(status, reached, h, p, constant[4], rtol, atol)
    driving = np.full(times.size, constant[4] * W * (p[0] - p[1]) / d0)
    terms = flow.GapTerms(np.full(times.size, c) - driving, -kappa * gap, driving)
    ratio = np.divide(eps, gap, out=np.ones(times.size), where=gap > eps)
    return GapRun(
        t=times, gap=gap, d=np.full(times.size, d0), terms=terms, collapse_time=closes, reopen_time=np.nan,
        crossings=np.array([closes])[np.isfinite([closes])], minimum=min(g0, last), n_steps=0,
        regime="viable" if np.isnan(closes) else "collapsing", feedback=b * (1 - ratio**2),
    )  # fmt: skip


def _fail(status: int, t: float, h: Any, p: Any, eta: Any, rtol: float, atol: float) -> None:
    if status == 1:
        _coefficients.complain(h, p, eta, t)
    reason = "the step fell below rounding" if status == 2 else f"{_MAX_STEPS:,} steps were not enough"
    raise ValueError(f"rtol = {rtol:g}, atol = {atol:g} cannot be reached: {reason} at t = {t:.6g}")

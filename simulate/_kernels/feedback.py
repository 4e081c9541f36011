"""The feedback loop 7.3, dg/dt = -kappa·g + c + b(1 - eps²/g²)_+, as the flow projected on g >= 0."""

import math

import numpy as np
from numba import float64, int64, njit, prange, types, void

from spectral_edge.simulate._kernels.gap import DONE, STEP_TOO_SMALL, TOO_MANY_STEPS, stepper


@njit(forceinline=True)
def loop(g, _, r):
    """Slope of the gap, as a system with an idle second variable; smooth through g = 0."""
    kappa, b, c, eps = r
    x = eps / g if g > eps else 1.0
    return c - kappa * g + b * (1.0 - x * x), 0.0, 1.0


_step = stepper(loop)


@njit
def _closing(r, g, a, dt):
    """Step length at which the gap reaches zero: bisection and secant in turn, to rounding."""
    lo, hi, f_lo, f_hi = 0.0, dt, g, g + _step(g, 0.0, a, 0.0, dt, r, r, r, r, r, r)[0]
    for i in range(200):
        x = hi - f_hi * (hi - lo) / (f_hi - f_lo) if i % 2 else 0.5 * (lo + hi)
        if not lo < x < hi:
            break
        f = g + _step(g, 0.0, a, 0.0, x, r, r, r, r, r, r)[0]
        if f > 0.0:
            lo, f_lo = x, f
        else:
            hi, f_hi = x, f
    return hi


@njit(
    types.Tuple((int64, float64, float64, float64))(
        types.UniTuple(float64, 4), float64, float64, float64, float64, int64, float64[::1], float64[::1]
    ),
    cache=True,
)  # fmt: skip
def integrate_loop(r, g, t_max, rtol, atol, max_steps, t_eval, gap):
    """Status, time reached, time at which the gap closes (NaN), last gap; fills `gap` at t_eval."""
    t, outputs, closes, dt = 0.0, 0, math.nan, t_max / 100
    a, _, _ = loop(g, 0.0, r)
    for _ in range(max_steps):
        if g <= 0.0 and a <= 0.0:  # absorbed
            closes = t if math.isnan(closes) else closes
            t = t_max
            while outputs < t_eval.size:
                gap[outputs] = 0.0
                outputs += 1
        while outputs < t_eval.size and t_eval[outputs] <= t:
            gap[outputs] = g
            outputs += 1
        if t >= t_max:
            return DONE, t, closes, g
        if t_max - t < 1.01 * dt:
            dt = t_max - t
        rise, _, a1, _, error, _, _ = _step(g, 0.0, a, 0.0, dt, r, r, r, r, r, r)
        g1 = g + rise
        scaled = abs(error) / (atol + rtol * max(abs(g), abs(g1)))
        if scaled <= 1.0:
            step = dt
            if g1 <= 0.0:
                step = _closing(r, g, a, dt)
            while outputs < t_eval.size and t_eval[outputs] <= t + step:
                gap[outputs] = g + _step(g, 0.0, a, 0.0, t_eval[outputs] - t, r, r, r, r, r, r)[0]
                outputs += 1
            t = t_max if dt == t_max - t and step == dt else t + step
            g, a = (g1, a1) if g1 > 0.0 else (0.0, r[2])
            if not math.isfinite(g):
                return STEP_TOO_SMALL, t, closes, g
        dt *= min(5.0, max(0.2, 0.9 * max(scaled, 1e-10) ** -0.2)) if math.isfinite(scaled) else 0.2
        if dt < 1e-15 * max(t, 1e-3 * t_max):
            return STEP_TOO_SMALL, t, closes, g
    return TOO_MANY_STEPS, t, closes, g


@njit
def _loop_row(row, rtol, atol, out):
    nothing = np.empty(0)
    r = (row[1], row[2], row[3], row[4])
    status, reached, closes, g = integrate_loop(r, row[0], row[5], rtol, atol, 1_000_000, nothing, nothing)
    out[0], out[1], out[2], out[3] = g, closes, status, reached


@njit(void(float64[:, ::1], float64, float64, float64[:, ::1]), parallel=True, cache=True)
def loop_rows(rows, rtol, atol, out):
    """Rows of (g0, kappa, b, c, eps, t_max) to (last gap, time of closing, status, time reached)."""
    for i in prange(rows.shape[0]):
        _loop_row(rows[i], rtol, atol, out[i])

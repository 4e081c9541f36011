"""The gap equation 3.3 with coefficients of time by adaptive Dormand-Prince 5(4): output points, crossings, minimum.

The state is (g, d) = (gap, mean signal) of modes k and k+1. A stage is evaluated in the signals d + g/2 and d - g/2,
in which 3.3 falls apart into the two halves it is the difference and the mean of (3.1): a Runge-Kutta step commutes
with linear maps, so that the step is that of (g, d), in half the operations. The coefficients are a compiled function
of time that arrives as a first-class function: the kernel is compiled once for all functions and cached. (Constants go
through `taylor`, whose recurrence they allow.) Output points and crossings come from repeating the step from its start
with another length, so they carry the fifth order of the method; an interpolant would carry the fourth.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import float64, int64, njit, types

from spectral_edge.simulate._kernels.elementary import min_of

COEFFICIENTS = types.FunctionType(types.UniTuple(float64, 5)(float64))  # t -> h_k, h_k+1, p_k, p_k+1, eta
RATES = types.UniTuple(float64, 4)

DONE, NOT_FINITE, STEP_TOO_SMALL, TOO_MANY_STEPS = 0, 1, 2, 3

MAX_STEPS = 5_000_000

_FAST = {"contract", "nsz"}


class Step(NamedTuple):
    """One step: gap and mean at its end, slopes and errors of both signals, the least signal of its stages."""

    gap: float
    mean: float
    slope_upper: float
    slope_lower: float
    error_upper: float
    error_lower: float
    least: float


class Outcome(NamedTuple):
    """How an integration ended; `reached` is its time, or where the coefficients fail."""

    status: int
    reached: float
    steps: int
    crossings: int
    minimum: float
    gap: float
    mean: float


OUTCOME = types.NamedTuple((int64, float64, int64, int64, float64, float64, float64), Outcome)


@njit(fastmath=_FAST, forceinline=True)
def rates(c, omega, W):
    """Dampings and sources of both signals as rates, from (h_k, h_k+1, p_k, p_k+1, eta)."""
    h1, h2, p1, p2, eta = c
    return eta * (h1 + omega), eta * (h2 + omega), eta * W * p1, eta * W * p2


@njit(fastmath=_FAST, forceinline=True, error_model="numpy")
def slopes(upper, lower, r):
    """Slopes of both signals, and the lesser of those that have a source, which must be positive."""
    damping1, damping2, source1, source2 = r
    at1 = upper if source1 != 0.0 else 1.0
    at2 = lower if source2 != 0.0 else 1.0
    return source1 / at1 - damping1 * upper, source2 / at2 - damping2 * lower, min_of(at1, at2)


def stepper(slopes):
    """The Dormand-Prince step for a right-hand side `slopes(g, d, rates)`."""

    @njit(fastmath=_FAST, forceinline=True, error_model="numpy")
    def dormand_prince(x, y, a1, b1, dt, r2, r3, r4, r5, r6, r7):
        """One step of length dt: increments, new slopes, error estimates, the least of the stages' third values.

        The slope that is known last is added last: the processor waits for little else.
        """
        a2, b2, low2 = slopes(x + dt * (1 / 5) * a1, y + dt * (1 / 5) * b1, r2)
        c = dt * (9 / 40)
        a3, b3, low3 = slopes(x + dt * (3 / 40) * a1 + c * a2, y + dt * (3 / 40) * b1 + c * b2, r3)
        c = dt * (32 / 9)
        a4, b4, low4 = slopes(
            x + dt * (44 / 45 * a1 - 56 / 15 * a2) + c * a3,
            y + dt * (44 / 45 * b1 - 56 / 15 * b2) + c * b3,
            r4,
        )
        c = dt * (-212 / 729)
        a5, b5, low5 = slopes(
            x + dt * (19372 / 6561 * a1 - 25360 / 2187 * a2 + 64448 / 6561 * a3) + c * a4,
            y + dt * (19372 / 6561 * b1 - 25360 / 2187 * b2 + 64448 / 6561 * b3) + c * b4,
            r5,
        )
        c = dt * (-5103 / 18656)
        a6, b6, low6 = slopes(
            x + dt * (9017 / 3168 * a1 - 355 / 33 * a2 + 46732 / 5247 * a3 + 49 / 176 * a4) + c * a5,
            y + dt * (9017 / 3168 * b1 - 355 / 33 * b2 + 46732 / 5247 * b3 + 49 / 176 * b4) + c * b5,
            r6,
        )
        c = dt * (11 / 84)
        dx = dt * (35 / 384 * a1 + 500 / 1113 * a3 + 125 / 192 * a4 - 2187 / 6784 * a5) + c * a6
        dy = dt * (35 / 384 * b1 + 500 / 1113 * b3 + 125 / 192 * b4 - 2187 / 6784 * b5) + c * b6
        a7, b7, low7 = slopes(x + dx, y + dy, r7)
        # The embedded fourth-order solution minus the fifth-order one.
        e1, e3, e4, e5, e6, e7 = -71 / 57600, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40
        error_x = dt * (e1 * a1 + e3 * a3 + e4 * a4 + e5 * a5 + e6 * a6 + e7 * a7)
        error_y = dt * (e1 * b1 + e3 * b3 + e4 * b4 + e5 * b5 + e6 * b6 + e7 * b7)
        low = min_of(min_of(min_of(low2, low3), min_of(low4, low5)), min_of(low6, low7))
        return dx, dy, a7, b7, error_x, error_y, low

    return dormand_prince


_signals_step = stepper(slopes)


@njit(fastmath=_FAST, forceinline=True)
def _step(g, d, a, b, dt, r2, r3, r4, r5, r6, r7):
    dx, dy, a1, b1, error_x, error_y, low = _signals_step(
        d + 0.5 * g, d - 0.5 * g, a, b, dt, r2, r3, r4, r5, r6, r7
    )
    return Step(g + (dx - dy), d + 0.5 * (dx + dy), a1, b1, error_x, error_y, low)


@njit(forceinline=True)
def at(coefficients, scale, t):
    """Coefficients at time t: the function's values times the trajectory's own."""
    c = coefficients(t)
    return c[0] * scale[0], c[1] * scale[1], c[2] * scale[2], c[3] * scale[3], c[4] * scale[4]


@njit(forceinline=True)
def sum_of(c):
    """Sum of a coefficient tuple: finite exactly where all five are (they do not come near overflow)."""
    return c[0] + c[1] + c[2] + c[3] + c[4]


@njit
def _advance(coefficients, problem, start, dt):
    """One step; beside it the first t where the coefficients are not finite.

    `problem` is (scale, omega, W), `start` is (t, g, d, and the slopes of the signals).
    """
    scale, omega, W = problem
    t, g, d, a, b = start
    c2 = at(coefficients, scale, t + dt * (1 / 5))
    c3 = at(coefficients, scale, t + dt * (3 / 10))
    c4 = at(coefficients, scale, t + dt * (4 / 5))
    c5 = at(coefficients, scale, t + dt * (8 / 9))
    c6 = at(coefficients, scale, t + dt)
    bad = math.nan
    for node, c in ((1.0, c6), (8 / 9, c5), (4 / 5, c4), (3 / 10, c3), (1 / 5, c2)):
        if not math.isfinite(sum_of(c)):
            bad = t + dt * node
    r6 = rates(c6, omega, W)
    r2, r3 = rates(c2, omega, W), rates(c3, omega, W)
    r4, r5 = rates(c4, omega, W), rates(c5, omega, W)
    return _step(g, d, a, b, dt, r2, r3, r4, r5, r6, r6), bad


@njit(error_model="numpy")
def _locate(of_slope, lo, hi, f_lo, f_hi, coefficients, problem, start):
    """Step length in [lo, hi] at which the gap, or its slope, vanishes: Illinois method on whole steps."""
    side = 0
    while hi - lo > 4e-16 * (start[0] + hi):
        x = hi - f_hi * (hi - lo) / (f_hi - f_lo)
        if not lo < x < hi:
            x = 0.5 * (lo + hi)
            if not lo < x < hi:
                break
        stepped, _ = _advance(coefficients, problem, start, x)
        f = stepped.slope_upper - stepped.slope_lower if of_slope else stepped.gap
        if f == 0.0:
            return x
        if (f > 0.0) == (f_hi > 0.0):
            f_lo = 0.5 * f_lo if side == 1 else f_lo
            hi, f_hi, side = x, f, 1
        else:
            f_hi = 0.5 * f_hi if side == -1 else f_hi
            lo, f_lo, side = x, f, -1
    return hi


@njit
def _events(sign, minimum, atol, crossings, n, coefficients, problem, start, dt, stepped):
    """Crossings and minimum of the gap within an accepted step, cut in two where the slope changes sign."""
    t, g, a, g1 = start[0], start[1], start[3] - start[4], stepped.gap
    a1 = stepped.slope_upper - stepped.slope_lower
    turns = (a < 0.0 < a1 and g + a * dt < max(minimum, 0.0)) or (a > 0.0 > a1 and g <= 0.0 < g + a * dt)
    lo, g_lo = 0.0, g
    for piece in range(2):
        hi, g_hi = dt, g1
        if piece == 0:
            if not turns or abs(a) * dt < 1e-2 * atol:
                continue
            hi = _locate(True, 0.0, dt, a, a1, coefficients, problem, start)
            g_hi = _advance(coefficients, problem, start, hi)[0].gap
        minimum = min(minimum, g_hi)
        if sign * g_hi < 0.0:
            if n < crossings.size:
                crossings[n] = t + _locate(False, lo, hi, g_lo, g_hi, coefficients, problem, start)
            n += 1
        if g_hi != 0.0:
            sign = math.copysign(1.0, g_hi)
        lo, g_lo = hi, g_hi
    return sign, minimum, n


@njit(fastmath=_FAST, forceinline=True, error_model="numpy")
def _error_norm(stepped, g, rtol, atol):
    """Largest error over its tolerance, of gap and signals; infinite where a stage left the domain.

    The lower signal may be far smaller than the mean, and its source turns on its own scale.
    """
    g1, d1, upper, lower = stepped.gap, stepped.mean, stepped.error_upper, stepped.error_lower
    in_g = abs(upper - lower) / (atol + rtol * max(abs(g), abs(g1)))
    in_upper = abs(upper) / (atol + rtol * abs(d1 + 0.5 * g1))
    in_lower = abs(lower) / (atol + rtol * abs(d1 - 0.5 * g1))
    total = in_g + in_upper + in_lower
    error = -min_of(-in_g, min_of(-in_upper, -in_lower))
    return error if stepped.least > 0.0 and total < math.inf else math.inf


@njit(forceinline=True)
def _log2(x):
    """Binary logarithm of a positive number to 0.05: the bits of a number, read as a whole one, are nearly that."""
    return np.float64(x).view(np.int64) * 2.0**-52 - 1022.957


@njit(forceinline=True)
def _exp2(x):
    """Power of two, to 3 %, of -1000 < x < 1000."""
    return np.int64((x + 1022.957) * 2.0**52).view(np.float64)


@njit(
    OUTCOME(
        COEFFICIENTS, types.UniTuple(float64, 5), float64, float64, float64, int64, float64, float64,
        float64, float64, int64, float64[::1], float64[::1], float64[::1], float64[::1],
    ),
    error_model="numpy", cache=True,
)  # fmt: skip
def integrate(
    coefficients,
    scale,
    g,
    d,
    omega,
    W,
    t_max,
    max_step,
    rtol,
    atol,
    max_steps,
    t_eval,
    gap,
    mean,
    crossings,
):
    """Integrate from 0 to t_max; fill `gap`, `mean` at t_eval and the first `crossings`.

    The coefficients are those of the function times `scale`.

    All crossings are counted, those that find room are kept.
    """
    c = at(coefficients, scale, 0.0)
    if not math.isfinite(sum_of(c)):
        return Outcome(NOT_FINITE, 0.0, 0, 0, g, g, d)
    r = rates(c, omega, W)
    problem = (scale, omega, W)
    a, b, _ = slopes(d + 0.5 * g, d - 0.5 * g, r)
    sign = math.copysign(1.0, g) if g != 0.0 else (math.copysign(1.0, a - b) if a != b else 0.0)
    # `previous` is the binary logarithm of the last error: the step follows it too (PI control)
    t, minimum, n_crossings, steps, outputs, previous = 0.0, g, 0, 0, 0, -13.0
    while outputs < t_eval.size and t_eval[outputs] <= 0.0:
        gap[outputs], mean[outputs] = g, d
        outputs += 1
    dt = min(0.05 * rtol**0.2 * (abs(d) + atol) / (abs(a - b) + 0.5 * abs(a + b) + 1e-300), t_max, max_step)
    rejected = False
    for _ in range(max_steps):
        if t_max - t < 1.01 * dt:  # the last step ends exactly at t_max
            dt = t_max - t
        start = (t, g, d, a, b)
        stepped, bad = _advance(coefficients, problem, start, dt)
        if not math.isnan(bad):
            return Outcome(NOT_FINITE, bad, steps, n_crossings, minimum, g, d)
        error = _error_norm(stepped, g, rtol, atol)
        if error <= 1.0:
            if (
                sign * stepped.gap <= 0.0 or (a - b) * (stepped.slope_upper - stepped.slope_lower) < 0.0
            ):  # a crossing or an extremum: rare
                sign, minimum, n_crossings = _events(
                    sign, minimum, atol, crossings, n_crossings, coefficients, problem, start, dt, stepped
                )
            minimum = min(minimum, stepped.gap)
            t_next = t_max if dt == t_max - t else t + dt
            while outputs < t_eval.size and t_eval[outputs] <= t_next:
                part, _ = _advance(coefficients, problem, start, t_eval[outputs] - t)
                gap[outputs], mean[outputs] = part.gap, part.mean
                outputs += 1
            t, g, d, a, b = t_next, stepped.gap, stepped.mean, stepped.slope_upper, stepped.slope_lower
            steps += 1
            if t >= t_max:
                return Outcome(DONE, t, steps, n_crossings, minimum, g, d)
            now = _log2(max(error, 1e-10))
            factor = 0.885 * _exp2(0.04 * previous - 0.17 * now)
            factor = min(max(factor, 0.2), 1.0 if rejected else 8.0)
            previous, rejected = max(now, -13.0), False
        else:
            factor = max(0.1, 0.9 * error**-0.2) if math.isfinite(error) else 0.1
            rejected = True
        dt = min(dt * factor, max_step)
        if dt < 1e-15 * max(t, 1e-3 * t_max):
            return Outcome(STEP_TOO_SMALL, t, steps, n_crossings, minimum, g, d)
    return Outcome(TOO_MANY_STEPS, t, steps, n_crossings, minimum, g, d)

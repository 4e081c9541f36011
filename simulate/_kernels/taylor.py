"""The gap equation 3.3 with constant coefficients by Taylor steps of order 16, many trajectories side by side.

Each signal obeys x' = s/x - d x (3.1), that is (x²)' = 2s - 2d x². With x = x_0 (1 + y_1 t + y_2 t² + ...) and halved
coefficients q_n of (x/x_0)², q_n = -2d/n q_(n-1) from q_1 = y_1 = s/x_0² - d on, and y_n is q_n less the products of
the y before it: there is no division in the recurrence. The step is the one at which the last two terms are as large
as the tolerance allows, so that none is rejected; the gap's crossings and minima are roots of the step's own
polynomial.

A work space has a row of LANES numbers for every quantity. All lanes take a step in one loop without branches, which
the compiler turns into vector instructions; a trajectory that ends gives its lane to the next in the queue, so that
none waits for the longest. What is rare (a crossing, an output, the end) is marked and done lane by lane. Loops run
over whole vectors: the bits of a trajectory do not depend on its lane or on its neighbours.
"""

import math

import numpy as np
from numba import float64, int64, njit

from spectral_edge.simulate._kernels.elementary import inner, max_of, min_of
from spectral_edge.simulate._kernels.exact import COLUMNS, FAST, whole

_TIMES = float64[::1]
PART = int64(COLUMNS, int64, int64, float64, int64, float64, float64, _TIMES, _TIMES, _TIMES, float64[:, ::1])

DONE, STEP_TOO_SMALL, TOO_MANY_STEPS = 0, 2, 3
MAX_STEPS = 5_000_000

LANES = 32
ORDER = 16
_SAFETY = 0.75  # of the step: the sixteenth power is what remains of the tolerance for the last term
_LEAST = 1e-280  # of a square that is divided by: a signal without source may decay to rounding

# Rows: the trajectory, its state, what the step began with, and what became of it.
_S1, _S2, _D1, _D2, _T_MAX, _NEXT_OUTPUT = (row * LANES for row in range(6))
_T, _X1, _X2, _R1, _R2, _SLOPE, _STEPS = (row * LANES for row in range(6, 13))
_T_0, _X1_0, _X2_0, _R1_0, _R2_0, _SLOPE_0, _H = (row * LANES for row in range(13, 20))
_SIGN, _MINIMUM, _COUNT, _FIRST, _SECOND, _MARKED, _OWN = (row * LANES for row in range(20, 27))
_ROWS = 27
_Y, _Z, _C, _C_1 = (_ROWS * LANES + polynomial * (ORDER + 1) for polynomial in range(4))  # behind them


@inner(fastmath=FAST, forceinline=True, error_model="numpy")
def _series(r, d):
    """y_1 ... y_16 of a signal with damping d and source r = s/x²."""
    c = -2.0 * d
    y1 = r - d
    q2 = 1 / 2 * c * y1
    q3 = 1 / 3 * c * q2
    q4 = 1 / 4 * c * q3
    q5 = 1 / 5 * c * q4
    q6 = 1 / 6 * c * q5
    q7 = 1 / 7 * c * q6
    q8 = 1 / 8 * c * q7
    q9 = 1 / 9 * c * q8
    q10 = 1 / 10 * c * q9
    q11 = 1 / 11 * c * q10
    q12 = 1 / 12 * c * q11
    q13 = 1 / 13 * c * q12
    q14 = 1 / 14 * c * q13
    q15 = 1 / 15 * c * q14
    q16 = 1 / 16 * c * q15
    y2 = q2 - 0.5 * y1 * y1
    y3 = q3 - y1 * y2
    y4 = q4 - 0.5 * y2 * y2 - y1 * y3
    y5 = q5 - y2 * y3 - y1 * y4
    y6 = q6 - 0.5 * y3 * y3 - y2 * y4 - y1 * y5
    y7 = q7 - y3 * y4 - y2 * y5 - y1 * y6
    y8 = q8 - 0.5 * y4 * y4 - y3 * y5 - y2 * y6 - y1 * y7
    y9 = q9 - y4 * y5 - y3 * y6 - y2 * y7 - y1 * y8
    y10 = q10 - 0.5 * y5 * y5 - y4 * y6 - y3 * y7 - y2 * y8 - y1 * y9
    y11 = q11 - y5 * y6 - y4 * y7 - y3 * y8 - y2 * y9 - y1 * y10
    y12 = q12 - 0.5 * y6 * y6 - y5 * y7 - y4 * y8 - y3 * y9 - y2 * y10 - y1 * y11
    y13 = q13 - y6 * y7 - y5 * y8 - y4 * y9 - y3 * y10 - y2 * y11 - y1 * y12
    y14 = q14 - 0.5 * y7 * y7 - y6 * y8 - y5 * y9 - y4 * y10 - y3 * y11 - y2 * y12 - y1 * y13
    y15 = q15 - y7 * y8 - y6 * y9 - y5 * y10 - y4 * y11 - y3 * y12 - y2 * y13 - y1 * y14
    y16 = q16 - 0.5 * y8 * y8 - y7 * y9 - y6 * y10 - y5 * y11 - y4 * y12 - y3 * y13 - y2 * y14 - y1 * y15
    return y1, y2, y3, y4, y5, y6, y7, y8, y9, y10, y11, y12, y13, y14, y15, y16


@inner(fastmath=FAST, forceinline=True)
def _sum(y, h):
    """1 + y_1 h + ... + y_16 h^16, even and odd terms apart: they do not wait for one another."""
    s = h * h
    high = y[7] + s * (y[9] + s * (y[11] + s * (y[13] + s * y[15])))
    even = 1.0 + s * (y[1] + s * (y[3] + s * (y[5] + s * high)))
    high = y[6] + s * (y[8] + s * (y[10] + s * (y[12] + s * y[14])))
    return even + h * (y[0] + s * (y[2] + s * (y[4] + s * high)))


@inner(forceinline=True)
def _log2(x):
    """Binary logarithm to 0.05: the upper half of a number's bits, read as a whole number, is nearly that."""
    bits = (np.float64(x).view(np.int64) >> 32) | 0x4330000000000000  # 2^52 and those bits
    return (np.int64(bits).view(np.float64) - 2.0**52) * 2.0**-20 - 1022.957


@inner(forceinline=True)
def _exp2(x):
    """Power of two, to 3 %, of -1000 < x < 1000, by the same way back."""
    bits = (
        np.float64(x + (1022.957 + 1.5 * 2.0**32)).view(np.int64) << 32
    )  # 20 places behind the point are kept
    return np.int64(bits).view(np.float64)


@inner(fastmath=FAST, forceinline=True, error_model="numpy")
def _step_length(x1, x2, y, z, rtol, atol):
    """Where the last two terms of both signals reach the tolerance of the gap, and a thousandth of their own signal."""
    inverse = 1.0 / (atol + rtol * min_of(abs(x1 - x2), min_of(x1, x2)))
    c1, c2 = max_of(x1 * inverse, 1e3), max_of(x2 * inverse, 1e3)
    last, before = max_of(abs(c1 * y[15]), abs(c2 * z[15])), max_of(abs(c1 * y[14]), abs(c2 * z[14]))
    return _SAFETY * _exp2(min_of(_log2(last) * (-1 / 16), _log2(before) * (-1 / 15)))


@inner(fastmath=FAST, forceinline=True)
def _turns(g, a, a1, h, minimum, atol):
    """Whether the gap turns within a step so that it may reach a new minimum there, or zero."""
    bottom = minimum if minimum > 0.0 else 0.0
    falls, rises = (a < 0.0) & (a1 > 0.0), (a > 0.0) & (a1 < 0.0)
    ahead = g + a * h
    seen = (falls & (ahead < bottom)) | (rises & (g <= 0.0) & (ahead > 0.0))
    return seen & (abs(a) * h > 1e-2 * atol)


@inner(fastmath=FAST, error_model="numpy")
def _advance(n, w, max_step, max_steps, rtol, atol):
    """One step of n lanes; those that need more are marked."""
    for i in range(n):
        x1, x2, d1, d2, r1, r2 = w[_X1 + i], w[_X2 + i], w[_D1 + i], w[_D2 + i], w[_R1 + i], w[_R2 + i]
        t, t_max, a = w[_T + i], w[_T_MAX + i], w[_SLOPE + i]
        y, z = _series(r1, d1), _series(r2, d2)
        h = min_of(_step_length(x1, x2, y, z, rtol, atol), max_step)
        left = t_max - t
        last = left < 1.01 * h  # the last step ends exactly at t_max
        h = left if last else h
        w[_T_0 + i], w[_X1_0 + i], w[_X2_0 + i], w[_R1_0 + i], w[_R2_0 + i] = t, x1, x2, r1, r2
        w[_SLOPE_0 + i], w[_H + i] = a, h
        g = x1 - x2
        x1, x2 = x1 * _sum(y, h), x2 * _sum(z, h)
        square1, square2 = x1 * x1, x2 * x2
        r1 = w[_S1 + i] / (square1 if square1 > _LEAST else _LEAST)
        r2 = w[_S2 + i] / (square2 if square2 > _LEAST else _LEAST)
        slope = x1 * (r1 - d1) - x2 * (r2 - d2)
        turns = _turns(g, a, slope, h, w[_MINIMUM + i], atol)
        w[_MINIMUM + i] = min_of(x1 - x2, w[_MINIMUM + i])
        t = t_max if last else t + h
        steps = w[_STEPS + i] + 1.0
        least = 1e-15 * (t if t > 1e-3 * t_max else 1e-3 * t_max)
        fails = (steps >= max_steps) | (not (last | (h >= least))) | (not x1 + x2 < math.inf)
        wanted = last | fails | (t >= w[_NEXT_OUTPUT + i])
        w[_MARKED + i] = 1.0 if wanted | turns | (w[_SIGN + i] * (x1 - x2) <= 0.0) else 0.0
        w[_T + i], w[_X1 + i], w[_X2 + i], w[_R1 + i], w[_R2 + i] = t, x1, x2, r1, r2
        w[_SLOPE + i], w[_STEPS + i] = slope, steps


@inner
def _load(columns, i, lane, w):
    """Give a lane to trajectory i."""
    g, d, eta, omega = columns[0][i], columns[1][i], columns[6][i], columns[7][i]
    x1, x2, source = d + 0.5 * g, d - 0.5 * g, eta * columns[8][i]
    d1, d2 = eta * (columns[2][i] + omega), eta * (columns[3][i] + omega)
    s1, s2 = source * columns[4][i], source * columns[5][i]
    r1, r2 = s1 / max_of(_LEAST, x1 * x1), s2 / max_of(_LEAST, x2 * x2)
    slope = x1 * (r1 - d1) - x2 * (r2 - d2)
    w[_S1 + lane], w[_S2 + lane], w[_D1 + lane], w[_D2 + lane], w[_T_MAX + lane] = (
        s1,
        s2,
        d1,
        d2,
        columns[9][i],
    )
    w[_T + lane], w[_X1 + lane], w[_X2 + lane], w[_R1 + lane], w[_R2 + lane] = 0.0, x1, x2, r1, r2
    w[_SLOPE + lane], w[_STEPS + lane], w[_MINIMUM + lane], w[_COUNT + lane] = slope, 0.0, g, 0.0
    first = g if g != 0.0 else slope
    w[_SIGN + lane] = math.copysign(1.0, first) if first != 0.0 else 0.0
    w[_FIRST + lane] = w[_SECOND + lane] = math.nan
    w[_OWN + lane] = i


@inner
def _fill_series(x, r, d, y):
    """The same coefficients for one signal, times x, into an array: quick to compile, and rarely wanted."""
    y[0] = 1.0
    y[1] = q = r - d
    for n in range(2, ORDER + 1):
        q *= -2.0 * d / n
        products = 0.0
        for k in range(1, n):
            products += y[k] * y[n - k]
        y[n] = q - 0.5 * products
    for n in range(ORDER + 1):
        y[n] *= x


@inner
def _value(c, h):
    total = c[ORDER]
    for n in range(ORDER - 1, -1, -1):
        total = total * h + c[n]
    return total


@inner(error_model="numpy")
def _locate(c, t, lo, hi, f_lo, f_hi):
    """Where in [lo, hi] the polynomial vanishes: Illinois method."""
    side = 0
    while hi - lo > 4e-16 * (t + hi):
        x = hi - f_hi * (hi - lo) / (f_hi - f_lo)
        if not lo < x < hi:
            x = 0.5 * (lo + hi)
            if not lo < x < hi:
                break
        f = _value(c, x)
        if f == 0.0:
            return x
        if (f > 0.0) == (f_hi > 0.0):
            f_lo = 0.5 * f_lo if side == 1 else f_lo
            hi, f_hi, side = x, f, 1
        else:
            f_hi = 0.5 * f_hi if side == -1 else f_hi
            lo, f_lo, side = x, f, -1
    return hi


@inner
def _events(lane, w, c, slope, atol):
    """Crossings and the minimum of the gap within a step, cut in two where it turns; c and slope are polynomials."""
    t, h, sign, minimum = w[_T_0 + lane], w[_H + lane], w[_SIGN + lane], w[_MINIMUM + lane]
    a, a1, lo, g_lo = w[_SLOPE_0 + lane], w[_SLOPE + lane], 0.0, c[0]
    for piece in range(2):
        hi, g_hi = h, w[_X1 + lane] - w[_X2 + lane]
        if piece == 0:
            if not _turns(g_lo, a, a1, h, minimum, atol):
                continue
            hi = _locate(slope, t, 0.0, h, a, a1)
            g_hi = _value(c, hi)
        minimum = min_of(g_hi, minimum)
        if sign * g_hi < 0.0:
            root = t + _locate(c, t, lo, hi, g_lo, g_hi)
            w[_FIRST + lane] = root if w[_COUNT + lane] == 0.0 else w[_FIRST + lane]
            w[_SECOND + lane] = root if w[_COUNT + lane] == 1.0 else w[_SECOND + lane]
            w[_COUNT + lane] += 1.0
        if g_hi != 0.0:
            sign = math.copysign(1.0, g_hi)
        lo, g_lo = hi, g_hi
    w[_SIGN + lane], w[_MINIMUM + lane] = sign, minimum


@inner
def _status(lane, w, max_steps):
    """-1 while the lane goes on."""
    if not w[_X1 + lane] + w[_X2 + lane] < math.inf:
        return STEP_TOO_SMALL
    if w[_T + lane] >= w[_T_MAX + lane]:
        return DONE
    if w[_STEPS + lane] >= max_steps:
        return TOO_MANY_STEPS
    least = 1e-15 * max_of(1e-3 * w[_T_MAX + lane], w[_T + lane])
    return -1 if w[_H + lane] >= least else STEP_TOO_SMALL


@inner
def _write_outputs(lane, w, y, z, t_eval, done, gap, mean):
    """Fill gap and mean at the times of t_eval up to the step's end; return how many are done."""
    while done < t_eval.size and t_eval[done] <= w[_T + lane]:
        x1, x2 = w[_X1 + lane], w[_X2 + lane]
        if t_eval[done] < w[_T + lane]:
            x1, x2 = _value(y, t_eval[done] - w[_T_0 + lane]), _value(z, t_eval[done] - w[_T_0 + lane])
        gap[done], mean[done] = x1 - x2, 0.5 * (x1 + x2)
        done += 1
    w[_NEXT_OUTPUT + lane] = t_eval[done] if done < t_eval.size else math.inf
    return done


@inner
def _write(lane, w, status, out):
    i = int(w[_OWN + lane])
    out[0, i], out[1, i], out[2, i] = w[_FIRST + lane], w[_SECOND + lane], w[_X1 + lane] - w[_X2 + lane]
    out[3, i], out[4, i], out[5, i], out[6, i] = w[_MINIMUM + lane], w[_COUNT + lane], status, w[_T + lane]
    out[7, i] = w[_STEPS + lane]


@njit(PART, nogil=True, cache=True)
def integrate_part(columns, start, stop, max_step, max_steps, rtol, atol, t_eval, gap, mean, out):
    """Integrate the trajectories from `start` to `stop`; return how many.

    `out` gets a row each of first and second crossing, last and least gap, crossings, status, time reached and steps.
    One trajectory alone also fills `gap` and `mean` at the times `t_eval`.
    """
    work = np.zeros(_ROWS * LANES + 4 * (ORDER + 1))  # in one: every kind of array takes time to compile
    w, y, z = work, work[_Y : _Y + ORDER + 1], work[_Z : _Z + ORDER + 1]
    c, slope = work[_C : _C + ORDER + 1], work[_C_1 : _C_1 + ORDER + 1]
    zero = 0 * start  # numba knows constants, and compiles another version of a function for each
    waiting, n, done = start, zero, zero
    w[_NEXT_OUTPUT : _NEXT_OUTPUT + LANES] = t_eval[0] if t_eval.size else math.inf
    while n < LANES and waiting < stop:
        _load(columns, waiting, n, w)
        waiting, n = waiting + 1, n + 1
    while n > 0:
        _advance(whole(n), w, max_step, max_steps, rtol, atol)
        lane = zero
        while lane < n:
            if w[_MARKED + lane] == 0.0:
                lane += 1
                continue
            _fill_series(w[_X1_0 + lane], w[_R1_0 + lane], w[_D1 + lane], y)
            _fill_series(w[_X2_0 + lane], w[_R2_0 + lane], w[_D2 + lane], z)
            for k in range(ORDER + 1):
                c[k] = y[k] - z[k]
            for k in range(ORDER):
                slope[k] = (k + 1) * c[k + 1]
            _events(lane, w, c, slope, atol)
            done = _write_outputs(lane, w, y, z, t_eval, done, gap, mean)
            status = _status(lane, w, max_steps)
            if status >= 0:
                _write(lane, w, status, out)
                if waiting < stop:
                    _load(columns, waiting, lane, w)
                    waiting += 1
                else:  # the last lane comes here, and is looked at next
                    n -= 1
                    for row in range(_ROWS):
                        w[row * LANES + lane] = w[row * LANES + n]
                    continue
            lane += 1
    return stop - start

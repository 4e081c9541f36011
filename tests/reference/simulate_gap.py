"""The gap equation 3.3 as written, by scipy's eighth-order method at tight tolerance. Slow and obvious."""

import mpmath
import numpy as np
from scipy.integrate import solve_ivp


def signals(d_k, d_next, times, h, p, eta, omega, W):
    """d_k and d_k+1 from 3.1, each on its own; h and p return a pair, eta a number."""

    def slope(t, d):
        return -eta(t) * (np.array(h(t)) + omega) * d + eta(t) * W * np.array(p(t)) / d

    end = (times[0], times[-1])
    run = solve_ivp(slope, end, [d_k, d_next], method="DOP853", t_eval=times, rtol=1e-12, atol=1e-14)
    assert run.success, run.message
    return run.y


def crossings(d_k, d_next, h, p, eta, omega, W, t_max, n=200_001):
    """Zeros of d_k^2 - d_k+1^2 for constant coefficients: sign changes on a fine grid, then bisection."""

    def difference(t):
        square = []
        for d, curvature, power in zip((d_k, d_next), h, p, strict=True):
            kappa = eta * (curvature + omega)
            if kappa == 0:
                square.append(d**2 + 2 * eta * W * power * t)
            else:
                rest = eta * W * power / kappa
                square.append(rest + (d**2 - rest) * np.exp(-2 * kappa * t))
        return square[0] - square[1]

    grid = np.linspace(0, t_max, n)
    values = difference(grid)
    zeros = []
    for i in np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0):
        lo, hi = grid[i], grid[i + 1]
        for _ in range(100):
            middle = (lo + hi) / 2
            if np.sign(difference(middle)) == np.sign(values[i]):
                lo = middle
            else:
                hi = middle
        zeros.append((lo + hi) / 2)
    return zeros


def exact(d, h, p, eta, omega, W, t, digits=40):
    """d_k and d_k+1 at time t for constant coefficients, in many digits."""
    with mpmath.workdps(digits):
        found = []
        for start, curvature, power in zip(d, h, p, strict=True):
            z = 2 * mpmath.mpf(eta) * (mpmath.mpf(curvature) + mpmath.mpf(omega)) * mpmath.mpf(t)
            grown = -mpmath.expm1(-z) / z if z else 1
            source = 2 * mpmath.mpf(eta) * W * mpmath.mpf(power) * mpmath.mpf(t)
            found.append(mpmath.sqrt(mpmath.mpf(start) ** 2 * mpmath.exp(-z) + source * grown))
        return found

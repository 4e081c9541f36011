"""Where two modes of the flow meet: the roots of u_k - u_{k+1} (3.6), on plain arrays of one shape.

Each u_j = d_j² is a constant plus an exponential, so the difference has one extremum at most and two roots at
most. Everything is written to hold for damping that is zero, equal, nearly equal or negative.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.checks import FloatArray

DOUBLINGS = 1100  # enough to carry a bracket across the range of float64
SCAN = 400  # points at which `first_passage` looks


class TwoModes(NamedTuple):
    """Two modes in u = d²: all arrays of one shape. Delta = u_a - u_b; s = 2·eta·W·p; k = 2·kappa."""

    delta: FloatArray
    ua: FloatArray
    ub: FloatArray
    ka: FloatArray
    kb: FloatArray
    sa: FloatArray
    sb: FloatArray


def decayed(x: FloatArray) -> FloatArray:
    """Return (1 - e^-x)/x, 1 at x = 0."""
    with np.errstate(over="ignore"):
        return np.divide(-np.expm1(-x), x, out=np.ones_like(x), where=x != 0)


def _difference(t: FloatArray, *modes: FloatArray) -> FloatArray:
    """(u_a - u_b)(t) times a positive factor that keeps it within range at any t."""
    delta, _, ub, ka, kb, sa, sb = modes
    xa, xb = ka * t, kb * t
    shift = np.minimum(xa, xb)
    shift = np.where(sa + sb > 0, np.minimum(shift, 0.0), shift)
    apart = np.sign(xb - xa) * np.exp(shift - np.minimum(xa, xb)) * -np.expm1(-np.abs(xb - xa))
    # sources: t(1 - e^-x)/x, scaled; written with |x| so that no exponential grows
    fa = np.exp(shift - np.minimum(xa, 0.0)) * decayed(np.abs(xa))
    fb = np.exp(shift - np.minimum(xb, 0.0)) * decayed(np.abs(xb))
    sources = np.where(sa + sb > 0, t * ((sa - sb) * fa + sb * (fa - fb)), 0.0)
    return delta * np.exp(shift - xa) + ub * apart + sources


def _sign_at_infinity(m: TwoModes) -> FloatArray:
    """Sign of u_a - u_b as t → inf: growing parts first, then a linear one, the constant, decaying ones."""
    resting_a, resting_b = _constant(m.ua, m.ka, m.sa), _constant(m.ub, m.kb, m.sb)
    part_a = np.where(m.ka == 0, 0.0, m.ua - resting_a)
    part_b = np.where(m.kb == 0, 0.0, m.ub - resting_b)
    a_slow, same = m.ka < m.kb, m.ka == m.kb
    with np.errstate(divide="ignore", invalid="ignore"):
        joint = np.where(m.ka == 0, 0.0, np.sign(m.delta - (m.sa - m.sb) / m.ka))
    slow = np.where(same, joint, np.where(a_slow, np.sign(part_a), -np.sign(part_b)))
    fast = np.where(same, 0.0, np.where(a_slow, -np.sign(part_b), np.sign(part_a)))
    k_slow, k_fast = np.minimum(m.ka, m.kb), np.maximum(m.ka, m.kb)
    linear = np.sign(np.where(m.ka == 0, m.sa, 0.0) - np.where(m.kb == 0, m.sb, 0.0))
    constant = np.where(same & (m.ka == 0), np.sign(m.delta), np.sign(resting_a - resting_b))
    constant = np.where(same & (m.ka != 0), np.sign((m.sa - m.sb) * np.sign(m.ka)), constant)
    levels = (
        np.where(k_slow < 0, slow, 0.0),
        np.where(k_fast < 0, fast, 0.0),
        linear,
        constant,
        np.where(k_slow > 0, slow, 0.0),
        np.where(k_fast > 0, fast, 0.0),
    )
    sign = np.zeros_like(m.delta)
    for level in levels:
        sign = np.where(sign == 0, level, sign)
    return sign


def _constant(u: FloatArray, k: FloatArray, s: FloatArray) -> FloatArray:
    return np.divide(s, k, out=u.astype(np.float64), where=k != 0)


def _extremum(m: TwoModes) -> FloatArray:
    """Time t_m > 0 of the only extremum of u_a - u_b, inf if there is none (3.6)."""
    ra, rb = m.sa - m.ka * m.ua, m.sb - m.kb * m.ub
    turns = (np.sign(ra) * np.sign(rb) > 0) & (m.ka != m.kb)
    safe_a, safe_b = np.where(turns, ra, 1.0), np.where(turns, rb, 1.0)
    near = np.abs(safe_a - safe_b) < 0.5 * np.abs(safe_b)
    relative = np.divide(safe_a - safe_b, safe_b, out=np.zeros_like(safe_a), where=near)
    logs = np.where(near, np.log1p(relative), np.log(np.abs(safe_a)) - np.log(np.abs(safe_b)))
    with np.errstate(over="ignore"):  # damping of denormal size: later than any time
        t = np.divide(logs, m.ka - m.kb, out=np.full(logs.shape, np.inf), where=turns)
    return np.where(t > 0, t, np.inf)


def _root(low: FloatArray, high: FloatArray, wanted: NDArray[np.bool_], m: TwoModes) -> FloatArray:
    """Root of u_a - u_b in (low, high] where `wanted`; an infinite `high` is found by doubling."""
    out = np.full(low.shape, np.nan)
    if not np.any(wanted):
        return out
    part = TwoModes(*(field[wanted] for field in m))
    low, high = low[wanted], high[wanted].copy()
    start = np.sign(_difference(low, *part))
    start = np.where(low == 0, np.sign(part.delta), start)
    rates = np.abs(part.ka) + np.abs(part.kb)
    guess = 1 / np.where(rates > 0, np.maximum(rates, 1e-290), 1.0)
    open_ended = np.isinf(high)
    high = np.where(open_ended, np.where(low > 0, 2 * low, guess), high)
    for _ in range(DOUBLINGS):
        short = open_ended & (np.sign(_difference(high, *part)) * start > 0)
        if not np.any(short):
            break
        low = np.where(short, high, low)
        high = np.where(short, np.minimum(2 * high, 1e300), high)
    exact = {"xrtol": 4e-16, "xatol": 0.0, "fatol": 0.0}
    out[wanted] = _bracketed(_difference, (low, high), tuple(part), exact)
    return out


def _bracketed(
    f: Callable[..., FloatArray],
    bracket: tuple[FloatArray, FloatArray],
    args: tuple[FloatArray, ...],
    tolerances: dict[str, float] | None = None,
) -> FloatArray:
    """Roots of `f` within the brackets, element by element; NaN where there is none."""
    from scipy.optimize import elementwise  # a slow import: commands that need no root do without

    found = elementwise.find_root(f, bracket, args=args, tolerances=tolerances)
    return np.where(found.success, found.x, np.nan)


def roots(m: TwoModes) -> tuple[FloatArray, FloatArray]:
    """First and second time t > 0 at which u_a = u_b, NaN where there is none; fields of `m` are (n,)."""
    zero, t_m = np.zeros_like(m.delta), _extremum(m)
    turns = np.isfinite(t_m)
    with np.errstate(over="ignore", invalid="ignore"):
        turning = np.where(turns, np.sign(_difference(np.where(turns, t_m, 1.0), *m)), 0.0)
        late = _sign_at_infinity(m)
        start = np.sign(m.delta)
        same = m.ka == m.kb
        # both at once: a search takes as long for many as for few
        low, high = np.append(zero, np.where(turns, t_m, 0.0)), np.append(t_m, zero + np.inf)
        wanted = np.append(
            ~same & (start * np.where(turns, turning, late) < 0), ~same & turns & (turning * late < 0)
        )
        twice = TwoModes(*(np.append(field, field) for field in m))
        before, after = np.split(_root(low, high, wanted, twice), 2)
        before = np.where(turns & (turning == 0), t_m, before)
    before = np.where(same, _equal_damping(m), before)
    first = np.where(np.isnan(before), after, before)
    second = np.where(np.isnan(before), np.nan, after)
    return first, second


def _equal_damping(m: TwoModes) -> FloatArray:
    """Closed form of 3.6: log1p(kappa·Delta/D)/(2 kappa), D = eta·W(p_b - p_a); Delta/(2D) at kappa = 0."""
    twice_D = m.sb - m.sa
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        linear = m.delta / twice_D
        x = m.ka * linear
        t = np.where(m.ka == 0, linear, np.log1p(np.where(x > -1, x, np.nan)) / m.ka)
    return np.where(np.isfinite(t) & (linear > 0), t, np.nan)


def first_passage(m: TwoModes, target: FloatArray) -> FloatArray:
    """First time at which d_a - d_b reaches `target` > its start, both modes damped (k > 0)."""
    slow, fast = np.minimum(m.ka, m.kb), np.maximum(m.ka, m.kb)
    grid = np.geomspace(1e-6 / fast, 60 / slow, SCAN)
    args = (m.ua, m.ub, m.ka, m.kb, m.sa, m.sb, target)
    passed = np.argmax(_shortfall(grid, *args) >= 0, axis=0)
    index = np.arange(target.size)
    low = np.where(passed > 0, grid[passed - 1, index], 0.0)
    return _bracketed(_shortfall, (low, grid[passed, index]), args)


def _shortfall(t: FloatArray, ua: FloatArray, ub: FloatArray, *rest: FloatArray) -> FloatArray:
    """Gap at time t minus the target."""
    ka, kb, sa, sb, target = rest
    a = ua * np.exp(-ka * t) + sa * t * decayed(ka * t)
    b = ub * np.exp(-kb * t) + sb * t * decayed(kb * t)
    return np.asarray(np.sqrt(a) - np.sqrt(b) - target)

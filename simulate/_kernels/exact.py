"""The closed form 3.2 of two modes: their crossings before t_max, what they do later, the last and smallest gap.

u_j(t) = u_j + r_j (1 - e^{-k_j t})/k_j with k = 2 kappa and r the slope at t = 0, so that the difference
f = u_1 - u_2 has one extremum at most, which separates its roots (3.6).
"""

import math

from numba import njit

_FAST = {"contract", "nsz", "arcp"}
_DOUBLINGS = 16  # at most, of the times between which the smallest gap is looked for


@njit(fastmath=_FAST)
def grown(r, k, t):
    """Integral of r·e^{-k t} from 0 to t."""
    x = k * t
    if x > 0.7:  # no digits are lost, and exp is the faster one
        return r * (1.0 - math.exp(-x)) / k
    return r * t if abs(x) < 1e-300 else -r * math.expm1(-x) / k


@njit(fastmath=_FAST)
def difference(delta, r1, r2, k1, k2, t):
    """f(t) = u_1 - u_2."""
    return delta + grown(r1, k1, t) - grown(r2, k2, t)


@njit(fastmath=_FAST)
def _sign(x):
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else 0.0)


@njit(fastmath=_FAST)
def _late_slope(r1, r2, k1, k2):
    """Sign of f' as t grows: the slower exponential decides."""
    if k1 == k2:
        return _sign(r1 - r2)
    if k1 < k2:
        return _sign(r1) if r1 != 0.0 else -_sign(r2)
    return -_sign(r2) if r2 != 0.0 else _sign(r1)


@njit(fastmath=_FAST)
def sign_at_infinity(delta, u1, u2, s1, s2, r1, r2, k1, k2):
    """Sign of f as t → inf."""
    late = _late_slope(r1, r2, k1, k2)
    if k1 == k2 and (r1 == r2 or k1 > 0.0):
        limit = delta if r1 == r2 else s1 - s2
    elif (k1 <= 0.0 and r1 != 0.0) or (k2 <= 0.0 and r2 != 0.0):
        return late
    else:
        limit = (s1 / k1 if k1 > 0.0 else u1) - (s2 / k2 if k2 > 0.0 else u2)
    return _sign(limit) if limit != 0.0 else -late


@njit(fastmath=_FAST)
def _guess(f, slope, bend, lo, hi):
    """Where a parabola through lo, with the value, slope and second derivative there, meets zero; else the middle."""
    if slope == 0.0:
        step = math.sqrt(-2.0 * f / bend) if f * bend < 0.0 else math.inf
    else:
        below = 2.0 * slope * slope - f * bend
        step = -2.0 * f * slope / below if below != 0.0 else math.inf
    return lo + step if lo < lo + step < hi else 0.5 * (lo + hi)


@njit(fastmath=_FAST)
def _root(delta, r1, r2, k1, k2, lo, hi, sign_lo, x):
    """Root of f in (lo, hi], whose sign at lo is `sign_lo`, from x: Halley within a bracket, polished by Newton."""
    inverse1, inverse2 = (1.0 / k1 if k1 != 0.0 else 0.0), (1.0 / k2 if k2 != 0.0 else 0.0)
    rough = True
    for _ in range(200):
        if rough:
            e1, e2 = math.exp(-k1 * x), math.exp(-k2 * x)
            grown1, grown2 = r1 * (1.0 - e1) * inverse1, r2 * (1.0 - e2) * inverse2
        else:  # exact where the exponents are small
            m1, m2 = math.expm1(-k1 * x), math.expm1(-k2 * x)
            e1, e2 = 1.0 + m1, 1.0 + m2
            grown1, grown2 = -r1 * m1 * inverse1, -r2 * m2 * inverse2
        if k1 == 0.0:
            grown1 = r1 * x
        if k2 == 0.0:
            grown2 = r2 * x
        f = delta + grown1 - grown2
        slope = r1 * e1 - r2 * e2
        bend = k2 * r2 * e2 - k1 * r1 * e1
        if f * sign_lo > 0.0:
            lo = x
        else:
            hi = x
        below = 2.0 * slope * slope - f * bend
        new = x - 2.0 * f * slope / below if below != 0.0 else math.inf
        if not lo <= new <= hi:
            new = 0.5 * (lo + hi)
        near = abs(new - x)
        x = new
        if not rough and near <= 1e-14 * x:
            return x
        if near <= 1e-5 * x or hi - lo <= 4e-16 * hi:
            # the step was of third order: done, unless small exponents cost digits
            if not rough or min(abs(k1), abs(k2)) * x > 0.1:
                return x
            rough = False
    return x


@njit(fastmath=_FAST)
def _gap_at(u1, u2, r1, r2, k1, k2, t):
    a, b = max(0.0, u1 + grown(r1, k1, t)), max(0.0, u2 + grown(r2, k2, t))
    return math.sqrt(a) - math.sqrt(b)


@njit(fastmath=_FAST)
def _falls(growing, r1, r2, a1, a2, b1, b2, e1, e2):
    """Whether the gap d_1 - d_2 falls where e^{-k t} are e1, e2; slopes of one sign, u_j = a_j - b_j e_j."""
    slope1, slope2 = r1 * e1, r2 * e2
    first, second = slope1 * slope1 * (a2 - b2 * e2), slope2 * slope2 * (a1 - b1 * e1)
    return first < second if growing else first > second


@njit(fastmath=_FAST)
def _smallest(u1, u2, r1, r2, k1, k2, t_max, least):
    """Smallest gap within (0, t_max), `least` that of the ends; an interior one needs slopes of one sign.

    The slope of the gap has three zeros at most; they are looked for between times that double, at which the
    exponentials are squares of one another.
    """
    if not r1 * r2 > 0.0:
        return least
    own1, own2 = k1, k2
    k1 = k1 if abs(k1) * t_max > 1e-7 else 1e-7 / t_max  # only to find the time; division by k loses digits
    k2 = k2 if abs(k2) * t_max > 1e-7 else 1e-7 / t_max
    slow = min(abs(k1), abs(k2))
    end = min(t_max, 40.0 / slow)
    b1, b2, growing = r1 / k1, r2 / k2, r1 > 0.0
    a1, a2 = u1 + b1, u2 + b2
    doublings, t = 3, 0.125 * end
    while t * max(abs(k1), abs(k2)) > 0.05 and doublings < _DOUBLINGS:
        t *= 0.5
        doublings += 1
    e1, e2 = math.exp(-k1 * t), math.exp(-k2 * t)
    before, fell = 0.0, _falls(growing, r1, r2, a1, a2, b1, b2, 1.0, 1.0)
    for _ in range(doublings + 1):
        falls = _falls(growing, r1, r2, a1, a2, b1, b2, e1, e2)
        if fell and not falls:
            lo, hi = before, t
            while hi - lo > 1e-5 * hi:  # the gap is flat there: its error is the square of this
                middle = 0.5 * (lo + hi)
                m1, m2 = math.exp(-k1 * middle), math.exp(-k2 * middle)
                if _falls(growing, r1, r2, a1, a2, b1, b2, m1, m2):
                    lo = middle
                else:
                    hi = middle
            least = min(least, _gap_at(u1, u2, r1, r2, own1, own2, 0.5 * (lo + hi)))
        before, fell = t, falls
        t, e1, e2 = 2.0 * t, e1 * e1, e2 * e2
    return least


@njit(fastmath=_FAST)
def solve(g, d, h1, h2, p1, p2, eta, omega, W, t_max, with_minimum):
    """Return first and second crossing before t_max (NaN), number of crossings ever, last and smallest gap."""
    upper, lower = d + 0.5 * g, d - 0.5 * g
    u1, u2, delta = upper * upper, lower * lower, 2.0 * g * d
    k1, k2 = 2.0 * eta * (h1 + omega), 2.0 * eta * (h2 + omega)
    s1, s2 = 2.0 * eta * W * p1, 2.0 * eta * W * p2
    r1, r2 = s1 - k1 * u1, s2 - k2 * u2
    last = _gap_at(u1, u2, r1, r2, k1, k2, t_max)
    sign = _sign(delta) if delta != 0.0 else _sign(r1 - r2)
    late = sign_at_infinity(delta, u1, u2, s1, s2, r1, r2, k1, k2)
    first, second, count = math.nan, math.nan, 0
    t_m = math.log(r1 / r2) / (k1 - k2) if r1 * r2 > 0.0 and k1 != k2 else 0.0
    turning = sign
    if 0.0 < t_m < math.inf:
        turning = _sign(difference(delta, r1, r2, k1, k2, t_m))
    else:
        t_m = 0.0
    if turning * sign < 0.0:
        count = 1
        if t_m <= t_max or last * sign < 0.0:
            hi = min(t_m, t_max)
            x = _guess(delta, r1 - r2, k2 * r2 - k1 * r1, 0.0, hi)
            first = _root(delta, r1, r2, k1, k2, 0.0, hi, sign, x)
        sign = turning
    if late * sign < 0.0:
        count += 1
        if t_m < t_max and last * sign < 0.0:
            if t_m == 0.0:
                x = _guess(delta, r1 - r2, k2 * r2 - k1 * r1, 0.0, t_max)
            else:
                bend = (k2 - k1) * r1 * math.exp(-k1 * t_m)
                x = _guess(difference(delta, r1, r2, k1, k2, t_m), 0.0, bend, t_m, t_max)
            root = _root(delta, r1, r2, k1, k2, t_m, t_max, sign, x)
            if math.isnan(first):
                first = root
            else:
                second = root
    smallest = 0.0 if not math.isnan(first) else min(g, last)
    if with_minimum and math.isnan(first):
        smallest = max(0.0, _smallest(u1, u2, r1, r2, k1, k2, t_max, smallest))
    return first, second, count, last, smallest


@njit(fastmath=_FAST)
def is_marginal(h1, h2, p1, p2, omega, rtol):
    """Whether the equilibrium gap is zero, to `rtol` of the larger equilibrium strength."""
    first, second = p1 * (h2 + omega), p2 * (h1 + omega)  # in proportion to the squares of the strengths
    if not (h1 + omega > 0.0 and h2 + omega > 0.0):
        return False
    return abs(first - second) <= 2.0 * rtol * max(first, second)

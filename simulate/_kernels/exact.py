"""The closed form 3.2 of two modes: their crossings before t_max, what they do later, the last and smallest gap.

u_j(t) = u_j e^{-k_j t} + s_j (1 - e^{-k_j t})/k_j with k = 2 kappa and the source s, a sum of what is not negative:
a signal that decays keeps its digits. The difference f = u_1 - u_2 has one extremum at most, which separates its roots
(3.6); with the slopes r_j = s_j - k_j u_j at t = 0 it lies where r_1 e^{-k_1 t} = r_2 e^{-k_2 t}.

Trajectories go through in blocks. A work space has a row of BLOCK numbers for every quantity, and each stage is one
loop along the rows without branches, which the compiler turns into vector instructions; what only some trajectories
need (a root, an inner minimum) is gathered side by side first. Loops run over whole vectors, so that the bits of a
trajectory do not depend on where in a block it stands.
"""

import math

import numpy as np
from numba import float64, int64, types

from spectral_edge.simulate._kernels.elementary import exponential, inner, log, merged

COLUMNS = types.UniTuple(types.Array(float64, 1, "A", readonly=True), 10)  # a sweep's parameters
SOLVE = int64(COLUMNS, int64, int64, float64, float64[:, ::1])

FAST = {"contract", "nsz"}
BLOCK = 128
_VECTOR = 8  # the widest vector, in numbers: loops run over whole ones
_ITERATIONS = 200  # of a root; five are usual

# Rows of a work space, first the parameters in the order of a sweep's columns.
_G, _D, _H1, _H2, _P1, _P2, _ETA, _OMEGA, _W, T_MAX = (row * BLOCK for row in range(10))
U1, U2, R1, R2, S1, S2, K1, K2, INV1, INV2 = (row * BLOCK for row in range(10, 20))
_DELTA, _T_M, _AT_T_M, _SIGN, _LATER, _HAS1, _HAS2 = (row * BLOCK for row in range(20, 27))
FIRST, SECOND, COUNT, LAST, SMALLEST = (row * BLOCK for row in range(27, 32))
OPEN, _LO, _HI, _X = (row * BLOCK for row in range(32, 36))
ROWS = 36


@inner
def whole(n):
    """How far a loop over n runs: what lies behind n in a row is computed with it and not used."""
    return (n + _VECTOR - 1) // _VECTOR * _VECTOR


@inner(fastmath=FAST, forceinline=True)
def _sign(x):
    return (1.0 if x > 0.0 else 0.0) - (1.0 if x < 0.0 else 0.0)


@inner(fastmath=FAST, forceinline=True)
def _inverse(k):
    """1/k, and 0 where k = 0, whose growth is linear."""
    return 0.0 if k == 0.0 else 1.0 / (1.0 if k == 0.0 else k)


@inner(fastmath=FAST, forceinline=True)
def _grown(s, k, inverse, t, m):
    """Integral of s·e^{-k t} from 0 to t; m is e^{-k t} - 1."""
    return s * t if k == 0.0 else -s * m * inverse


@inner(fastmath=FAST, forceinline=True, error_model="numpy")
def gap_at(w, i, t):
    """d_1 - d_2 of trajectory i at time t."""
    k1, k2 = w[K1 + i], w[K2 + i]
    e1, m1 = exponential(-k1 * t)
    e2, m2 = exponential(-k2 * t)
    a = w[U1 + i] * e1 + _grown(w[S1 + i], k1, w[INV1 + i], t, m1)
    b = w[U2 + i] * e2 + _grown(w[S2 + i], k2, w[INV2 + i], t, m2)
    return math.sqrt(a) - math.sqrt(b)


@inner(fastmath=FAST, forceinline=True, error_model="numpy")
def _difference(w, i, t):
    """The difference f of trajectory i at time t, and e^{-k t} of both.

    Early, f is near its start, and the differences e^{-k t} - 1 are what has all digits; late, the exponentials are.
    """
    k1, k2 = w[K1 + i], w[K2 + i]
    e1, m1 = exponential(-k1 * t)
    e2, m2 = exponential(-k2 * t)
    apart = m1 - m2 if m1 + m2 > -1.0 else e1 - e2
    grown1, grown2 = _grown(w[S1 + i], k1, w[INV1 + i], t, m1), _grown(w[S2 + i], k2, w[INV2 + i], t, m2)
    return (w[_DELTA + i] * e1 + w[U2 + i] * apart) + (grown1 - grown2), e1, e2


@inner(fastmath=FAST, forceinline=True, error_model="numpy")
def _sign_at_infinity(delta, u1, u2, s1, s2, r1, r2, k1, k2):
    """Sign of f as t → inf, and of f' where f vanishes: the slower exponential decides."""
    slow1, slow2 = _sign(r1), -_sign(r2)
    unequal = (slow1 if r1 != 0.0 else slow2) if k1 < k2 else (slow2 if r2 != 0.0 else slow1)
    late = _sign(r1 - r2) if k1 == k2 else unequal
    grows = (r1 != 0.0 if k1 <= 0.0 else False) | (r2 != 0.0 if k2 <= 0.0 else False)
    end1 = s1 / k1 if k1 > 0.0 else u1
    end2 = s2 / k2 if k2 > 0.0 else u2
    same = s1 - s2 if r1 != r2 else delta
    limit = same if k1 == k2 else end1 - end2
    bounded = (k1 > 0.0 or r1 == r2) if k1 == k2 else not grows
    return (_sign(limit) if limit != 0.0 else -late) if bounded else late


@inner(fastmath=FAST, error_model="numpy")
def _describe(n, w):
    """Squares, slopes, rates and the gap at t_max."""
    for i in range(n):
        g, d, eta, omega = w[_G + i], w[_D + i], w[_ETA + i], w[_OMEGA + i]
        upper, lower = d + 0.5 * g, d - 0.5 * g
        u1, u2 = upper * upper, lower * lower
        k1, k2 = 2.0 * eta * (w[_H1 + i] + omega), 2.0 * eta * (w[_H2 + i] + omega)
        source = 2.0 * eta * w[_W + i]
        s1, s2 = source * w[_P1 + i], source * w[_P2 + i]
        r1, r2 = s1 - k1 * u1, s2 - k2 * u2
        w[S1 + i], w[S2 + i] = s1, s2
        w[U1 + i], w[U2 + i], w[R1 + i], w[R2 + i], w[K1 + i], w[K2 + i] = u1, u2, r1, r2, k1, k2
        w[INV1 + i], w[INV2 + i], w[_DELTA + i] = _inverse(k1), _inverse(k2), 2.0 * g * d
    for i in range(n):
        w[LAST + i] = gap_at(w, i, w[T_MAX + i])


@inner(fastmath=FAST, error_model="numpy")
def _find_extremum(n, w):
    """The time of the extremum of f, 0 where there is none, and f there."""
    for i in range(n):
        k1, k2, r1, r2 = w[K1 + i], w[K2 + i], w[R1 + i], w[R2 + i]
        turns = k1 != k2 and r1 * r2 > 0.0
        t = log(r1 / r2 if turns else 1.0) / (k1 - k2 if turns else 1.0)
        t = t if t > 0.0 and t < math.inf else 0.0
        w[_T_M + i] = t
        w[_AT_T_M + i] = _difference(w, i, t)[0]


@inner(fastmath=FAST, error_model="numpy")
def _count(n, w, marginal):
    """Count the crossings there will ever be, -1 in the marginal case; and which of them come before t_max."""
    for i in range(n):
        r1, r2, k1, k2, t_m, t = w[R1 + i], w[R2 + i], w[K1 + i], w[K2 + i], w[_T_M + i], w[T_MAX + i]
        delta, last = w[_DELTA + i], w[LAST + i]
        p1, p2 = w[_P1 + i], w[_P2 + i]
        sign = _sign(delta) if delta != 0.0 else _sign(r1 - r2)
        turning = _sign(w[_AT_T_M + i]) if t_m > 0.0 else sign
        late = _sign_at_infinity(delta, w[U1 + i], w[U2 + i], w[S1 + i], w[S2 + i], r1, r2, k1, k2)
        before = turning * sign < 0.0
        later = turning if before else sign
        after = late * later < 0.0
        w[_HAS1 + i] = 1.0 if before and (t_m <= t or last * sign < 0.0) else 0.0
        w[_HAS2 + i] = 1.0 if after and t_m < t and last * later < 0.0 else 0.0
        w[_SIGN + i], w[_LATER + i] = sign, later
        count = (1.0 if before else 0.0) + (1.0 if after else 0.0)
        # the squares of the equilibrium strengths, in proportion
        x1, x2 = w[_H1 + i] + w[_OMEGA + i], w[_H2 + i] + w[_OMEGA + i]
        one, other = p1 * x2, p2 * x1
        larger = one if one > other else other
        nothing = x1 > 0.0 and x2 > 0.0 and abs(one - other) <= 2.0 * marginal * larger
        w[COUNT + i] = -1.0 if count == 0.0 and nothing else count


@inner
def chosen_by(n, w, flag, chosen):
    """Indices of the trajectories whose row `flag` is positive; return how many."""
    m = 0
    for i in range(n):
        chosen[m] = i
        m += 1 if w[flag + i] > 0.0 else 0
    return m


@inner
def take(m, w, rows, chosen, task):
    """Copy `rows` of the chosen trajectories side by side."""
    for row in rows:
        for j in range(m):
            task[row + j] = w[row + chosen[j]]


@inner(fastmath=FAST, error_model="numpy")
def _begin_roots(m, task, from_extremum):
    """The bracket, and in it the zero of a parabola that has f and f' of the left end, f'' or the extremum."""
    for j in range(m):
        r1, r2, k1, k2 = task[R1 + j], task[R2 + j], task[K1 + j], task[K2 + j]
        t_m, t, f_m = task[_T_M + j], task[T_MAX + j], task[_AT_T_M + j]
        f, slope, bend = task[_DELTA + j], r1 - r2, k2 * r2 - k1 * r1
        lo, hi = (t_m, t) if from_extremum else (0.0, t_m if t_m < t else t)
        below = 2.0 * slope * slope - f * bend
        x = -2.0 * f * slope / below
        if from_extremum:
            e = exponential(-k1 * t_m)[0]
            beyond = t_m + math.sqrt(abs(2.0 * f_m / ((k2 - k1) * r1 * e)))
            x = beyond if t_m > 0.0 else x
        task[_LO + j], task[_HI + j] = lo, hi
        task[_X + j] = x if x > lo and x < hi else 0.5 * (lo + hi)


@inner(fastmath=FAST, error_model="numpy")
def _improve_roots(m, task):
    """One step of Halley's method within the bracket where a root is open; return how many still are."""
    for j in range(m):
        r1, r2, k1, k2, x = task[R1 + j], task[R2 + j], task[K1 + j], task[K2 + j], task[_X + j]
        lo, hi, is_open = task[_LO + j], task[_HI + j], task[OPEN + j] > 0.0
        f, e1, e2 = _difference(task, j, x)
        down1, down2 = r1 * e1, r2 * e2
        slope, bend = down1 - down2, k2 * down2 - k1 * down1
        beyond = f * task[_SIGN + j] > 0.0
        lo, hi = (x if beyond else lo), (hi if beyond else x)
        new = x - 2.0 * f * slope / (2.0 * slope * slope - f * bend)
        new = new if new >= lo and new <= hi else 0.5 * (lo + hi)
        # a step is of third order: what is left after a small one is far smaller
        done = abs(new - x) <= 1e-5 * new or hi - lo <= 4e-16 * hi
        task[_LO + j], task[_HI + j] = lo, hi
        task[_X + j] = new if is_open else x
        task[OPEN + j] = 1.0 if is_open and not done else 0.0
    left = 0
    for j in range(m):
        left += task[OPEN + j] > 0.0
    return left


_GIVEN = np.array([T_MAX, U2, R1, R2, S1, S2, K1, K2, INV1, INV2, _DELTA, _T_M, _AT_T_M])
_KEPT = np.array([U2, R1, R2, S1, S2, K1, K2, INV1, INV2, _DELTA, _SIGN, _LO, _HI, _X, OPEN])


@merged
def _find_roots(n, w, from_extremum, chosen, inner, task):
    """The crossing before the extremum of f, or that after it, where it comes before t_max."""
    flag, sign, result = (_HAS2, _LATER, SECOND) if from_extremum else (_HAS1, _SIGN, FIRST)
    for i in range(n):
        w[result + i] = math.nan
    m = chosen_by(n, w, flag, chosen)
    take(m, w, _GIVEN, chosen, task)
    for j in range(whole(m)):
        task[OPEN + j] = 1.0 if j < m else 0.0
        task[_SIGN + j] = w[sign + chosen[j]]
    _begin_roots(whole(m), task, from_extremum)
    for _ in range(_ITERATIONS):
        left = _improve_roots(whole(m), task)
        if 2 * left > m:
            continue
        for j in range(m):
            w[result + chosen[j]] = task[_X + j]
        if left == 0:
            break
        m = chosen_by(m, task, OPEN, inner)  # go on with those that are open
        take(m, task, _KEPT, inner, task)
        for j in range(m):
            chosen[j] = chosen[inner[j]]
        for j in range(m, whole(m)):
            task[OPEN + j] = 0.0
    for j in range(m):
        w[result + chosen[j]] = task[_X + j]


@inner(fastmath=FAST)
def _order(n, w):
    """The first crossing first; the smallest gap but for a minimum inside."""
    for i in range(n):
        first, second = w[FIRST + i], w[SECOND + i]
        none = first != first
        w[FIRST + i] = second if none else first
        w[SECOND + i] = math.nan if none else second
        g, last = w[_G + i], w[LAST + i]
        ends = g if g < last else last
        w[SMALLEST + i] = ends if w[FIRST + i] != w[FIRST + i] else 0.0


@merged
def load(columns, start, n, w):
    """The parameters of n trajectories from `start` on, BLOCK at most."""
    for c in range(len(columns)):
        column = columns[c]
        for i in range(n):
            w[c * BLOCK + i] = column[start + i]


@merged
def count(n, w, marginal):
    """Fill the rows that describe a trajectory, and COUNT, from the parameters of n trajectories."""
    _describe(n, w)
    _find_extremum(n, w)
    _count(n, w, marginal)


@merged
def cross(n, w, chosen, inner, task):
    """Fill FIRST, SECOND, and SMALLEST but for a minimum inside, after `count`."""
    for second in range(2):
        _find_roots(n, w, second > 0, chosen, inner, task)
    _order(n, w)


_RESULTS = (FIRST, SECOND, LAST, SMALLEST, COUNT)


@merged
def write(columns, start, n, w, out):
    """The results of n trajectories from `start` on, the status and the time reached."""
    for c in range(5):
        row = _RESULTS[c]
        for i in range(n):
            out[c, start + i] = w[row + i]
    for i in range(n):
        out[5, start + i] = 0.0 if math.isfinite(w[LAST + i]) else 2.0
        out[6, start + i] = columns[9][start + i]

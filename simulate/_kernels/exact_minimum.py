"""The smallest gap of the closed form 3.2 where it lies inside (0, t_max) and does not reach zero; as `exact`."""

import numpy as np

from spectral_edge.simulate._kernels.elementary import exponential, inner, merged
from spectral_edge.simulate._kernels.exact import (
    BLOCK,
    FAST,
    FIRST,
    INV1,
    INV2,
    K1,
    K2,
    OPEN,
    R1,
    R2,
    ROWS,
    S1,
    S2,
    SMALLEST,
    T_MAX,
    U1,
    U2,
    chosen_by,
    gap_at,
    take,
    whole,
)  # fmt: skip

_DOUBLINGS = 16
_FIRST = 0.5**_DOUBLINGS  # the first time looked at, as a share of the last
_ITERATIONS = 100  # of a minimum; six are usual

_A1, _A2, _B1, _B2, _E1, _E2, _T, _FELL, _LO, _HI, _LO2, _HI2, _RATE1, _RATE2, _AT_LO, _AT_HI, _SIDE = (
    row * BLOCK for row in range(ROWS, ROWS + 17)
)
TASK_ROWS = ROWS + 17
_GIVEN = np.array([T_MAX, R1, R2, S1, S2, K1, K2, U1, U2, INV1, INV2, SMALLEST])
_KEPT = np.array([*_GIVEN, _A1, _A2, _B1, _B2, _RATE1, _RATE2, _LO, _HI, _LO2, _HI2])


@inner(fastmath=FAST, forceinline=True)
def _squares(task, j, e1, e2):
    """Squares, up to a common factor, of the slopes of the larger and smaller signal where e^{-k t} are e1, e2.

    The gap falls where the first is the smaller, if signals grow, else where it is the larger; given in this order.
    Slopes are of one sign, u_j = a_j - b_j e_j.
    """
    slope1, slope2 = task[R1 + j] * e1, task[R2 + j] * e2
    first = slope1 * slope1 * (task[_A2 + j] - task[_B2 + j] * e2)
    second = slope2 * slope2 * (task[_A1 + j] - task[_B1 + j] * e1)
    growing = task[R1 + j] > 0.0
    return (first if growing else second), (second if growing else first)


@inner(fastmath=FAST, forceinline=True)
def _moved(k, t):
    """A rate that can be divided by; only to find the time."""
    return k if abs(k) * t > 1e-7 else 1e-7 / t


@inner(fastmath=FAST, error_model="numpy")
def _begin(m, task):
    for j in range(m):
        t = task[T_MAX + j]
        u1, u2 = task[U1 + j], task[U2 + j]
        k1, k2 = _moved(task[K1 + j], t), _moved(task[K2 + j], t)
        slow1, slow2 = abs(k1), abs(k2)
        slow = 40.0 / (slow1 if slow1 < slow2 else slow2)
        t = (t if t < slow else slow) * _FIRST
        b1, b2 = task[R1 + j] / k1, task[R2 + j] / k2
        task[_RATE1 + j], task[_RATE2 + j], task[_B1 + j], task[_B2 + j] = k1, k2, b1, b2
        # u + r/k, where k is as it was s/k: a signal without source keeps its digits while it decays
        task[_A1 + j] = task[S1 + j] / k1 + u1 * (1.0 - task[K1 + j] / k1)
        task[_A2 + j] = task[S2 + j] / k2 + u2 * (1.0 - task[K2 + j] / k2)
        task[_T + j], task[_E1 + j], task[_E2 + j] = t, exponential(-k1 * t)[0], exponential(-k2 * t)[0]
        task[_LO + j] = task[_HI + j] = task[_LO2 + j] = task[_HI2 + j] = 0.0
        less, more = _squares(task, j, 1.0, 1.0)
        task[_FELL + j] = more - less


@inner(fastmath=FAST, error_model="numpy")
def _bracket(m, task):
    """Where the gap stops falling, twice at most: looked for between times that double.

    The slope of the gap has three zeros at most. The exponentials at such times are squares of one another.
    """
    for doubling in range(_DOUBLINGS + 1):
        share = 0.5 if doubling > 0 else 0.0
        for j in range(m):
            t, e1, e2, before = task[_T + j], task[_E1 + j], task[_E2 + j], task[_FELL + j]
            less, more = _squares(task, j, e1, e2)
            turns, again = before > 0.0 and not more > less, task[_HI + j] > 0.0
            first, second = turns and not again, turns and again
            lo, hi, lo2, hi2 = task[_LO + j], task[_HI + j], task[_LO2 + j], task[_HI2 + j]
            task[_LO + j], task[_HI + j] = (share * t if first else lo), (t if first else hi)
            task[_LO2 + j], task[_HI2 + j] = (share * t if second else lo2), (t if second else hi2)
            task[_FELL + j] = more - less
            task[_T + j], task[_E1 + j], task[_E2 + j] = 2.0 * t, e1 * e1, e2 * e2


@inner(fastmath=FAST, forceinline=True, error_model="numpy")
def _fall(task, j, t):
    """Positive where the gap falls, between -1 and 1."""
    less, more = _squares(
        task, j, exponential(-task[_RATE1 + j] * t)[0], exponential(-task[_RATE2 + j] * t)[0]
    )
    return (more - less) / (more + less)


@inner(fastmath=FAST, error_model="numpy")
def _begin_refining(m, n, task):
    for j in range(m):
        task[_AT_LO + j], task[_AT_HI + j] = (
            _fall(task, j, task[_LO + j]),
            _fall(task, j, task[_HI + j]),
        )
        task[_T + j], task[_SIDE + j] = task[_LO + j], 0.0
    for j in range(m):
        task[OPEN + j] = 1.0 if j < n else 0.0


@inner(fastmath=FAST, error_model="numpy")
def _refine(m, task):
    """One step of the Illinois method for the zero of `_fall`; return how many are still open.

    The gap is flat there: its error is the square of that of the time.
    """
    for j in range(m):
        lo, hi, at_lo, at_hi = task[_LO + j], task[_HI + j], task[_AT_LO + j], task[_AT_HI + j]
        before, side, is_open = task[_T + j], task[_SIDE + j], task[OPEN + j] > 0.0
        x = lo + at_lo * (hi - lo) / (at_lo - at_hi)
        x = x if x > lo and x < hi else 0.5 * (lo + hi)
        at_x = _fall(task, j, x)
        falls = at_x > 0.0
        # the end that stays a second time counts half
        task[_AT_HI + j] = (0.5 * at_hi if side > 0.0 else at_hi) if falls else at_x
        task[_AT_LO + j] = at_x if falls else (0.5 * at_lo if side < 0.0 else at_lo)
        task[_LO + j], task[_HI + j], task[_SIDE + j] = (
            (x if falls else lo),
            (hi if falls else x),
            (1.0 if falls else -1.0),
        )
        width = hi - x if falls else x - lo
        task[_T + j] = x if is_open else before
        task[OPEN + j] = 1.0 if is_open and abs(at_x) > 0.0 and width > 1e-5 * x else 0.0
    left = 0
    for j in range(m):
        left += task[OPEN + j] > 0.0
    return left


@inner(fastmath=FAST, error_model="numpy")
def _lower(m, task):
    """Lower SMALLEST to the gap at the time found."""
    for j in range(m):
        gap, least = gap_at(task, j, task[_T + j]), task[SMALLEST + j]
        gap = gap if gap > 0.0 else 0.0
        task[SMALLEST + j] = gap if gap < least else least


@inner(fastmath=FAST)
def _choose(n, w):
    """An inner minimum needs slopes of one sign; and it is zero where there is a crossing."""
    for i in range(n):
        none = w[FIRST + i] != w[FIRST + i]
        w[OPEN + i] = 1.0 if none and w[R1 + i] * w[R2 + i] > 0.0 else 0.0


@merged
def lower(n, w, chosen, inner, task):
    """Lower SMALLEST where the gap has a minimum inside, after `exact.cross`."""
    _choose(n, w)
    m = chosen_by(n, w, OPEN, chosen)
    take(m, w, _GIVEN, chosen, task)
    _begin(whole(m), task)
    _bracket(whole(m), task)
    for second in range(2):
        m = chosen_by(m, task, _HI2 if second else _HI, inner)
        take(m, task, _KEPT, inner, task)
        for j in range(m):
            chosen[j] = chosen[inner[j]]
            if second:
                task[_LO + j], task[_HI + j] = task[_LO2 + j], task[_HI2 + j]
        _begin_refining(whole(m), m, task)
        for _ in range(_ITERATIONS):
            if _refine(whole(m), task) == 0:
                break
        _lower(whole(m), task)
        for j in range(m):
            w[SMALLEST + chosen[j]] = task[SMALLEST + j]
    for i in range(n):
        w[SMALLEST + i] = max(0.0, w[SMALLEST + i])

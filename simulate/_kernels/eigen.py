"""Eigenvalues of many small symmetric matrices at once: Householder tridiagonal form, then rational QL.

The matrices lie side by side along the last axis, the lanes, of which the first `lanes` are filled: A is
(n, n, LANES), d and e are (n, LANES). Every operation is a short loop over them without branches, which the compiler
turns into vector instructions. Nothing is contracted or reassociated, so that the bits of a matrix depend neither on
the lane it lies in nor on its neighbours.
"""

import math

from numba import njit

_SAME = {"nsz"}  # flags that leave every lane its bits
_QL_ITERATIONS = 60  # for one eigenvalue; three are usual
_NEGLIGIBLE, _NONE = 2.2e-16, 1e-280  # beside a trace of 1, and its square: what rounding leaves; nothing
LANES = 32  # at most; a constant, so that the compiler knows how far rows are apart
_SHIFT, _TINY, _ACTIVE, _G, _H, _S = (row * LANES for row in range(6))  # rows of work space
_END = _ACTIVE  # where a sweep begins, of the implicit kind


@njit(forceinline=True)
def row(i):
    """Where row i begins; never negative, so that the compiler need not count from the end of the array."""
    return max(i * LANES, 0)


@njit(fastmath=_SAME, error_model="numpy")
def _householder(lanes, v, i, e, half):
    """Turn v[:i] into the vector of the reflection that leaves e at its end; `half` is 2/|v|²."""
    edges = v[i - 1]
    for k in range(lanes):
        e[k] = 0.0
    for j in range(i):
        x = v[j]
        for k in range(lanes):
            e[k] += x[k] * x[k]
    for k in range(lanes):
        norm, edge = e[k], edges[k]
        done = norm - edge * edge <= 1e-300 + 1e-32 * norm  # already tridiagonal
        alpha = -math.copysign(math.sqrt(norm), edge)
        e[k] = edge if done else alpha
        half[k] = 0.0 if done else 1.0 / (1.0 if done else norm - alpha * edge)
        edges[k] = edge - alpha


@njit(fastmath=_SAME, error_model="numpy")
def tridiagonal(lanes, A, d, e, halves):
    """Reduce A (lower triangle, overwritten) to diagonal d and subdiagonal e[1:].

    What is left in A[i, :i] are the vectors of the reflections, with `halves` (n, LANES) 2/|v|² or 0, for `rotation`.
    """
    n = d.shape[0]
    for i in range(n - 1, 1, -1):
        v, half = A[i], halves[i]
        _householder(lanes, v, i, e[i], half)
        projection = e[0]
        for k in range(lanes):
            projection[k] = 0.0
        for j in range(i):  # d = A v, from the lower triangle
            own, x, a = d[j], v[j], A[j, j]
            for k in range(lanes):
                own[k] = a[k] * x[k]
            for l in range(j):
                a, other, y = A[j, l], d[l], v[l]
                for k in range(lanes):
                    own[k] += a[k] * y[k]
                    other[k] += a[k] * x[k]
        for j in range(i):
            own, x = d[j], v[j]
            for k in range(lanes):
                own[k] *= half[k]
                projection[k] += own[k] * x[k]
        for k in range(lanes):
            projection[k] *= 0.5 * half[k]
        for j in range(i):
            own, x = d[j], v[j]
            for k in range(lanes):
                own[k] -= projection[k] * x[k]
            for l in range(j + 1):
                a, other, y = A[j, l], d[l], v[l]
                for k in range(lanes):
                    a[k] -= x[k] * other[k] + own[k] * y[k]
    for i in range(n):
        own, a = d[i], A[i, i]
        for k in range(lanes):
            own[k] = a[k]
    edge, a = e[min(1, n - 1)], A[min(1, n - 1), 0]
    for k in range(lanes):
        edge[k] = a[k]


@njit(fastmath=_SAME, error_model="numpy")
def rotation(lanes, A, halves, projection, Z):
    """The rotation that `tridiagonal` made: Z[c, r] is component r of its column c."""
    n = A.shape[0]
    for c in range(n):
        for r in range(n):
            x = Z[c, r]
            for k in range(lanes):
                x[k] = 1.0 if c == r else 0.0
    for i in range(2, n):
        half = halves[i]
        for c in range(i):
            for k in range(lanes):
                projection[k] = 0.0
            for r in range(i):
                v, x = A[i, r], Z[c, r]
                for k in range(lanes):
                    projection[k] += v[k] * x[k]
            for k in range(lanes):
                projection[k] *= half[k]
            for r in range(i):
                v, x = A[i, r], Z[c, r]
                for k in range(lanes):
                    x[k] -= projection[k] * v[k]


@njit(fastmath=_SAME, error_model="numpy")
def _shift(l, n, lanes, d, e, work):
    """Begin a QL sweep for eigenvalue l where active: move the origin to the shift, set the recurrence up."""
    o = row(l)
    for k in range(lanes):
        moving = work[_ACTIVE + k] > 0.0
        edge, first = e[o + k], d[o + k]
        root = math.sqrt(edge if moving else 1.0)
        p = (d[o + LANES + k] - first) / (2.0 * root)
        new = root / (p + math.copysign(math.sqrt(p * p + 1.0), p))
        new = new if moving else first
        d[o + k] = new
        work[_H + k] = first - new
        work[_SHIFT + k] += first - new
    for i in range(l + 1, n):
        o = row(i)
        for k in range(lanes):
            d[o + k] -= work[_H + k]
    o = row(n - 1)
    for k in range(lanes):
        x = d[o + k]
        x = work[_TINY + k] if x == 0.0 else x
        work[_G + k] = x
        work[_H + k] = x
        work[_S + k] = 0.0


@njit(fastmath=_SAME, error_model="numpy")
def _sweep(l, n, lanes, d, e, work):
    """One QL sweep for eigenvalue l where active; return how many lanes are still active after it."""
    for i in range(n - 2, l - 1, -1):
        o = row(i)
        for k in range(lanes):
            moving = work[_ACTIVE + k] > 0.0
            edge, edge_below, own, below = e[o + k], e[o + LANES + k], d[o + k], d[o + LANES + k]
            g, h, s = work[_G + k], work[_H + k], work[_S + k]
            p = g * h
            r = p + edge
            inverse = 1.0 / r
            new_s = edge * inverse
            new_edge, new_below = s * r, h + new_s * (h + own)
            e[o + LANES + k] = new_edge if moving else edge_below
            d[o + LANES + k] = new_below if moving else below
            x = own - edge / g
            x = work[_TINY + k] if x == 0.0 else x
            work[_G + k] = x
            work[_H + k] = x * p * inverse
            work[_S + k] = new_s
    o, left = row(l), 0
    for k in range(lanes):
        moving = work[_ACTIVE + k] > 0.0
        h, own, edge = work[_H + k], d[o + k], e[o + k]
        off = work[_S + k] * work[_G + k] * h
        d[o + k] = h if moving else own
        e[o + k] = off if moving else edge
        small = abs(off) <= work[_TINY + k] * work[_TINY + k]  # not a number is never small, and fails
        work[_ACTIVE + k] = 1.0 if moving and not small else 0.0
    for k in range(lanes):
        left += work[_ACTIVE + k] > 0.0
    return left


@njit(fastmath=_SAME, error_model="numpy")
def rational_ql(lanes, d, e, work):
    """Eigenvalues of tridiagonal matrices into d, unsorted; NaN where they do not converge.

    The QL algorithm on squares of the subdiagonal, which needs no square root in its inner loop (Reinsch 1973). A
    lane that has its eigenvalue waits for the others. `work` (6, LANES) is work space.
    """
    n = d.shape[0]
    d, e, work = d.reshape(d.size), e.reshape(e.size), work.reshape(work.size)
    for i in range(n):
        o = row(i)
        for k in range(lanes):
            edge = e[o + LANES + k] if i < n - 1 else 0.0
            e[o + k] = edge * edge
    for k in range(lanes):
        work[_SHIFT + k] = 0.0
        work[_TINY + k] = 0.0
    for l in range(n):
        o, left = row(l), 0
        for k in range(lanes):
            edge = e[o + k]
            tiny = max(work[_TINY + k], 2.2e-16 * (abs(d[o + k]) + math.sqrt(edge)))
            work[_TINY + k] = tiny
            work[_ACTIVE + k] = 1.0 if edge > tiny * tiny else 0.0
        for k in range(lanes):
            left += work[_ACTIVE + k] > 0.0
        for _ in range(_QL_ITERATIONS):
            if left == 0:
                break
            _shift(l, n, lanes, d, e, work)
            left = _sweep(l, n, lanes, d, e, work)
        for k in range(lanes):
            d[o + k] = d[o + k] + work[_SHIFT + k] if work[_ACTIVE + k] == 0.0 else math.nan


@njit(fastmath=_SAME)
def sort_falling(lanes, x):
    """Sort every lane of x (n, LANES), largest first: a network of exchanges."""
    n = x.shape[0]
    x = x.reshape(x.size)
    for i in range(1, n):
        for j in range(i, 0, -1):
            o = row(j - 1)
            for k in range(lanes):
                a, b = x[o + k], x[o + LANES + k]
                ordered = a >= b
                x[o + k] = a if ordered else b
                x[o + LANES + k] = b if ordered else a


@njit(fastmath=_SAME, error_model="numpy")
def implicit_ql(lanes, d, e, Z, rows, work):
    """Eigenvalues of tridiagonal matrices of trace about 1 into d, unsorted, and Z turned into their vectors.

    Of the vectors only the first `rows` components are: 0 where none are wanted.

    The QL algorithm with implicit shifts (Dubrulle, Martin and Wilkinson 1968), until beside the diagonal there is what
    rounding leaves; NaN where one does not converge. `work` (6, LANES) is work space.
    """
    n = d.shape[0]
    d, e, Z, work = d.reshape(d.size), e.reshape(e.size), Z.reshape(Z.size), work.reshape(work.size)
    for i in range(1, n):
        o = row(i)
        for k in range(lanes):
            e[o - LANES + k] = e[o + k]
    for l in range(n - 1):
        o, left = row(l), lanes
        for _ in range(_QL_ITERATIONS):
            left = 0
            for k in range(lanes):
                m = l  # a sweep begins where the matrix falls apart
                while m < n - 1 and not abs(e[row(m) + k]) <= _NEGLIGIBLE:  # not a number never is
                    m += 1
                edge = e[o + k] if m > l else 1.0
                x = (d[o + LANES + k] - d[o + k]) / (2.0 * edge)
                tail = edge / (x + math.copysign(math.sqrt(x * x + 1.0), x))
                work[_G + k] = d[row(m) + k] - d[o + k] + tail
                work[_END + k] = m
                left += m > l
            if left == 0:
                break
            _implicit_sweep(l, n, lanes, d, e, Z, rows, work)
        if left:
            for k in range(lanes):
                d[o + k] = d[o + k] if work[_END + k] == l else math.nan


@njit(fastmath=_SAME, error_model="numpy")
def _implicit_sweep(l, n, lanes, d, e, Z, rows, work):
    """One sweep for eigenvalue l, from where `work` says; its other rows: s, c (_H), p (_SHIFT), g of the sweep."""
    for i in range(n - 2, l - 1, -1):
        o = row(i)
        for k in range(lanes):
            end = work[_END + k]
            moving, begins = i < end, i + 1 == end
            edge, own, below = e[o + k], d[o + k], d[o + LANES + k]
            s, c = 1.0 if begins else work[_S + k], 1.0 if begins else work[_H + k]
            p, g = 0.0 if begins else work[_SHIFT + k], work[_G + k]
            f, b = s * edge, c * edge
            square = f * f + g * g
            there = square > _NONE  # else the rotation would not be one
            r = math.sqrt(square) if there else 0.0
            inverse = 1.0 / (r if there else 1.0)
            s, c = f * inverse if there else 0.0, g * inverse if there else 1.0
            moved = below - p
            bent = (own - moved) * s + 2.0 * c * b
            p = s * bent
            r = 0.0 if begins else r  # it stays apart from what lies below
            e[o + LANES + k] = r if moving else e[o + LANES + k]
            d[o + LANES + k] = moved + p if moving else below
            work[_G + k] = c * bent - b if moving else g
            work[_SHIFT + k] = p if moving else 0.0
            work[_S + k], work[_H + k] = s if moving else 0.0, c if moving else 1.0
        above = row(i * n)
        beside = above + row(n)
        for _ in range(rows):
            for k in range(lanes):
                s, c, x, y = work[_S + k], work[_H + k], Z[above + k], Z[beside + k]
                Z[beside + k] = s * x + c * y
                Z[above + k] = c * x - s * y
            above += LANES
            beside += LANES
    o = row(l)
    for k in range(lanes):
        moving = work[_END + k] > l
        d[o + k] = d[o + k] - work[_SHIFT + k] if moving else d[o + k]
        e[o + k] = work[_G + k] if moving else e[o + k]

"""Eigenvalues of a small symmetric matrix, ascending: Householder tridiagonal form, then rational QL."""

import math

from numba import njit


@njit(fastmath={"contract", "nsz", "reassoc"})
def tridiagonal(A, d, e):
    """Reduce A (lower triangle, overwritten) to diagonal d and subdiagonal e[1:]."""
    n = A.shape[0]
    for i in range(n - 1, 0, -1):
        e[i] = 0.0
        if i == 1:
            e[1] = A[1, 0]
            break
        norm = 0.0
        for j in range(i):
            norm += A[i, j] * A[i, j]
        edge = A[i, i - 1]
        off = norm - edge * edge
        if off <= 1e-300 + 1e-32 * norm:
            e[i] = edge
            continue
        alpha = -math.copysign(math.sqrt(norm), edge)
        e[i] = alpha
        # v = row i minus alpha at its end; H = I - v v^T / half, half = |v|²/2
        half = norm - alpha * edge
        A[i, i - 1] = edge - alpha
        inverse = 1.0 / half
        projection = 0.0
        for j in range(i):
            total = 0.0
            for l in range(j + 1):
                total += A[j, l] * A[i, l]
            for l in range(j + 1, i):
                total += A[l, j] * A[i, l]
            d[j] = total * inverse
            projection += d[j] * A[i, j]
        projection *= 0.5 * inverse
        for j in range(i):
            d[j] -= projection * A[i, j]
        for j in range(i):
            v, w = A[i, j], d[j]
            for l in range(j + 1):
                A[j, l] -= v * d[l] + w * A[i, l]
    for i in range(n):
        d[i] = A[i, i]
    e[0] = 0.0


@njit(fastmath={"contract", "nsz"})
def rational_ql(d, e):
    """Eigenvalues of the tridiagonal matrix into d, unsorted; whether it converged.

    The QL algorithm on squares of the subdiagonal, which needs no square root in its inner loop (Reinsch 1973).
    """
    n = d.size
    for i in range(1, n):
        e[i - 1] = e[i] * e[i]
    e[n - 1] = 0.0
    shift, scale = 0.0, 0.0
    for l in range(n):
        scale = max(scale, abs(d[l]) + math.sqrt(e[l]))
        tiny = 2.2e-16 * scale
        negligible = tiny * tiny
        m = l
        while e[m] > negligible:  # ends at n - 1, where e is 0
            m += 1
        iteration = 0
        while m > l:
            iteration += 1
            if iteration > 60:
                return False
            root, first = math.sqrt(e[l]), d[l]
            p = (d[l + 1] - first) / (2.0 * root)
            d[l] = root / (p + math.copysign(math.sqrt(p * p + 1.0), p))
            h = first - d[l]
            for i in range(l + 1, n):
                d[i] -= h
            shift += h
            g = d[m] if d[m] != 0.0 else tiny
            h, s = g, 0.0
            for i in range(m - 1, l - 1, -1):
                p = g * h
                r = p + e[i]
                inverse = 1.0 / r
                e[i + 1] = s * r
                s = e[i] * inverse
                d[i + 1] = h + s * (h + d[i])
                g = d[i] - e[i] / g
                if g == 0.0:
                    g = tiny
                h = g * p * inverse
            e[l], d[l] = s * g, h
            if h == 0.0 or abs(e[l]) <= abs(negligible / h):
                break
            e[l] *= h
            m = l
            while e[m] > negligible:
                m += 1
        d[l] += shift
    return True


@njit
def eigenvalues(A, d, e):
    """Eigenvalues of A (overwritten) ascending into d; e is work space of the same size."""
    tridiagonal(A, d, e)
    fine = rational_ql(d, e)
    for i in range(1, d.size):  # insertion sort: short and nearly ordered
        x, j = d[i], i - 1
        while j >= 0 and d[j] > x:
            d[j + 1] = d[j]
            j -= 1
        d[j + 1] = x
    return fine

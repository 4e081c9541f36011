"""Eigenvalues of a small symmetric matrix, ascending: Householder tridiagonal form, then implicit QL."""

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
def implicit_ql(d, e):
    """Eigenvalues of the tridiagonal matrix into d, unsorted; whether it converged."""
    n = d.size
    for i in range(1, n):
        e[i - 1] = e[i]
    e[n - 1] = 0.0
    for l in range(n):
        for iteration in range(61):
            m = l
            while m < n - 1:
                if abs(e[m]) <= 1.1e-16 * (abs(d[m]) + abs(d[m + 1])):
                    break
                m += 1
            if m == l:
                break
            if iteration == 60:
                return False
            g = (d[l + 1] - d[l]) / (2.0 * e[l])
            r = math.sqrt(g * g + 1.0)
            g = d[m] - d[l] + e[l] / (g + math.copysign(r, g))
            s, c, p = 1.0, 1.0, 0.0
            early = False
            for i in range(m - 1, l - 1, -1):
                f, b = s * e[i], c * e[i]
                r = math.sqrt(f * f + g * g)
                e[i + 1] = r
                if r == 0.0:
                    d[i + 1] -= p
                    e[m] = 0.0
                    early = True
                    break
                inverse = 1.0 / r
                s, c = f * inverse, g * inverse
                g = d[i + 1] - p
                r = (d[i] - g) * s + 2.0 * c * b
                p = s * r
                d[i + 1] = g + p
                g = c * r - b
            if early:
                continue
            d[l] -= p
            e[l] = g
            e[m] = 0.0
    return True


@njit
def eigenvalues(A, d, e):
    """Eigenvalues of A (overwritten) ascending into d; e is work space of the same size."""
    tridiagonal(A, d, e)
    fine = implicit_ql(d, e)
    for i in range(1, d.size):  # insertion sort: short and nearly ordered
        x, j = d[i], i - 1
        while j >= 0 and d[j] > x:
            d[j + 1] = d[j]
            j -= 1
        d[j + 1] = x
    return fine

"""Obvious, slow oracles for `theory`: dense matrices, loops, scans. Imports nothing of the package."""

import numpy as np


def singular_values(X):
    return np.linalg.svd(X, compute_uv=False)


def gap(sigma):
    """k* and R by a loop, None where there is no ratio."""
    best = None
    for j in range(1, len(sigma)):
        if sigma[j] > len(sigma) * 2.3e-16 * sigma[0]:
            ratio = sigma[j - 1] / sigma[j]
            if best is None or ratio > best[1]:
                best = (j, ratio)
    return best


def perturbation(updates, W):
    """Norms of C_{t+1} - C_t from the P×P matrices themselves."""
    out = []
    for t in range(len(updates) - W):
        before, after = updates[t : t + W], updates[t + 1 : t + W + 1]
        delta = after.T @ after - before.T @ before
        lam, lam_next = singular_values(before) ** 2, singular_values(after) ** 2
        out.append(
            (
                np.linalg.norm(delta),
                np.linalg.norm(delta, 2),
                np.linalg.norm(np.sort(lam_next) - np.sort(lam)),
            )
        )
    return np.array(out)


def directions(X):
    """Right singular vectors in the rows, largest first."""
    return np.linalg.svd(X, full_matrices=False)[2]


def projector(X, k):
    V = directions(X)[:k]
    return V.T @ V


def crossings(d0, h, p, eta, omega, W, t_max, n=200_001):
    """Sign changes of u_k - u_{k+1} on a geometric grid."""
    t = np.geomspace(1e-6, t_max, n)
    u = []
    for j in range(2):
        kappa = eta * (h[j] + omega)
        decay = np.exp(-2 * kappa * t)
        growth = t if kappa == 0 else (1 - decay) / (2 * kappa)
        u.append(d0[j] ** 2 * decay + 2 * eta * W * p[j] * growth)
    relative = (u[0] - u[1]) / np.maximum(u[0], u[1])
    sign = np.where(np.abs(relative) < 1e-12, 0, np.sign(relative))
    keep = np.flatnonzero(sign)
    change = sign[keep[:-1]] != sign[keep[1:]]
    return t[keep[:-1]][change]


def spiked_windows(d, nu, P, W, n, seed):
    """Largest singular value and squared overlaps of n windows d a b^T + N, dense."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        a, b = rng.normal(size=W), rng.normal(size=P)
        a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
        U, s, V = np.linalg.svd(d * np.outer(a, b) + nu * rng.normal(size=(W, P)), full_matrices=False)
        out.append((s[0], (a @ U[:, 0]) ** 2, (b @ V[0]) ** 2))
    return np.array(out)


def goe_lower_half(W, n, seed):
    """Minus the mean of the lower half (j > W/2) of GOE_W eigenvalues over sqrt(W): n samples."""
    A = np.random.default_rng(seed).normal(size=(n, W, W))
    lam = np.linalg.eigvalsh((A + np.swapaxes(A, 1, 2)) / np.sqrt(2))  # ascending; diagonal variance 2
    return -lam[:, : W - W // 2].mean(axis=1) / np.sqrt(W)

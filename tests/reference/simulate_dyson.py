"""Brute force in R^{W×P}: the matrix process of section 4."""

import numpy as np


def ornstein_uhlenbeck(rng, d0, P, kappa, nu, t, n):
    """Singular values (n, W) at time t of dM = -kappa M dt + nu dB, drawn from its exact law."""
    W = len(d0)
    start = np.zeros((W, P))
    start[range(W), range(W)] = d0
    spread = nu * np.sqrt((1 - np.exp(-2 * kappa * t)) / (2 * kappa) if kappa else t)
    M = np.exp(-kappa * t) * start + spread * rng.standard_normal((n, W, P))
    return np.linalg.svd(M, compute_uv=False)


def matrix_euler(rng, d0, P, slope, nu, t, steps, n):
    """Singular values (n, W) at time t of dM = U diag(slope(d)) V^T dt + nu dB, by Euler in many steps."""
    W = len(d0)
    M = np.zeros((n, W, P))
    M[:, range(W), range(W)] = d0
    dt = t / steps
    for _ in range(steps):
        u, d, vt = np.linalg.svd(M, full_matrices=False)
        M = M + dt * (u * slope(d)[:, None, :]) @ vt + nu * np.sqrt(dt) * rng.standard_normal((n, W, P))
    return np.linalg.svd(M, compute_uv=False)

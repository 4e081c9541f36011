"""Spiked trajectories by brute force: every vector drawn whole in R^P."""

import numpy as np


def updates(rng, signals, dims, nus, weights, rho):
    """Updates (T, P): directions along the first coordinates of each block, AR(1) noise."""
    T, k = signals.shape
    P = sum(dims)
    starts = np.concatenate([[0], np.cumsum(dims)[:-1]])
    e = np.zeros((k, P))
    for b, start in enumerate(starts):
        for j in range(k):
            e[j, start + j] = weights[j][b]
    nu = np.concatenate([np.full(n, size) for n, size in zip(dims, nus, strict=True)])
    noise = np.empty((T, P))
    noise[0] = rng.standard_normal(P)
    for t in range(1, T):
        noise[t] = rho * noise[t - 1] + np.sqrt(1 - rho**2) * rng.standard_normal(P)
    return signals @ e + nu * noise


def band(X, W):
    """K[t, l] = <x_t, x_{t-l}>, NaN where l > t."""
    T = len(X)
    out = np.full((T, W + 1), np.nan)
    for t in range(T):
        for l in range(min(t, W) + 1):
            out[t, l] = X[t] @ X[t - l]
    return out

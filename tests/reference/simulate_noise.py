"""Noise by brute force in R^P: every vector drawn whole, coloured in time by the Toeplitz matrix."""

import numpy as np


def updates(rng, tau, P, norms, n):
    """n runs of len(norms) updates, shape (n, T, P), with autocorrelation tau_0 … tau_{T-1}."""
    T = len(norms)
    covariance = np.array([[tau[abs(s - t)] for t in range(T)] for s in range(T)])
    values, vectors = np.linalg.eigh(covariance)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    white = rng.standard_normal((n, T, P)) / np.sqrt(P)
    return np.asarray(norms)[:, None] * (root @ white)


def gap(X):
    """(R, k*) of one window by the definition."""
    sigma = np.linalg.svd(X, compute_uv=False)
    ratios = [sigma[j] / sigma[j + 1] for j in range(len(sigma) - 1)]
    return max(ratios), 1 + ratios.index(max(ratios))

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


def autoregressive(rng, T, P, rho, df=None):
    """T updates in R^P that follow x_t = rho_t x_{t-1} + sqrt(1 - rho_t²) e_t; e_t Student t of `df`, or normal."""
    rho = np.broadcast_to(rho, (T,))

    def fresh():
        return rng.standard_normal(P) if df is None else rng.standard_t(df, P) / np.sqrt(df / (df - 2))

    x = fresh()
    rows = []
    for r in [rho[0]] * 80 + list(rho):  # the first ones are forgotten
        x = r * x + np.sqrt(1 - r**2) * fresh()
        rows.append(x)
    return np.array(rows[80:]) / np.sqrt(P)


def with_direction(rng, X, size):
    """The same updates, each with `size` times one fixed unit vector added."""
    v = rng.standard_normal(X.shape[1])
    return X + size * v / np.linalg.norm(v)


def ratios(X, W):
    """Largest ratio of neighbouring singular values of every window of W rows, by the definition."""
    sigma = [np.linalg.svd(X[t : t + W], compute_uv=False) for t in range(len(X) - W + 1)]
    return np.array([np.max(s[:-1] / s[1:]) for s in sigma])

"""Inner products and windows the obvious way, in extended precision. Imports nothing of the package."""

import numpy as np


def updates(thetas):
    thetas = np.asarray(thetas, dtype=np.longdouble)
    return np.array([thetas[t + 1] - thetas[t] for t in range(len(thetas) - 1)])


def gram(vectors):
    K = np.zeros((len(vectors), len(vectors)), dtype=np.longdouble)
    for s in range(len(vectors)):
        for t in range(len(vectors)):
            K[s, t] = sum(vectors[s][i] * vectors[t][i] for i in range(len(vectors[s])))
    return K


def band(vectors, lags):
    found = np.full((len(vectors), lags + 1), np.nan)
    for t in range(len(vectors)):
        for lag in range(min(t, lags) + 1):
            found[t, lag] = np.dot(vectors[t].astype(np.longdouble), vectors[t - lag].astype(np.longdouble))
    return found


def singular_values(vectors, W):
    """Of every full window, (T - W + 1, W), by SVD of the window itself in float64."""
    vectors = np.asarray(vectors, dtype=np.float64)
    return np.array(
        [np.linalg.svd(vectors[t : t + W], compute_uv=False) for t in range(len(vectors) - W + 1)]
    )

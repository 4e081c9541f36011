"""Hypothesis strategies for property-testing statements about windows, spectra and modes.

Needs hypothesis (``pip install "spectral-edge[test]"``); nothing else in the package does.
"""

from typing import Any

import numpy as np

from spectral_edge.theory.checks import FloatArray

try:
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover - exercised in a process of its own
    raise ImportError(
        'spectral_edge.theory.testing needs hypothesis: pip install "spectral-edge[test]"'
    ) from error

KINDS = ("gaussian", "spiked", "low rank", "repeated", "orthogonal", "uneven", "near tie")


def _decades(low: float, high: float) -> st.SearchStrategy[float]:
    """Positive numbers spread evenly over decades."""
    return st.floats(low, high).map(lambda x: float(10.0**x))


def spectra(min_W: int = 2, max_W: int = 12) -> st.SearchStrategy[FloatArray]:
    """Singular values of a window: (W,), positive, descending, over six decades; ties occur.

    Parameters
    ----------
    min_W, max_W : int
        Range of the window.

    Returns
    -------
    SearchStrategy of ndarray

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(spectra())
    ... def holds(sigma):
    ...     assert sigma[0] >= sigma[-1] > 0
    >>> holds()
    """
    value = st.one_of(_decades(-3, 3), st.sampled_from([0.5, 1.0, 2.0]))
    lists = st.lists(value, min_size=min_W, max_size=max_W)
    return lists.map(lambda values: np.sort(np.array(values))[::-1].copy())


def _updates(kind: str, T: int, P: int, scale: float, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(T, P))
    if kind == "spiked":
        direction = np.linalg.qr(rng.normal(size=(P, 1)))[0][:, 0]
        noise += rng.uniform(1, 20) * np.sqrt(P) * rng.normal(size=(T, 1)) * direction
    elif kind == "low rank":
        noise = rng.normal(size=(T, 2)) @ rng.normal(size=(2, P))
    elif kind == "repeated":
        noise = noise[rng.integers(0, max(1, T // 2), T)]
    elif kind == "orthogonal":
        noise = np.eye(T, P)[rng.permutation(T)] * rng.integers(1, 4, (T, 1))
    elif kind == "uneven":
        noise *= 10.0 ** rng.uniform(-3, 3, (T, 1))
    elif kind == "near tie":
        noise = np.eye(T, P) + 10.0 ** rng.uniform(-8, -1) * noise
    return np.asarray(scale * noise, dtype=np.float64)


@st.composite
def trajectories(
    draw: Any, min_T: int = 4, max_T: int = 12, max_P: int = 24, kinds: tuple[str, ...] = KINDS
) -> FloatArray:
    """Updates of a run, (T, P) with P >= T: noise, planted signal, and awkward cases.

    Parameters
    ----------
    draw
        Supplied by hypothesis.
    min_T, max_T : int
        Range of the number of updates.
    max_P : int
        Largest number of parameters.
    kinds : tuple of str
        Which of `KINDS` to draw from.

    Returns
    -------
    SearchStrategy of ndarray
        ``K = updates @ updates.T`` is what the functions of the package take.
    """
    T = draw(st.integers(min_T, max_T))
    P = draw(st.integers(T, max(T, max_P)))
    return _updates(
        draw(st.sampled_from(kinds)), T, P, draw(_decades(-4, 4)), draw(st.integers(0, 2**32 - 1))
    )


def windows(min_W: int = 2, max_W: int = 10, max_P: int = 24) -> st.SearchStrategy[FloatArray]:
    """Trajectory matrices X, (W, P) with P >= W; see `trajectories`.

    Parameters
    ----------
    min_W, max_W : int
        Range of the window.
    max_P : int
        Largest number of parameters.

    Returns
    -------
    SearchStrategy of ndarray
    """
    return trajectories(min_W, max_W, max_P)


@st.composite
def two_modes(draw: Any, damped: bool = False) -> dict[str, Any]:
    """Arguments of the two-mode flow: d0 descending, h, p pairs, eta, omega, W.

    Parameters
    ----------
    draw
        Supplied by hypothesis.
    damped : bool
        Only positive damping, h + omega > 0; otherwise zero and negative curvature occur.

    Returns
    -------
    SearchStrategy of dict
        Keyword arguments of `collapse_time`, `crossing_times`, `gap_regime`.
    """
    curvature = _decades(-2, 1) if damped else st.one_of(_decades(-2, 1), st.floats(-0.5, 0.5), st.just(0.0))
    first = draw(curvature)
    second = draw(st.one_of(curvature, st.just(first)))
    power = st.one_of(_decades(-3, 2), st.just(0.0))
    d = sorted((draw(_decades(-2, 2)), draw(_decades(-2, 2))), reverse=True)
    return {
        "d0": np.array(d),
        "h": np.array([first, second]),
        "p": np.array([draw(power), draw(power)]),
        "eta": draw(_decades(-4, -2)),
        "omega": draw(st.sampled_from([0.0, 0.1, 1.0])),
        "W": draw(st.integers(2, 30)),
    }


@st.composite
def feedback_loops(draw: Any) -> dict[str, float]:
    """Arguments kappa, b, c of the feedback loop 7.3 with c < 0 < c + b.

    Parameters
    ----------
    draw
        Supplied by hypothesis.

    Returns
    -------
    SearchStrategy of dict
    """
    b = draw(_decades(-2, 2))
    return {"kappa": draw(_decades(-2, 2)), "b": b, "c": -b * draw(st.floats(0.02, 0.98))}

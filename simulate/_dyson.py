"""Dyson-type dynamics of all W singular values (section 4): drift, injection, repulsion and noise."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.simulate._compiling import compiling
from spectral_edge.theory.checks import FloatArray, finite, nonnegative, positive, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class DysonPaths:
    """Paths of the ordered singular values (section 4).

    Attributes
    ----------
    t : numpy.ndarray, shape (n,), float64
        Times of the records (steps).
    sigma : numpy.ndarray, shape (n_paths, n, W), float64
        Singular values, largest first (parameter units).
    closest : numpy.ndarray, shape (n_paths, W - 1), float64
        Smallest gap of neighbours j and j + 1 met at any step of the integration (parameter units).
    P : int
        Number of parameters.
    """

    t: FloatArray
    sigma: FloatArray
    closest: FloatArray
    P: int

    def gaps(self) -> FloatArray:
        """Gaps of neighbours, shape (n_paths, n, W - 1), parameter units.

        Returns
        -------
        numpy.ndarray, shape (n_paths, n, W - 1)

        Examples
        --------
        >>> from spectral_edge import simulate
        >>> flow = {"h": 1, "p": 0.1, "eta": 1, "omega": 0, "W": 3, "P": 5, "nu": 0.5}
        >>> paths = simulate.dyson([2, 1, 0.5], **flow, t_max=1, dt=0.2, n_paths=2, seed=4)
        >>> paths.gaps().shape
        (2, 6, 2)
        """
        return -np.diff(self.sigma, axis=-1)

    def plot(self, ax: "Axes | None" = None, path: int = 0) -> "Axes":
        """Draw one path, and the median over all; return the axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default axes of a new figure.
        path : int
            Which path.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> from spectral_edge import simulate
        >>> flow = {"h": 1, "p": 0.1, "eta": 1, "omega": 0, "W": 3, "P": 5, "nu": 0.5}
        >>> paths = simulate.dyson([2, 1, 0.5], **flow, t_max=1, dt=0.2, n_paths=2, seed=4)
        >>> paths.plot().get_xlabel()
        'time (steps)'
        """
        from spectral_edge.simulate import _figures

        return _figures.dyson(self, path, ax)


def dyson(
    d0: ArrayLike,
    *,
    h: ArrayLike,
    p: ArrayLike,
    eta: float,
    omega: float,
    W: int,
    P: float,
    nu: float,
    t_max: float,
    dt: float,
    n_paths: int,
    seed: int | np.random.Generator,
    record_every: int | None = None,
) -> DysonPaths:
    """[D] Singular values of dM = U·diag(f_j)·Vᵀdt + nu·dB in R^{W×P}, f_j = -eta(h_j + omega)d_j + eta·W·p_j/d_j.

    Not the singular-value equation of section 4 by Euler, which is wrong near crossings, but the matrix process
    itself in a W×W frame: O(W³) a step whatever P. The noise of a step is exact in law; the drift is split from it
    to second order in dt. Coefficients belong to the rank j.

    Parameters
    ----------
    d0 : array_like, shape (W,)
        Singular values at t = 0, largest first (parameter units), not negative.
    h, p : array_like, shape (W,) or ()
        Curvatures (1/eta scale) and gradient powers (not negative), of ranks 1 … W.
    eta, omega, W : float, float, int
        Learning rate, weight decay, window.
    P : int
        Number of parameters, above W.
    nu : float
        Noise: standard deviation per entry and square root of time (parameter units per sqrt step).
    t_max, dt : float
        End and step of the integration (steps); t_max is rounded to a whole number of dt.
    n_paths : int
        Independent paths, on all cores.
    seed : int or numpy.random.Generator
        Same seed, same bits, whatever the number of threads; path i does not depend on n_paths.
    record_every : int, optional
        Integration steps between records; by default there are about 100 records.

    Returns
    -------
    DysonPaths

    Raises
    ------
    ValueError
        If an argument is out of its range, or P <= W.

    Examples
    --------
    >>> run = dyson([3, 2, 1], h=1, p=0, eta=0.1, omega=0, W=3, P=1e9, nu=1e-6, t_max=10, dt=0.1, n_paths=50, seed=1)
    >>> run.sigma.shape, bool(np.all(run.gaps() > 0))
    ((50, 101, 3), True)
    """
    W = whole("W", W, 2)
    P = whole("P", P, 1)
    if P <= W:
        raise ValueError(f"P must exceed W = {W}, got {P}")
    start = nonnegative("d0", d0)
    if start.shape != (W,) or np.any(np.diff(start) > 0):
        raise ValueError(f"d0 must be W = {W} singular values, largest first, got {d0!r}")
    h, p = _per_rank("h", h, W), _per_rank("p", p, W)
    nonnegative("p", p)
    eta, omega, nu = (
        float(positive("eta", eta)),
        float(nonnegative("omega", omega)),
        float(positive("nu", nu)),
    )
    t_max, dt = float(positive("t_max", t_max)), float(positive("dt", dt))
    if dt > t_max:
        raise ValueError(f"dt must be at most t_max = {t_max:g}, got {dt:g}")
    n_steps = round(t_max / dt)
    stride = (
        max(1, n_steps // 100) if record_every is None else whole("record_every", record_every, 1, n_steps)
    )
    decay, source = _half_step(eta * (h + omega), eta * W * p, dt)
    n_paths = whole("n_paths", n_paths, 1)
    rng = np.random.default_rng(seed)
    states = rng.integers(0, 2**64, (n_paths, 4), dtype=np.uint64)
    sigma, closest = np.empty((n_paths, n_steps // stride + 1, W)), np.empty((n_paths, W - 1))
    with compiling("the Dyson kernel"):
        import numba

        from spectral_edge.simulate._kernels import dyson as kernel
    lanes = min(kernel.LANES, -(-n_paths // numba.get_num_threads()))
    kernel.paths(
        kernel.side_by_side, lanes, states, start, decay, source, nu * np.sqrt(dt), float(P - W), n_steps, stride,
        sigma, closest,
    )  # fmt: skip
    times = dt * stride * np.arange(float(sigma.shape[1]))
    return DysonPaths(times, sigma, closest, P)


def _per_rank(name: str, value: ArrayLike, W: int) -> FloatArray:
    array = finite(name, value)
    if array.shape not in ((), (W,)):
        raise ValueError(f"{name} must be one number or W = {W} of them, got shape {array.shape}")
    return np.broadcast_to(array, (W,)).astype(np.float64)


def _half_step(kappa: FloatArray, source: FloatArray, dt: float) -> tuple[FloatArray, FloatArray]:
    """Factor and term of 3.2 for u = d² over half a step."""
    x = kappa * dt
    weight = np.divide(-np.expm1(-x), x, out=np.ones_like(x), where=x != 0)
    return np.exp(-x), source * dt * weight

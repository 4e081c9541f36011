"""The other two worlds: planted, where a claim holds by construction, and noise, where nothing happens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz

from spectral_edge import simulate, theory
from spectral_edge.simulate._noise import drawing
from spectral_edge.simulate._windows import own_sigma
from spectral_edge.theory.gram import is_full, lagged, max_lag, norms_squared, window_blocks
from spectral_edge.validate.gram import GramSequence

W = 10
#: Noise sequences made beside every run.
COPIES = 20
#: Probes that are linear in the updates, and quadratic.
VECTORS, MATRICES = ("gradient", "validation_gradient", "parameters"), ("hessian", "response", "metric")


class NoiseModel(NamedTuple):
    """What noise must share with a run.

    Attributes
    ----------
    P_eff : float
        Effective dimension of what is new in each update, from pairs more than W apart: their median size. Signal that
        returns lowers it; below 2W it is taken as 2W, since noise must fill the window to be noise.
    norms : (T,) array, parameter units
        Norm of every update, which noise has exactly.
    colour : simulate.Colour
        How the unit-norm updates around each record follow from the four before, signal included: a direction that
        persists beyond those is not noise.
    """

    P_eff: float
    norms: NDArray[np.float64]
    colour: simulate.Colour


def noise_model(run: GramSequence, W: int = W) -> NoiseModel:
    """Estimate from K what noise like `run` is (sections 2.5 and 2.7 of docs/theory.md).

    Parameters
    ----------
    run : GramSequence
    W : int
        Window: pairs of updates more than this far apart say how many dimensions the noise has.

    Returns
    -------
    NoiseModel

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> updates = np.random.default_rng(0).normal(size=(60, 400))
    >>> run = validate.GramSequence.from_updates(updates)
    >>> 200 < noise_model(run).P_eff <= 400
    True
    """
    return run.once(("noise model", W), lambda: _noise_model(run, W))


def _noise_model(run: GramSequence, W: int) -> NoiseModel:
    norms = np.sqrt(norms_squared(run.K))
    memory = min(simulate.MEMORY, (W - 1) // 2, max_lag(run.K), run.T - 1)  # less than half a window
    colour = simulate.local_colour(run.K, memory=memory)
    P_eff = simulate.effective_dimension(run.K, colour, W)
    P_eff = min(P_eff, float(run.P or np.inf))  # it cannot have more dimensions than there are
    P_eff = P_eff if np.isfinite(P_eff) else 1e6
    return NoiseModel(max(P_eff, 2.0 * W), np.where(norms > 0, norms, np.finfo(float).tiny), colour)


def mean_autocorrelation(run: GramSequence) -> NDArray[np.float64]:
    """Autocorrelation of the unit-norm updates over the whole run at lags 0 … `simulate.MEMORY`, fewer where needed.

    Later lags follow from its autoregression; lags that would make it none (its Toeplitz matrix not positive definite)
    are left to that too.
    """
    norms = np.sqrt(norms_squared(run.K))
    safe = np.where(norms > 0, norms, 1.0)
    lags = min(simulate.MEMORY, max_lag(run.K), run.T - 1)
    tau = [float(np.mean(lagged(run.K, l) / (safe[l:] * safe[: run.T - l]))) for l in range(lags + 1)]
    while len(tau) > 1 and np.linalg.eigvalsh(toeplitz(tau))[0] <= 0:
        tau.pop()
    return np.array(tau) / tau[0]


class Noise(Sequence[GramSequence]):
    """Noise of a run's effective dimension, norms and colour, with its steps, metrics and card.

    Where the run has gradients or Hessians, the noise has isotropic ones of the same size: they prefer no mode.
    What ablation cost comes along as it was measured. A copy is made when it is first looked at.
    """

    def __init__(self, run: GramSequence, seed: int, numbers: range = range(COPIES)) -> None:
        self._run, self._seed, self._numbers = run, seed, numbers
        self._made: dict[int, GramSequence] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> GramSequence: ...

    @overload
    def __getitem__(self, index: slice) -> "Noise": ...

    def __getitem__(self, index: int | slice) -> "GramSequence | Noise":
        if isinstance(index, slice):
            part = Noise(self._run, self._seed, self._numbers[index])
            part._made = self._made
            return part
        number = self._numbers[index]
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]

    def _make(self, number: int) -> GramSequence:
        run = self._run
        rng = np.random.default_rng([*key(run, self._seed), number])
        lags = None if is_full(run.K) else run.W_max  # stored as the run is, so that both are judged alike
        K = _drawing(noise_model(run), lags)(rng)
        return GramSequence(K, run.steps, run.P, run.metrics, _Isotropic(run, K, rng), run.config)


class _Isotropic(Mapping[str, NDArray[np.float64]]):
    """What `isotropic` returns, made when a probe is first looked at: of most copies none is, of many one kind."""

    def __init__(
        self,
        run: GramSequence,
        K: NDArray[np.float64],
        rng: np.random.Generator,
        wanted: NDArray[np.bool_] | None = None,
    ) -> None:
        self._run, self._K, self._rng, self._wanted = run, K, rng, wanted
        self._matrices: dict[str, NDArray[np.float64]] = {}

    def where_curved(self) -> "_Isotropic":
        """The same with vectors at those records alone that have a matrix too."""
        probes = self._run.probes
        matrices = [probes[name] for name in MATRICES if name in probes]
        known = [np.isfinite(probe[:, 0, 0]) for probe in matrices if probe.ndim == 3]
        return _Isotropic(self._run, self._K, self._rng, np.any(known, axis=0)) if known else self

    @cached_property
    def _vectors(self) -> dict[str, NDArray[np.float64]]:
        # by numbers of its own: the same whichever records are asked for, and however often
        return _random_vectors(self._run, self._K, deepcopy(self._rng), self._wanted)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name not in self._matrices and name in MATRICES:
            self._matrices |= _multiples(self._run, self._K, (name,))
        made = self._vectors if name in VECTORS else self._matrices
        return made[name] if name in made else self._run.probes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._run.probes

    def __iter__(self) -> Iterator[str]:
        return iter(self._run.probes)

    def __len__(self) -> int:
        return len(self._run.probes)


def _drawing(model: NoiseModel, lags: int | None) -> Callable[[np.random.Generator], NDArray[np.float64]]:
    """What makes K of such noise from random numbers."""
    P, norms, colour = model
    return drawing(len(norms), P, norms, colour, lags, fixed=True)[0]


def white_noise(run: GramSequence, seed: int, copies: int = COPIES) -> list[GramSequence]:
    """Copies of noise of a run's effective dimension and norms that is white in time, with its metrics and card.

    Parameters
    ----------
    run : GramSequence
    seed, copies : int
        Of the random numbers; how many.

    Returns
    -------
    list of GramSequence

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> updates = np.random.default_rng(0).normal(size=(60, 400))
    >>> run = validate.GramSequence.from_updates(updates)
    >>> (noise,) = white_noise(run, seed=0, copies=1)
    >>> bool(np.allclose(np.diag(noise.K), np.diag(run.K)))
    True
    """
    P, norms, _ = noise_model(run)
    rng = np.random.default_rng(key(run, seed))
    lags = None if is_full(run.K) else run.W_max
    made = [
        simulate.noise(run.T, P=P, norms=norms, W_max=lags, fix_norms=True, seed=rng) for _ in range(copies)
    ]
    about: dict[str, Any] = {"metrics": run.metrics, "config": run.config}
    return [GramSequence(one.K, run.steps, run.P, **about) for one in made]


def matched_noise(run: GramSequence, seed: int, copies: int = COPIES) -> Noise:
    """Copies of noise like `run` (2.7): see `Noise`.

    Parameters
    ----------
    run : GramSequence
    seed, copies : int
        Of the random numbers; how many.

    Returns
    -------
    Noise
        A sequence of GramSequence.

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> updates = np.random.default_rng(0).normal(size=(60, 400))
    >>> run = validate.GramSequence.from_updates(updates)
    >>> noise = matched_noise(run, seed=0, copies=3)
    >>> len(noise), bool(np.allclose(np.diag(noise[0].K), np.diag(run.K)))
    (3, True)
    """
    return Noise(run, seed, range(copies))


def isotropic(
    run: GramSequence, K: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Probes of the noise K: random vectors, and multiples of the identity, of the size that the run's have."""
    return {**run.probes, **_random_vectors(run, K, rng), **_multiples(run, K)}


def _random_vectors(
    run: GramSequence,
    K: NDArray[np.float64],
    rng: np.random.Generator,
    wanted: NDArray[np.bool_] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Inner products of the updates with random vectors; of those of `VECTORS` that reach over a window and one.

    NaN at records that are not `wanted`, (T,).
    """
    given = {
        name: run.probes[name] for name in VECTORS if name in run.probes and run.probes[name].shape[1] > W
    }
    if not given:
        return {}
    blocks = _newest_first(run, K)
    drawn_of = np.arange(len(blocks)) if wanted is None else np.flatnonzero(wanted[W:])
    rows, blocks = drawn_of + W, blocks[drawn_of]
    lam, u = np.linalg.eigh(blocks)
    trace = np.trace(blocks, axis1=1, axis2=2)
    roots = u * np.sqrt(np.maximum(lam, 0))[:, None]
    made = {}
    for name, probe in given.items():
        normal = rng.standard_normal((max(run.T - W, 0), W + 1))[drawn_of]
        drawn = np.einsum("nij,nj->ni", roots, normal)
        squares = (probe[rows, : W + 1] ** 2).sum(axis=1)
        size = np.sqrt(np.divide(squares, trace, out=np.zeros(len(trace)), where=trace > 0))
        made[name] = np.full((run.T, W + 1), np.nan)
        made[name][rows] = size[:, None] * drawn
    return made


def _multiples(
    run: GramSequence, K: NDArray[np.float64], names: Sequence[str] = MATRICES
) -> dict[str, NDArray[np.float64]]:
    """Quadratic forms of the updates in multiples of the identity; of those of `names` that reach over a window."""
    given = {
        name: run.probes[name] for name in names if name in run.probes and run.probes[name].shape[1] >= W
    }
    if not given:
        return {}
    rows, inner = slice(min(W, run.T), None), _newest_first(run, K)[:, :W, :W]
    trace = np.trace(inner, axis1=1, axis2=2)
    made = {}
    for name, probe in given.items():
        flat = np.trace(probe[rows, :W, :W], axis1=1, axis2=2) / trace
        made[name] = np.full((run.T, W, W), np.nan)
        made[name][rows] = flat[:, None, None] * inner
    return made


def _newest_first(run: GramSequence, K: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gram matrices of all windows of W + 1 updates, the newest first, as probes have them."""
    return window_blocks(K, W + 1)[:, ::-1, ::-1] if run.T > W else np.zeros((0, W + 1, W + 1))


def where_curved(copy: GramSequence) -> GramSequence:
    """A noise copy whose vectors are known where curvature is, and nowhere else: enough where both are asked for."""
    return replace(copy, probes=copy.probes.where_curved()) if isinstance(copy.probes, _Isotropic) else copy


def noise_ratios(run: GramSequence, n: int, seed: int, W: int = W) -> NDArray[np.float64]:
    """Gap ratio R of every window of `n` noise sequences like `run` (2.6, 2.7).

    Parameters
    ----------
    run : GramSequence
    n, seed, W : int
        How many; of the random numbers; window.

    Returns
    -------
    (n, windows) float64

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> updates = np.random.default_rng(0).normal(size=(60, 400))
    >>> run = validate.GramSequence.from_updates(updates)
    >>> noise_ratios(run, n=5, seed=0).shape
    (5, 51)
    """
    lags = W if run.T >= W + 2 else None  # no more than windows hold; a band needs a row beyond its lags
    draw, rng = _drawing(noise_model(run, W), lags), np.random.default_rng(key(run, seed + 1))
    sigma = np.array([own_sigma(draw(rng), W) for _ in range(n)])
    return theory.gap_ratio(sigma, rtol=theory.gram_rtol(W))


def key(run: GramSequence, seed: int) -> list[int]:
    """A seed that differs between runs and does not depend on the order in which they are judged."""
    return [seed, run.T, *np.frombuffer(np.float64(run.K[0, 0]).tobytes(), dtype=np.uint32).tolist()]


def planted(
    scenario: str, runs: int = 6, *, with_controls: bool = False
) -> Callable[[int], list[GramSequence]]:
    """Return a maker of planted runs, ``maker(seed)``; with controls, each has its twin in which nothing is planted."""

    def make(seed: int) -> list[GramSequence]:
        made = [
            simulate.planted(scenario, seed * runs + i, control=control)
            for control in ((False, True) if with_controls else (False,))
            for i in range(runs)
        ]
        return [
            GramSequence.from_inner_products(
                world.K, world.steps, world.P, metrics=world.metrics, probes=world.probes, config=world.config
            )
            for world in made
        ]

    return make

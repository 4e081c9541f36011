"""Many gap equations at once: regimes over parameters that broadcast, on all cores or through an executor."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.simulate import _coefficients
from spectral_edge.simulate._compiling import compiling
from spectral_edge.simulate._gap import _tolerances
from spectral_edge.theory.checks import FloatArray, choice, finite, nonnegative, positive, whole
from spectral_edge.theory.files import replace_atomically
from spectral_edge.theory.progress import progress_bar

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

PARAMETERS = ("g0", "d0", "h_k", "h_next", "p_k", "p_next", "eta", "omega", "W", "t_max")
RESULTS = ("collapse_time", "reopen_time", "gap", "minimal_gap")
Columns = tuple[FloatArray, ...]
_ROWS = len(RESULTS) + 4
MARGINAL = 1e-9  # relative size of an equilibrium gap that counts as zero, as in theory.gap_regime


@dataclass(frozen=True)
class GapSweep:
    """Regimes (section 3.8) of many gap equations; every array has the broadcast shape of the parameters.

    Attributes
    ----------
    collapse_time, reopen_time : numpy.ndarray, float64
        First and second crossing of g = 0 before t_max (steps); NaN where there is none.
    gap : numpy.ndarray, float64
        The gap at t_max, negative after a crossing (parameter units).
    minimal_gap : numpy.ndarray, float64
        The smallest ordered gap until t_max, 0 where it crosses (parameter units); NaN if it was not asked for.
    crossings : numpy.ndarray, int64
        Crossings of g = 0: for constants all there will ever be, for functions of time those before t_max. -1 is
        the marginal case of none and g* = 0.
    parameters : dict of str to numpy.ndarray
        The parameters as they were given, not broadcast; functions of time are left out.
    method : str
        "integrate" or "exact".
    """

    collapse_time: FloatArray
    reopen_time: FloatArray
    gap: FloatArray
    minimal_gap: FloatArray
    crossings: NDArray[np.int64]
    parameters: dict[str, FloatArray]
    method: str

    @cached_property
    def regime(self) -> NDArray[np.str_]:
        """Names of the regimes, as `GapRun.regime`."""
        names = np.array(["marginal", "viable", "collapsing", "transient"])
        return np.asarray(names[1 + np.where(self.crossings > 2, 2 - self.crossings % 2, self.crossings)])

    def axis_of(self, name: str) -> int:
        """The axis along which the parameter `name` varies.

        Parameters
        ----------
        name : str
            One of `parameters`.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If there is no such parameter or it does not vary along exactly one axis.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import simulate
        >>> omega, p_next = np.linspace(0.05, 0.5, 4)[:, None], np.linspace(1, 3, 5)
        >>> sweep = simulate.gap_sweep(3, 6, h=(0.9, 0.4), p=(2.0, p_next), eta=1e-3, omega=omega, W=10, t_max=3000)
        >>> sweep.axis_of("omega"), sweep.axis_of("p_next")
        (0, 1)
        """
        values = self.parameters[choice("a swept parameter", name, tuple(self.parameters))]
        varying = [axis for axis, size in enumerate(values.shape) if size > 1]
        if len(varying) != 1:
            raise ValueError(f"{name} must vary along one axis to be drawn, got shape {values.shape}")
        return varying[0] - values.ndim + self.gap.ndim

    def plot(self, ax: "Axes | None" = None, *, x: str, y: str) -> "Axes":
        """Draw the regime map over the parameters `x` and `y`; return the axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default axes of a new figure.
        x, y : str
            Two of `parameters`, each varying along an axis of its own.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import simulate
        >>> omega, p_next = np.linspace(0.05, 0.5, 4)[:, None], np.linspace(1, 3, 5)
        >>> sweep = simulate.gap_sweep(3, 6, h=(0.9, 0.4), p=(2.0, p_next), eta=1e-3, omega=omega, W=10, t_max=3000)
        >>> sweep.plot(x="p_next", y="omega").get_xlabel()
        'gradient power $p_{k+1}$'
        """
        from spectral_edge.simulate import _figures

        return _figures.regime_map(self, x, y, ax)

    def to_xarray(self) -> "xr.Dataset":
        """The results with a dimension for each swept parameter (needs xarray).

        Returns
        -------
        xarray.Dataset

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import simulate
        >>> omega, p_next = np.linspace(0.05, 0.5, 4)[:, None], np.linspace(1, 3, 5)
        >>> sweep = simulate.gap_sweep(3, 6, h=(0.9, 0.4), p=(2.0, p_next), eta=1e-3, omega=omega, W=10, t_max=3000)
        >>> dict(sweep.to_xarray().sizes)
        {'omega': 4, 'p_next': 5}
        """
        import xarray as xr

        names = [f"axis_{axis}" for axis in range(self.gap.ndim)]
        coordinates = {}
        for name, values in self.parameters.items():
            if values.size > 1 and max(values.shape) == values.size:
                axis = self.axis_of(name)
                if names[axis].startswith("axis_"):
                    names[axis] = name
                coordinates[name] = (names[axis], values.ravel())
        data = {name: (names, getattr(self, name)) for name in (*RESULTS, "regime")}
        scalars = {name: float(v.ravel()[0]) for name, v in self.parameters.items() if v.size == 1}
        return xr.Dataset(data, coordinates, attrs=scalars | {"method": self.method})


def gap_sweep(
    g0: ArrayLike,
    d0: ArrayLike,
    *,
    h: Any,
    p: Any,
    eta: Any,
    omega: ArrayLike,
    W: ArrayLike,
    t_max: ArrayLike,
    method: str = "auto",
    minimal_gap: bool = True,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    executor: Executor | None = None,
    chunk: int = 20_000,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> GapSweep:
    """Solve many gap equations (sections 3.3 and 3.6 of docs/theory.md) on all cores.

    Parameters
    ----------
    g0, d0, omega, W, t_max : array_like
        As `gap_ode`; arrays broadcast against one another and against those of h, p and eta.
    h, p : array_like, shape (..., 2), or tuple of two
        Curvatures and gradient powers of modes k and k+1. In a tuple each may be an array that broadcasts, or a
        function of time common to all.
    eta : array_like or callable
        Learning rate, or a schedule common to all.
    method : {"auto", "integrate", "exact"}
        The kernels of `gap_ode`, or the closed form 3.2 with a bracketed root; "auto" is exact for constants.
    minimal_gap : bool
        Whether to look for the smallest gap too. Without, the exact method takes less time, above all the first
        time, when less is compiled.
    rtol, atol : float
        Tolerances of the integration.
    executor : concurrent.futures.Executor, optional
        Where to compute chunks, for instance dask's ``client.get_executor()``. By default all cores here.
    chunk : int
        Trajectories per chunk, with an executor or a checkpoint.
    checkpoint : path, optional
        File (.npz) in which finished chunks are kept; a later call with the same parameters resumes from it.
    progress : bool
        Show a progress bar over chunks.

    Returns
    -------
    GapSweep
        Its bits do not depend on the number of threads or chunks.

    Raises
    ------
    ValueError
        For arguments out of range or that do not broadcast, and where the integration fails (with its parameters).

    Examples
    --------
    >>> omega, p_next = np.linspace(0.05, 0.5, 4)[:, None], np.linspace(1, 3, 5)
    >>> sweep = gap_sweep(3, 6, h=(0.9, 0.4), p=(2.0, p_next), eta=1e-3, omega=omega, W=10, t_max=3000)
    >>> sweep.gap.shape, sweep.method, str(sweep.regime[0, -1])
    ((4, 5), 'exact', 'collapsing')
    """
    rtol, atol = _tolerances(rtol, atol)
    choice("method", method, ("auto", "integrate", "exact"))
    parameters, functions = _parameters(g0, d0, h, p, eta, omega, W, t_max)
    varying = bool(functions)
    if varying and method == "exact":
        raise ValueError(
            f"method must be integrate where {', '.join(functions)} depends on time, got 'exact'"
        )
    method = "integrate" if varying or method == "integrate" else "exact"
    try:
        shape = np.broadcast_shapes(*(value.shape for value in parameters.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in parameters.items() if value.ndim)
        raise ValueError(f"the parameters must broadcast against one another, got {shapes}") from None
    columns = tuple(_column(value, shape) for value in parameters.values())
    _check_signals(columns)
    job = _Job(method, functions if varying else None, rtol, atol, minimal_gap)
    out = _compute(job, columns, executor, whole("chunk", chunk, 1), checkpoint, progress)
    _check_status(job, columns, out)
    results = {name: out[i].reshape(shape) for i, name in enumerate(RESULTS)}
    given = {name: value for name, value in parameters.items() if name not in functions}
    crossings = out[4].astype(np.int64).reshape(shape)
    return GapSweep(**results, crossings=crossings, parameters=given, method=method)


@dataclass(frozen=True)
class _Job:
    """What a worker needs besides its rows; `functions` by name, None where all is constant."""

    method: str
    functions: dict[str, Any] | None
    rtol: float
    atol: float
    minimal_gap: bool = True


def _parameters(
    g0: Any, d0: Any, h: Any, p: Any, eta: Any, omega: Any, W: Any, t_max: Any
) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    """Checked arrays in the order of `PARAMETERS`, and the functions of time among them (1 in their place)."""
    functions: dict[str, Any] = {}
    values: dict[str, Any] = {"g0": g0, "d0": d0}
    for name, pair in (("h", h), ("p", p)):
        if callable(pair):
            functions |= {f"{name}_k": pair, f"{name}_next": pair}
            pair = (1.0, 1.0)
        elif not isinstance(pair, tuple):
            array = finite(name, pair)
            if array.ndim == 0 or array.shape[-1] != 2:
                raise ValueError(f"{name} must be a pair (modes k and k+1), got shape {array.shape}")
            pair = (array[..., 0], array[..., 1])
        elif len(pair) != 2:
            raise ValueError(f"{name} must be a pair (modes k and k+1), got {len(pair)} values")
        values |= {f"{name}_k": pair[0], f"{name}_next": pair[1]}
    values |= {"eta": eta, "omega": omega, "W": W, "t_max": t_max}
    for name, value in values.items():
        if callable(value):
            functions[name] = value
            values[name] = 1.0
    checks: dict[str, Any] = {
        **dict.fromkeys(("d0", "eta", "t_max"), positive),
        **dict.fromkeys(("g0", "p_k", "p_next", "omega"), nonnegative),
    }
    arrays = {name: checks.get(name, finite)(name, value) for name, value in values.items()}
    if np.any(arrays["W"] < 2) or np.any(arrays["W"] % 1):
        raise ValueError(f"W must be whole numbers of at least 2, got {W!r}")
    return arrays, functions


def _column(value: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """A parameter of every trajectory in a row; copied only where it is neither one number nor all there are."""
    if value.size == 1:
        return np.broadcast_to(value.reshape(()), math.prod(shape))
    return np.broadcast_to(value, shape).reshape(-1)


def _check_signals(columns: Columns) -> None:
    g0, d0 = columns[:2]
    fine = d0 > g0 / 2
    if not fine.all():
        bad = np.flatnonzero(~fine)
        g, d = g0[bad[0]], d0[bad[0]]
        raise ValueError(
            f"d0 must exceed g0/2 (both signals are positive), got d0 = {d:g}, g0 = {g:g} in {bad.size} of {g0.size}"
        )


def _check_status(job: _Job, columns: Columns, out: FloatArray) -> None:
    status, reached = out[5:7]
    if not status.any():
        return
    bad = np.flatnonzero(status)
    first = bad[0]
    values = ", ".join(
        f"{name} = {value:g}"
        for name, value in zip(PARAMETERS, (column[first] for column in columns), strict=True)
    )
    if job.functions and status[first] == 1:
        _coefficients.complain(*_as_coefficients(job.functions), reached[first])
    raise ValueError(
        f"t_max, rtol or atol cannot be reached in {bad.size} of {status.size} (t = {reached[first]:.6g}): {values}"
    )


def _as_coefficients(functions: dict[str, Any]) -> tuple[Any, Any, Any]:
    """h, p and eta for the compiled coefficients: functions where given, 1 elsewhere (the rows scale them)."""
    pairs = []
    for name in ("h", "p"):
        first, second = functions.get(f"{name}_k", 1.0), functions.get(f"{name}_next", 1.0)
        pairs.append(first if first is second and callable(first) else (first, second))
    return pairs[0], pairs[1], functions.get("eta", 1.0)


def compute_chunk(job: _Job, columns: Columns, alone: bool = True) -> FloatArray:
    """Results (8, n) of the ten parameters (n,): on this thread alone, or on all cores.

    The rows are those of `RESULTS`, the number of crossings (-1: marginal), a status, the time reached and the steps.
    """
    out = np.zeros((_ROWS, columns[0].size))
    if job.method == "exact":
        _exact(job, columns, alone, out)
    elif job.functions:
        _in_time(job, columns, alone, out)
    else:
        _constants(job, columns, alone, out)
    if not job.minimal_gap:
        out[3] = np.nan
    return out


def _exact(job: _Job, columns: Columns, alone: bool, out: FloatArray) -> None:
    with compiling("the exact sweep"):
        name = "sweep_exact" if job.minimal_gap else "sweep_crossings"
        kernel = import_module(f"spectral_edge.simulate._kernels.{name}")

    def solve(start: int, stop: int) -> None:
        kernel.solve_part(columns, start, stop, MARGINAL, out)

    _side_by_side(solve, columns[0].size, alone)


def _lowest(out: FloatArray) -> None:
    """The smallest gap is zero where it crosses."""
    out[3] = np.where(out[4] > 0, 0.0, np.maximum(out[3], 0.0))


def _in_time(job: _Job, columns: Columns, alone: bool, out: FloatArray) -> None:
    assert job.functions
    with compiling("the sweep in time"):
        from spectral_edge.simulate._kernels import sweep_in_time as kernels
    integrate = kernels.integrate_rows_alone if alone else kernels.integrate_rows
    with _coefficients.compiled(*_as_coefficients(job.functions)) as function:
        integrate(function, columns, columns[9].min() / 100, job.rtol, job.atol, out)
    _lowest(out)


def _constants(job: _Job, columns: Columns, alone: bool, out: FloatArray) -> None:
    with compiling("the integrated sweep"):
        from spectral_edge.simulate._kernels import sweep_count, taylor
    none = np.empty(0)

    def integrate(start: int, stop: int) -> None:
        taylor.integrate_part(
            columns, start, stop, np.inf, taylor.MAX_STEPS, job.rtol, job.atol, none, none, none, out
        )

    _side_by_side(integrate, columns[0].size, alone)
    _lowest(out)
    sweep_count.count_rows(columns, MARGINAL, out)


def _side_by_side(work: Callable[[int, int], Any], n: int, alone: bool) -> None:
    """Do `work` for the rows from one number to another, all n of them: at once, or in parts on all cores.

    The kernels let go of Python's lock, and compile faster than a parallel loop of numba.
    """
    import numba

    threads = 1 if alone else numba.get_num_threads()
    # some parts a thread, since some rows take longer; in whole blocks of the kernels
    part = math.ceil(n / (16 * threads) / 512) * 512
    if threads == 1 or part >= n:
        work(0, n)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, i, min(i + part, n)) for i in range(0, n, part)]:
            done.result()


def _compute(
    job: _Job, columns: Columns, executor: Executor | None, chunk: int, checkpoint: Any, progress: bool
) -> FloatArray:
    n = columns[0].size
    if executor is None and checkpoint is None and not progress:
        return compute_chunk(job, columns, alone=False)
    pieces = [slice(i, min(i + chunk, n)) for i in range(0, n, chunk)]
    out, done = _resume(checkpoint, job, columns, len(pieces))
    waiting = [i for i in range(len(pieces)) if not done[i]]
    with _bar(progress, len(pieces), len(pieces) - len(waiting)) as advance:
        for i, result in _results(job, columns, [(i, pieces[i]) for i in waiting], executor):
            out[:, pieces[i]], done[i] = result, True
            _save(checkpoint, job, columns, out, done)
            advance()
    return out


def _results(
    job: _Job, columns: Columns, pieces: list[tuple[int, slice]], executor: Executor | None
) -> Iterator[Any]:
    parts = {i: tuple(column[piece] for column in columns) for i, piece in pieces}
    if executor is None:
        for i, part in parts.items():
            yield i, compute_chunk(job, part, alone=False)
        return
    futures = {executor.submit(compute_chunk, job, part): i for i, part in parts.items()}
    for future in as_completed(futures):
        yield futures[future], future.result()


@contextmanager
def _bar(wanted: bool, total: int, completed: int) -> Iterator[Callable[[], None]]:
    """A function to call after each chunk, which moves a bar if one is `wanted`."""
    if not wanted:
        yield lambda: None
        return
    with progress_bar() as bar:
        task = bar.add_task("sweep", total=total, completed=completed)
        yield lambda: bar.advance(task)


def _fingerprint(job: _Job, columns: Columns, n_pieces: int) -> str:
    names = sorted(job.functions) if job.functions else []
    text = f"{job.method} {_ROWS} {names} {job.rtol} {job.atol} {job.minimal_gap} {n_pieces}".encode()
    return hashlib.sha256(text + b"".join(column.tobytes() for column in columns)).hexdigest()


def _resume(path: Any, job: _Job, columns: Columns, n_pieces: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Results and finished chunks of an earlier call with the same parameters, or none."""
    nothing = np.full((_ROWS, columns[0].size), np.nan), np.zeros(n_pieces, dtype=bool)
    if path is None or not Path(path).exists():
        return nothing
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            fingerprint, out, done = str(file["fingerprint"]), file["out"], file["done"]
    except Exception:
        raise ValueError(f"checkpoint must be a file that gap_sweep wrote, got {path}") from None
    if fingerprint != _fingerprint(job, columns, n_pieces):
        raise ValueError(f"checkpoint must belong to this sweep, got one of other parameters: {path}")
    return out, done


def _save(path: Any, job: _Job, columns: Columns, out: FloatArray, done: NDArray[np.bool_]) -> None:
    if path is None:
        return
    arrays: dict[str, Any] = {
        "fingerprint": np.array(_fingerprint(job, columns, len(done))),
        "out": out,
        "done": done,
    }
    replace_atomically(path, lambda file: np.savez(file, **arrays))

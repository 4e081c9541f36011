"""Curvature as the optimiser of a run sees it, v_jᵀD⁻¹Hv_j, from whichever probes the run holds (10.7).

The response δ_sᵀD⁻¹Hδ_r gives it as it is. Where D = I the window Hessian does. Where only δ_sᵀDδ_r was recorded beside
the window Hessian (`metric`), what the window spans of D⁻¹Hv_j stands for it (10.7d).

Probes are stored in float32 or float64, and a mode is known only as far down as their rounding allows: in a smooth
window the weaker modes are a thousandth of the first, and quadratic forms of them a millionth.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from spectral_edge import theory
from spectral_edge.theory.gram import window_blocks
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import DENSE, card
from spectral_edge.validate.referee.collapse.tracks import Optimizer

Floats = NDArray[np.float64]
#: What gives the curvature along the modes of every window, (n, W): ``curvature(run, W)``.
Curvature = Callable[[GramSequence, int], Floats]

#: Optimisers whose step is not along the gradient: the plain curvature is not the one they see.
PRECONDITIONED = ("adam", "muon", "rmsprop", "adagrad", "lion", "shampoo", "soap", "sophia")
#: Relative error, of the largest one, that rounding may leave in a curvature or a gradient along a mode.
ROUNDED = 0.002


def source(run: GramSequence, W: int) -> str | None:
    """Name of the probe that tells what the optimiser sees over windows of `W`; None where none does.

    Examples
    --------
    >>> import numpy as np
    >>> hessian = {"hessian": np.ones((6, 3, 3))}
    >>> run = GramSequence.from_inner_products(np.eye(6), probes=hessian, config={"optimizer": "AdamW"})
    >>> source(run, 3) is None
    True
    """
    if _reaches(run, "response", W):
        return "response"
    if not _reaches(run, "hessian", W):
        return None
    name = (card(run).optimizer or "").lower()
    if name and not any(word in name for word in PRECONDITIONED):
        return "hessian"
    return "metric" if _reaches(run, "metric", W) else None


def _reaches(run: GramSequence, name: str, W: int) -> bool:
    """Whether the probe is there, over windows of `W`; of noise one that nobody asks for is not made."""
    return name in run.probes and run.probes[name].ndim == 3 and run.probes[name].shape[1] >= W


def seen(run: GramSequence, W: int) -> Floats:
    """Curvature as the optimiser sees it, (n, W); NaN where it was not measured or is rounding.

    Raises
    ------
    ValueError
        If `run` does not hold it: ask `source`.
    """
    name = source(run, W)
    if name is None:
        raise ValueError(
            f"run must hold the probe response, or metric beside hessian, got {sorted(run.probes)}"
        )
    return plain(run, W, name) if name != "metric" else _projected(run, W)


def plain(run: GramSequence, W: int, probe: str = "hessian") -> Floats:
    """Curvature of the plain loss, or by another probe, (n, W); NaN where it was not measured or is rounding."""
    windows = run.window(W)
    return np.where(known(windows.sigma, run.probes[probe], 2), windows.curvature(probe), np.nan)


def _projected(run: GramSequence, W: int) -> Floats:
    windows, rows = run.window(W), slice(W - 1, None)
    metric, hessian = (run.probes[name][rows, W - 1 :: -1, W - 1 :: -1] for name in ("metric", "hessian"))
    measured = np.isfinite(metric).all(axis=(1, 2)) & np.isfinite(hessian).all(axis=(1, 2))
    h = np.full(windows.sigma.shape, np.nan)
    floor = max(_floor(run.probes[name], W, 2) for name in ("metric", "hessian"))
    blocks = window_blocks(run.K, W)[measured]
    h[measured] = theory.projected_curvature(blocks, metric[measured], hessian[measured], rtol=floor)
    return h


def gradients(run: GramSequence, W: int) -> Floats:
    """G_j = ⟨∇L, v_j⟩, (n, W); NaN where it was not measured or is rounding."""
    windows = run.window(W)
    return np.where(known(windows.sigma, run.probes["gradient"], 1), windows.project("gradient"), np.nan)


def known(sigma: Floats, probe: Floats, degree: int) -> NDArray[np.bool_]:
    """Modes along which a probe says something, (n, W): linear in the updates, or quadratic (`degree` 2)."""
    return np.asarray(sigma > _floor(probe, sigma.shape[1], degree) * sigma[:, :1])


def _floor(probe: Floats, W: int, degree: int) -> float:
    """Smallest σ_j/σ_1 of which rounding leaves a curvature right to `ROUNDED` of the largest.

    Of a gradient along a mode, which shrinks with the mode itself, it leaves as much as of the Gram matrix.
    """
    finite = probe[np.isfinite(probe)]
    with np.errstate(over="ignore"):
        single = np.array_equal(finite, finite.astype(np.float32))
    eps = float(np.finfo(np.float32 if single else np.float64).eps)
    return float(np.sqrt(W * eps / (ROUNDED if degree == 2 else 1.0)))


def rate(run: GramSequence) -> Floats:
    """Learning rate of the flow that the optimiser follows, (T,), per record: a step's, times the steps between two."""
    own = Optimizer.of(run)
    return own.pace * own.spacing


def deciding(runs: Sequence[GramSequence]) -> tuple[list[GramSequence], list[GramSequence]]:
    """The runs that decide about a flow (those recorded at every step, if there are any), and the others."""
    dense = [run for run in runs if card(run).experiment == DENSE]
    others = [run for run in runs if card(run).experiment != DENSE]
    return (dense, others) if dense else (others, [])

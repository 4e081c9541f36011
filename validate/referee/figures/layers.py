"""The groups of one run's tensors side by side: group × step, as heat maps of R and k*."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import BoundaryNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spectral_edge.validate.gram import WindowSpectra

#: Positions beyond this share a colour.
POSITIONS = 8


def layers_figure(windows: Mapping[str, WindowSpectra], levels: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Heat maps of the gap ratio R and of its position k* in every group, over training.

    Parameters
    ----------
    windows : mapping of str to WindowSpectra
        Of each group, at the same steps.
    levels : mapping of str to (n,) array
        The 99 % level of noise of each; windows below it are pale.
    """
    rows = len(windows)
    figure = Figure(figsize=(11, min(3 + 0.22 * rows, 30)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    ratio = np.array([each.ratio for each in windows.values()])
    above = np.array([each.ratio > levels[name] for name, each in windows.items()])
    top = float(np.nanmax(ratio, initial=1.01))
    scale = Normalize(1, top) if top < 10 else LogNorm(1, top)
    drawn = _heat(left, windows, ratio, above, "viridis", scale)
    figure.colorbar(drawn, ax=left, label="gap ratio R", shrink=0.8)
    positions = np.array([each.k_star for each in windows.values()])
    bounds = BoundaryNorm(np.arange(0.5, POSITIONS + 1.5), 256)
    drawn = _heat(right, windows, np.minimum(positions, POSITIONS), above, "cividis", bounds)
    bar = figure.colorbar(drawn, ax=right, label="gap position k*", shrink=0.8, ticks=range(1, POSITIONS + 1))
    bar.ax.set_yticklabels([*map(str, range(1, POSITIONS)), f"≥ {POSITIONS}"])
    figure.suptitle("pale: not above the 99 % level of noise", fontsize=9)
    return figure


def _heat(
    ax: Axes,
    windows: Mapping[str, WindowSpectra],
    values: NDArray[np.float64],
    above: NDArray[np.bool_],
    colours: str,
    norm: Normalize,
) -> QuadMesh:
    """One row per group, one column per window."""
    steps = next(iter(windows.values())).steps
    edges = np.arange(len(windows) + 1) - 0.5
    middle = (steps[1:] + steps[:-1]) / 2
    ends = (
        np.concatenate([[steps[0] - 0.5], middle, [steps[-1] + 0.5]])
        if len(steps) > 1
        else steps[0] + [-0.5, 0.5]
    )
    shown = ax.pcolormesh(
        ends,
        edges,
        np.ma.masked_invalid(values),
        cmap=colours,
        norm=norm,
        rasterized=True,
    )
    shown.set(alpha=np.where(above, 1.0, 0.35))
    ax.set(xlabel="step", yticks=range(len(windows)), yticklabels=list(windows))
    ax.tick_params(axis="y", labelsize=6)
    ax.set_ylim(len(windows) - 0.5, -0.5)
    return shown

"""The alpha-feedback loop (7.3): gradient power persists in proportion to stability, so a gap sustains itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.simulate._compiling import compiling
from spectral_edge.theory.checks import FloatArray, finite, nonnegative, positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RTOL, ATOL = 1e-10, 1e-12


@dataclass(frozen=True)
class FeedbackSweep:
    """Ends of many feedback loops (section 7.3); arrays have the broadcast shape of the parameters.

    Attributes
    ----------
    gap : numpy.ndarray, float64
        Gap at t_max (parameter units), 0 once collapsed.
    collapse_time : numpy.ndarray, float64
        Time at which it reaches 0 (steps); NaN where it does not before t_max.
    """

    gap: FloatArray
    collapse_time: FloatArray


@dataclass(frozen=True)
class Hysteresis:
    """A feedback loop (section 7.3) while its perturbation scale is raised and lowered again, slowly.

    Attributes
    ----------
    eps : numpy.ndarray, shape (n,), float64
        Perturbation scales, increasing (parameter units).
    rising, falling : numpy.ndarray, shape (n,), float64
        Gap held at each scale on the way up, from the open state, and back down (parameter units).
    eps_c : float
        The saddle-node of the theory (parameter units).
    """

    eps: FloatArray
    rising: FloatArray
    falling: FloatArray
    eps_c: float

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw both branches and the saddle-node; return the axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default axes of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import simulate
        >>> loop = simulate.hysteresis(np.linspace(0.2, 0.8, 4), kappa=1.0, b=4.0, c=-1.0, hold=5.0)
        >>> len(loop.plot().lines) >= 2
        True
        """
        from spectral_edge.simulate import _figures

        return _figures.hysteresis(self, ax)


def feedback_sweep(
    g0: ArrayLike, *, kappa: ArrayLike, b: ArrayLike, c: ArrayLike, eps: ArrayLike, t_max: ArrayLike
) -> FeedbackSweep:
    """[F] Integrate dg/dt = -kappa·g + c + b(1 - eps²/g²)_+ as the flow projected on g >= 0 (7.3).

    For c < 0 the collapsed state g = 0 absorbs; nothing is reflected.

    Parameters
    ----------
    g0 : array_like
        Gap at t = 0 (parameter units), not negative. All arguments broadcast.
    kappa : array_like
        Damping (per step), positive.
    b, c : array_like
        Feedback strength, positive, and drive (parameter units per step).
    eps : array_like
        Perturbation scale (parameter units), positive.
    t_max : array_like
        End (steps).

    Returns
    -------
    FeedbackSweep

    Raises
    ------
    ValueError
        For arguments out of range or that do not broadcast.

    Examples
    --------
    >>> ends = feedback_sweep(3.0, kappa=1.0, b=4.0, c=-1.0, eps=[0.9, 1.1], t_max=200.0)
    >>> ends.gap.round(3), ends.collapse_time.round(3)
    (array([2.468, 0.   ]), array([  nan, 6.276]))
    """
    arrays = (
        nonnegative("g0", g0), positive("kappa", kappa), positive("b", b), finite("c", c),
        positive("eps", eps), positive("t_max", t_max),
    )  # fmt: skip
    try:
        columns = np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"g0, kappa, b, c, eps and t_max must broadcast, got {shapes}") from None
    with compiling("the feedback kernel"):
        from spectral_edge.simulate._kernels import feedback as kernel
    rows = np.stack([column.ravel() for column in columns], axis=1)
    out = np.empty((len(rows), 4))
    kernel.loop_rows(rows, RTOL, ATOL, out)
    if np.any(out[:, 2]):
        first = int(np.argmax(out[:, 2] != 0))
        raise ValueError(f"t_max cannot be reached (t = {out[first, 3]:g}) with {rows[first].tolist()}")
    return FeedbackSweep(out[:, 0].reshape(columns[0].shape), out[:, 1].reshape(columns[0].shape))


def hysteresis(eps: ArrayLike, *, kappa: float, b: float, c: float, hold: float) -> Hysteresis:
    """[F] Raise the perturbation scale through `eps` and lower it again, holding each value (7.3).

    Parameters
    ----------
    eps : array_like, shape (n,)
        Increasing scales (parameter units).
    kappa, b, c : float
        As `feedback_sweep`.
    hold : float
        Steps for which each scale is held.

    Returns
    -------
    Hysteresis

    Raises
    ------
    ValueError
        For arguments out of range, or scales that do not increase.

    Examples
    --------
    >>> loop = hysteresis([0.5, 0.9, 1.1], kappa=1.0, b=4.0, c=-1.0, hold=100.0)
    >>> loop.rising.round(2), loop.falling, loop.eps_c
    (array([2.88, 2.47, 0.  ]), array([0., 0., 0.]), 1.0)
    """
    from spectral_edge.theory.maximality import feedback_threshold

    scales = np.atleast_1d(positive("eps", eps))
    if scales.ndim != 1 or np.any(np.diff(scales) <= 0):
        raise ValueError(f"eps must be increasing scales, got {eps!r}")
    g = max((b + c) / kappa, 0.0)  # the open state without perturbation
    branches = []
    for sequence in (scales, scales[::-1]):
        held = []
        for value in sequence:
            g = float(feedback_sweep(g, kappa=kappa, b=b, c=c, eps=value, t_max=hold).gap)
            held.append(g)
        branches.append(np.array(held))
    eps_c = float(feedback_threshold(kappa, b, c).eps_c)
    return Hysteresis(scales, branches[0], branches[1][::-1].copy(), eps_c)

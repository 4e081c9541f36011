"""`WindowSpectra`: what every full window of a sequence looks like."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.simulate._windows import window_spectrum
from spectral_edge.theory import detection, spectrum, stability
from spectral_edge.theory.gram import as_band, window_blocks
from spectral_edge.theory.spectrum import quadratic_forms

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

    from spectral_edge.validate.gram.sequence import GramSequence

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WindowSpectra:
    """Spectra of the n = T − W + 1 full windows of a sequence, one row per window in time order.

    Attributes
    ----------
    W : int
        Window width.
    P : int or None
        Number of parameters, where known.
    steps : (n,) int64
        Optimiser step at which each window ends.
    lam : (n, W) float64
        Eigenvalues of G_t, descending, parameter units².
    u : (n, W, W) float64
        Eigenvectors: ``u[i, :, j]`` belongs to ``lam[i, j]``; rows are the window's updates, oldest first.
    K : array
        The inner products the windows were cut from.
    rounding : float
        Typical error of an entry of K relative to |δ_s||δ_t|.
    refined : (n,) bool
        Windows whose spectrum comes from a QR of the vectors and not from K.
    probes : mapping
        Inner products of other vectors with the updates, as in `GramSequence`.

    Notes
    -----
    Sections 1 and 5 of docs/theory.md. Singular values below √(W·rounding)·σ_1 of a window that was not
    refined are rounding (they come from a Gram matrix) and do not count for the gap.

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
    >>> windows = validate.GramSequence.from_parameters(thetas).window(5)
    >>> windows.sigma.shape, windows.k_star.shape, windows.steps[:3].tolist()
    ((16, 5), (16,), [5, 6, 7])
    """

    W: int
    P: int | None
    steps: NDArray[np.int64]
    lam: Floats
    u: Floats
    K: Floats
    rounding: float
    refined: NDArray[np.bool_]
    probes: Mapping[str, Floats]

    @classmethod
    def from_sequence(cls, sequence: "GramSequence", W: int) -> "WindowSpectra":
        """Spectra of the windows of `sequence` (section 1); see `GramSequence.window`, which also checks `W`.

        Parameters
        ----------
        sequence : GramSequence
        W : int
            Window, 2 ≤ W ≤ `sequence.W_max`.

        Returns
        -------
        WindowSpectra

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> windows = sequence.window(5)
        >>> from spectral_edge.validate import WindowSpectra
        >>> np.array_equal(WindowSpectra.from_sequence(sequence, 5).lam, windows.lam)
        True
        """
        lam, u = window_spectrum(sequence.K, W)
        refined = np.zeros(len(lam), dtype=bool)
        steps = sequence.steps[W - 1 :]
        return cls(W, sequence.P, steps, lam, u, sequence.K, sequence.rounding, refined, sequence.probes)

    @property
    def blocks(self) -> Floats:
        """The Gram matrices G_t (section 0), (n, W, W), parameter units²."""
        return window_blocks(self.K, self.W)

    @cached_property
    def sigma(self) -> Floats:
        """Singular values σ_j = √λ_j of the windows (section 0), (n, W) descending, parameter units."""
        return np.sqrt(self.lam)

    @cached_property
    def sigma_reliable(self) -> NDArray[np.bool_]:
        """Which σ_j are known to within 1e-6·σ_1 and at least that large, (n, W).

        An error ε of K moves σ_j by about ε·λ_1/σ_j: squaring loses the small ones. ``window(W,
        refine=True)`` recovers them.
        """
        top = self.sigma[:, :1]
        known = (self.sigma > 1e-6 * top) & (self.W * self.rounding * top <= 1e-6 * self.sigma)
        return known | (self.refined[:, None] & (self.sigma > self.W * spectrum.EPS * top))

    @cached_property
    def _counted(self) -> Floats:
        """Singular values with those below the rank tolerance set to 0, so that they do not count."""
        gram = max(spectrum.gram_rtol(self.W), float(np.sqrt(self.W * self.rounding)))
        rtol = np.where(self.refined, self.W * spectrum.EPS, gram)[:, None]
        return np.where(self.sigma > rtol * self.sigma[:, :1], self.sigma, 0.0)

    @cached_property
    def ratios(self) -> Floats:
        """Consecutive ratios σ_j/σ_{j+1} (section 1), (n, W − 1); NaN where σ_{j+1} is below the rank tolerance."""
        return spectrum.ratio_profile(self._counted)

    @cached_property
    def k_star(self) -> Floats:
        """Gap position k*, from 1 (1.1), (n,) float; NaN where a window has numerical rank below 2."""
        return spectrum.gap_position(self._counted)

    @cached_property
    def k_star_weighted(self) -> Floats:
        """Gap position in the weighted reading (1.2), (n,) float, NaN where there is none."""
        return spectrum.gap_position(self._counted, weighted=True)

    @cached_property
    def ratio(self) -> Floats:
        """Gap ratio R = σ_{k*}/σ_{k*+1} (1.3), (n,); NaN where there is no gap."""
        return spectrum.gap_ratio(self._counted)

    @cached_property
    def ratio_error(self) -> Floats:
        """Error of ln R that a tracker's ``sketch=`` leaves (8.6b), (n,); 0 where nothing was projected.

        Each half of the projection gives an estimate of R at k* by itself. Half their difference is one draw of the
        error of their mean: quote its root mean square over windows.
        """
        first = self.probes.get("first_half")
        if first is None:
            return np.zeros(len(self.steps))
        T, width = len(first), first.shape[1]
        lags = min(T - 2, width - 1)
        mean = as_band(self.K, lags)
        halves = (first[:, : lags + 1], 2 * mean - first[:, : lags + 1])
        logs = []
        for band in halves:
            sigma = spectrum.gram_spectrum(window_blocks(band, self.W)).sigma
            with np.errstate(divide="ignore", invalid="ignore"):
                profile = np.log(sigma[:, :-1] / sigma[:, 1:])
            at = np.where(np.isnan(self.k_star), 1, self.k_star).astype(int)[:, None] - 1
            logs.append(np.take_along_axis(profile, at, axis=1)[:, 0])
        return np.abs(logs[0] - logs[1]) / 2

    @cached_property
    def stored_floor(self) -> Floats:
        """Singular value that the rounding of the stored parameters can give by itself, (n,), parameter units.

        Updates δ_t = θ_t − θ_{t−1} of stored parameters carry the errors of both, of variance ulp²/12 per entry. The
        Gram matrix of these errors is tridiagonal, with a largest eigenvalue of at most twice its largest diagonal
        entry. A singular value below that need not be the run's. 0 where the rounding is not known.
        """
        stored = self.probes.get("storage_rounding")
        if stored is None:
            return np.zeros(len(self.steps))
        largest = np.lib.stride_tricks.sliding_window_view(stored, self.W).max(axis=1)
        return np.asarray(np.sqrt(2 * largest))

    @cached_property
    def gap_is_stored(self) -> NDArray[np.bool_]:
        """Whether σ_{k*+1} lies above `stored_floor`, so that the gap does not end at rounding, (n,)."""
        at = np.where(np.isnan(self.k_star), 1, self.k_star).astype(int)[:, None]
        return np.asarray(np.take_along_axis(self.sigma, at, axis=1)[:, 0] > self.stored_floor)

    @cached_property
    def gap(self) -> Floats:
        """Amplitude gap g = σ_{k*} − σ_{k*+1} (section 1), (n,), parameter units; NaN where there is none."""
        return spectrum.amplitude_gap(self._counted)

    @cached_property
    def eigenvalue_gap(self) -> Floats:
        """Eigenvalue gap λ_{k*} − λ_{k*+1} (section 1), (n,), parameter units²; NaN where there is none."""
        return spectrum.eigenvalue_gap(self._counted)

    @cached_property
    def g_23(self) -> Floats:
        """Sub-leading gap λ_2 − λ_3 (section 1), (n,), parameter units²; needs W ≥ 3."""
        return spectrum.subleading_gap(self.sigma)

    @cached_property
    def threshold(self) -> float | None:
        """BBP threshold d_crit (2.1), parameter units, with the median noise of the windows' own weak halves.

        None where P is not known, or there is no noise.
        """
        if self.P is None:
            return None
        nu = float(np.nanmedian(detection.estimate_nu(self.sigma, self.P, debias=False)))
        return float(detection.bbp_threshold(nu, self.P, self.W)) if nu > 0 else None

    @property
    def _spectrum_of_K(self) -> spectrum.GramSpectrum | None:
        """The eigenpairs where they are those of K; None where some were refined from the updates themselves."""
        return None if self.refined.any() else spectrum.GramSpectrum(self.lam, self.u)

    @cached_property
    def delta(self) -> stability.PerturbationNorms:
        """Norms of ΔC from each window to the next (5.1, 5.2), (n − 1,) each, parameter units²."""
        return stability.perturbation_norms(self.K, self.W, self._spectrum_of_K)

    @cached_property
    def overlaps(self) -> Floats:
        """⟨v_j(t), v_l(t+1)⟩ for consecutive windows (5.5), (n − 1, W, W)."""
        return stability.mode_overlaps(self.K, self.W, self._spectrum_of_K)

    def alpha(self, C: float = 4.0, norm: str = "operator") -> Floats:
        """Stability coefficients α_j of each window on its way to the next (5.3).

        Parameters
        ----------
        C : float
            4 with the operator norm makes α_j a guaranteed lower bound of ⟨v_j, v_j′⟩² (5.4).
        norm : {"operator", "frobenius", "eigenvalue"}
            "eigenvalue" is the published proxy, which guarantees nothing (5.2).

        Returns
        -------
        (n − 1, W) float64
            From 0 to 1.

        Raises
        ------
        ValueError
            If `norm` is none of these, or C is not positive.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> windows = sequence.window(5)
        >>> windows.alpha().shape
        (15, 5)
        """
        from spectral_edge.theory.checks import choice

        size = getattr(self.delta, choice("norm", norm, ("operator", "frobenius", "eigenvalue")))
        return stability.stability_coefficient(self.lam[:-1], size, C=C)

    def adiabatic(self, eta: ArrayLike, norm: str = "frobenius") -> Floats:
        """Adiabatic parameter 𝒜 = ‖ΔC‖/(η g²) with the amplitude gap (5.6).

        Parameters
        ----------
        eta : float or (n − 1,)
            Learning rate, per step: one, or that of every change, NaN where it is not known.
        norm : {"frobenius", "operator", "eigenvalue"}
            Which norm of the change of a window: see `delta`.

        Returns
        -------
        (n − 1,) float64
            NaN where there is no gap, or no learning rate.

        Raises
        ------
        ValueError
            If `norm` is none of these, or `eta` is not positive or of another shape.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> windows = sequence.window(5)
        >>> windows.adiabatic(eta=1e-3).shape
        (15,)
        """
        from spectral_edge.theory.checks import choice, positive

        size = getattr(self.delta, choice("norm", norm, ("operator", "frobenius", "eigenvalue")))
        rate = np.asarray(eta, dtype=np.float64)
        if rate.ndim == 0:
            positive("eta", rate)
        elif rate.shape != size.shape:
            raise ValueError(f"eta must be a number or of shape {size.shape}, got shape {rate.shape}")
        return stability.adiabatic_parameter(size, self.gap[:-1], rate)

    def to_dict(self) -> dict[str, NDArray[Any]]:
        """One array per column, one entry per window: step, k*, R, gaps and singular values (section 1).

        Returns
        -------
        dict of str to (n,) array

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> windows = sequence.window(5)
        >>> list(windows.to_dict())[:4]
        ['step', 'k_star', 'k_star_weighted', 'ratio']
        """
        table: dict[str, NDArray[Any]] = {
            "step": self.steps,
            "k_star": self.k_star,
            "k_star_weighted": self.k_star_weighted,
            "ratio": self.ratio,
            "gap": self.gap,
            "eigenvalue_gap": self.eigenvalue_gap,
        }
        if self.W >= 3:
            table["g_23"] = self.g_23
        return table | {f"sigma_{j + 1}": self.sigma[:, j] for j in range(self.W)}

    def project(self, probe: str) -> Floats:
        """⟨q, v_j⟩ = Σ_s u_{js}⟨q, δ_s⟩/σ_j of a recorded vector q at each window's end (6.1).

        Parameters
        ----------
        probe : str
            Name of a vector probe: "gradient" gives G_j, "parameters" the ⟨θ, v_j⟩ of the decay term.

        Returns
        -------
        (n, W) float64
            NaN where it was not recorded, or σ_j is below the rank tolerance.

        Raises
        ------
        ValueError
            If there is no such probe, or it does not reach over the window.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> updates, gradient = np.diff(thetas, axis=0), np.ones(1000)
        >>> products = [[gradient @ updates[max(t - lag, 0)] for lag in range(5)] for t in range(20)]
        >>> probed = GramSequence.from_parameters(thetas, probes={"gradient": np.array(products)})
        >>> probed.window(5).project("gradient").shape
        (16, 5)
        """
        lags = self._probe(probe, 2)[self.W - 1 :, self.W - 1 :: -1]  # oldest update first, as in u
        return np.einsum("ns,nsj->nj", lags, self.u) / self._resolved

    def curvature(self, probe: str = "hessian") -> Floats:
        """h_j = v_jᵀHv_j from the window Hessian δ_sᵀHδ_r (section 0).

        Parameters
        ----------
        probe : str
            Name of a probe of shape (T, W or more, W or more): "response" gives v_jᵀD⁻¹Hv_j, the curvature as the
            optimiser sees it (10.7).

        Returns
        -------
        (n, W) float64
            In units of 1/η; NaN where it was not recorded, or σ_j is below the rank tolerance.

        Raises
        ------
        ValueError
            If there is no such probe, or it does not reach over the window.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> steps = np.eye(6)  # every Hessian product is that of H = 2
        >>> hessian = 2 * np.broadcast_to(np.eye(3), (6, 3, 3))
        >>> sequence = GramSequence.from_inner_products(steps, probes={"hessian": hessian})
        >>> sequence.window(3).curvature()[0].round(12).tolist()
        [2.0, 2.0, 2.0]
        """
        M = self._probe(probe, 3)[self.W - 1 :, self.W - 1 :: -1, self.W - 1 :: -1]
        return quadratic_forms(self.u, M) / self._resolved**2

    @cached_property
    def _resolved(self) -> Floats:
        return np.where(self._counted > 0, self.sigma, np.nan)

    def _probe(self, name: str, ndim: int) -> Floats:
        values = self.probes.get(name)
        if values is None:
            there = [probe for probe, recorded in self.probes.items() if recorded.ndim > 1]
            raise ValueError(f"probe must be one of {', '.join(there) or 'none recorded'}, got {name!r}")
        if values.ndim != ndim or values.shape[1] < self.W:
            raise ValueError(f"probe {name!r} must reach over W = {self.W} updates, got shape {values.shape}")
        return values

    def to_xarray(self) -> "xr.Dataset":
        """Spectra over ``step`` and ``mode`` (from 1), with the quantities at the gap (needs ``data``).

        Returns
        -------
        xarray.Dataset

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> windows = sequence.window(5)
        >>> dict(windows.to_xarray().sizes)
        {'step': 16, 'mode': 5}
        """
        import xarray as xr

        per_mode = {"sigma": self.sigma, "sigma_reliable": self.sigma_reliable}
        at_gap = {name: getattr(self, name) for name in ("k_star", "ratio", "gap", "eigenvalue_gap")}
        data: dict[str, Any] = {name: (("step", "mode"), value) for name, value in per_mode.items()}
        data |= {name: ("step", value) for name, value in at_gap.items()}
        return xr.Dataset(data, {"step": self.steps, "mode": np.arange(1, self.W + 1)}, {"W": self.W})

    def to_dataframe(self) -> "pd.DataFrame":
        """The columns of `to_dict` as a table (needs the extra ``data``).

        Returns
        -------
        pandas.DataFrame

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> windows = sequence.window(5)
        >>> windows.to_dataframe().shape
        (16, 12)
        """
        import pandas as pd

        return pd.DataFrame(self.to_dict())

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the singular values against the step; return the axes.

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
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> windows = sequence.window(5)
        >>> len(windows.plot().lines)
        5
        """
        import matplotlib.pyplot as plt

        ax = plt.figure().add_subplot() if ax is None else ax
        shades = plt.get_cmap("viridis")(np.linspace(0, 0.9, self.W))
        for j in range(self.W):
            ax.plot(self.steps, self.sigma[:, j], color=shades[j], lw=1.8 if j < 3 else 1, label=f"σ{j + 1}")
        ax.set(xlabel="step", ylabel="singular value (parameter units)", yscale="log")
        return ax

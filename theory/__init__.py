"""Ground floor, what is claimed: definitions, propositions, closed forms; reads and simulates nothing.

A docstring begins with the mark of what its function computes:

[T]
    a claim of the thesis, as it stands there;
[D]
    derived here, exact under the assumptions that are named, with a proof;
[F]
    a formalisation chosen here, where the thesis speaks in words.

Numbers such as 3.3 or 5.4b are propositions, and their whole part a section. Each can be opened from an installed
package: ``spectral-edge propositions 3.3`` prints its statement, assumptions, proof and what rests on it,
``spectral-edge propositions 3`` lists the section; in Python, ``{p.id: p for p in theory.propositions()}["3.3"]``.
"""

from typing import TYPE_CHECKING, Any

from spectral_edge.theory.axioms import AxiomCheck, isotropic_noise, slow_coefficients, slow_directions
from spectral_edge.theory.claims import (
    krylov_count,
    krylov_guaranteed,
    projection_error,
    quadratic_window,
    slow_mode_bound,
)
from spectral_edge.theory.detection import (
    a_priori_nu,
    autocorrelated_null,
    autocorrelation,
    bbp_threshold,
    effective_dimension,
    estimate_nu,
    lower_half_bias,
    noise_edges,
    noise_floor,
    plug_in_ratio,
    two_row_null_survival,
)
from spectral_edge.theory.dyson import (
    dyson_drift,
    gap_repulsion,
    repulsion,
)
from spectral_edge.theory.flow import (
    Crossings,
    GapTerms,
    LinearGapFlow,
    collapse_time,
    crossing_times,
    gap_regime,
    gap_terms,
    linear_gap_flow,
    opening_time,
)
from spectral_edge.theory.gram import as_band, window_blocks
from spectral_edge.theory.loss import (
    LossDecomposition,
    loss_decomposition,
    mode_gradients,
)
from spectral_edge.theory.maximality import (
    FeedbackEquilibria,
    FeedbackThreshold,
    absorption_time,
    captured_rate,
    convergence_rate,
    feedback_equilibria,
    feedback_flow,
    feedback_threshold,
    passage_time,
    subspace_bound,
    subspace_distance,
)
from spectral_edge.theory.propagation import (
    continued_products,
    fit_window,
    propagate_window,
    propagation_residual,
    shifted_spectra,
    window_rows,
)
from spectral_edge.theory.quadratic import (
    Sharpness,
    damping_exchange_time,
    exchange_sharpness,
    sgd_strength,
    smooth_spectrum,
)
from spectral_edge.theory.signal import (
    damping,
    equilibrium_gap,
    signal_flow,
    stationary_strength,
)
from spectral_edge.theory.spectrum import (
    GramSpectrum,
    amplitude_gap,
    eigenvalue_gap,
    gap_position,
    gap_ratio,
    gram_rtol,
    gram_spectrum,
    ratio_profile,
    subleading_gap,
)
from spectral_edge.theory.spikes import (
    Overlaps,
    direction_scale,
    overlaps,
    spike_forward,
    spike_inverse,
)
from spectral_edge.theory.stability import (
    PerturbationNorms,
    adiabatic_parameter,
    adiabatic_regime,
    guaranteed_overlap,
    mode_overlaps,
    perturbation_norms,
    rank_two_norms,
    spectral_separation,
    stability_coefficient,
)
from spectral_edge.theory.vacuity import (
    BBPVacuity,
    bbp_vacuity,
)
from spectral_edge.theory.window import (
    InOut,
    MetricModes,
    in_out,
    metric_modes,
    optimizer_curvature,
    projected_curvature,
    transport_rate,
)

if TYPE_CHECKING:
    from spectral_edge.theory.statements.proposition import Proof, Proposition

__all__ = [
    "AxiomCheck",
    "BBPVacuity",
    "Crossings",
    "FeedbackEquilibria",
    "FeedbackThreshold",
    "GapTerms",
    "GramSpectrum",
    "InOut",
    "LinearGapFlow",
    "LossDecomposition",
    "MetricModes",
    "Overlaps",
    "PerturbationNorms",
    "Proof",
    "Proposition",
    "Sharpness",
    "a_priori_nu",
    "absorption_time",
    "adiabatic_parameter",
    "adiabatic_regime",
    "amplitude_gap",
    "as_band",
    "autocorrelated_null",
    "autocorrelation",
    "bbp_threshold",
    "bbp_vacuity",
    "captured_rate",
    "collapse_time",
    "continued_products",
    "convergence_rate",
    "crossing_times",
    "damping",
    "damping_exchange_time",
    "direction_scale",
    "dyson_drift",
    "effective_dimension",
    "eigenvalue_gap",
    "equilibrium_gap",
    "estimate_nu",
    "exchange_sharpness",
    "feedback_equilibria",
    "feedback_flow",
    "feedback_threshold",
    "fit_window",
    "gap_position",
    "gap_ratio",
    "gap_regime",
    "gap_repulsion",
    "gap_terms",
    "gram_rtol",
    "gram_spectrum",
    "guaranteed_overlap",
    "in_out",
    "isotropic_noise",
    "krylov_count",
    "krylov_guaranteed",
    "linear_gap_flow",
    "loss_decomposition",
    "lower_half_bias",
    "metric_modes",
    "mode_gradients",
    "mode_overlaps",
    "noise_edges",
    "noise_floor",
    "opening_time",
    "optimizer_curvature",
    "overlaps",
    "passage_time",
    "perturbation_norms",
    "plug_in_ratio",
    "projected_curvature",
    "projection_error",
    "propagate_window",
    "propagation_residual",
    "propositions",
    "quadratic_window",
    "rank_two_norms",
    "ratio_profile",
    "repulsion",
    "sgd_strength",
    "shifted_spectra",
    "signal_flow",
    "slow_coefficients",
    "slow_directions",
    "slow_mode_bound",
    "smooth_spectrum",
    "spectral_separation",
    "spike_forward",
    "spike_inverse",
    "stability_coefficient",
    "stationary_strength",
    "subleading_gap",
    "subspace_bound",
    "subspace_distance",
    "transport_rate",
    "two_row_null_survival",
    "window_blocks",
    "window_rows",
]


def propositions() -> "tuple[Proposition, ...]":
    """All propositions of sections 1 to 10, in order.

    Returns
    -------
    tuple of Proposition
        Each with ``.id``, ``.section``, ``.mark``, ``.title``, ``.statement`` (sympy), ``.assumptions``,
        ``.depends_on``, ``.commutativity``, ``.evaluate()``, ``.latex()`` and ``.prove()``.

    Examples
    --------
    >>> found = {p.id: p for p in propositions()}["3.5b"]
    >>> float(found.evaluate(d_bar=1.0, d_bar_star=1.0))
    2.0
    """
    from spectral_edge.theory.statements import registry  # sympy loads when propositions are asked for

    return registry()


def __getattr__(name: str) -> Any:
    if name in ("Proof", "Proposition"):
        from spectral_edge.theory.statements import proposition

        return getattr(proposition, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

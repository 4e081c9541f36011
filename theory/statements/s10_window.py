"""What a rolling window itself does."""

import sympy as sp

from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements import recurrences
from spectral_edge.theory.statements import window_proofs as proofs
from spectral_edge.theory.statements.proposition import Proposition
from spectral_edge.theory.statements.window_proofs import KAPPA

_s = sp.Symbol("s", integer=True)
DECAYED = n.delta_s - n.eta * n.omega * n.delta_s
INERTIA = n.momentum * (n.delta_s - n.delta_prev)
HELD = n.eta * n.omega * (n.delta_s - n.momentum * n.delta_prev)
_SQUARES = sp.Sum(n.y[_s] ** 2, (_s, 1, n.W - 1))
_PRODUCTS = sp.Sum(n.y[_s] * n.y[_s + 1], (_s, 1, n.W - 1))
_FACTOR_K, _FACTOR_K1 = (sp.Abs(1 - n.eta * (h + n.omega)) for h in (n.h_k, n.h_k1))
_SIZES = sp.gamma(n.W + n.order + 1) / (
    sp.gamma(n.W - n.order) * sp.factorial(2 * n.order) * sp.factorial(2 * n.order + 1)
)

PROPOSITIONS = (
    Proposition(
        "10.1", "D", "A mode's energy is spread over its window",
        sp.Eq(n.lam_j, sp.Sum(n.proj[_s] ** 2, (_s, 1, n.W))), "λ_j = v_j^T C v_j, C = Σ_s δ_sδ_s^T.",
        proof=proofs.energy, function="in_out",
    ),
    Proposition(
        "10.1b", "D", "One update in, one out", sp.Eq(n.lam_change, n.enters - n.leaves),
        "ΔC is of rank two (5.1), so to first order Δλ_j = v_j^T ΔC v_j. Good where one update is small against the "
        "gaps of the spectrum.",
        condition="To first order in ΔC.", depends_on=("10.1",), proof=proofs.first_order, function="in_out",
    ),
    Proposition(
        "10.1c", "D", "Gradient power enters at scale η² and leaves W records later",
        sp.Eq(n.u_change, n.eta**2 * (n.p_enter - n.p_leave)),
        "3.1b, window after window. Neither term of 3.1 has this form: its source is 2ηWp_j, its loss −2κ_ju_j.",
        condition="Plain gradient steps, a fixed direction.", depends_on=("10.1",), proof=proofs.power_in_out,
    ),
    Proposition(
        "10.2", "D", "Two modes of a quadratic loss meet by damping alone",
        sp.Eq(n.t_c, sp.log(n.d_k / n.d_k1) / sp.log(_FACTOR_K1 / _FACTOR_K)),
        "Along an eigenvector of H every update is 1 − κ times the one before, and so is the strength: no source. They "
        "meet if this time is positive. To leading order in κ it is ln(d_k/d_{k+1})/(η(h_k − h_{k+1})).",
        condition="Gradient descent with decay on a quadratic loss, directions fixed.", commutativity="strong",
        proof=proofs.meeting, function="damping_exchange_time",
    ),
    Proposition(
        "10.2b", "D", "3.1 with the measured gradient power contradicts gradient descent",
        sp.Eq(n.rel_rate, 1 / n.eta - KAPPA),
        "By 3.1b Wη²p_j = d_j². Put into 3.1 it grows by e^{1/η} per step; a quadratic loss has ḋ_j/d_j = −κ_j. A "
        "constant p_j can only be power that does not decay with d_j: gradient noise (10.2d).",
        condition="Gradient steps; p_j the power of what is stepped along, decay included.",
        depends_on=("3.1", "3.1b"), commutativity="weak", proof=proofs.measured_in_flow,
    ),
    Proposition(
        "10.2c", "D", "So does the thesis' theorem 12.1", sp.Eq(n.rel_rate, sp.Rational(1, 2) - KAPPA),
        "u̇_j = −2κ_ju_j + η²W(S_j + 2G_jN_j), with the bracket read as p_j.",
        condition="As 10.2b.", depends_on=("3.1b",), commutativity="weak", proof=proofs.measured_in_dissipation,
    ),
    Proposition(
        "10.2d", "D", "What gradient noise keeps up",
        sp.Eq(n.mean_u, n.W * n.eta**2 * (n.noise_power + n.h_j**2 * n.var_theta)),
        "The gradient power is that of the noise and that of the parameter it has moved.",
        condition="Noise independent from step to step, along an eigenvector of H, stationary, ω = 0.",
        depends_on=("10.1c",), commutativity="weak", proof=proofs.noise_level, function="sgd_strength",
    ),
    Proposition(
        "10.2e", "D", "The same in closed form",
        sp.Eq(n.mean_u, 2 * n.W * n.eta**2 * n.noise_power / (2 - n.eta * n.h_j)),
        "Almost the same for all curvatures, where 3.2b falls as 1/(h_j + ω).",
        condition="As 10.2d.", assumptions=(sp.Gt(n.h_j, 0), sp.Lt(n.eta * n.h_j, 2)), depends_on=("10.2d",),
        commutativity="weak", proof=proofs.noise_closed, function="sgd_strength",
    ),
    Proposition(
        "10.3", "D", "Recurrence of updates: gradient descent", sp.Eq(n.delta_next, DECAYED - n.eta * n.response),
        "Difference of two steps; D = I.", condition="H held over the step.", depends_on=("10.6",),
        proof=recurrences.gradient_descent, function="propagate_window",
    ),
    Proposition(
        "10.3b", "D", "Momentum, decoupled decay",
        sp.Eq(n.delta_next, n.delta_s + INERTIA - n.eta * n.response - HELD),
        "The buffer is eliminated between two steps; no dampening.", condition="H held over the step.",
        depends_on=("10.6",), proof=recurrences.heavy_ball, function="propagate_window",
    ),
    Proposition(
        "10.3c", "D", "Momentum, coupled decay",
        sp.Eq(n.delta_next, n.delta_s + INERTIA - n.eta * (n.response + n.omega * n.delta_s)),
        "ωθ in the gradient: H + ωI in the place of H.", condition="H held over the step.",
        depends_on=("10.6",), proof=recurrences.heavy_ball_coupled, function="propagate_window",
    ),
    Proposition(
        "10.3d", "D", "Adam(W)",
        sp.Eq(n.delta_next, n.delta_s + INERTIA - n.eta * (1 - n.momentum) * n.response - HELD),
        "As 10.3b, β = β₁, with η(1 − β₁)D^-1 H in the place of ηH, D = diag(√v̂ + ε). A decay that is part of the "
        "gradient (L2) goes through D with it: then H is the Hessian of the penalised loss, and ω = 0.",
        condition="H and D held, bias correction over.", depends_on=("10.6",), proof=recurrences.adam,
        function="propagate_window",
    ),
    Proposition(
        "10.3e", "D", "Error of the first propagated row", sp.Eq(n.row_error, n.step_size * n.outside_response),
        "In the window's basis D^-1 H becomes A = V^T D^-1 H V = Σ^-1 U^T(δ_s^T D^-1 H δ_r)UΣ^-1: K and the response. "
        "What is lost is the part of the response off the window's span. It need not be symmetric.",
        condition="η′ = η, for Adam η(1 − β₁).", depends_on=("10.3", "10.3b", "10.3d"), proof=recurrences.row_error,
        function="propagation_residual",
    ),
    Proposition(
        "10.3f", "D", "The part off the span, from its recorded norm",
        sp.Eq(n.outside_response, sp.sqrt(n.response_norm**2 - n.inside_response**2)), "Pythagoras.",
        proof=recurrences.outside, function="propagation_residual",
    ),
    Proposition(
        "10.3g", "D", "Exact on an invariant span",
        sp.Implies(sp.Eq(n.outside_response, 0), sp.Eq(n.row_error, 0)),
        "D^-1 H V = VA carries through the recurrence, row after row: so for a quadratic loss with at most W excited "
        "modes.",
        condition="Nothing outside for any row of the window; any number of rows.", depends_on=("10.3e",),
        proof=recurrences.invariant, function="propagate_window",
    ),
    Proposition(
        "10.3h", "D", "Records r steps apart",
        sp.Eq(
            n.block_next,
            (n.z_1**n.interval + n.z_2**n.interval) * n.block - n.z_1**n.interval * n.z_2**n.interval * n.block_prev,
        ),
        "Each recurrence of one step is y_{s+1} = Py_s − Qy_{s−1} with Q a number, P a polynomial in A. Sums over r "
        "steps obey one of the same kind, with the sums of r-th powers of its roots.",
        depends_on=("10.3", "10.3b", "10.3c", "10.3d"), proof=recurrences.records, function="propagate_window",
    ),
    Proposition(
        "10.4", "D", "Fitted recurrence", sp.Eq(n.fit, _PRODUCTS / _SQUARES),
        "Dynamic mode decomposition, K alone; written for one coordinate. For q of them the matrix is that of the rows "
        "that follow times the pseudo-inverse, of rank q, of the rows before.",
        condition="Least squares over the window's own rows.", proof=recurrences.fitted, function="fit_window",
    ),
    Proposition(
        "10.5", "D", "How sharply two modes can exchange",
        sp.Eq(n.least_ratio, sp.sqrt((1 + n.cosine) / (1 - n.cosine))),
        "Their singular values come closest where the strengths are equal, and levels that share part of their course "
        "in time repel (4.1). A drift and an oscillation share next to nothing, so they exchange; two drifts share "
        "almost everything, so under smooth descent ranks do not change. How often that is, runs must say.",
        condition="A window of two modes, c < 1.", proof=proofs.sharpness, function="exchange_sharpness",
    ),
    Proposition(
        "10.6", "D", "Transport: every row becomes the next",
        sp.Eq(n.delta_next, n.delta_s - n.eta * (n.mean_response + n.omega * n.delta_s)),
        "δ_{t+1} = (I − η(H̄_t + ω))δ_t, exactly and for any loss, H̄_t the mean of the Hessian along the step.",
        condition="Gradient descent with decay.", proof=recurrences.transport,
    ),
    Proposition(
        "10.6b", "D", "So there is no source", sp.Eq(n.d_dot, -n.eta * (n.omega + n.h_j + n.rest) * n.d_j),
        "r_j = Σ_i (d_i/d_j)Σ_s u_{js}u_{is} v_j^T(H̄_s − H)v_i: what the Hessian changed within the window, which "
        "drives weak modes, amplified by d_1/d_j. h_j at the window's end is enough for the first mode only.",
        condition="To first order in η.", depends_on=("10.6",), proof=proofs.flow_of_rows,
    ),
    Proposition(
        "10.6c", "D", "The same from K alone", sp.Eq(n.rel_rate, n.shift_form / n.lam_j),
        "K_{t+1,t} are the rows of the next window against these. The previous shift in its place is a forecast of one "
        "record.",
        condition="To first order in X_{t+1} − X_t.", proof=proofs.flow_from_products, function="transport_rate",
    ),
    Proposition(
        "10.6d", "D", "The source of 3.1 is excluded, not merely underived", sp.Eq(n.source_ratio, 2 * n.W / n.eta),
        "For a quadratic loss 10.1c and 10.6b are the same change written twice. 3.1 takes the damping of the one and, "
        "for its source, the inflow of the other at 2W/η times its size, and leaves out what flows off.",
        depends_on=("3.1", "10.1c"), commutativity="weak", proof=proofs.no_such_source,
    ),
    Proposition(
        "10.6e", "D", "The source of theorem 12.1 likewise", sp.Eq(n.source_ratio, n.W),
        "η²Wp_j in u̇_j, where η²p_j enters with a record.", condition="As 10.2c.", depends_on=("10.1c",),
        commutativity="weak", proof=proofs.no_such_injection,
    ),
    Proposition(
        "10.7", "D", "Curvature as the optimiser sees it", sp.Eq(n.h_tilde, n.form_response / n.lam_j),
        "v_j^T D^-1 H v_j from the window response: D may be anything slow.", proof=proofs.seen,
        function="optimizer_curvature",
    ),
    Proposition(
        "10.7b", "D", "The same, symmetric, in the optimiser's metric", sp.Eq(n.h_tilde, n.form_hessian / n.lam_tilde),
        "K̃ = XDX^T in the place of K, with the same window Hessian XHX^T: one more probe, no further Hessian product.",
        condition="D diagonal and positive.", proof=proofs.seen_symmetric, function="metric_modes",
    ),
    Proposition(
        "10.7c", "D", "Gradient in the optimiser's metric", sp.Eq(n.G_tilde, n.form_gradient / sp.sqrt(n.lam_tilde)),
        "From ⟨∇L, δ_s⟩, as G_j.", condition="D diagonal and positive.", proof=proofs.seen_gradient,
        function="metric_modes",
    ),
    Proposition(
        "10.7d", "D", "Curvature as the optimiser sees it, from its metric", sp.Eq(n.h_tilde, n.form_projected),
        "v_j^T D^-1 H v_j of the plain mode, where only XDX^T and XHX^T were recorded: of D^-1 H v_j the part that the "
        "window spans, by the metric D.",
        condition="D diagonal and positive; D^-1 H v_j in the span of the window, else its projection.",
        depends_on=("10.7",), proof=proofs.seen_projected, function="projected_curvature",
    ),
    Proposition(
        "10.8", "D", "The gap ratio of a smooth run measures the record interval",
        sp.Eq(n.R, sp.sqrt(12 / (n.W**2 - 1)) * n.tau_0 / n.interval),
        "The window is a Taylor expansion: velocity, acceleration, jerk. R is the ratio of the first two, and falls as "
        "1/r. Where updates do not vary smoothly, σ_1/σ_2 is that of the Toeplitz matrix of their autocorrelation "
        "(2.7).",
        condition="r → 0, k* = 1.", assumptions=(sp.Gt(n.W, 1),), proof=proofs.taylor, function="smooth_spectrum",
    ),
    Proposition(
        "10.8b", "D", "Singular values of a smooth run",
        sp.Eq(n.sigma_i1, n.interval ** (n.order + 1) * n.length * sp.factorial(n.order) * sp.sqrt(_SIZES)),
        "X is an orthonormal polynomial basis times a graded matrix whose diagonal is this: its leading minors are "
        "products of singular values (Cauchy-Binet), and each falls by r more than the one before. Written for degrees "
        "0 to 3; c_i² = (i!)⁴/((2i)!(2i+1)!)·Π_{|l|≤i}(W + l) in general (Gram).",
        condition="r → 0, i < W.", depends_on=("10.8",), proof=proofs.derivatives, function="smooth_spectrum",
    ),
)  # fmt: skip

"""Detection thresholds."""

from typing import Any

import sympy as sp

from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements.moments import gaussian_mean, gaussian_variance
from spectral_edge.theory.statements.proposition import (
    Proof,
    Proposition,
    conclude,
    is_nonnegative,
    is_positive,
    is_root,
    is_zero,
    says,
)

QUARTER = sp.Rational(1, 4)
THRESHOLD = n.nu * (n.P * (n.W - 1)) ** QUARTER
SIGMA2 = (n.d**2 + n.nu**2 * n.P) * (n.d**2 + n.nu**2 * n.W) / n.d**2
OVERLAP_U = 1 - n.aspect * (1 + n.theta**2) / (n.theta**2 * (n.theta**2 + n.aspect))
OVERLAP_V = 1 - (n.aspect + n.theta**2) / (n.theta**2 * (n.theta**2 + 1))
BULK = n.sigma_obs**2 - n.nu**2 * (n.P + n.W)
REAL_P = sp.Symbol("P", positive=True)


def _same(one: Any, other: Any) -> bool:
    """Whether two positive expressions in fractional powers are equal."""
    return is_zero(sp.powsimp(sp.expand_power_base(one / other, force=True)) - 1)


def _two_forms(stated: Any) -> Proof:
    a_priori = THRESHOLD.subs(n.nu, n.eta / sp.sqrt(n.B * n.P))
    return conclude("identity", ("ν(P(W−1))^¼ with ν = η/√(BP) is the stated form", _same(a_priori, stated)))


def _noise_ratio(stated: Any) -> Proof:
    edge = n.nu * (sp.sqrt(n.P) - sp.sqrt(n.W)) / THRESHOLD
    relative = stated / (n.P / (n.W - 1)) ** QUARTER
    remaining = 1 - sp.sqrt(n.W) / sp.sqrt(REAL_P)
    return conclude(
        "limit",
        ("lower edge ν(√P − √W) of the noise over d_crit is as stated", _same(edge, stated)),
        ("over (P/(W−1))^¼ it is 1 − √(W/P)", _same(relative.subs(n.P, REAL_P), remaining)),
        ("which tends to 1 as P → ∞", sp.limit(remaining, REAL_P, sp.oo) == 1),
    )


def _plug_in(stated: Any) -> Proof:
    ratio = sp.sqrt(n.lam_W) / THRESHOLD.subs(n.nu, sp.sqrt(n.lam_half / n.P))
    excess = sp.Symbol("x", nonnegative=True)
    largest = (n.P / (n.W - 1)) ** QUARTER
    share = (stated / largest).subs(n.lam_W, n.lam_half / (1 + excess)) ** 2
    return conclude(
        "identity",
        ("√λ_W/d_crit with ν² = mean(λ_{j>W/2})/P is as stated", _same(ratio, stated)),
        (
            "λ_W ≤ mean of the half it belongs to, so at most (P/(W−1))^¼",
            is_nonnegative(1 - sp.simplify(share)),
        ),
    )


def _resolvents() -> tuple[Any, Any, Any]:
    """Mean resolvents at z = σ_obs², as the outlier equation d² z m_W m_P = 1 fixes them."""
    m_W = (n.d**2 + n.nu**2 * n.P) / (n.d**2 * SIGMA2)
    m_P = (n.d**2 + n.nu**2 * n.W) / (n.d**2 * SIGMA2)
    return SIGMA2, m_W, m_P


def _outlier(stated: Any) -> Proof:
    z, m_W, m_P = _resolvents()
    edge = n.nu * (sp.sqrt(n.P) + sp.sqrt(n.W))
    at_threshold = (stated**2).subs(n.d, n.nu * (n.P * n.W) ** QUARTER)
    return conclude(
        "identity",
        ("σ_obs is √z", is_root(stated, z)),
        (
            "Marchenko-Pastur for XX^T: m_W(z − ν²P z m_P) = 1",
            is_zero(m_W * (z - n.nu**2 * n.P * z * m_P) - 1),
        ),
        ("and for X^TX: m_P(z − ν²W z m_W) = 1", is_zero(m_P * (z - n.nu**2 * n.W * z * m_W) - 1)),
        ("outlier equation d² z m_W m_P = 1", is_zero(n.d**2 * z * m_W * m_P - 1)),
        ("at d⁴ = ν⁴PW it is the edge of the noise", is_zero(at_threshold - edge**2)),
    )


def _overlap(of_window: bool, stated: Any) -> Proof:
    s = sp.Symbol("s", positive=True)  # d²
    z, m_W, m_P = (part.subs(n.d, sp.sqrt(s)) for part in _resolvents())
    slope = -1 / s**2 / sp.diff(z, s)  # derivative in z of D(z) = z m_W m_P = 1/d²
    residue = -(m_W if of_window else m_P) / (s * slope)
    here = stated.subs({n.theta: sp.sqrt(s / (n.nu**2 * n.P)), n.aspect: n.W / n.P})
    return conclude(
        "identity", ("residue of m/(1 − d²D(z)) at σ_obs² is the stated overlap", is_zero(residue - here))
    )


def _window_overlap(stated: Any) -> Proof:
    return _overlap(True, stated)


def _parameter_overlap(stated: Any) -> Proof:
    return _overlap(False, stated)


def _vanish(stated: Any) -> Proof:
    at = {n.theta: n.aspect**QUARTER}
    above = {n.aspect: n.theta**4 / (1 + sp.Symbol("y", positive=True))}
    return conclude(
        "identity",
        (
            "the statement is about both",
            says(
                stated,
                {"theta": 2, "aspect": 16, "overlap_u": 0, "overlap_v": 0},
                {"theta": 2, "aspect": 16, "overlap_u": 0, "overlap_v": sp.Rational(1, 2)},
            )
            and says(
                stated,
                {"theta": 2, "aspect": 15, "overlap_u": 1, "overlap_v": 1},
                {"theta": 2, "aspect": 16, "overlap_u": 1, "overlap_v": 0},
            ),
        ),
        ("window overlap is 0 at θ = c^¼", is_zero(OVERLAP_U.subs(at))),
        ("parameter overlap is 0 at θ = c^¼", is_zero(OVERLAP_V.subs(at))),
        ("window overlap is positive for c < θ⁴", is_positive(sp.together(OVERLAP_U.subs(above)))),
        ("parameter overlap is positive for c < θ⁴", is_positive(sp.together(OVERLAP_V.subs(above)))),
    )


def _small_aspect(stated: Any) -> Proof:
    limit = sp.limit(OVERLAP_V, n.aspect, 0, "+")
    here = stated.subs(n.d, n.theta * n.nu * sp.sqrt(n.P))
    return conclude(
        "limit",
        ("c → 0 leaves the stated overlap", is_zero(limit - here)),
        ("one half at d = ν√P", is_zero(here.subs(n.theta, 1) - sp.Rational(1, 2))),
    )


def _half(stated: Any) -> Proof:
    theta = (stated / (n.nu * sp.sqrt(n.P))).subs(n.W, n.aspect * n.P)
    overlap = sp.simplify(OVERLAP_V.subs(n.theta, theta))
    return conclude(
        "identity",
        ("overlap at the stated d is ½", is_zero(overlap - sp.Rational(1, 2)) and is_positive(stated)),
    )


def _inverse(stated: Any) -> Proof:
    y = sp.Symbol("y", positive=True)
    PW = n.nu**4 * n.P * n.W
    s = n.nu**2 * sp.sqrt(n.P * n.W) * (1 + y)  # d² above ν²√(PW)
    bulk, root = s + PW / s, s - PW / s
    return conclude(
        "identity",
        ("σ² − ν²(P+W) = d² + ν⁴PW/d²", is_zero(SIGMA2 - n.nu**2 * (n.P + n.W) - n.d**2 - PW / n.d**2)),
        (
            "the statement is the larger root of that",
            is_root(stated, (BULK + sp.sqrt(BULK**2 - 4 * PW)) / 2, sigma_obs=99),
        ),
        ("its discriminant is the square of d² − ν⁴PW/d²", is_zero(bulk**2 - 4 * PW - root**2)),
        ("which is positive above the threshold", is_positive(sp.simplify(root))),
        ("so it returns d²", is_zero((bulk + root) / 2 - s)),
    )


def _bias_shift(stated: Any) -> Proof:
    c, x = sp.symbols("c x", positive=True)
    nu2 = n.nu**2
    W, s = c * REAL_P, x * nu2 * REAL_P
    # from σ² = s + ν²(P+W) + ν⁴PW/s at fixed σ: −∂s/∂ν²
    sensitivity = (REAL_P + W + 2 * nu2 * REAL_P * W / s) / (1 - nu2**2 * REAL_P * W / s**2)
    shift = nu2 * n.b_W * sp.sqrt(c) * sensitivity
    relative = sp.simplify(shift / stated.subs({n.P: REAL_P, n.W: W}))
    return conclude(
        "limit", ("shift over the stated one tends to 1 as W/P → 0", sp.limit(relative, c, 0, "+") == 1)
    )


def _bias_constants(stated: Any) -> Proof:
    s, x = sp.symbols("s x", positive=True)
    spacing = sp.integrate(s**2 / 4 * sp.exp(-(s**2) / 8), (s, 0, sp.oo))
    half = 2 * sp.integrate(x * sp.sqrt(4 - x**2) / (2 * sp.pi), (x, 0, 2))
    two = spacing / 2 / sp.sqrt(2)
    return conclude(
        "identity",
        ("lower half of the semicircle of radius 2 has minus the stated mean", is_zero(half - stated)),
        ("W = 2: half the mean spacing of GOE_2 over √2 is √π/2", is_zero(two - sp.sqrt(sp.pi) / 2)),
    )


def _spread(stated: Any) -> Proof:
    values = sp.symbols("l1:4", positive=True)
    z, w = sp.symbols("z1:4", real=True), sp.symbols("w1:4", real=True)
    entry = sum(value * a * b for value, a, b in zip(values, z, w, strict=True))
    diagonal = sum(value * a**2 for value, a in zip(values, z, strict=True))
    trace, square = sum(values), sum(value**2 for value in values)
    relative = stated.subs(n.P_eff, trace**2 / square)
    return conclude(
        "identity",
        (
            "Var G_st = tr Σ², s ≠ t (three eigenvalues; more alike)",
            is_zero(gaussian_variance(entry, z + w) - square),
        ),
        ("Var G_ss = 2 tr Σ²", is_zero(gaussian_variance(diagonal, z) - 2 * square)),
        ("E G_ss = tr Σ", is_zero(gaussian_mean(diagonal, z) - trace)),
        ("the standard deviation over tr Σ is as stated", is_root(relative, square / trace**2)),
    )


def _two_rows(stated: Any) -> Proof:
    trace, v = sp.symbols("tau v", positive=True)
    root = sp.sqrt(1 - v**2)
    upper, lower = trace * (1 + root) / 2, trace * (1 - root) / 2
    jacobian = sp.Matrix([upper, lower]).jacobian([trace, v]).det()
    weight = (trace**2 * v**2 / 4) ** ((REAL_P - 3) / 2) * (trace * root)
    shape = sp.powsimp(sp.expand_power_base(weight * sp.simplify(jacobian), force=True))
    exponent = sp.simplify(sp.diff(sp.log(shape), v) * v)
    law = stated.subs({n.v: v, n.P: REAL_P})
    return conclude(
        "identity",
        ("λ_1λ_2 = τ²v²/4, so v = 2√det/tr = 2R/(1+R²)", is_zero(upper * lower - trace**2 * v**2 / 4)),
        ("the Wishart density in (τ, v) is v^{P−2} times a function of τ", is_zero(exponent - (REAL_P - 2))),
        (
            "the stated law has density proportional to v^{P−2}",
            is_zero(sp.diff(law, v) * v / law - (REAL_P - 1)),
        ),
        ("and is 1 at v = 1", law.subs(v, 1) == 1),
    )


def _goe_limit(stated: Any) -> Proof:
    x = sp.Symbol("x", positive=True)  # 1/√P
    scaled = (sp.log(1 + n.g_1 * x) - sp.log(1 + n.g_2 * x)) / x
    z = sp.symbols("z1 z2", real=True)
    return conclude(
        "limit",
        (
            "an entry of √P(G/(ν²P) − 1) off the diagonal has variance 1",
            gaussian_variance(z[0] * z[1], z) == 1,
        ),
        ("and 2 on it", gaussian_variance(z[0] ** 2, z) == 2),
        ("2√P ln R tends to the stated spacing", is_zero(sp.limit(scaled, x, 0) - stated)),
    )


def _coloured(stated: Any) -> Proof:
    z = sp.symbols("z1 z2", real=True)
    first, second = z[0], n.tau * z[0] + sp.sqrt(1 - n.tau**2) * z[1]
    variance = sp.simplify(gaussian_variance(first * second, z))
    return conclude(
        "limit",
        ("mean of G_st/(ν²P) is τ", is_zero(gaussian_mean(first * second, z) - n.tau)),
        ("its variance is as stated", is_zero(variance / n.P - stated)),
        ("which vanishes as P → ∞", sp.limit(stated.subs(n.P, REAL_P), REAL_P, sp.oo) == 0),
    )


def _coloured_pair(stated: Any) -> Proof:
    values = set(sp.Matrix([[1, n.tau], [n.tau, 1]]).eigenvals())
    return conclude(
        "spectrum",
        ("eigenvalues of T for W = 2 are 1 ± τ", values == {1 + n.tau, 1 - n.tau}),
        ("R is the root of their ratio", is_root(stated, (1 + n.tau) / (1 - n.tau), tau=sp.Rational(1, 2))),
    )


PROPOSITIONS = (
    Proposition(
        "2.1", "T", "BBP threshold",
        sp.Eq(n.d_crit, n.eta * (n.W - 1) ** QUARTER / (sp.sqrt(n.B) * n.P**QUARTER)),
        "ν(P(W−1))^¼ with the a-priori noise ν = η/√(BP). The published acceptance of vacuity is "
        "σ_W/d_crit > 5 in every window. ν may also be estimated from the lower half of the spectrum (2.2b).",
        assumptions=(sp.Gt(n.W, 1),), source="thesis, Proposition 4.1", proof=_two_forms, function="bbp_threshold",
    ),
    Proposition(
        "2.2", "D", "Noise alone passes the test of vacuity",
        sp.Eq(n.floor_ratio, (sp.sqrt(n.P) - sp.sqrt(n.W)) / (n.P * (n.W - 1)) ** QUARTER),
        "The singular values of pure noise lie in ν(√P ± √W), so σ_W/d_crit is (P/(W−1))^¼(1 − √(W/P)), large "
        "whenever P is. Being above the BBP threshold is no evidence of signal.",
        assumptions=(sp.Gt(n.W, 1),), depends_on=("2.1",), proof=_noise_ratio, function="bbp_vacuity",
        condition="Pure noise with the ν of the threshold; edges of the spectrum in the limit.",
    ),
    Proposition(
        "2.2b", "D", "The ratio with ν estimated from the same window",
        sp.Eq(n.floor_ratio, (n.P / (n.W - 1)) ** QUARTER * sp.sqrt(n.lam_W / n.lam_half)),
        "Exact: P cancels but for the factor. At most (P/(W−1))^¼, and close to it only where the lower half "
        "of the spectrum is flat.",
        assumptions=(sp.Gt(n.W, 1), sp.Le(n.lam_W, n.lam_half)), depends_on=("2.1",), proof=_plug_in,
        function="plug_in_ratio",
    ),
    Proposition(
        "2.3", "D", "Observed singular value of a planted one", sp.Eq(n.sigma_obs, sp.sqrt(SIGMA2)),
        "The outlier solves d² z m_W(z) m_P(z) = 1 with the Marchenko-Pastur resolvents of the noise; "
        "inserting the equation into them makes z = (d² + ν²P)(d² + ν²W)/d². Below d = ν(PW)^¼ the largest "
        "value sticks to the edge ν(√P + √W). At finite W the threshold is not sharp, and W − 1 in place of W "
        "is closer.",
        assumptions=(sp.Gt(n.d**4, n.nu**4 * n.P * n.W),), source="Benaych-Georges & Nadakuditi 2012",
        condition="P, W → ∞ with W/P fixed; a_j, b_j orthonormal.", proof=_outlier, function="spike_forward",
    ),
    Proposition(
        "2.3b", "D", "Overlap in the window", sp.Eq(n.overlap_u, OVERLAP_U),
        "Residue of m_W/(1 − d² z m_W m_P) at the outlier; equal to (θ⁴ − c)/(θ²(θ² + c)).",
        assumptions=(sp.Gt(n.theta**4, n.aspect),), depends_on=("2.3",),
        source="Benaych-Georges & Nadakuditi 2012", proof=_window_overlap, function="overlaps",
    ),
    Proposition(
        "2.3c", "D", "Overlap in parameter space", sp.Eq(n.overlap_v, OVERLAP_V),
        "The same with m_P; equal to (θ⁴ − c)/(θ²(θ² + 1)).",
        assumptions=(sp.Gt(n.theta**4, n.aspect),), depends_on=("2.3",),
        source="Benaych-Georges & Nadakuditi 2012", proof=_parameter_overlap, function="overlaps",
    ),
    Proposition(
        "2.3d", "D", "Both overlaps vanish at the threshold",
        sp.Implies(sp.Eq(n.theta**4, n.aspect), sp.And(sp.Eq(n.overlap_u, 0), sp.Eq(n.overlap_v, 0))),
        "θ⁴ − c is a factor of both.", depends_on=("2.3b", "2.3c"), proof=_vanish, function="overlaps",
    ),
    Proposition(
        "2.3e", "D", "In the extreme regime a direction is recovered only at the noise floor",
        sp.Eq(n.overlap_v, n.d**2 / (n.d**2 + n.nu**2 * n.P)),
        "For c → 0: one half at d = ν√P, which is far above d_crit. Three scales, not one: d_crit, the noise "
        "floor ν√P, and the recovery of a direction, of the same order as the floor.",
        depends_on=("2.3c",), condition="c = W/P → 0.", proof=_small_aspect, function="overlaps",
    ),
    Proposition(
        "2.3f", "D", "Strength at which half of a direction is recovered",
        sp.Eq(n.d, n.nu * sp.sqrt(n.P) * sp.sqrt((1 + sp.sqrt(1 + 8 * n.W / n.P)) / 2)),
        "⟨v, v̂⟩² = ½ is θ⁴ − θ² − 2c = 0.", depends_on=("2.3c",), proof=_half, function="direction_scale",
    ),
    Proposition(
        "2.4", "D", "Signal strength behind an observed value",
        sp.Eq(n.d, sp.sqrt((BULK + sp.sqrt(BULK**2 - 4 * n.nu**4 * n.P * n.W)) / 2)),
        "Quadratic in d²: σ² − ν²(P+W) = d² + ν⁴PW/d², the larger root.",
        assumptions=(sp.Gt(n.sigma_obs, n.nu * (sp.sqrt(n.P) + sp.sqrt(n.W))),), depends_on=("2.3",),
        proof=_inverse, function="spike_inverse",
    ),
    Proposition(
        "2.4b", "D", "What a biased ν leaves in d²", sp.Eq(n.d2_shift, n.b_W * n.nu**2 * sp.sqrt(n.P * n.W)),
        "The lower-half estimate has E ν̂² = ν²(1 − b_W√(W/P)); in 2.4 that shifts d² by ν²P·b_W√(W/P) to "
        "leading order. estimate_nu removes it.",
        depends_on=("2.4",), condition="W/P → 0 at d of the order of ν√P.", proof=_bias_shift, function="estimate_nu",
    ),
    Proposition(
        "2.4c", "D", "The bias constant of a wide window", sp.Eq(n.b_W, 8 / (3 * sp.pi)),
        "G = ν²(P + √P·GOE_W), so b_W√W is minus the mean of the lower half of GOE_W: of the semicircle as "
        "W → ∞; √π/2 exactly at W = 2. b_10 = 0.874 (0.875 with the error of a sample).",
        depends_on=("2.6c",), condition="W → ∞.", proof=_bias_constants, function="lower_half_bias",
    ),
    Proposition(
        "2.5", "D", "Spread of the Gram matrix under anisotropic noise", sp.Eq(n.spread, 1 / sp.sqrt(n.P_eff)),
        "With covariance Σ, Var G_st = tr Σ² and E G_ss = tr Σ, P_eff = (tr Σ)²/tr Σ²; on the diagonal √2 "
        "of it. effective_dimension estimates P_eff from pairs outside the band; signal biases it.",
        condition="s ≠ t.", proof=_spread, function="effective_dimension",
    ),
    Proposition(
        "2.6", "F", "A gap is significant", sp.Gt(n.R, n.R_null),
        "The null law of R and k* is that of a W×W Wishart(P_eff) Gram matrix, sampled exactly (section 9).",
        depends_on=("1.3", "2.5"), source="chosen here", unproved="a definition",
    ),
    Proposition(
        "2.6b", "D", "Null law of a window of two", sp.Eq(n.null_cdf, n.v ** (n.P - 1)),
        "In trace and v = 2√det/tr the Wishart density factors and v has density (P−1)v^{P−2}.",
        assumptions=(sp.Gt(n.P, 1), sp.Le(n.v, 1)), condition="W = 2, white isotropic noise.", proof=_two_rows,
        function="two_row_null_survival",
    ),
    Proposition(
        "2.6c", "D", "Null law at large P: one table per window", sp.Eq(n.log_ratio, n.g_1 - n.g_2),
        "√P(G/(ν²P) − 1) tends to GOE_W (diagonal variance 2, off-diagonal 1), and 2√P ln(σ_j/σ_{j+1}) to "
        "its spacing; 2√P ln R to the largest spacing.",
        condition="P → ∞.", proof=_goe_limit,
    ),
    Proposition(
        "2.7", "D", "Noise that is not white in time", sp.Eq(n.entry_variance, (1 + n.tau**2) / n.P),
        "With autocorrelation T the entries of G/(ν²P) have mean T_st and vanishing variance: as P → ∞ the "
        "ratios tend to those of √eig(T). The referee's null uses τ̂_l = mean K_{t,t−l}/mean K_tt.",
        assumptions=(sp.Le(sp.Abs(n.tau), 1),), condition="White in parameters.", proof=_coloured,
        function="autocorrelated_null",
    ),
    Proposition(
        "2.7b", "D", "A gap from noise alone, two rows", sp.Eq(n.R_limit, sp.sqrt((1 + n.tau) / (1 - n.tau))),
        "T = [[1, τ], [τ, 1]]. For momentum 0.9 and W = 10 the same limit is R = 2.25 with k* = 1.",
        assumptions=(sp.Lt(n.tau, 1), sp.Ge(n.tau, 0)), depends_on=("2.7",), condition="W = 2.",
        proof=_coloured_pair, function="autocorrelated_null",
    ),
)  # fmt: skip

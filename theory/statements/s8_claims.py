"""Further claims."""

from typing import Any

import sympy as sp

from spectral_edge.theory.statements import notation as n
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

SLOW = sp.Sum(n.x[n.j] ** 2, (n.j, 1, n.n_slow))
FREE = (1, 2, 5, 6, 7)


def _counterexample(stated: Any) -> Proof:
    """All modes slow (K = 0), three updates, exact eigenvalue intervals: k* = 2 > K + 1."""
    eta_h = [sp.Rational(j, 100) for j in (1, 2, 3)]
    window = sp.Matrix(3, 3, lambda s, j: (1 - eta_h[j]) ** s)
    lam = sp.Symbol("lambda")
    polynomial = sp.Poly((window * window.T).charpoly(lam).as_expr(), lam)
    width = sp.Rational(1, 10**15)
    intervals = sorted((pair[0] for pair in polynomial.intervals(eps=width)), reverse=True)
    (low1, high1), (low2, high2), (low3, high3) = intervals
    fast = sum(bool(value >= sp.Rational(1, 3)) for value in eta_h)
    # (σ_2/σ_3)² ≥ low2/high3 against (σ_1/σ_2)² ≤ high1/low2
    return conclude(
        "counterexample",
        ("ηh = 0.01, 0.02, 0.03, W = 3, first update (1, 1, 1): no mode is fast, K = 0", fast == 0),
        (
            "λ_1, λ_2, λ_3 isolated in exact rational intervals",
            bool(low1 > high2 > 0) and bool(low2 > high3) and bool(low3 > 0),
        ),
        ("σ_2/σ_3 > σ_1/σ_2, so k* = 2", bool(low2 / high3 > high1 / low2)),
        (
            "which is the statement",
            says(stated, {"k_star": 2, "K_fast": fast}, {"k_star": 1, "K_fast": fast}),
        ),
    )


def _beta(stated: Any) -> Proof:
    s, W = sp.Symbol("s", integer=True), n.W
    spread = sp.simplify(sp.summation((s - (W - 1) / 2) ** 2, (s, 0, W - 1)))
    f = sp.symbols("f1:5", real=True)
    mean = sum(f) / 4
    pairs = sum((a - b) ** 2 for a in f for b in f) / 8
    x, y = sp.symbols("x y", nonnegative=True)  # x = eta h, y = 1 - x
    step = (1 - x) ** n.j - (1 - x) ** (n.j + 1)
    one = stated.subs(n.n_slow, 1).doit().subs(n.x[1], sp.Symbol("X", positive=True))
    return conclude(
        "inequality",
        ("Σ(f − f̄)² = ΣΣ(f_s − f_r)²/(2W), W = 4", is_zero(sum((a - mean) ** 2 for a in f) - pairs)),
        ("(1−x)^s − (1−x)^{s+1} = x(1−x)^s", is_zero(sp.simplify(step - x * (1 - x) ** n.j))),
        (
            "which is at most x for 0 ≤ x ≤ 1: 1 − y^s ≥ 0, here to s = 6",
            all(is_nonnegative(sp.cancel((1 - y**power) / (1 - y))) for power in range(1, 7)),
        ),
        ("Σ(s − s̄)² = W(W²−1)/12", is_zero(spread - W * (W**2 - 1) / 12)),
        (
            "so one slow mode is within the stated β of its mean",
            is_root(one, spread * sp.Symbol("X", positive=True) ** 2),
        ),
    )


def _krylov(stated: Any) -> Proof:
    premise, conclusion = stated.args
    tail = n.beta + n.noise_norm  # σ_{K+2} of signal plus noise, by Weyl
    slack = sp.Symbol("y", positive=True)
    return conclude(
        "inequality",
        (
            "for j ≥ K + 2: σ_j/σ_{j+1} ≤ σ_{K+2}/σ_W ≤ (β + ‖N‖_op)/σ_W",
            premise == sp.Gt(n.R * n.sigma_W, tail),
        ),
        (
            "which is below R, so k* is not among them",
            is_positive(sp.simplify((tail + slack) / n.sigma_W - tail / n.sigma_W)),
        ),
        ("k* ≤ K + 1", conclusion == sp.Le(n.k_star, n.K_fast + 1)),
    )


def _inverted(stated: Any) -> Proof:
    s, step, power = sp.symbols("s e p", positive=True)
    steep, flat = (sp.sqrt(n.W * power / stiffness) for stiffness in (s + step, s))
    here = sp.sqrt(n.W * power / s) ** 2
    return conclude(
        "inequality",
        ("d*² falls in h + ω", is_positive(sp.simplify(flat**2 - steep**2))),
        ("d* is |G|√(W/(h+ω))", is_root(stated.subs({n.h_j: s - n.omega, n.p_j: power}), here)),
    )


def _projection(stated: Any) -> Proof:
    x, q = sp.Symbol("x", positive=True), sp.Symbol("q", real=True)
    # χ²_d has E (χ²)^q = 2^q Γ(d/2 + q)/Γ(d/2): the variance of its logarithm is ψ′(d/2)
    cumulant = q * sp.log(2) + sp.loggamma(x + q) - sp.loggamma(x)
    variance = sp.diff(cumulant, q, 2).subs(q, 0) / 4 * 2  # ln σ is half of it; two values
    return conclude(
        "limit",
        ("Var ln R̂ = ψ′(d/2)/2", is_zero(variance - sp.polygamma(1, x) / 2)),
        (
            "over the stated variance it tends to 1",
            sp.limit(x * sp.polygamma(1, x), x, sp.oo) == 1
            and is_root(stated.subs(n.dims, 2 * x), 1 / (2 * x)),
        ),
    )


def _classification(stated: Any) -> Proof:
    from spectral_edge.theory.statements import registry

    loop = {"7.3", "7.3b", "7.3c", "7.3d", "7.3e", "7.3f", "7.3g"}
    free = [p for p in registry() if p.section in FREE and p.id not in loop]
    leaning = [p.id for p in free if p.commutativity != "none"]
    strong = {p.id for p in registry() if p.commutativity == "strong"}
    return conclude(
        "identity",
        (
            f"{len(free)} results of sections 1, 2, 5, 6 and 7 (7.3 rests on 3.4b and apart), none leans",
            len(leaning) == stated,
        ),
        (
            "collapse and opening times and the Krylov bound lean strongly",
            {"3.4c", "3.6", "3.6e", "8.1"} <= strong,
        ),
    )


PROPOSITIONS = (
    Proposition(
        "8.1", "T", "Krylov bound, as published", sp.Le(n.k_star, n.K_fast),
        "K = #{j : h_j ≥ 1/(ηW)}. Ratios among tiny trailing values grow without bound when there is no noise.",
        commutativity="strong", source="thesis", unproved="false as stated, and with K + 1: 8.1b",
        function="krylov_count",
    ),
    Proposition(
        "8.1b", "D", "Counterexample to it, and to K + 1", sp.Gt(n.k_star, n.K_fast + 1),
        "Gradient descent on a quadratic with three slow modes: σ_1 is their common direction, and σ_2/σ_3 is larger "
        "than σ_1/σ_2.",
        condition="There are runs such that.", depends_on=("8.1",), commutativity="strong", proof=_counterexample,
        function="quadratic_window",
    ),
    Proposition(
        "8.1c", "D", "Slow modes leave one direction and a small rest",
        sp.Eq(n.beta, sp.sqrt(n.W * (n.W**2 - 1) / 12) * sp.sqrt(SLOW)),
        "Row s of a slow mode is a_j(1 − ηh_j)^s, x_j = ηh_j a_j: the means over the window are one direction, the "
        "rest is at most x_j per step. So the window is of rank K + 1 up to β, and σ_{K+2} ≤ β. It needs h_j ≥ 0: a "
        "slow mode of negative curvature grows, and its term carries (1 − ηh_j)^{W−2}.",
        commutativity="strong", condition="Quadratic model, 0 ≤ ηh_j ≤ 1 for the slow modes.", proof=_beta,
        function="slow_mode_bound",
    ),
    Proposition(
        "8.1d", "D", "Krylov bound with a noise floor",
        sp.Implies(sp.Gt(n.R * n.sigma_W, n.beta + n.noise_norm), sp.Le(n.k_star, n.K_fast + 1)),
        "Beyond K + 1 every ratio is at most (β + ‖N‖_op)/σ_W.", depends_on=("8.1c", "1.1"), commutativity="strong",
        proof=_krylov, function="krylov_guaranteed",
    ),
    Proposition(
        "8.2", "T", "Inverted hierarchy", sp.Eq(n.d_star, sp.sqrt(n.p_j) * sp.sqrt(n.W / (n.h_j + n.omega))),
        "Flatter modes are stronger: d_j ∝ |G_j|/√(h_j + ω). Scale free, because of 3.1.",
        assumptions=(sp.Gt(n.h_j + n.omega, 0),), depends_on=("3.2b",), commutativity="weak",
        source="thesis, follows from 3.2b", proof=_inverted, function="stationary_strength",
    ),
    Proposition(
        "8.3", "T", "Three phases of R(t)",
        sp.And(sp.Gt(n.slope_1, 0), sp.Eq(n.slope_2, 0), sp.Lt(n.slope_3, 0)),
        "Rise, plateau, collapse.", depends_on=("1.3",), commutativity="weak", source="thesis",
        unproved="a claim about runs: a prediction tests it",
    ),
    Proposition(
        "8.4", "T", "The gap moves before grokking", sp.Lt(n.t_gap, n.t_grok), "24 of 24 runs with weight decay.",
        commutativity="weak", source="thesis", unproved="a claim about runs: a prediction tests it, with its control",
    ),
    Proposition(
        "8.4b", "T", "Grokking needs weight decay",
        sp.Implies(sp.Lt(n.t_grok, sp.oo), sp.Gt(n.omega, 0)),
        "0 of 24 runs without (a later version says 1 of 24).", commutativity="weak", source="thesis",
        unproved="a claim about runs: a prediction tests it",
    ),
    Proposition(
        "8.5", "T", "The gap position depends on the optimiser",
        sp.And(sp.Eq(n.k_muon, 1), sp.Eq(n.k_adamw, 2)),
        "On the same model.", depends_on=("1.1",), commutativity="weak", source="thesis",
        unproved="a claim about runs: a prediction tests it",
    ),
    Proposition(
        "8.6", "T", "Random projection keeps the gap ratio", sp.Le(n.gap_error, sp.Rational(57, 1000)),
        "To d = 10W dimensions, within 5.7 %: an observation, not a bound (8.6b).", depends_on=("1.3",),
        source="thesis",
        unproved="an observation; 8.6b gives the error's size",
    ),
    Proposition(
        "8.6b", "D", "Size of the projection error", sp.Eq(n.log_error, 1 / sp.sqrt(n.dims)),
        "A Gaussian projection scales two well separated singular values by independent √(χ²_d/d).",
        condition="Large gap, d → ∞.", proof=_projection, function="projection_error",
    ),
    Proposition(
        "8.7", "T", "What does not lean on [P,H] ≈ 0", sp.Eq(n.leaning, 0),
        "Not at all: definitions, detection, stability, the loss decomposition, Gap Maximality. Weakly: the flow "
        "equations and what follows from them. Strongly: the Krylov bound, collapse and opening times.",
        source="thesis, as encoded in this registry", proof=_classification,
    ),
)  # fmt: skip

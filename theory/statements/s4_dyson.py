"""Dyson-type dynamics."""

from typing import Any

import sympy as sp

from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements.moments import gaussian_variance
from spectral_edge.theory.statements.proposition import (
    Proof,
    Proposition,
    conclude,
    is_positive,
    is_zero,
    says,
)

PAIR = n.nu**2 / 2 * (1 / (n.d_j - n.d_i) + 1 / (n.d_j + n.d_i))
FLOW = -n.eta * (n.h_j + n.omega) * n.d_j + n.eta * n.W * n.p_j / n.d_j
OTHERS = sp.Sum(1 / (n.d_j - n.others[n.j]) + 1 / (n.d_j + n.others[n.j]), (n.j, 1, n.W - 1))


def _bru(stated: Any) -> Proof:
    """Change Bru's Wishart equation to d = sqrt(lambda), three modes written out."""
    d = sp.symbols("d1:4", positive=True)
    lam = [value**2 for value in d]
    size = 3
    wishart = [
        n.nu**2 * (n.P + sum((lam[j] + lam[i]) / (lam[j] - lam[i]) for i in range(size) if i != j))
        for j in range(size)
    ]
    steps = []
    for j in range(size):
        # dd = dλ/(2d) − d⟨λ⟩/(8d³), d⟨λ⟩ = 4ν²λ dt
        ito = wishart[j] / (2 * d[j]) - 4 * n.nu**2 * lam[j] / (8 * d[j] ** 3)
        rest = [d[i] for i in range(size) if i != j]
        here = stated.subs(n.W, size).doit()
        noise = here - FLOW.subs(n.W, size)
        for place, value in enumerate(rest, start=1):
            noise = noise.subs(n.others[place], value)
        steps.append(
            (
                f"Itô's formula for √λ_{j + 1} gives the noise part of the drift",
                is_zero(ito - noise.subs(n.d_j, d[j])),
            )
        )
    return conclude("identity", *steps)


def _pair(stated: Any) -> Proof:
    return conclude(
        "identity",
        (
            "the pair's part is ν² d_j/(d_j² − d_i²)",
            is_zero(stated - n.nu**2 * n.d_j / (n.d_j**2 - n.d_i**2)),
        ),
        (
            "opposite in d_j·drift for the two: Σ d_j drift = ν² per pair",
            is_zero(
                n.d_j * stated
                + n.d_i * stated.subs({n.d_j: n.d_i, n.d_i: n.d_j}, simultaneous=True)
                - n.nu**2
            ),
        ),
    )


def _linear_density(stated: Any) -> Proof:
    """Wishart density of two singular values (W = 2, nu = 1) as the gap closes."""
    g, mean, degrees = (
        sp.Symbol("g", positive=True),
        sp.Symbol("m", positive=True),
        sp.Symbol("P", positive=True),
    )
    upper, lower = mean + g / 2, mean - g / 2
    over_g = (
        (upper * lower) ** (degrees - 2)
        * sp.factor(upper**2 - lower**2)
        / g
        * sp.exp(-(upper**2 + lower**2) / 2)
    )
    at_zero = sp.simplify(sp.limit(over_g, g, 0, "+"))
    integral = sp.integrate(
        2 * mean ** (2 * degrees - 3) * sp.exp(-(mean**2)), (mean, 0, sp.oo), conds="none"
    )
    return conclude(
        "limit",
        (
            "positive is what is stated, and Γ(P − 1) > 0",
            says(stated, {"density": sp.gamma(4)}, {"density": 0}),
        ),
        (
            "density over g tends to 2m^{2P−3}e^{−m²}",
            is_zero(sp.simplify(at_zero / (2 * mean ** (2 * degrees - 3) * sp.exp(-(mean**2))) - 1)),
        ),
        (
            "whose integral over the mean is Γ(P − 1), finite and positive",
            is_zero(sp.simplify(integral / sp.gamma(degrees - 1) - 1)),
        ),
    )


def _trace(stated: Any) -> Proof:
    d = sp.symbols("d1:4", positive=True)
    size, total = 3, sum(value**2 for value in d)
    drift = [
        -n.kappa * value
        + n.nu**2
        / 2
        * ((n.P - size) / value + sum(1 / (value - o) + 1 / (value + o) for o in d if o is not value))
        for value in d
    ]
    ito = sum(2 * value * move + n.nu**2 for value, move in zip(d, drift, strict=True))
    here = stated.subs({n.W: size, n.sum_sq: total})
    return conclude(
        "identity", ("Itô's formula for Σd_j² (three modes) gives −2κΣd_j² + ν²PW", is_zero(ito - here))
    )


def _second_order(stated: Any) -> Proof:
    x, gap = sp.Symbol("x", real=True), sp.Symbol("gap", positive=True)
    split = sp.sqrt(gap**2 + 4 * x**2)
    second = sp.series(split, x, 0, 4).removeO()
    here = stated.subs({n.coupling: x, n.lam_k: n.lam_k1 + gap})
    return conclude(
        "limit",
        (
            "[[λ_k, x], [x, λ_{k+1}]] has gap √(gap² + 4x²), to second order gap + the push",
            is_zero(second - gap - here),
        ),
        ("always an opening", is_positive(here.subs(x, sp.Symbol("x", positive=True)))),
    )


def _variation(stated: Any) -> Proof:
    z = sp.symbols("z1:5", real=True)
    upper, lower = sp.sqrt(n.lam_k), sp.sqrt(n.lam_k1)
    X, N = sp.diag(upper, lower), n.nu * sp.Matrix(2, 2, z)
    entry = (N * X.T + X * N.T)[0, 1]
    return conclude(
        "identity",
        ("variance of the off-diagonal of NX^T + XN^T", is_zero(gaussian_variance(entry, z) - stated)),
    )


PROPOSITIONS = (
    Proposition(
        "4.0", "D", "Singular values under noise",
        sp.Eq(n.d_dot, FLOW + n.nu**2 / 2 * ((n.P - n.W) / n.d_j + OTHERS)),
        "Drift of d_j; its noise is ν dB_j. Bru's equation for the eigenvalues of a Wishart process, changed to "
        "d = √λ by Itô's formula; the flow 3.1 adds its drift to rank j.",
        assumptions=(sp.Gt(n.P, n.W),), depends_on=("3.1",), commutativity="weak", source="Bru 1989, β = 1",
        condition="Noise ν² per entry and unit time; coefficients attached to rank; d_j distinct.", proof=_bru,
        function="dyson_drift",
    ),
    Proposition(
        "4.0b", "D", "Repulsion of a pair", sp.Eq(n.drift_pair, PAIR),
        "Opens the gap of every pair, without bound as it closes.", assumptions=(sp.Ne(n.d_j, n.d_i),),
        depends_on=("4.0",), commutativity="weak", proof=_pair, function="repulsion",
    ),
    Proposition(
        "4.1", "D", "The density of a small gap vanishes linearly", sp.Gt(n.density, 0),
        "The Vandermonde factor of the Wishart density is linear in the gap (β = 1): what is left of ρ(g)/g at "
        "g → 0 is finite and positive. Crossings become avoided crossings.",
        depends_on=("4.0",), commutativity="weak",
        condition="g → 0; shown for W = 2, the factor is the same for any W.",
        proof=_linear_density,
    ),
    Proposition(
        "4.2", "D", "Drift of the trace", sp.Eq(n.trace_dot, -2 * n.kappa * n.sum_sq + n.nu**2 * n.P * n.W),
        "With h_j = h and p = 0 the equation is that of dM = −κM dt + ν dB; the repulsions cancel from the trace. "
        "Simulate the matrix: an Euler scheme on 4.0 is not accurate.",
        assumptions=(sp.Gt(n.P, n.W),), depends_on=("4.0",), commutativity="weak", proof=_trace, function="dyson_drift",
    ),
    Proposition(
        "4.3", "T", "Second-order perturbation repels",
        sp.Eq(n.gap_push, 2 * n.coupling**2 / (n.lam_k - n.lam_k1)),
        "From one window to the next; the same repulsion as 4.0b.", assumptions=(sp.Gt(n.lam_k, n.lam_k1),),
        source="thesis, proved here", proof=_second_order, function="gap_repulsion",
    ),
    Proposition(
        "4.3b", "D", "Variation of the coupling", sp.Eq(n.coupling_rate, n.nu**2 * (n.lam_k + n.lam_k1)),
        "u_k^T(NX^T + XN^T)u_{k+1} has two independent normal terms, of sizes νσ_k and νσ_{k+1}.",
        depends_on=("4.0",), proof=_variation,
    ),
)  # fmt: skip

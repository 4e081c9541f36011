"""Exact synthetic trajectories."""

from typing import Any

import sympy as sp

from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements.moments import gaussian_mean
from spectral_edge.theory.statements.proposition import Proof, Proposition, conclude, is_zero


def _mean(stated: Any) -> Proof:
    z, w = sp.symbols("z1:4", real=True), sp.symbols("w1:4", real=True)
    update_s = [n.s_s + n.nu * z[0], n.nu * z[1], n.nu * z[2]]
    update_t = [n.s_t + n.nu * w[0], n.nu * w[1], n.nu * w[2]]
    apart = gaussian_mean(sum(x * y for x, y in zip(update_s, update_t, strict=True)), z + w)
    equal = gaussian_mean(sum(x**2 for x in update_s), z)
    three = stated.subs(n.P, 3)
    return conclude(
        "identity",
        ("s ≠ t: the signals alone (P = 3)", is_zero(apart - three.subs(n.same, 0))),
        ("s = t: the noise adds ν²P", is_zero(equal - three.subs({n.same: 1, n.s_t: n.s_s}))),
    )


def _residual(stated: Any) -> Proof:
    q = sp.Symbol("q", positive=True)
    degrees = n.P - n.k_sig - n.m
    transform = (1 - 2 * q) ** (-degrees / 2)
    kept = (1 - 2 * q) ** (-n.m / sp.Integer(2))
    whole = (1 - 2 * q) ** (-(n.P - n.k_sig) / sp.Integer(2))
    mean = sp.diff(transform, q).subs(q, 0)
    return conclude(
        "identity",
        (
            "m coordinates and a residual χ²(P−k−m) have the law of P−k coordinates",
            is_zero(sp.powsimp(kept * transform) - whole),
        ),
        ("the mean of the residual is as stated", is_zero(n.nu**2 * mean - stated)),
    )


PROPOSITIONS = (
    Proposition(
        "9.1", "D", "Mean of K", sp.Eq(n.K_st, n.s_s * n.s_t + n.same * n.nu**2 * n.P),
        "δ_t = Σ_j s_j(t)e_j + n_t with n_t ~ N(0, ν²I); one signal written out, more add up.", proof=_mean,
    ),
    Proposition(
        "9.2", "D", "A new noise vector, seen from the last ones", sp.Eq(n.residual, n.nu**2 * (n.P - n.k_sig - n.m)),
        "In the span of the m noise vectors kept it is N(0, ν²I_m); orthogonal to them and to the k signals a residual "
        "whose square is ν²χ²(P−k−m), by rotation invariance. Nothing of size P is needed, and a step costs O(W²).",
        assumptions=(sp.Le(n.m + n.k_sig, n.P),), depends_on=("9.1",), proof=_residual,
    ),
)  # fmt: skip

"""Gap position."""

from typing import Any

import sympy as sp

from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements.proposition import Proof, Proposition, conclude, is_zero


def _invariance(stated: Any) -> Proof:
    angle = sp.Symbol("phi", real=True)
    rotation = sp.Matrix([[sp.cos(angle), -sp.sin(angle)], [sp.sin(angle), sp.cos(angle)]])
    window = sp.Matrix(2, 2, sp.symbols("x1:5", real=True))
    scale = sp.Symbol("s", positive=True)
    rotated = (window * rotation) * (window * rotation).T - window * window.T
    general = n.X * n.Q * n.Q.T * n.X.T
    value = sp.Symbol("lambda", positive=True)
    gram = window * window.T
    characteristic = (value * sp.eye(2) - gram).det()
    scaled = (scale**2 * value * sp.eye(2) - scale**2 * gram).det()
    return conclude(
        "spectrum",
        ("XQ(XQ)^T = XX^T for W = P = 2 and any rotation Q", all(is_zero(entry) for entry in rotated)),
        (
            "and in general, once QQ^T = I is put in",
            general.subs(n.Q * n.Q.T, sp.Identity(n.P)).doit() == stated,
        ),
        (
            "scaling the parameters by s scales every eigenvalue by s², so no ratio changes",
            is_zero(scaled - scale**4 * characteristic),
        ),
    )


PROPOSITIONS = (
    Proposition(
        "1.1", "T", "Gap position",
        sp.Ge(n.sigma_k / n.sigma_k1, n.sigma_j / n.sigma_j1),
        "k* is the position of the largest consecutive ratio, the smallest such j in a tie. Only j with "
        "σ_{j+1} above the rank tolerance count; a window of numerical rank below 2 has no gap.",
        source="thesis", unproved="a definition", function="gap_position",
    ),
    Proposition(
        "1.2", "T", "Gap position, weighted reading",
        sp.Ge(n.sigma_k**2 / n.sigma_k1, n.sigma_j**2 / n.sigma_j1),
        "The score (σ_j/Σσ)(σ_j/σ_{j+1}) prefers a gap between strong values; the thesis uses it on runs whose "
        "last singular values are noise. Provided by name: gap_position(sigma, weighted=True).",
        source="thesis", unproved="a definition: the second reading of an ambiguous text", function="gap_position",
    ),
    Proposition(
        "1.3", "T", "Gap ratio", sp.Eq(n.R, n.sigma_k / n.sigma_k1),
        "Ratio at the gap position; the amplitude gap is g = σ_{k*} − σ_{k*+1}.",
        depends_on=("1.1",), source="thesis", unproved="a definition", function="gap_ratio",
    ),
    Proposition(
        "1.4", "D", "The spectrum does not see the parameter basis",
        sp.Eq(n.X * n.Q * n.Q.T * n.X.T, n.X * n.X.T),
        "G = XX^T is unchanged by an orthogonal change of parameter basis, because QQ^T = I, and is a sum over "
        "shards of the parameters. Scaling the parameters scales σ, so k* and R do not change.",
        condition="Q is orthogonal: QQ^T = I.", proof=_invariance, function="gram_spectrum",
    ),
)  # fmt: skip

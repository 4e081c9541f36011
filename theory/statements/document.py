"""docs/theory.md, from the registry: ``python -m spectral_edge.theory.statements.document > docs/theory.md``."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spectral_edge import theory
from spectral_edge.theory.statements import notation
from spectral_edge.theory.statements.dependency import LEANING, used_by
from spectral_edge.theory.statements.proposition import MARKS, Proposition, to_latex

TITLES = {
    1: "Gap position",
    2: "Detection thresholds",
    3: "Signal flow and gap flow",
    4: "Dyson-type dynamics",
    5: "Stability and the adiabatic parameter",
    6: "Spectral loss decomposition",
    7: "Gap Maximality",
    8: "Further claims",
    9: "Exact synthetic trajectories",
    10: "What a rolling window itself does",
}
INTRODUCTION = """\
# The theory, as encoded

One reading of the *spectral edge thesis* (Y. Xu, arXiv:2603.28964) that can be computed, proved where it is provable,
and tested where it is not. This page is written by `make statements` from the propositions in `theory/statements/`; a
test fails when it is out of date. `spectral-edge propositions --prove` runs every proof.

Each statement carries a mark: **[T]** a claim of the thesis, **[D]** derived here and exact under its assumptions,
**[F]** a formalisation chosen here because the thesis is verbal at this point. Each proof says what kind it is:
*identity* (a difference reduces to zero), *inequality* (reduced to squares or signs), *limit*, *spectrum* (a matrix
identity for small sizes, with the general argument in words), *counterexample* (exact), or *numeric* (checked over a
stated domain, not proved). Theorems of others that a proof rests on are named as its source.
"""
K_NOTE = """\
**K is the one thing to keep of a run.** Let θ_t be the parameters at record t, δ_t = θ_t − θ_{t−1} the updates and
K_{st} = ⟨δ_s, δ_t⟩ their inner products. The trajectory matrix X_t holds the last W updates in its rows; its Gram
matrix G_t = X_tX_tᵀ, a W×W block on the diagonal of K, has eigenvalues λ_1 ≥ … ≥ λ_W and eigenvectors u_j. Then
σ_j = √λ_j (written d_j in the flow equations) and v_j = X_tᵀu_j/σ_j. Every quantity below follows from K and from
inner products of other vectors with the updates; vectors of size P are read once.
"""
AXIOMS = """\
The wording of the thesis' axioms is not known to us; these are the assumptions that the statements below use. Each is
a measurement on a run, with its unit, in `theory/axioms.py`.

- **A1** The window is a signal plus isotropic noise, white in time (section 2): `theory.isotropic_noise(K, W, P_eff)`
  measures how much steeper the lower half of the spectrum is than such noise makes it.
- **A2** Curvatures h_j and gradient powers p_j vary slowly over a window (sections 3 and 4):
  `theory.slow_coefficients(values, W)` measures their relative change per window.
- **A3** The signal directions rotate slowly over a window (sections 3 and 4): `theory.slow_directions(K, W, k)`
  measures the largest principal angle between disjoint windows, in degrees.
"""


class Correction(NamedTuple):
    """Where the thesis, or a first reading of it, does not hold as it stands."""

    ids: str
    says: str
    holds: str
    illustration: Callable[[], str]


def _vacuity() -> str:
    answer = theory.bbp_vacuity(160_000_000, 10, 1e-3, 20)
    return (
        f"P = 1.6e8, W = 10, η = 1e-3, B = 20: pure noise stands at {answer.noise_ratio:.3g} times d_crit; "
        f"the published rule asks for more than {answer.acceptance:g}."
    )


def _scales() -> str:
    answer = theory.bbp_vacuity(160_000_000, 10, 1e-3, 20)
    found = theory.overlaps(10 * answer.d_crit, answer.nu, answer.P, answer.W)
    return (
        f"There, at d = 10 d_crit: window overlap {float(found.window):.4f}, parameter overlap "
        f"{float(found.parameter):.2g}; one half is reached at {answer.direction_scale / answer.d_crit:.3g} d_crit."
    )


def _momentum() -> str:
    sigma = theory.autocorrelated_null(0.9 ** np.arange(10), 10)
    return (
        f"Momentum 0.9, consecutive steps, W = 10, no signal: k* = {int(theory.gap_position(sigma))}, "
        f"R = {float(theory.gap_ratio(sigma)):.3g}; white noise gives R → 1."
    )


def _scale_of_source() -> str:
    eta, h, W, p = 1e-3, 1.0, 10, 1.0
    identity, stationary = W * eta**2 * p, float(theory.stationary_strength(h, p, 0.0, W)) ** 2
    return f"η = 1e-3, h = 1, ω = 0, W = 10, p = 1: the identity gives d² = {identity:.0e}, 3.2b {stationary:.0f}."


def _frozen() -> str:
    h, kw = np.array([1.0, 1.0]), {"eta": 1e-2, "omega": 0.0, "W": 10}
    d = float(theory.stationary_strength(1.0, 1.0, 0.0, 10))
    p = np.array([1.0, 1.02])
    d0 = [1.01 * d, 0.99 * d]
    exact, frozen, linear = (
        float(theory.collapse_time(d0, h=h, p=p, form=form, **kw)) for form in ("exact", "frozen", "linear")
    )
    flow = theory.linear_gap_flow(d, h=h, p=p, form="frozen", **kw)
    g_star = float(theory.equilibrium_gap(h, p, 0.0, 10))
    return (
        f"Two modes 2 % apart near stationarity, p_(k+1) 2 % above p_k: t_c = {exact:.1f} exactly, {linear:.1f} with "
        f"κ_eff, {frozen:.1f} frozen; frozen g* over the exact one {float(flow.equilibrium) / g_star:.3f}."
    )


def _violations() -> tuple[np.ndarray, np.ndarray]:
    """Modes with alpha > 0, and those of them whose overlap is below it, for three choices (5.4)."""
    rng = np.random.default_rng(0)
    claimed, broken = np.zeros(3, int), np.zeros(3, int)
    for _ in range(3000):
        updates = rng.normal(size=(4, 6)) * 10 ** rng.uniform(-1, 1, (4, 1))
        K = updates @ updates.T
        norms = theory.perturbation_norms(K, 3)
        overlaps = np.einsum("njj->nj", theory.mode_overlaps(K, 3)) ** 2
        lam = theory.gram_spectrum(K[None, :3, :3]).lam
        choices = ((norms.operator, 4.0), (norms.frobenius, 1.0), (norms.eigenvalue, 1.0))
        for i, (norm, C) in enumerate(choices):
            alpha = theory.stability_coefficient(lam, norm, C=C)
            claimed[i] += np.sum(alpha > 0)
            broken[i] += np.sum((alpha > 0) & (overlaps < alpha - 1e-9))
    return claimed, broken


def _eigenvalue_norm() -> str:
    claimed, broken = _violations()
    return (
        f"3000 random windows (W = 3, P = 6, norms over two decades): overlap below α_j > 0 in {broken[2]} of "
        f"{claimed[2]} modes with the eigenvalue-only norm and C = 1."
    )


def _guarantee() -> str:
    claimed, broken = _violations()
    alpha = theory.stability_coefficient([2.0, 1.0], 0.5005 * np.sqrt(2), C=1.0)[0]
    return (
        f"Same windows: {broken[0]} of {claimed[0]} with C = 4 and the operator norm, {broken[1]} of {claimed[1]} with "
        f"C = 1 and ‖ΔC‖_F. C = diag(2, 1), ΔC = diag(−m, m), m = 0.5005: α = {float(alpha):.3f}, overlap 0."
    )


def _krylov() -> str:
    eta, W = 0.1, 3
    h = np.array([0.1, 0.2, 0.3])
    sigma = np.linalg.svd(theory.quadratic_window(h, np.ones(3), eta, W), compute_uv=False)
    ratios = ", ".join(f"{ratio:.0f}" for ratio in sigma[:-1] / sigma[1:])
    return (
        f"ηh = 0.01, 0.02, 0.03, W = 3: K = {int(theory.krylov_count(h, eta, W))}, ratios {ratios}, so "
        f"k* = {int(theory.gap_position(sigma))}."
    )


def _negative_curvature() -> str:
    W, h, eta = 12, np.array([-0.9]), 0.1
    rows = theory.quadratic_window(h, [1.0], eta, W)
    spread = float(np.linalg.norm(rows - rows.mean(axis=0)))
    plain = float(np.sqrt(W * (W**2 - 1) / 12) * eta * abs(h[0]))
    bound = float(theory.slow_mode_bound(h, [1.0], eta, W))
    return f"ηh = −0.09, W = 12: the rest is {spread:.2f}, the formula without growth {plain:.2f}, with it {bound:.2f}."


def _measured_power() -> str:
    eta, h, W = 0.1, 1.0, 10
    X = theory.quadratic_window([h], [1.0], eta, W + 1)
    d = np.sqrt(np.convolve(X[:, 0] ** 2, np.ones(W), "valid"))
    p = float(np.mean(X[:W, 0] ** 2)) / eta**2
    thesis = -eta * h + eta * W * p / d[0] ** 2
    other = -eta * h + eta**2 * W * p / (2 * d[0] ** 2)
    return (
        f"Quadratic loss, η = 0.1, h = 1, W = 10: per step ln d_j changes by {np.log(d[1] / d[0]):.3f}; with the "
        f"measured p_j 3.1 says {thesis:+.1f}, theorem 12.1 {other:+.2f}, damping alone {np.log(abs(1 - eta * h)):.3f}."
    )


def _adam_error() -> str:
    arguments = {"eta": 0.1, "momentum": 0.9}
    response = np.diag([2.0, 3.0])
    sgd, adam = (
        float(theory.propagation_residual(np.eye(2), response, 5.0, optimizer=name, **arguments))
        for name in ("sgd", "adamw")
    )
    return (
        f"η = 0.1, β = 0.9, 4 of a response of 5 off the window: {sgd:.2g} for momentum, {adam:.2g} for Adam."
    )


def _interval() -> str:
    parts = []
    for r in (1, 10):
        theta = np.arange(10 * r + 1)[:, None] * np.array(
            [2e-3, 5e-3]
        )  # two slow oscillations, every r steps
        rows = np.diff(np.concatenate([np.sin(theta), np.cos(theta)], axis=1)[::r], axis=0)
        sigma = np.linalg.svd(rows, compute_uv=False)
        parts.append(f"R = {sigma[0] / sigma[1]:.0f} with a record every {r} step{'s' * (r > 1)}")
    return f"One smooth path, W = 10: {', '.join(parts)}."


def _oscillation() -> str:
    drifts, edge = theory.exchange_sharpness([[0.99, 0.95], [0.99, -0.95]], 10).ratio
    return (
        f"W = 10: modes that keep 0.99 and 0.95 of themselves a record never come closer than a ratio of {drifts:.1f}; "
        f"where the second changes sign, {edge:.3f}."
    )


def _projection() -> str:
    d, n, gap = 100, 2000, 3.0
    rng = np.random.default_rng(0)
    S = rng.normal(size=(n, 2, d)) / np.sqrt(d)
    projected = np.array([gap, 1.0])[:, None] * S
    R = theory.gap_ratio(np.linalg.svd(projected, compute_uv=False))
    error = np.log(R / gap)
    return (
        f"{n} projections to d = {d}, R = 3: standard deviation of ln R {error.std():.2f} against 1/√d = "
        f"{float(theory.projection_error(d)):.2f}, median error {np.median(abs(R / gap - 1)):.0%}, worst "
        f"{np.max(abs(R / gap - 1)):.0%}."
    )


CORRECTIONS = (
    Correction("2.2", "σ_W/d_crit ≫ 1 shows that the BBP threshold is no obstacle.",
               "Noise alone passes: it is no evidence of signal either.", _vacuity),
    Correction("2.3, 2.3e", "One scale, d_crit, decides what can be seen.",
               "Three scales: detection, the noise floor ν√P, recovery of a direction in parameter space.", _scales),
    Correction("2.7", "The null of a gap is white noise.",
               "Updates with momentum are correlated in time, and correlated noise has a gap of its own.", _momentum),
    Correction("3.1, 3.1b", "p_j is the gradient power on mode j.",
               "With it the stationary strength is wrong by orders of magnitude for plain SGD: p_j is a fitted source.",
               _scale_of_source),
    Correction("3.5", "The gap relaxes at κ = η(h̄ + ω), to c/κ.",
               "The driving depends on the gap too: at stationarity twice as fast, to half of it.", _frozen),
    Correction("5.2", "‖ΔG‖ is measured by the change of the eigenvalues.",
               "That is a lower bound of ‖ΔC‖_F, so the stability it gives is optimistic.", _eigenvalue_norm),
    Correction("5.4", "α_j = 1 − C‖ΔG‖_F²/gap_j² bounds the overlap.",
               "Guaranteed with C = 4 and the operator norm, with C = 1 and ‖ΔC‖_F where s < gap; else not.",
               _guarantee),
    Correction("8.1", "k* ≤ K, the number of fast modes.",
               "False, and with K + 1 too; true with K + 1 above a noise floor (8.1d).", _krylov),
    Correction("8.1c", "(a first reading of the corrected bound) it holds for all slow modes.",
               "Only for h_j ≥ 0: slow modes of negative curvature grow and need a factor (1 − ηh_j)^{W−2}.",
               _negative_curvature),
    Correction("10.2b, 10.2c, 10.6d, 10.6e", "The gradient power on a mode is the source that keeps it up.",
               "With the power that is measured both published equations contradict gradient descent: their sources "
               "are 2W/η and W times what enters. A mode is damped, and has no source.", _measured_power),
    Correction("10.5", "Levels approach and collapse as the flow says.",
               "In a window two drifts share their course in time and repel; what exchanges is a drift and an "
               "oscillation, where the continuous-time flow does not hold.", _oscillation),
    Correction("10.8", "The gap ratio is a property of the run.",
               "Of a run that is smooth at its record interval it measures that interval, whatever is learnt.",
               _interval),
    Correction("10.3e", "(a first reading) the first propagated row is wrong by η times the response off the window.",
               "For Adam by η(1 − β₁) times it.", _adam_error),
    Correction("8.6", "A random projection to 10W dimensions keeps R within 5.7 %.",
               "An observation: ln R has an error of standard deviation about 1/√d.", _projection),
)  # fmt: skip


def _cell(latex: str) -> str:
    return latex.replace(r"\|", r"\Vert ").replace("|", r"\vert ")


def _prose(text: str) -> str:
    """Plain words as markdown: k* and g* are no emphasis."""
    return text.replace("*", r"\*")


def _notation() -> str:
    rows = "\n".join(
        f"| ${_cell(entry.latex)}$ | `{name}` | {entry.meaning.replace('|', chr(92) + '|')} | {entry.unit} |"
        for name, entry in notation.ENTRIES.items()
    )
    return f"| symbol | name | meaning | unit |\n|---|---|---|---|\n{rows}\n"


def _proof(proposition: Proposition) -> str:
    if proposition.proof is None:
        return f"*No proof*: {_prose(proposition.unproved)}."
    proof = proposition.prove()
    if not proof.ok:
        raise RuntimeError(f"the proof of {proposition.id} does not hold: {proof.detail}")
    return f"*Proof* ({proof.method}): {_prose(proof.detail)}."


def _block(proposition: Proposition) -> str:
    """One proposition, as it stands in the page."""
    lines = [
        f"### {proposition.id} {_prose(proposition.title)} [{proposition.mark}]",
        f"$$\n{proposition.latex()}\n$$",
    ]
    given = [f"${to_latex(formula)}$" for formula in proposition.assumptions]
    given += [_prose(proposition.condition.rstrip("."))] if proposition.condition else []
    if given:
        lines.append(f"Given {'; '.join(given)}.")
    lines += [_prose(proposition.words), _proof(proposition)]
    facts = [f"Source: {proposition.source}", f"leans on [P,H] ≈ 0: {LEANING[proposition.commutativity]}"]
    if proposition.depends_on:
        facts.append(f"rests on {', '.join(proposition.depends_on)}")
    if used_by(proposition.id):
        facts.append(f"used by {', '.join(used_by(proposition.id))}")
    if proposition.function:
        facts.append(f"computed by `theory.{proposition.function}`")
    lines.append(f"<sub>{'; '.join(facts)}.</sub>")
    return "\n\n".join(lines)


def _corrections() -> str:
    parts = [
        f"**{item.ids}** Thesis: {_prose(item.says)} Here: {_prose(item.holds)}\n\n> {_prose(item.illustration())}"
        for item in CORRECTIONS
    ]
    return "\n\n".join(parts) + "\n"


def markdown() -> str:
    """Return the whole page; proofs are run, and one that does not hold is an error.

    Returns
    -------
    str
    """
    parts = [INTRODUCTION, "## 0. Notation\n", K_NOTE, _notation(), "## Axioms\n", AXIOMS]
    for section, title in TITLES.items():
        parts.append(f"## {section}. {title}\n")
        parts += [_block(p) + "\n" for p in theory.propositions() if p.section == section]
    parts.append("## Corrections to the thesis\n")
    parts.append("Each with a numerical illustration, computed when this page is written.\n")
    parts.append(_corrections())
    marks = ", ".join(f"[{mark}] {meaning}" for mark, meaning in MARKS.items())
    parts.append(f"<sub>Marks: {marks}.</sub>\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(markdown())

"""Every proposition: its proof holds, is about its statement, and agrees with the numeric function."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge import theory
from spectral_edge.theory.statements import dependency, notation, proposition
from spectral_edge.theory.statements.moments import gaussian_mean, gaussian_variance
from spectral_edge.theory.testing import feedback_loops, spectra, two_modes

ALL = theory.propositions()
BY_ID = {p.id: p for p in ALL}
PROVED = [p for p in ALL if p.proof is not None]
# statements about the registry itself, or that exist to be named: no formula to change
COUNTS = {"7.4", "8.7"}


@pytest.mark.parametrize("p", PROVED, ids=lambda p: p.id)
@pytest.mark.slow
def test_the_proof_holds(p, proofs):
    proof = proofs[p.id]
    assert proof.ok, proof.detail
    assert proof.method in proposition.METHODS[:-1]
    assert proof.detail


def changed(p):
    """The statement with a factor, a sign, or its sense changed."""
    formula = p._formula()
    if isinstance(formula, sp.MatrixExpr):
        return [2 * formula]
    if isinstance(p.statement, sp.Equality):
        return [2 * formula, -formula, formula + 1]
    if isinstance(formula, sp.Implies):
        premise, conclusion = formula.args
        return [sp.Not(formula), *(sp.Implies(premise, other) for other in turned(conclusion))]
    return turned(formula)


def turned(formula):
    """An inequality turned round, and made stronger: a weaker one would be true as well."""
    if isinstance(formula, sp.Rel) and not isinstance(formula, sp.Ne | sp.Eq):
        factor = sp.Rational(1, 2) if formula.gts == formula.rhs else 2
        stronger = type(formula)(formula.lhs, factor * formula.rhs)
        return [formula.negated] + [stronger] * (stronger != formula)
    return [sp.Not(formula)]


@pytest.mark.parametrize("p", [p for p in PROVED if p.id not in COUNTS], ids=lambda p: p.id)
@pytest.mark.slow
def test_the_proof_is_about_the_statement(p):
    """A proof that ignored what is stated would also prove the changed statement."""
    judged = []
    for formula in changed(p):
        try:
            proof = p.proof(formula)
        except Exception:  # a proof that cannot even read the changed statement does not accept it
            continue
        judged.append(proof.ok)
    assert judged  # it reads one of them at least, and finds it wrong
    assert not any(judged)


@pytest.mark.slow
def test_every_derived_statement_is_proved_or_labelled_numeric(proofs):
    for p in ALL:
        if p.mark == "D":
            assert p.proof is not None
        if p.proof is None:
            assert p.unproved
            outcome = proofs[p.id]
            assert (outcome.ok, outcome.method, outcome.detail) == (False, "none", p.unproved)
    numeric = [p.id for p in PROVED if proofs[p.id].method == "numeric"]
    assert numeric == ["5.2d", "7.2b"]  # and these say on what domain
    assert all("seed" in proofs[name].detail for name in numeric)


def test_sections_are_complete_and_in_order():
    assert [p.section for p in ALL] == sorted(p.section for p in ALL)
    assert {p.section for p in ALL} == set(range(1, 11))
    for p in ALL:
        if p.function:
            assert p.function in theory.__all__
        assert p.latex()
        assert p.title
        assert p.words


# what a proposition evaluates to, against the numeric function that its `function` names
modes = two_modes(damped=True)


def positive(low=-2, high=2):
    return st.floats(low, high).map(lambda x: 10.0**x)


@given(positive(2, 9), st.integers(2, 40), positive(), positive())
def test_detection_formulas(P, W, nu, share):
    P = int(P) + W
    d = nu * (P * W) ** 0.25 * (1 + share)
    sigma = float(theory.spike_forward(d, nu, P, W))
    found = theory.overlaps(d, nu, P, W)
    theta, aspect = d / (nu * np.sqrt(P)), W / P
    assert BY_ID["2.1"].evaluate(eta=nu * np.sqrt(P), B=1.0, P=P, W=W) == pytest.approx(
        theory.bbp_threshold(nu, P, W)
    )
    assert BY_ID["2.2"].evaluate(P=P, W=W) == pytest.approx(theory.bbp_vacuity(P, W, 1.0, 1.0).ratio)
    assert BY_ID["2.3"].evaluate(d=d, nu=nu, P=P, W=W) == pytest.approx(sigma)
    assert BY_ID["2.3b"].evaluate(theta=theta, aspect=aspect) == pytest.approx(found.window, abs=1e-9)
    assert BY_ID["2.3c"].evaluate(theta=theta, aspect=aspect) == pytest.approx(found.parameter, abs=1e-9)
    assert BY_ID["2.3f"].evaluate(nu=nu, P=P, W=W) == pytest.approx(theory.direction_scale(nu, P, W))
    if share > 0.05:  # close to the edge the formula as it is written cancels; the function does not
        assert BY_ID["2.4"].evaluate(sigma_obs=sigma, nu=nu, P=P, W=W) == pytest.approx(d, rel=1e-4)


@given(spectra(), positive(2, 9))
def test_spectrum_formulas(sigma, P):
    W, lam = len(sigma), sigma**2
    nu = theory.estimate_nu(sigma, P, debias=False)
    ratio = BY_ID["2.2b"].evaluate(P=P, W=W, lam_W=lam[-1], lam_half=lam[W // 2 :].mean())
    assert ratio == pytest.approx(sigma[-1] / theory.bbp_threshold(nu, P, W))
    k = int(theory.gap_position(sigma))
    assert BY_ID["1.3"].evaluate(sigma_k=sigma[k - 1], sigma_k1=sigma[k]) == theory.gap_ratio(sigma)
    for j in range(W - 1):
        numbers = {
            "sigma_k": sigma[k - 1],
            "sigma_k1": sigma[k],
            "sigma_j": sigma[j],
            "sigma_j1": sigma[j + 1],
        }
        assert BY_ID["1.1"].evaluate(**numbers)
        fast = BY_ID["7.1"].evaluate(sigma_j=sigma[j], sigma_j1=sigma[j + 1])
        assert fast == pytest.approx(theory.convergence_rate(sigma)[j])


# no gap, or one whose terms are not subnormal numbers, which have few digits
@given(modes, st.floats(0, 100), st.floats(-0.9, 0.9).filter(lambda part: part == 0 or abs(part) > 1e-290))
def test_flow_formulas(arguments, time, part):
    h, p, omega, W, eta = (arguments[name] for name in ("h", "p", "omega", "W", "eta"))
    d = arguments["d0"]
    d_bar, g0 = float(d.mean()), float(d[0] - d[1])
    pair = {"h_k": h[0], "h_k1": h[1], "p_k": p[0], "p_k1": p[1], "eta": eta, "omega": omega, "W": W}
    one = {"h": h[0], "p": p[0], "eta": eta, "omega": omega, "W": W}
    kappa = float(theory.damping(h[0], eta, omega))
    star = float(theory.stationary_strength(h[0], p[0], omega, W))
    t = time / kappa / 20
    u = BY_ID["3.2"].evaluate(u_star=star**2, u_0=d[0] ** 2, kappa=kappa, t=t)
    assert u == pytest.approx(theory.signal_flow(d[0], t, **one) ** 2)
    assert BY_ID["3.2b"].evaluate(h_j=h[0], p_j=p[0], omega=omega, W=W) == pytest.approx(star)
    g = 2 * d_bar * part
    terms = theory.gap_terms(g, d_bar, h=h, p=p, eta=eta, omega=omega, W=W)
    size = sum(abs(float(term)) for term in terms)
    assert BY_ID["3.3"].evaluate(g=g, d_bar=d_bar, **pair) == pytest.approx(
        float(sum(terms)), abs=1e-12 * size
    )
    flow = theory.linear_gap_flow(d_bar, h=h, p=p, eta=eta, omega=omega, W=W)
    frozen = theory.linear_gap_flow(d_bar, h=h, p=p, eta=eta, omega=omega, W=W, form="frozen")
    drive = {name: value for name, value in pair.items() if name != "omega"}
    assert BY_ID["3.4"].evaluate(d_bar=d_bar, **drive) == pytest.approx(float(flow.c), abs=1e-12 * size)
    assert BY_ID["3.5"].evaluate(d_bar=d_bar, **pair) == pytest.approx(float(flow.rate))
    g_star = float(theory.equilibrium_gap(h, p, omega, W))
    del pair["eta"]
    assert BY_ID["3.5d"].evaluate(**pair) == pytest.approx(g_star, abs=1e-12 * (star + abs(g_star)))
    if flow.c < 0 and g0 > 0:
        stated = BY_ID["3.4c"].evaluate(kappa=float(frozen.rate), g_0=g0, drive=float(frozen.c))
        seen = theory.collapse_time(d, h=h, p=p, eta=eta, omega=omega, W=W, form="frozen")
        assert seen == pytest.approx(stated)


@given(positive(), positive(), positive(), positive(-4, -2))
def test_the_equal_damping_formula(h, base, more, eta):
    d, W = np.array([2.0, 1.0]), 10
    seen = theory.collapse_time(d, h=[h, h], p=[base, base + more], eta=eta, omega=0.0, W=W)
    stated = BY_ID["3.6"].evaluate(kappa=eta * h, Delta=3.0, D=eta * W * ((base + more) - base))
    assert seen == pytest.approx(stated)


@given(st.integers(0, 2**32 - 1))
def test_stability_formulas(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 5)) * 10.0 ** rng.uniform(-1, 1, (2, 1))
    a, b, c = x @ x, y @ y, x @ y
    frobenius, operator = theory.rank_two_norms(a, b, c)
    assert BY_ID["5.1"].evaluate(a=a, b=b, c=c) == pytest.approx(frobenius)
    assert BY_ID["5.1b"].evaluate(a=a, b=b, c=c) == pytest.approx(operator)
    lam, C = np.array([3.0, 1.0]) * a, 2.0
    stated = BY_ID["5.3"].evaluate(frobenius=float(frobenius), gap_j=float(lam[0] - lam[1]), C_alpha=C)
    assert theory.stability_coefficient(lam, frobenius, C)[0] == pytest.approx(float(stated))
    assert BY_ID["5.6"].evaluate(frobenius=frobenius, eta=0.1, g=2.0) == pytest.approx(
        theory.adiabatic_parameter(frobenius, 2.0, 0.1)
    )


@given(feedback_loops(), st.floats(0.05, 0.95))
def test_feedback_formulas(loop, part):
    kappa, b, c = loop["kappa"], loop["b"], loop["c"]
    found = theory.feedback_threshold(**loop)
    assert BY_ID["7.3b"].evaluate(kappa=kappa, b_fb=b, drive=c) == pytest.approx(found.g_sn)
    assert BY_ID["7.3c"].evaluate(g_sn=found.g_sn, b_fb=b, drive=c) == pytest.approx(found.eps_c)
    eps = part * float(found.eps_c)
    assert BY_ID["7.3d"].evaluate(eps=eps, kappa=kappa, b_fb=b, drive=c)
    assert not BY_ID["7.3d"].evaluate(eps=1.01 * float(found.eps_c), kappa=kappa, b_fb=b, drive=c)
    states = theory.feedback_equilibria(**loop, eps=eps)
    for g, attracts in zip(states, (False, True), strict=True):
        step = 1e-6 * g
        seen = np.diff(theory.feedback_flow([g - step, g + step], **loop, eps=eps))[0] / (2 * step)
        stated = BY_ID["7.3e"].evaluate(kappa=kappa, b_fb=b, drive=c, g=g)
        assert seen == pytest.approx(stated, rel=1e-3, abs=1e-4 * kappa)
        assert (stated < 0) == attracts
    flow = BY_ID["7.3"].evaluate(g=3 * eps, kappa=kappa, b_fb=b, drive=c, eps=eps)
    assert flow == pytest.approx(float(theory.feedback_flow(3 * eps, **loop, eps=eps)))
    above = 1.1 * float(found.eps_c)
    time = BY_ID["7.3f"].evaluate(g_sn=found.g_sn, b_fb=b, drive=c, eps=above, eps_c=found.eps_c)
    assert time == pytest.approx(theory.passage_time(**loop, eps=above))


def test_the_remaining_formulas():
    d = np.array([5.0, 3.0, 2.0])
    kw = {"eta": 0.1, "omega": 0.2, "W": 3, "P": 50, "nu": 0.7}
    drift = theory.dyson_drift(d, h=[1.0, 2.0, 3.0], p=[1.0, 0.5, 0.2], **kw)
    stated = BY_ID["4.0"].evaluate(d_j=5.0, others=d[1:], h_j=1.0, p_j=1.0, **kw)
    assert drift[0] == pytest.approx(float(stated))
    assert BY_ID["4.0b"].evaluate(nu=0.7, d_j=5.0, d_i=3.0) == pytest.approx(0.49 * 5 / 16)
    assert theory.gap_repulsion(3.0, 1.0, 0.5) == BY_ID["4.3"].evaluate(coupling=0.5, lam_k=3.0, lam_k1=1.0)
    assert theory.projection_error(100) == BY_ID["8.6b"].evaluate(dims=100)
    h, first = np.array([0.2, 0.4]), np.array([1.0, 2.0])
    stated = BY_ID["8.1c"].evaluate(W=10, n_slow=2, x=0.1 * h * first)
    assert theory.slow_mode_bound(h, first, 0.1, 10) == pytest.approx(float(stated))
    G = {"G_train": np.array([1.0, -2.0]), "G_val": np.array([0.5, 1.0]), "W": 2, "eta": 0.1}
    split = theory.loss_decomposition(
        G["G_train"], G["G_val"], inner=1.0, norm_train=3.0, norm_val=2.0, eta=0.1, alpha=[0.5, 0.25]
    )
    assert BY_ID["6.1"].evaluate(**G, outside=float(split.outside) / 0.1) == pytest.approx(float(split.total))
    outside = np.sqrt((9.0 - 5.0, 4.0 - 1.25))
    bound = BY_ID["6.2"].statement.rhs
    assert BY_ID["6.2"].evaluate(
        **G,
        alpha=np.array([0.5, 0.25]),
        descent=float(split.total),
        norm_train=outside[0],
        norm_val=outside[1],
    )
    assert bound.has(notation.norm_train)
    R, P = 1.3, 40
    v = 2 * R / (1 + R**2)
    assert theory.two_row_null_survival(R, P) == pytest.approx(float(BY_ID["2.6b"].evaluate(v=v, P=P)))
    sigma = theory.autocorrelated_null([1.0, 0.5], 2)
    assert sigma[0] / sigma[1] == pytest.approx(float(BY_ID["2.7b"].evaluate(tau=0.5)))
    assert theory.lower_half_bias(64) == pytest.approx(float(BY_ID["2.4c"].evaluate()), abs=0.01)
    rotation = np.array([[0.6, -0.8], [0.8, 0.6]])
    X = np.array([[1.0, 2.0], [3.0, 5.0]])
    np.testing.assert_allclose(BY_ID["1.4"].evaluate(X=X), X @ rotation @ rotation.T @ X.T)


def test_evaluate_broadcasts_and_complains():
    values = BY_ID["3.5b"].evaluate(d_bar=np.array([1.0, 2.0]), d_bar_star=np.array([[1.0], [2.0]]))
    np.testing.assert_allclose(values, [[2.0, 1.25], [5.0, 2.0]])
    with pytest.raises(ValueError, match=r"numbers for 3.5b must be .*missing \['d_bar'\]"):
        BY_ID["3.5b"].evaluate(d_bar_star=1.0, d=2.0)
    with pytest.raises(ValueError, match=r"numbers for 3\.7 cannot be given"):
        BY_ID["3.7"].evaluate(u_0=1.0, t=1.0)


# the machinery checks itself


def make(**changes):
    good = {
        "id": "3.99", "mark": "T", "title": "t", "statement": sp.Eq(notation.g, notation.d), "words": "w",
        "unproved": "a definition",
    }  # fmt: skip
    return proposition.Proposition(**{**good, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mark": "X"}, "mark must be one of"),
        ({"commutativity": "some"}, "commutativity must be one of"),
        ({"statement": notation.g}, "statement of 3.99 must be a sympy Boolean"),
        ({"statement": sp.true}, "not trivial"),
        ({"statement": sp.Eq(sp.Symbol("stray"), 1)}, "must use declared symbols, got .'stray'"),
        ({"assumptions": (sp.Gt(sp.Symbol("stray"), 1),)}, "assumptions of 3.99 must use declared symbols"),
        ({"mark": "D"}, "proof of 3.99 must be given"),
        ({"unproved": ""}, "unproved of 3.99 must say why"),
        ({"depends_on": ("3.99",)}, "must not name itself"),
    ],
)
def test_a_malformed_proposition_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_a_malformed_registry_is_refused():
    one, two = make(id="3.98", depends_on=("3.99",)), make(depends_on=("3.98",))
    with pytest.raises(ValueError, match=r"circle: 3\.98 → 3\.99 → 3\.98"):
        proposition.check_registry([one, two])
    with pytest.raises(ValueError, match="different identifiers"):
        proposition.check_registry([make(), make()])
    with pytest.raises(ValueError, match=r"must name propositions, got .'3\.98'"):
        proposition.check_registry([two])


def test_proofs_are_strict():
    with pytest.raises(ValueError, match="empty proof proves nothing"):
        proposition.conclude("identity")
    with pytest.raises(ValueError, match="method must be one of"):
        proposition.conclude("intuition", ("step", True))
    failed = proposition.conclude("identity", ("good", True), ("bad", sp.Symbol("x") > 0))
    assert not failed.ok
    assert failed.detail == "FAILED: bad"
    assert not proposition.conclude("identity", ("truthy is not true", 1)).ok
    x = sp.Symbol("x", real=True)
    assert not proposition.is_zero(x**2 - x)
    assert not proposition.is_positive(x**2)
    assert not proposition.is_nonnegative(x)
    assert proposition.is_nonnegative(x**2)


def test_propositions_are_frozen():
    with pytest.raises(AttributeError):
        ALL[0].title = "changed"


def test_gaussian_moments():
    z, w = sp.symbols("z w", real=True)
    assert gaussian_mean(z**6, (z,)) == 15
    assert gaussian_mean(z**3 * w**2, (z, w)) == 0
    assert gaussian_variance(z**2 + w, (z, w)) == 3


def test_the_graph():
    graph = dependency.graph()
    assert set(graph) == set(BY_ID)
    assert all(graph.has_edge(name, p.id) for p in ALL for name in p.depends_on)
    for p in ALL:
        assert set(dependency.used_by(p.id)) == set(graph.successors(p.id))
    lines = dependency.text().splitlines()
    assert len(lines) == len(ALL)
    assert any(line.startswith("8.1 ") and "strongly" in line for line in lines)


def test_nothing_derived_hides_what_it_leans_on():
    """A result leans at least as much as what it rests on, unless its title says it replaces it."""
    rank = {name: index for index, name in enumerate(proposition.COMMUTATIVITY)}
    exceptions = {
        (
            "7.3g",
            "3.4c",
        ),  # uses the formula of 3.4c as an integral of the feedback loop, not as a claim on runs
        ("4.3b", "4.0"),  # uses the noise of 4.0, not its flow
        ("7.4", "7.3"),
    }
    for p in ALL:
        for name in p.depends_on:
            if (p.id, name) not in exceptions:
                assert rank[p.commutativity] >= rank[BY_ID[name].commutativity], (p.id, name)


def test_the_plot_shows_every_result_and_its_leaning():
    ax = dependency.plot()
    texts = [text.get_text() for text in ax.texts]
    assert set(BY_ID) <= set(texts)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[:3] == ["leans not at all", "leans weakly", "leans strongly"]

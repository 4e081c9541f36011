"""What a proposition is, what a proof returns, and how the two are checked against themselves."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from sympy.core.function import AppliedUndef

from spectral_edge.theory.checks import choice
from spectral_edge.theory.statements import notation

MARKS = {
    "T": "claim of the thesis",
    "D": "derived here, exact under its assumptions",
    "F": "formalisation chosen here",
}
COMMUTATIVITY = ("none", "weak", "strong")
METHODS = ("identity", "inequality", "limit", "spectrum", "counterexample", "numeric", "none")


@dataclass(frozen=True)
class Proof:
    """Outcome of a proof.

    Attributes
    ----------
    ok : bool
        Whether every step held; False also where there is no proof.
    method : str
        "identity", "inequality", "limit", "spectrum" (symbolic for small W, general in words),
        "counterexample" (exact), "numeric" (checked over a stated domain, not proved), or "none".
    detail : str
        The steps, or why there are none.
    seconds : float
        How long it took.
    """

    ok: bool
    method: str
    detail: str
    seconds: float = 0.0


def conclude(method: str, *steps: tuple[str, Any]) -> Proof:
    """Proof from labelled steps: it holds if each is literally true.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    *steps : (str, bool)
        What is claimed, and whether it was found to hold.

    Returns
    -------
    Proof

    Raises
    ------
    ValueError
        If there is no step, or the method is unknown.

    Examples
    --------
    >>> conclude("identity", ("one is one", True)).ok
    True
    """
    choice("method", method, METHODS)
    if not steps:
        raise ValueError("steps must hold at least one step: an empty proof proves nothing")
    failed = [
        label for label, held in steps if held is not True and held is not sp.true and held is not np.True_
    ]
    detail = "; ".join(label for label, _ in steps)
    return Proof(not failed, method, f"FAILED: {'; '.join(failed)}" if failed else detail)


def is_zero(expression: Any) -> bool:
    """Whether sympy can reduce `expression` to 0 under its symbols' assumptions."""
    for reduce in (sp.expand, sp.factor, sp.simplify, lambda e: sp.simplify(sp.expand(sp.radsimp(e)))):
        expression = reduce(sp.sympify(expression))
        if expression == 0:
            return True
    return False


def is_positive(expression: Any) -> bool:
    """Whether sympy can see that `expression` > 0 under its symbols' assumptions."""
    forms = (expression, sp.factor(expression), sp.expand(expression), sp.simplify(expression))
    return any(sp.sympify(form).is_positive is True for form in forms)


def is_root(expression: Any, square: Any, **at: Any) -> bool:
    """Whether `expression` is the positive root of `square`: by its square, and by its sign at one point.

    The sign holds wherever the square does not vanish on the way; `at` gives the point by name, 2 elsewhere.
    """
    point = {symbol: at.get(str(symbol), sp.Integer(2)) for symbol in sp.sympify(expression).free_symbols}
    return is_zero(expression**2 - square) and bool(expression.subs(point).evalf() > 0)


def is_nonnegative(expression: Any) -> bool:
    """Whether sympy can see that `expression` >= 0 under its symbols' assumptions."""
    forms = (expression, sp.factor(expression), sp.expand(expression), sp.simplify(expression))
    return any(sp.sympify(form).is_nonnegative is True for form in forms)


def says(statement: Any, holds: dict[str, Any], fails: dict[str, Any]) -> bool:
    """Whether a statement that is not an equation is true at one set of values and false at another.

    It ties a proof that argues in other terms to what is written as the statement.
    """

    def truth(values: dict[str, Any]) -> Any:
        return statement.subs({notation.ENTRIES[name].symbol: value for name, value in values.items()})

    return truth(holds) == sp.true and truth(fails) == sp.false


@dataclass(frozen=True)
class Proposition:
    """One statement of the theory.

    Attributes
    ----------
    id : str
        Such as "3.5" or "3.5b": the section, a dot, and the place in it.
    mark : {"T", "D", "F"}
        Claim of the thesis, derived here, or formalisation chosen here.
    title : str
        A few words.
    statement : sympy Boolean
        Usually an equation whose left side names the quantity.
    words : str
        The proof, or the reading, in a few lines.
    assumptions : tuple of sympy Boolean
        In force during the proof, beside those the symbols carry.
    depends_on : tuple of str
        Identifiers of the propositions it rests on.
    commutativity : {"none", "weak", "strong"}
        How much it leans on the preconditioner commuting with the Hessian (8.7).
    source : str
        Where it comes from.
    proof : callable, optional
        Takes what is stated (the right side of an equation, any other statement whole) and returns a
        `Proof`, so that it is the statement itself that is proved; required of [D].
    unproved : str
        Why there is no proof; required where there is none.
    function : str
        Name of the function of `theory` that computes it, if there is one.
    condition : str
        Assumptions that are words and not formulas.
    """

    id: str
    mark: str
    title: str
    statement: Any
    words: str
    assumptions: tuple[Any, ...] = ()
    depends_on: tuple[str, ...] = ()
    commutativity: str = "none"
    source: str = "derived here"
    proof: Callable[[Any], Proof] | None = field(default=None, repr=False, compare=False)
    unproved: str = ""
    function: str = ""
    condition: str = ""

    def __post_init__(self) -> None:
        """Check the proposition against itself."""
        choice("mark", self.mark, tuple(MARKS))
        choice("commutativity", self.commutativity, COMMUTATIVITY)
        for name, formula in (("statement", self.statement), *(("assumptions", f) for f in self.assumptions)):
            is_formula = isinstance(formula, sp.logic.boolalg.Boolean) and not isinstance(formula, sp.Symbol)
            if not is_formula or formula in (sp.true, sp.false):
                raise ValueError(
                    f"{name} of {self.id} must be a sympy Boolean that is not trivial, got {formula}"
                )
            unknown = self._symbols(formula) - notation.DECLARED
            if unknown:
                raise ValueError(
                    f"{name} of {self.id} must use declared symbols, got {sorted(map(str, unknown))}"
                )
        if self.mark == "D" and self.proof is None:
            raise ValueError(f"proof of {self.id} must be given: it is marked [D]")
        if (self.proof is None) != bool(self.unproved):
            raise ValueError(f"unproved of {self.id} must say why exactly where there is no proof")
        if self.id in self.depends_on:
            raise ValueError(f"depends_on of {self.id} must not name itself")

    @staticmethod
    def _symbols(formula: Any) -> set[Any]:
        bases = {indexed.base for indexed in formula.atoms(sp.Indexed)}
        labels = {base.label for base in bases}
        return (formula.free_symbols - labels - formula.atoms(sp.Indexed) - bases) | bases

    @property
    def section(self) -> int:
        """Section of docs/theory.md."""
        return int(self.id.split(".")[0])

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of the numbers that `evaluate` takes."""
        return tuple(sorted(str(symbol) for symbol in self._symbols(self._formula())))

    def _formula(self) -> Any:
        return self.statement.rhs if isinstance(self.statement, sp.Equality) else self.statement

    def evaluate(self, **numbers: ArrayLike) -> Any:
        """Value of the right side of an equation, or truth of any other statement.

        Parameters
        ----------
        **numbers : array_like
            One per name in `arguments`; they broadcast. What is summed over (such as ``G_train``)
            has its modes on the first axis.

        Returns
        -------
        ndarray or scalar

        Raises
        ------
        ValueError
            If a number is missing or not wanted, or the formula holds functions of time.

        Examples
        --------
        >>> from spectral_edge import theory
        >>> found = {p.id: p for p in theory.propositions()}["3.5b"]
        >>> found.arguments
        ('d_bar', 'd_bar_star')
        >>> float(found.evaluate(d_bar=1.0, d_bar_star=1.0))
        2.0
        """
        if self._formula().atoms(AppliedUndef):
            raise ValueError(f"numbers for {self.id} cannot be given: its coefficients are functions of time")
        wanted, given = set(self.arguments), set(numbers)
        if wanted != given:
            missing, extra = sorted(wanted - given), sorted(given - wanted)
            raise ValueError(
                f"numbers for {self.id} must be {sorted(wanted)}, missing {missing}, not wanted {extra}"
            )
        values = []
        symbols = [notation.ENTRIES[name].symbol for name in sorted(wanted)]
        for symbol in symbols:
            value = np.asarray(numbers[str(symbol)])
            if isinstance(symbol, sp.IndexedBase):  # indices start at 1
                value = np.concatenate([np.full_like(value[:1], np.nan), value])
            values.append(value if value.ndim else value.item())
        return _compiled(self._formula(), tuple(symbols))(*values)

    def latex(self) -> str:
        """Return the statement as LaTeX, without dollar signs.

        Returns
        -------
        str

        Examples
        --------
        >>> from spectral_edge import theory
        >>> {p.id: p for p in theory.propositions()}["5.6"].latex().count("=")
        1
        """
        return to_latex(self.statement)

    def prove(self) -> Proof:
        """Run the proof, once: asked again it returns the same outcome. Without one: ``Proof(False, "none", why)``.

        Returns
        -------
        Proof

        Examples
        --------
        >>> from spectral_edge import theory
        >>> proof = {p.id: p for p in theory.propositions()}["3.3"].prove()
        >>> proof.ok, proof.method
        (True, 'identity')
        """
        return self._outcome

    @cached_property
    def _outcome(self) -> Proof:
        if self.proof is None:
            return Proof(False, "none", self.unproved)
        started = time.perf_counter()
        proof = self.proof(self._formula())
        return Proof(proof.ok, proof.method, proof.detail, time.perf_counter() - started)

    @property
    def status(self) -> str:
        """Standing before any proof is run: "to prove" or "claim"."""
        return "claim" if self.proof is None else "to prove"


@cache
def _compiled(formula: Any, symbols: tuple[Any, ...]) -> Callable[..., Any]:
    function: Callable[..., Any] = sp.lambdify(symbols, formula, modules=["numpy", "scipy"])
    return function


def to_latex(formula: Any) -> str:
    """LaTeX of a formula in the symbols of `notation`."""
    text = sp.latex(formula, symbol_names=notation.LATEX_NAMES, mul_symbol=r"\,", ln_notation=True)
    for name, entry in notation.ENTRIES.items():
        if isinstance(entry.symbol, sp.IndexedBase):
            text = text.replace("{" + sp.latex(sp.Symbol(name)) + "}_", "{" + entry.latex + "}_")
    return str(text)


def check_registry(propositions: Iterable[Proposition]) -> tuple[Proposition, ...]:
    """Check a collection: identifiers unique, dependencies known, no circle; in the order given.

    Raises
    ------
    ValueError
        If one of the three fails.
    """
    ordered = tuple(propositions)
    known = {proposition.id: proposition for proposition in ordered}
    if len(known) != len(ordered):
        raise ValueError("propositions must have different identifiers")
    for proposition in ordered:
        missing = [name for name in proposition.depends_on if name not in known]
        if missing:
            raise ValueError(f"depends_on of {proposition.id} must name propositions, got {missing}")
    open_: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        if name in open_:
            raise ValueError(
                f"propositions must not depend on each other in a circle: {' → '.join([*open_, name])}"
            )
        if name not in done:
            open_.append(name)
            for other in known[name].depends_on:
                visit(other)
            open_.pop()
            done.add(name)

    for name in known:
        visit(name)
    return ordered

"""What `spectral-edge propositions` prints: a table, one statement in full, or JSON."""

from typing import Any

from rich.progress import track
from rich.table import Table

from spectral_edge.theory import Proof, Proposition, propositions
from spectral_edge.theory.statements.dependency import LEANING, used_by
from spectral_edge.theory.statements.proposition import MARKS


def chosen(identifier: str | None) -> tuple[Proposition, ...]:
    """All propositions, those of a section ("3"), or the one named ("3.5")."""
    everything = propositions()
    if identifier is None:
        return everything
    found = tuple(p for p in everything if p.id == identifier or str(p.section) == identifier)
    if not found:
        known = ", ".join(p.id for p in everything)
        raise ValueError(f"ID must be a section or one of {known}, got {identifier!r}")
    return found


def prove(statements: tuple[Proposition, ...], console: Any) -> dict[str, Proof]:
    """Run the proofs, with a progress bar on `console`."""
    steps = track(statements, description="proving", console=console, transient=True)
    return {statement.id: statement.prove() for statement in steps}


def status(statement: Proposition, proof: Proof | None) -> str:
    """proved, numeric, FAILED, no proof, or to prove."""
    if statement.proof is None:
        return "no proof"
    if proof is None:
        return "to prove"
    if not proof.ok:
        return "FAILED"
    return "numeric" if proof.method == "numeric" else "proved"


def table(statements: tuple[Proposition, ...], proofs: dict[str, Proof]) -> Table:
    """One line per proposition."""
    found = Table("id", "mark", box=None, pad_edge=False, expand=True)
    found.add_column("title", overflow="fold", ratio=3)
    found.add_column("statement", no_wrap=True, overflow="ellipsis", ratio=4)
    found.add_column("proof", no_wrap=True)
    found.add_column("time", justify="right")
    for p in statements:
        proof = proofs.get(p.id)
        seconds = f"{proof.seconds:.2f} s" if proof is not None and p.proof is not None else ""
        found.add_row(p.id, p.mark, p.title, _plain(p.statement), status(p, proof), seconds)
    return found


def _plain(formula: Any) -> str:
    import sympy as sp

    if isinstance(formula, sp.Equality):
        return f"{formula.lhs} = {formula.rhs}"
    return str(formula)


def summary(statements: tuple[Proposition, ...], proofs: dict[str, Proof]) -> str:
    """Counts by outcome, and the time."""
    counts: dict[str, int] = {}
    for p in statements:
        name = status(p, proofs.get(p.id))
        counts[name] = counts.get(name, 0) + 1
    listed = ", ".join(f"{counts[name]} {name}" for name in sorted(counts))
    return (
        f"{len(statements)} propositions: {listed}; {sum(proof.seconds for proof in proofs.values()):.1f} s"
    )


def full(p: Proposition, proof: Proof) -> str:
    """One proposition in full."""
    lines = [
        f"{p.id}  {p.title}  [{p.mark}] {MARKS[p.mark]}",
        "",
        f"  {_plain(p.statement)}",
        "",
    ]
    given = [_plain(formula) for formula in p.assumptions] + ([p.condition] if p.condition else [])
    if given:
        lines.append(f"given      {'; '.join(given)}")
    lines.append(f"in words   {p.words}")
    lines.append(f"proof      {status(p, proof)} ({proof.method}, {proof.seconds:.2f} s): {proof.detail}")
    lines.append(f"rests on   {', '.join(p.depends_on) or 'nothing else here'}")
    lines.append(f"used by    {', '.join(used_by(p.id)) or 'nothing else here'}")
    lines.append(f"[P,H] ≈ 0  leans {LEANING[p.commutativity]}")
    lines.append(f"source     {p.source}")
    if p.function:
        lines.append(f"computed   spectral_edge.theory.{p.function}")
    lines.append(f"LaTeX      {p.latex()}")
    return "\n".join(lines)


def as_dictionary(p: Proposition, proof: Proof | None) -> dict[str, Any]:
    """JSON form; `method`, `detail` and `seconds` are null where no proof was run."""
    return {
        "id": p.id,
        "section": p.section,
        "mark": p.mark,
        "title": p.title,
        "statement": _plain(p.statement),
        "latex": p.latex(),
        "assumptions": [_plain(formula) for formula in p.assumptions]
        + ([p.condition] if p.condition else []),
        "depends_on": list(p.depends_on),
        "used_by": list(used_by(p.id)),
        "commutativity": p.commutativity,
        "source": p.source,
        "function": p.function or None,
        "status": status(p, proof),
        "method": proof.method if proof else None,
        "detail": proof.detail if proof else None,
        "seconds": proof.seconds if proof else None,
    }

"""``spectral-edge propositions``: a table, one statement in full, or JSON."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectral_edge.commands.console import AsJson, console, print_json, progress_bar, say

if TYPE_CHECKING:
    from rich.table import Table

    from spectral_edge.theory import Proof, Proposition


def propositions(
    identifier: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One proposition in full, or a section.")
    ] = None,
    prove: Annotated[bool, typer.Option("--prove", help="Run the proofs.")] = False,
    as_json: AsJson = False,
) -> int:
    """List the propositions, show one in full, or prove them; exit status 1 if a proof fails.

    Example: spectral-edge propositions 3.5
    """
    statements = choose(identifier)
    single = len(statements) == 1 and statements[0].id == identifier
    proofs = run_proofs(statements) if prove or single else {}
    if as_json:
        print_json([as_dictionary(p, proofs.get(p.id)) for p in statements])
    elif single:
        say(full(statements[0], proofs[statements[0].id]))
    else:
        console.print(table(statements, proofs), highlight=False, markup=False)
        console.print(summary(statements, proofs), highlight=False)
    return int(any(status(p, proofs.get(p.id)) == "FAILED" for p in statements))


def choose(identifier: str | None) -> "tuple[Proposition, ...]":
    """Return all propositions, those of a section ("3"), or the one named ("3.5")."""
    from spectral_edge.theory import propositions as registered

    everything = registered()
    if identifier is None:
        return everything
    found = tuple(p for p in everything if p.id == identifier or str(p.section) == identifier)
    if not found:
        known = ", ".join(p.id for p in everything)
        raise ValueError(f"ID must be a section or one of {known}, got {identifier!r}")
    return found


def run_proofs(statements: "tuple[Proposition, ...]") -> "dict[str, Proof]":
    """Run the proofs, with a progress bar."""
    proofs = {}
    with progress_bar() as progress:
        task = progress.add_task("proving", total=len(statements))
        for statement in statements:
            proofs[statement.id] = statement.prove()
            progress.advance(task)
    return proofs


def status(statement: "Proposition", proof: "Proof | None") -> str:
    """Return proved, numeric, FAILED, no proof, or to prove."""
    if statement.proof is None:
        return "no proof"
    if proof is None:
        return "to prove"
    if not proof.ok:
        return "FAILED"
    return "numeric" if proof.method == "numeric" else "proved"


def table(statements: "tuple[Proposition, ...]", proofs: "dict[str, Proof]") -> "Table":
    """Return one line per proposition."""
    from rich.table import Table

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


def summary(statements: "tuple[Proposition, ...]", proofs: "dict[str, Proof]") -> str:
    """Return counts by outcome, and the time."""
    counts: dict[str, int] = {}
    for p in statements:
        name = status(p, proofs.get(p.id))
        counts[name] = counts.get(name, 0) + 1
    listed = ", ".join(f"{counts[name]} {name}" for name in sorted(counts))
    return (
        f"{len(statements)} propositions: {listed}; {sum(proof.seconds for proof in proofs.values()):.1f} s"
    )


def full(p: "Proposition", proof: "Proof") -> str:
    """Return one proposition in full."""
    from spectral_edge.theory.statements.dependency import LEANING, used_by
    from spectral_edge.theory.statements.proposition import MARKS

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


def as_dictionary(p: "Proposition", proof: "Proof | None") -> dict[str, Any]:
    """Return the JSON form; `method`, `detail` and `seconds` are null where no proof was run."""
    from spectral_edge.theory.statements.dependency import used_by

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

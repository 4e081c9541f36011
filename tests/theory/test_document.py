"""docs/theory.md is what the registry says, and the command prints it."""

import json
from pathlib import Path

import pytest

from spectral_edge import theory
from spectral_edge.theory.statements import document
from tests.command_line import run

PAGE = Path(__file__).parents[2] / "docs" / "theory.md"


@pytest.mark.slow
def test_the_page_is_current(proofs):
    assert len(proofs) == len(theory.propositions())  # run once, read here
    assert PAGE.read_text(encoding="utf-8") == document.markdown(), (
        "docs/theory.md is out of date: python -m spectral_edge.theory.statements.document > docs/theory.md"
    )


def test_the_page_holds_every_statement_and_correction():
    page = PAGE.read_text(encoding="utf-8")
    for p in theory.propositions():
        assert f"### {p.id} {p.title.replace('*', chr(92) + '*')} [{p.mark}]\n\n$$\n{p.latex()}\n$$" in page
    for name in (
        "2.2",
        "2.3",
        "2.7",
        "3.1",
        "3.5",
        "5.2",
        "5.4",
        "8.1",
        "8.6",
        "10.2",
        "10.3",
        "10.5",
        "10.8",
    ):
        assert f"**{name}" in page[page.index("## Corrections") :]


def test_the_list():
    code, out, _ = run("propositions")
    assert code == 0
    for p in theory.propositions():
        assert f"\n{p.id} " in out
    assert f"{len(theory.propositions())} propositions" in " ".join(out.split())


def test_one_in_full():
    code, out, _ = run("propositions", "3.3")
    assert code == 0
    for expected in (
        "curvature asymmetry",
        "proved (identity",
        "rests on   3.1",
        "used by    3.4",
        "g_dot = ",
    ):
        assert expected in out


def test_proofs_of_a_section_as_json():
    code, out, _ = run("propositions", "5", "--prove", "--json")
    rows = {row["id"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["5.1"]["status"] == "proved"
    assert rows["5.2d"]["status"] == "numeric"
    assert rows["5.3"]["status"] == "no proof"
    assert set(rows) == {p.id for p in theory.propositions() if p.section == 5}


def test_a_failed_proof_shows_and_sets_the_status(monkeypatch):
    from spectral_edge.theory.statements.proposition import Proof, Proposition

    monkeypatch.setattr(Proposition, "prove", lambda self: Proof(False, "identity", "FAILED: x"))
    code, out, _ = run("propositions", "9", "--prove")
    assert code == 1
    assert "2 FAILED" in out
    with pytest.raises(RuntimeError, match="does not hold"):
        document.markdown()


def test_an_unknown_identifier():
    code, out, err = run("propositions", "99")
    assert (code, out) == (2, "")
    assert err.startswith("spectral-edge: ID must be a section or one of 1.1")

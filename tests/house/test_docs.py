"""The documentation: every public name has its place, every link within the repository leads somewhere."""

import inspect
import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest

from spectral_edge.validate.referee.predictions import PREDICTIONS
from tests.house.test_docstrings import PUBLIC

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if not {"_build", "api", "notebooks", "changelog.md"} & set(path.parts)
)  # fmt: skip
#: Made by docs/conf.py when the pages are built; links to them are checked there (`make docs`).
MADE = ("api/", "notebooks/", "changelog")


@pytest.fixture(scope="module")
def conf() -> dict[str, object]:
    return runpy.run_path(str(ROOT / "docs" / "conf.py"))


@pytest.mark.parametrize("floor", ["theory", "simulate", "validate"])
def test_every_public_name_is_on_a_page(conf: dict[str, object], floor: str) -> None:
    page = conf["api_page"](floor)  # type: ignore[operator]
    listed = set(re.findall(r"^   (\w+)$", page, re.M))
    assert listed == set(import_module(f"spectral_edge.{floor}").__all__)


def test_every_command_is_on_a_page(conf: dict[str, object]) -> None:
    from spectral_edge.cli import app

    page = conf["commands_page"]()  # type: ignore[operator]
    assert set(re.findall(r"^## (\S+)$", page, re.M)) == {
        command.callback.__name__ for command in app.registered_commands
    }


def anchors(path: Path) -> set[str]:
    """Of the headings of a page, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", text, re.M):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(slug if slug not in found else f"{slug}-1")
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    whole = path.read_text(encoding="utf-8")
    text = re.sub(r"```.*?```|`[^`\n]*`", "", whole, flags=re.S)
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r"```\{image\} (\S+)", whole)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        if path.parent == ROOT / "docs" and name.startswith(MADE):
            continue
        there = path.parent / name if name else path
        assert there.exists(), target
        assert not anchor or there.suffix != ".md" or anchor in anchors(there), target


def test_links_of_built_pages_are_checked(tmp_path: Path) -> None:
    check = runpy.run_path(str(ROOT / "docs" / "check_links.py"))["broken"]
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text(
        '<h1 id="here">a</h1><a href="sub/b.html#there">b</a><a href="https://x.org/y">c</a>'
    )
    (tmp_path / "sub" / "b.html").write_text(
        '<p id="there"></p><a href="../a.html#here">a</a><img src="../p.svg">'
    )
    assert check(tmp_path) == ["sub/b.html: nothing at ../p.svg"]
    (tmp_path / "p.svg").write_text("<svg/>")
    assert check(tmp_path) == []
    (tmp_path / "a.html").write_text('<a href="sub/b.html#gone">b</a>')
    assert check(tmp_path) == ["a.html: no anchor sub/b.html#gone", "sub/b.html: no anchor ../a.html#here"]


#: Public names that belong to all statements, or to none: they make, keep, show or judge.
OF_NO_STATEMENT = {
    "theory": {"Proof"},
    "simulate": {"scenarios"},
    "validate": {
        *(
            f"GramSequence.{name}"
            for name in ("T", "banded", "W_max", "from_checkpoints", "save", "load", "to_xarray")
        ),
        *(f"GramSequence.{name}" for name in ("pieces", "parts", "once")),
        *(f"WindowSpectra.{name}" for name in ("sigma_reliable", "stored_floor", "gap_is_stored")),
        *(f"WindowSpectra.{name}" for name in ("to_xarray", "to_dataframe", "plot")),
        *(
            f"loggers.{name}"
            for name in ("prefixed", "tensorboard", "wandb", "accelerate", "lightning", "several")
        ),
        *("Scoreboard", "Verdict", "bundled"),
        *("runs.Plan", "runs.bundled", "runs.record"),
    },
}
#: Classes of mathematics: each of their members has its own statement.
WITH_MEMBERS = ("GramSequence.", "WindowSpectra.", "probes.LossProbes.")


@pytest.mark.parametrize("floor", OF_NO_STATEMENT)
def test_every_docstring_leads_to_its_statement(conf: dict[str, object], floor: str) -> None:
    without = set()
    for path, (kind, item) in PUBLIC.items():
        name = path.removeprefix(f"{floor}.")
        if name == path or (kind in ("method", "property") and not name.startswith(WITH_MEMBERS)):
            continue
        lines = (inspect.getdoc(item) or "").splitlines()
        conf["link_statements"](None, "function", name, None, None, lines)  # type: ignore[operator]
        if not any("<statement-" in line for line in lines):
            without.add(name)
    assert without == OF_NO_STATEMENT[floor]


def test_every_prediction_says_which_statement_it_tests(conf: dict[str, object]) -> None:
    known = conf["statements"]()  # type: ignore[operator]
    without = set()
    for prediction in PREDICTIONS:
        _, _, ours = prediction.reference.partition("docs/theory.md, ")
        numbers = re.findall(r"\d+(?:\.\d+[a-z]?)?", ours)
        assert set(numbers) <= known, prediction.id
        if not numbers:
            without.add(prediction.id)
    # what R has to do with the loss, and with another distribution of data, no statement says
    assert without == {"gap-tracks-loss", "lag-flip", "shift-detection"}


def test_numbers_of_statements_become_links_and_other_numbers_do_not(conf: dict[str, object]) -> None:
    lines = [
        "First crossing (3.6; 3.4), sections 3.3 and 3.7, R = 2.1 at 2.2 %.",
        ">>> f(3.6)",
        "3.6",
        "",
        "Of 3.5b.",
    ]
    conf["link_statements"](None, "function", "f", None, None, lines)  # type: ignore[operator]
    assert lines == [
        "First crossing (:ref:`3.6 <statement-3.6>`; :ref:`3.4 <statement-3.4>`), "
        ":ref:`sections 3.3 <statement-3.3>` and :ref:`3.7 <statement-3.7>`, R = 2.1 at 2.2 %.",
        ">>> f(3.6)", "3.6", "", "Of :ref:`3.5b <statement-3.5b>`.",
    ]  # fmt: skip


def test_indices_are_set_and_names_left_alone(conf: dict[str, object]) -> None:
    index: re.Pattern[str] = conf["INDEX"]  # type: ignore[assignment]
    found = {text: [match[0] for match in index.finditer(text)] for text in (
        "σ_j/σ_{j+1}", "d_crit", "weight_decay", "x^{1/4}", "K_{st} and θ_t", "max_steps", "a_file", "(W − 1)^{1/4}",
        "checkpoint_100", "k_star", "X_tX_tᵀ", "Hv_jv_j",
    )}  # fmt: skip
    assert found == {
        "σ_j/σ_{j+1}": ["_j", "_{j+1}"], "d_crit": ["_crit"], "weight_decay": [], "x^{1/4}": ["^{1/4}"],
        "K_{st} and θ_t": ["_{st}", "_t"], "max_steps": [], "a_file": [], "(W − 1)^{1/4}": ["^{1/4}"],
        "checkpoint_100": [], "k_star": [], "X_tX_tᵀ": ["_t", "_t"], "Hv_jv_j": ["_j", "_j"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("address", "line", "picture"),
    [
        (None, "see docs/findings.md, [arXiv](https://arxiv.org)", ""),
        (
            "https://example.org/us/it",
            "see [docs/findings.md](https://example.org/us/it/blob/v1.2/docs/findings.md), [arXiv](https://arxiv.org)",
            "![a b](https://example.org/us/it/raw/v1.2/docs/p.svg)",
        ),
    ],
)
def test_the_readme_stands_alone_on_an_index(address: str | None, line: str, picture: str) -> None:
    standing_alone = runpy.run_path(str(ROOT / "setup.py"), run_name="read")["standing_alone"]
    assert (
        standing_alone("see [docs/findings.md](docs/findings.md), [arXiv](https://arxiv.org)", address, "1.2")
        == line
    )
    assert standing_alone("![a b](docs/p.svg)", address, "1.2") == picture


def test_the_citation_names_this_version() -> None:
    from spectral_edge import __version__

    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {__version__} – " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_contents_and_pages_are_the_same() -> None:
    docs = ROOT / "docs"
    pages = [path for path in PAGES if docs in path.parents]
    named = set()
    for path in pages:
        for contents in re.findall(r"```\{toctree\}(.*?)```", path.read_text(encoding="utf-8"), re.S):
            lines = [line for line in contents.split("\n") if line and not line.startswith((":", *MADE))]
            files = [
                re.sub(r".*<(.+)>", r"\1", line) for line in lines
            ]  # a short title may stand before a name
            named |= {(path.parent / f"{file}.md").resolve() for file in files}
    assert named == set(pages) - {docs / "index.md"}


def test_the_readme_counts_the_propositions() -> None:
    from spectral_edge import theory

    assert f"{len(theory.propositions())} propositions" in (ROOT / "README.md").read_text(encoding="utf-8")

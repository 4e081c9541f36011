"""The documentation: every public name has its place, every link within the repository leads somewhere."""

import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if not {"_build", "api", "notebooks", "changelog.md"} & set(path.parts)
)  # fmt: skip
#: Made by docs/conf.py when the pages are built.
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


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), target


def test_contents_and_pages_are_the_same() -> None:
    docs = ROOT / "docs"
    pages = [path for path in PAGES if docs in path.parents]
    named = set()
    for path in pages:
        for contents in re.findall(r"```\{toctree\}(.*?)```", path.read_text(encoding="utf-8"), re.S):
            lines = [line for line in contents.split("\n") if line and not line.startswith((":", *MADE))]
            named |= {(path.parent / f"{line}.md").resolve() for line in lines}
    assert named == set(pages) - {docs / "index.md"}


def test_the_readme_counts_the_propositions() -> None:
    from spectral_edge import theory

    assert f"{len(theory.propositions())} propositions" in (ROOT / "README.md").read_text(encoding="utf-8")

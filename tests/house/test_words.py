"""One place for each: colours, atomic writing, progress bars, names."""

import re

from tests.house.source import FOLDERS, ROOT, files


def lines_with(pattern: str) -> set[str]:
    """Python files of the package in which `pattern` occurs."""
    found = re.compile(pattern)
    return {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in files(folder)
        if found.search(path.read_text(encoding="utf-8"))
    }


def test_colours_stand_in_the_palette() -> None:
    # drawing.py has the colour of ink, which no picture shows: the page puts its own in its place; look.py has those of
    # a page, light and dark
    assert lines_with(r"[\"']#[0-9a-fA-F]{6}[\"']") == {
        "theory/palette.py",
        "validate/referee/figures/drawing.py",
        "spectral_edge/explorer/look.py",
    }


def test_files_are_replaced_in_one_place() -> None:
    assert lines_with(r"os\.replace\(|mkstemp\(") == {"theory/files.py"}


def test_json_values_are_made_in_one_place() -> None:
    assert lines_with(r"def jsonable\b|if np\.isfinite\(\w+\) else None") == {"theory/files.py"}


def test_progress_bars_are_drawn_in_one_place() -> None:
    assert lines_with(r"\bProgress\(|\(Progress\):") == {"theory/progress.py"}

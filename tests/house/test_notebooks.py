"""Every notebook runs from top to bottom, and what is stored of it is what it says."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.notebook
ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def words(notebook: Any) -> list[str]:
    """What the cells print, without its numbers, whose last digits differ between machines."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    return re.findall(r"[^\W\d_]{2,}", printed)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# jupyter_client and zmq warn about event loops and locales, not about us
@pytest.mark.filterwarnings("default")
def test_notebook_runs(path: Path) -> None:
    import nbformat

    notebook = runpy.run_path(str(ROOT / "docs" / "execute_notebooks.py"))["executed"](path)
    nbformat.validate(notebook)
    assert not any(
        output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", [])
    )
    stored = nbformat.read(path, as_version=4)
    assert words(stored) == words(notebook), "make notebooks stores what they say now"


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS

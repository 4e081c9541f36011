"""Every notebook runs from top to bottom."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.notebook
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# jupyter_client and zmq warn about event loops and locales, not about us
@pytest.mark.filterwarnings("default")
def test_notebook_runs(path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    assert not any(
        output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", [])
    )


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS

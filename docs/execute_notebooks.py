"""The notebooks executed anew, in place, with nothing in them but what they print and draw: ``make notebooks``."""

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
#: What one cell may take, in seconds.
PATIENCE = 600
#: What is said once on each machine, and of none.
COMPILING = "(the first time only)"


def executed(path: Path) -> Any:
    """The notebook at `path` with the outputs of a run from top to bottom."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        if cell.cell_type == "code":
            cell.outputs = joined([one for one in cell.outputs if COMPILING not in one.get("text", "")])
    notebook.metadata.pop("widgets", None)  # the state of sliders, which no page shows
    return notebook


def joined(outputs: list[Any]) -> list[Any]:
    """Outputs in which what was printed in one go stands in one piece, however it arrived."""
    found: list[Any] = []
    for output in outputs:
        printed = output.output_type == "stream"
        if printed and found and found[-1].output_type == "stream" and found[-1].name == output.name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(executed(path), path)
        print(path)

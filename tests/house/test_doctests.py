"""Every example in a docstring runs and gives what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS_TORCH = ("validate/runs/training.py", "validate/runs/tasks/modular.py", "validate/gram/integrations")


def names() -> list[str]:
    found = []
    for floor in ("theory", "simulate", "validate", "spectral_edge"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            inside = path.relative_to(ROOT)
            if not str(inside).startswith(NEEDS_TORCH) and ">>>" in path.read_text():
                dotted = ".".join(inside.with_suffix("").parts)
                found.append(dotted if floor == "spectral_edge" else f"spectral_edge.{dotted}")
    return found


@pytest.mark.parametrize("name", names())
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    failures = 0
    for case in finder.find(module, module.__name__):
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        failures += runner.run(case).failed
    assert failures == 0


def test_there_are_examples() -> None:
    assert len(names()) > 5

"""Examples in docstrings: which modules have some, which of those need PyTorch, and how they are run."""

import doctest
import importlib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def modules(*, torch: bool) -> list[str]:
    """Modules with examples: those that import PyTorch, or those that do not."""
    found = []
    for floor in ("theory", "simulate", "validate", "spectral_edge"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            text = path.read_text()
            if ">>>" in text and (">>> import torch" in text) == torch:
                dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found.append(dotted if floor == "spectral_edge" else f"spectral_edge.{dotted}")
    return found


def failures(name: str) -> int:
    """How many examples of a module do not give what they say; what they gave is printed."""
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for case in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__):
        runner.run(case)
    return runner.summarize(verbose=False).failed

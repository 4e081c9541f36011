"""Examples in docstrings: which modules have some, which of those need PyTorch, and how they are run."""

import ast
import doctest
import importlib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def modules(*, torch: bool) -> list[str]:
    """Modules with examples that import PyTorch, or with examples that do not."""
    found = []
    for floor in ("theory", "simulate", "validate", "spectral_edge"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            if any(">>>" in text and needs_torch(text) == torch for text in docstrings(path)):
                dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found.append(dotted if floor == "spectral_edge" else f"spectral_edge.{dotted}")
    return found


def docstrings(path: Path) -> list[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)
    ]
    return [ast.get_docstring(node) or "" for node in nodes]


def needs_torch(docstring: str) -> bool:
    return ">>> import torch" in docstring


def failures(name: str, *, torch: bool) -> int:
    """How many examples of a module, with or without PyTorch, do not give what they say; what they gave is printed."""
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for case in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__):
        if needs_torch(case.docstring or "") == torch:
            runner.run(case)
    return runner.summarize(verbose=False).failed

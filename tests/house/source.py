"""What the tests of the house read: the source of every module, and what it imports of this package."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOORS = ("theory", "simulate", "validate")
#: Where the package's source lies; ``spectral_edge`` holds links to the floors, which are not followed.
FOLDERS = (*FLOORS, "spectral_edge")


def files(folder: str) -> list[Path]:
    """Python files under `folder`, without those behind the links of the door."""
    links = [ROOT / "spectral_edge" / floor for floor in FLOORS]
    found = sorted((ROOT / folder).rglob("*.py"))
    return [path for path in found if not any(path.is_relative_to(link) for link in links)]


def dotted(path: Path) -> str:
    """The name under which the module at `path` is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "spectral_edge" else ("spectral_edge", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    return {dotted(path): path for folder in FOLDERS for path in files(folder)}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that can be executed: not what stands under ``if TYPE_CHECKING``."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _run(child)


def imported(path: Path, typing: bool = True) -> set[str]:
    """Absolute names of all that `path` imports of this package; `typing`: also what only annotations need."""
    names: set[str] = set()
    for node in ast.walk(tree(path)) if typing else _run(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "spectral_edge"}


def module_of(name: str) -> str:
    """The module that an imported dotted name is, or is in."""
    return name if name in modules() else name.rpartition(".")[0]

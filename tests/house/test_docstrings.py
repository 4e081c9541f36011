"""Every public docstring is complete: parameters, what is returned, what is raised, an example, the statements."""

import ast
import inspect
import re
import textwrap
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("theory", "simulate", "validate")
#: Names of inner rooms that users are led to from public docstrings.
INNER = {
    ("validate.gram.files.bands", "read_bands"),
    ("validate.gram.files.checkpoints", "inventory"),
    ("validate.gram.files.checkpoints", "read_checkpoints"),
    ("validate.gram.files.discovery", "find_checkpoints"),
    ("validate.gram.files.metrics", "read_metrics"),
    ("validate.gram.files.reading", "read_run"),
    ("validate.gram.integrations.pytorch", "attach"),
    ("validate.referee", "Prediction"),
    ("validate.referee", "Verdict"),
    ("validate.referee.conditions", "with_event"),
    ("validate.referee.reading", "read_runs"),
    ("validate.referee.statistics", "Estimate"),
    ("validate.referee.verdict", "Reading"),
}


def shown() -> set[tuple[str, str]]:
    """Functions and classes of inner rooms that pages and notebooks import: their place and their name."""
    found = set()
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")]
    for path in (*pages, *(ROOT / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        for place, names in re.findall(r"from spectral_edge\.(validate\.[\w.]+) import ([\w, ]+)", text):
            found |= {(place, name.split()[0]) for name in names.split(",")}
    return {
        (place, name) for place, name in found if name != "GramCallback"
    }  # needs its framework: tests/torch


def members(owner: type) -> dict[str, tuple[str, Any]]:
    """Public methods and properties that a class of this package defines itself: kind and function by name."""
    found: dict[str, tuple[str, Any]] = {}
    for name, member in vars(owner).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            found[name] = ("property", member.fget)
        elif isinstance(member, cached_property):
            found[name] = ("property", member.func)
        elif isinstance(member, classmethod | staticmethod):
            found[name] = ("method", member.__func__)
        elif inspect.isfunction(member) and member.__qualname__.startswith(f"{owner.__name__}."):
            found[name] = ("method", member)
    return found


def take(name: str, item: Any) -> dict[str, tuple[str, Any]]:
    """`item` and what is public in it: kind and object by name."""
    if isinstance(item, ModuleType):
        own = [
            n for n, v in vars(item).items() if getattr(v, "__module__", "") == item.__name__ and n[0] != "_"
        ]
        inner = {n: getattr(item, n) for n in getattr(item, "__all__", own)}
        return {path: found for n, one in inner.items() for path, found in take(f"{name}.{n}", one).items()}
    if inspect.isclass(item):
        return {name: ("class", item), **{f"{name}.{n}": one for n, one in members(item).items()}}
    return {name: ("function", item)} if inspect.isfunction(item) else {}


def announced() -> dict[str, tuple[str, Any]]:
    """What the floors announce, and what is public in it."""
    found = {}
    for floor in FLOORS:
        module = import_module(f"spectral_edge.{floor}")
        for name in module.__all__:
            found.update(take(f"{floor}.{name}", getattr(module, name)))
    return found


def behind() -> dict[str, tuple[str, Any]]:
    """What pages, notebooks and public docstrings lead to behind that."""
    found = {}
    for place, name in sorted(shown() | INNER):
        item = getattr(import_module(f"spectral_edge.{place}"), name, None)
        if not isinstance(item, ModuleType):
            found.update(take(f"{place}.{name}", item))
    return found


PUBLIC = announced()
ALL = PUBLIC | behind()
#: What public functions and methods say that they return, as words.
RETURNED = {
    word
    for kind, item in ALL.values()
    if kind in ("function", "method")
    for word in re.findall(r"\w+", str(inspect.signature(item).return_annotation))
}


def section(doc: str, *titles: str) -> bool:
    return any(re.search(rf"^{title}\n-+$", doc, re.M) for title in titles)


def says(doc: str, name: str) -> bool:
    """Whether a line of a numpydoc section is about `name`, alone or with others: ``K, W_max : …``."""
    return bool(re.search(rf"^(?:\**\w+, )*\**{name}(?:, \**\w+)*(?: :|$)", doc, re.M))


def lacks(kind: str, item: Any) -> list[str]:
    """What the docstring of one public thing does not say."""
    doc = inspect.getdoc(item) or ""
    missing = [] if doc else ["docstring"]
    if kind == "class":
        named = getattr(item, "_fields", None) or getattr(item, "__dataclass_fields__", ())
        missing += [f"Attributes: {one}" for one in named if one[0] != "_" and not says(doc, one)]
    if kind in ("function", "method"):
        signature = inspect.signature(item)
        taken = [one for one in signature.parameters if one not in ("self", "cls")]
        missing += [f"Parameters: {one}" for one in taken if not says(doc, one)]
        if signature.return_annotation not in (None, "None") and not section(doc, "Returns", "Yields"):
            missing.append("Returns")
        body = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(item))))
        if any(isinstance(node, ast.Raise) for node in body) and not section(doc, "Raises"):
            missing.append("Raises")
    # a result is shown where it comes from
    shown = kind == "property" or (kind == "class" and item.__name__ in RETURNED)
    if not shown and not section(doc, "Examples"):
        missing.append("Examples")
    return missing


@pytest.mark.parametrize("name", ALL)
def test_a_public_docstring_is_complete(name: str) -> None:
    assert lacks(*ALL[name]) == []


def test_what_is_missing_is_found() -> None:
    def bad(W: int, lags: int) -> int:
        """Nothing but this.

        Parameters
        ----------
        W : int
        """
        if lags > W:
            raise ValueError("W")
        return W

    assert lacks("function", bad) == ["Parameters: lags", "Returns", "Raises", "Examples"]

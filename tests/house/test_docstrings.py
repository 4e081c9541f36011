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


def collect() -> dict[str, tuple[str, Any]]:
    """Every public name of the floors, what is public in its modules and classes: kind and object by name."""
    found: dict[str, tuple[str, Any]] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, ModuleType):
            public = getattr(item, "__all__", None) or [
                n
                for n, v in vars(item).items()
                if getattr(v, "__module__", "") == item.__name__ and n[0] != "_"
            ]
            for one in public:
                take(f"{name}.{one}", getattr(item, one))
        elif inspect.isclass(item):
            found[name] = ("class", item)
            found.update({f"{name}.{n}": member for n, member in members(item).items()})
        elif inspect.isfunction(item):
            found[name] = ("function", item)

    for floor in FLOORS:
        module = import_module(f"spectral_edge.{floor}")
        for name in module.__all__:
            take(f"{floor}.{name}", getattr(module, name))
    referee = import_module("spectral_edge.validate.referee")
    for name in ("Prediction", "Verdict"):
        take(f"validate.referee.{name}", getattr(referee, name))
    return found


PUBLIC = collect()
#: What public functions and methods say that they return, as words.
RETURNED = {
    word
    for kind, item in PUBLIC.values()
    if kind in ("function", "method")
    for word in re.findall(r"\w+", str(inspect.signature(item).return_annotation))
}


def section(doc: str, *titles: str) -> bool:
    return any(re.search(rf"^{title}\n-+$", doc, re.M) for title in titles)


def says(doc: str, name: str) -> bool:
    """Whether a line of a numpydoc section is about `name`, alone or with others: ``K, W_max : …``."""
    return bool(re.search(rf"^(?:\**\w+, )*\**{name}(?:, \**\w+)*(?: :|$)", doc, re.M))


def lacks(name: str, kind: str, item: Any) -> list[str]:
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


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_docstring_is_complete(name: str) -> None:
    assert lacks(name, *PUBLIC[name]) == []


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

    assert lacks("bad", "function", bad) == ["Parameters: lags", "Returns", "Raises", "Examples"]

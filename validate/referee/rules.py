"""What a stored figure belongs to: the version and the constants of its rule, and what all rules share."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spectral_edge.validate.referee.verdict import Prediction

#: Modules that all rules share: intervals and tests, events, series, partners, noise, the parts of planted worlds.
SHARED = (
    *(f"spectral_edge.validate.referee.{name}" for name in ("statistics", "worlds", "events", "series", "partners")),
    *(f"spectral_edge.simulate.{name}" for name in ("_noise", "_colour", "_planted.parts")),
)  # fmt: skip


def constants(prediction: "Prediction") -> dict[str, Any]:
    """The constants of a prediction's rule: the names in capitals of its file that stand for plain values.

    Tables of functions do not count as values, nor do the words for verdicts. Where a constant is written does not
    matter, so that it may be imported.

    Examples
    --------
    >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
    >>> constants(PREDICTIONS[2])
    {'SHARE': 0.9, 'SMALL': 3, 'W': 10}
    """
    from spectral_edge.validate.referee.verdict import VERDICTS

    named = vars(sys.modules[prediction.judge.__module__])
    return {
        name: value
        for name, value in sorted(named.items())
        if name.isupper() and name != "TYPE_CHECKING" and _is_plain(value) and value not in VERDICTS
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(part) for item in value.items() for part in item)
    if isinstance(value, list | tuple):
        return not hasattr(value, "_fields") and all(map(_is_plain, value))
    return isinstance(value, int | float | str)


def rule(prediction: "Prediction") -> str:
    """Version and constants of a prediction's rule, as one word."""
    return f"{prediction.version}:{_digest(repr(constants(prediction)))}"


@cache
def shared(*more: str) -> str:
    """Twelve hex digits that change with the code of `SHARED`; not with its comments, docstrings, imports or layout.

    `more` are further modules that what is stored depends on.
    """
    return _digest(repr([_shape(_code(name)) for name in (*SHARED, *more)]))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


def _code(name: str) -> ast.Module:
    found = find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(name)
    return ast.parse(Path(found.origin).read_text(encoding="utf-8"))


#: Fields that say nothing of what the code does, or are not the same in all Pythons.
_LEFT_OUT = {"annotation", "returns", "type_params", "type_comment", "kind"}


def _shape(node: Any) -> Any:
    """The tree of some code as plain values, the same in every Python."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in _LEFT_OUT)
        return type(node).__name__, [
            (name, _shape(value)) for name, value in fields if value not in (None, [])
        ]
    if isinstance(node, list):
        return [_shape(one) for one in _kept(node)]
    return node


def _kept(nodes: list[Any]) -> Iterator[Any]:
    """Statements without imports and without texts that stand for themselves, such as docstrings."""
    for node in nodes:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not text and not isinstance(node, ast.Import | ast.ImportFrom):
            yield node

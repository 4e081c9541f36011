"""Groups of a model's tensors, by their names: layers, kinds, or whatever a function says."""

import re
from collections.abc import Callable
from typing import Any


def layer_of(name: str) -> str:
    """The group of `name` up to its first number: "layers.3" of "layers.3.attn.weight".

    Examples
    --------
    >>> layer_of("encoder.layers.3.attn.weight"), layer_of("head.weight")
    ('encoder.layers.3', 'head')
    """
    found = re.match(r"(.*?\.)?\d+(?=\.)", name)
    return found.group(0) if found else name.split(".")[0]


def kind_of(name: str) -> str:
    """`name` without its numbers: "layers.*.attn.weight" of "layers.3.attn.weight"."""
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)


def grouping(by: Any) -> Callable[[str], str]:
    """The group of a tensor by its name: "layer", "kind", or a function; None makes one group of all.

    Raises
    ------
    ValueError
        If `by` is none of these.
    """
    if by is None:
        return lambda name: ""
    if callable(by):
        return lambda name: str(by(name))
    if by not in ("layer", "kind"):
        raise ValueError(f"by must be 'layer', 'kind' or a function of the name, got {by!r}")
    return {"layer": layer_of, "kind": kind_of}[by]

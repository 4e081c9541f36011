"""Sequences made of others: at a wider interval, without gaps, of one group of parameters, of two parts together."""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from spectral_edge.theory.gram import merged, stretch_starts
from spectral_edge.validate.gram.arrays.inner_products import unfold
from spectral_edge.validate.gram.checks import cut

if TYPE_CHECKING:
    from spectral_edge.validate.gram.sequence import GramSequence

#: What the probes are called that hold the band of K of one group of parameters.
PART = "part:"


def every(sequence: "GramSequence", n: int) -> "GramSequence":
    """See `GramSequence.every`."""
    K = merged(sequence.K, n)
    kept = slice(n - 1, len(K) * n, n)
    config = dict(sequence.config)
    if isinstance(config.get("record_every"), int | float):
        config["record_every"] *= n
    metrics = {name: values[kept] for name, values in sequence.metrics.items()}
    return replace(sequence, K=K, steps=sequence.steps[kept], metrics=metrics, probes={}, config=config)


def pieces(sequence: "GramSequence") -> "list[GramSequence]":
    """See `GramSequence.pieces`."""
    starts = np.unique(stretch_starts(sequence.K)).tolist()
    return [between(sequence, first, last) for first, last in pairwise([*starts, sequence.T])]


def between(sequence: "GramSequence", first: int, last: int) -> "GramSequence":
    """The records `first` … `last` - 1 alone."""
    if (first, last) == (0, sequence.T):
        return sequence
    return replace(
        sequence,
        K=cut(sequence.K, first, last),
        steps=sequence.steps[first:last],
        metrics={name: values[first:last] for name, values in sequence.metrics.items()},
        probes={name: values[first:last] for name, values in sequence.probes.items()},
    )


def parts(sequence: "GramSequence") -> "dict[str, GramSequence]":
    """See `GramSequence.parts`."""
    sizes = sequence.config.get("parts", {})
    found = {}
    for name, band in sequence.probes.items():
        part = name.removeprefix(PART)
        if part != name and sizes.get(part) != 0:  # else nothing of it was trained
            K = unfold(band[:, : sequence.T]) if band.shape[1] >= sequence.T else band
            config = {**sequence.config, "part": part}
            found[part] = replace(sequence, K=K, P=sizes.get(part), probes={}, config=config)
    return found


def added(one: "GramSequence", other: "GramSequence") -> "GramSequence":
    """The sequence of both parts' parameters together.

    Raises
    ------
    ValueError
        If their steps, bands or probes differ.
    """
    if one.K.shape != other.K.shape or not np.array_equal(one.steps, other.steps):
        raise ValueError(
            f"sequences must have the same steps and band to be added, got K {one.K.shape} at steps "
            f"{one.steps[0]} … {one.steps[-1]} and {other.K.shape} at {other.steps[0]} … {other.steps[-1]}"
        )
    if one.probes.keys() != other.probes.keys():
        raise ValueError(
            f"sequences must have the same probes, got {sorted(one.probes)} and {sorted(other.probes)}"
        )
    return replace(
        one,
        K=one.K + other.K,
        P=None if one.P is None or other.P is None else one.P + other.P,
        metrics={**other.metrics, **one.metrics},
        probes={name: value + other.probes[name] for name, value in one.probes.items()},
        config={**other.config, **one.config},
        rounding=max(one.rounding, other.rounding),
    )

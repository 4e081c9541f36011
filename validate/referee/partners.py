"""Runs beside their controls: with and without weight decay, by what they learn and their seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import card, is_plain, with_field
from spectral_edge.validate.referee.events import is_watched


class Partner(NamedTuple):
    """What a run and its partner share: family and seed, and a number where several runs have both."""

    family: str
    seed: int
    number: int = 0


def decay_groups(runs: Sequence[GramSequence]) -> tuple[list[GramSequence], list[GramSequence]]:
    """Return the runs with and without weight decay, of those whose decay and transition are known.

    Runs of other experiments (shift, optimiser) have other controls and are in neither group.
    """
    known = [
        (run, decay)
        for run in runs
        if (decay := card(run).weight_decay) is not None and is_plain(run) and is_watched(run)
    ]
    return [run for run, decay in known if decay > 0], [run for run, decay in known if decay == 0]


def decay_pairs(
    runs: Sequence[GramSequence],
) -> tuple[dict[Partner, GramSequence], dict[Partner, GramSequence]]:
    """Return the runs with weight decay whose seed is known, and the partner of each that has one, by the same keys.

    Several runs with weight decay (of different decays, say) may have the same partner.
    """
    with_decay, without = decay_groups(runs)
    treated: dict[Partner, GramSequence] = {}
    control: dict[Partner, GramSequence] = {}
    for run in with_decay:
        own = card(run)
        if own.seed is None:
            continue
        key = Partner(own.family, own.seed, sum(key[:2] == (own.family, own.seed) for key in treated))
        treated[key] = run
        partner = next((other for other in without if _alike(run, other)), None)
        if partner is not None:
            control[key] = partner
    return treated, control


def _alike(run: GramSequence, other: GramSequence) -> bool:
    """Whether two runs share family and seed, and nothing else is known to set them apart but their decay."""
    one, two = card(run), card(other)
    pairs = (
        (getattr(one, name), getattr(two, name)) for name in ("optimizer", "learning_rate", "batch_size")
    )
    return (one.family, one.seed) == (two.family, two.seed) and all(
        a == b or None in (a, b) for a, b in pairs
    )


def twins(run: GramSequence, runs: Sequence[GramSequence]) -> list[GramSequence]:
    """The control of `run`: same family and seed, the other side of the contrast; empty if there is none."""
    own = card(run)
    return [
        other
        for other in runs
        if (its := card(other)).family == own.family
        and its.seed == own.seed is not None
        and {its.contrast[1], own.contrast[1]} == {True, False}
    ][:1]


def shuffled(runs: Sequence[GramSequence], field: str, seed: int) -> list[GramSequence]:
    """Return the runs with one field of their cards permuted among them: nothing depends on it any more."""
    values = [getattr(card(run), field) for run in runs]
    order = np.random.default_rng([seed, len(runs)]).permutation(len(runs))
    return [with_field(run, field, values[i]) for run, i in zip(runs, order, strict=True)]

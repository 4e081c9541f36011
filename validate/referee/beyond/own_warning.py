"""Rivals in early warning that need a training of one's own, and whether they warn before the validation loss does.

Rules and constants were set before a run of `own` was judged; step and strength of the Langevin steps were chosen so
that they stay finite on seed 0.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spectral_edge.theory.checks import FloatArray, whole
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee.beyond.finding import Finding
from spectral_edge.validate.referee.beyond.seen import W
from spectral_edge.validate.referee.beyond.watched import LOOK_EVERY
from spectral_edge.validate.referee.collapse.forecasts import FORMS
from spectral_edge.validate.referee.collapse.tracks import Tracks
from spectral_edge.validate.referee.early_warning.features import FEATURES, Feature
from spectral_edge.validate.referee.early_warning.judge import PLAIN, early_warning
from spectral_edge.validate.referee.early_warning.result import EarlyWarning
from spectral_edge.validate.referee.statistics import Estimate
from spectral_edge.validate.referee.verdict import NOT_SPECIFIC, REFUTED, SUPPORTED, UNDECIDED

#: Group of these features: what has to be measured in training, and counts in no combination.
MEASURED = "measured"
#: Records ahead that the verdict is about, chance, and the smallest advantage that would matter.
LEAD, CHANCE, LEAST = 10, 0.5, 0.05


def _last(values: FloatArray) -> FloatArray:
    """At every record the last value that was known by then."""
    known = np.isfinite(values)
    at = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)


def _metric(run: GramSequence, name: str) -> FloatArray:
    return _last(np.asarray(run.metrics.get(name, np.full(run.T, np.nan)), dtype=float))


def _log_commutator(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    return np.log(_metric(run, "commutator"))


def _coefficient(run: GramSequence, windows: WindowSpectra) -> FloatArray:
    return _metric(run, "llc")


def _soon(run: GramSequence, windows: WindowSpectra, form: str) -> FloatArray:
    """One over the records until the modes at k* are expected to exchange; 0 where they are not, or where is no gap."""
    tracks = Tracks.of(run if form == "propagated" else replace(run, probes={}), windows.W, every=1)
    times = FORMS[form](tracks)
    if times is None:
        return np.full(run.T, np.nan)
    k = windows.k_star[tracks.looked]
    at = times[np.arange(len(k)), np.where(np.isfinite(k), k, 1).astype(int) - 1]
    found = np.full(run.T, np.nan)
    found[tracks.looked + windows.W - 1] = np.where(
        np.isfinite(k) & np.isfinite(at), 1 / np.maximum(at, 1), 0.0
    )
    return _last(found)


#: Set before one of them was computed on a run of these seeds.
RIVALS = (
    Feature("commutator", MEASURED, "log of the commutator defect of two mini-batches", _log_commutator),
    Feature("learning coefficient", MEASURED, "local learning coefficient", _coefficient),
    Feature(
        "forecast", MEASURED, "one over the time until an exchange at k*, by the propagated window",
        lambda run, windows: _soon(run, windows, "propagated"),
    ),
    Feature(
        "forecast from K", MEASURED, "the same by the recurrence fitted to the window",
        lambda run, windows: _soon(run, windows, "fitted"),
    ),
)  # fmt: skip


def judge(found: EarlyWarning, where: str = "") -> list[Finding]:
    """Each rival warns, and warns better than the validation loss; `where`, if not on networks of our own."""
    plain = found[PLAIN].auc
    return [_judged(found, feature, plain, where) for feature in RIVALS]


def _judged(found: EarlyWarning, feature: Feature, plain: Estimate, where: str) -> Finding:
    subject = f"{where} a transition" if where else "A transition"
    warner = found[feature.name]
    auc, excess = warner.auc, warner.over_loss
    verdict = UNDECIDED
    if auc.high < CHANCE:
        verdict = REFUTED
    elif auc.low > CHANCE and excess.low > 0:
        verdict = SUPPORTED
    elif auc.low > CHANCE and excess.high < LEAST:
        verdict = NOT_SPECIFIC
    return Finding(
        id=f"warning, {feature.name}",
        claim=f"{subject} is foretold by {_CLAIMS[feature.name]}, and better than by the validation loss.",
        statistic=f"AUC {found.horizon} records ahead, matched in time, on a family not learned on",
        against="the validation loss", verdict=verdict,
        rule=f"AUC above {CHANCE:g}, and above that of the validation loss",
        treated=auc, control=plain, excess=excess, n=warner.runs,
        readings={"among runs that all have a transition": warner.when, "whatever the step": warner.unmatched},
    )  # fmt: skip


_CLAIMS = {
    "commutator": "the commutator defect",
    "learning coefficient": "the local learning coefficient",
    "forecast": "the propagated window",
    "forecast from K": "the recurrence fitted to the window",
}


# -- planted and noise -----------------------------------------------------------------------------------------

#: Runs of each kind in a family.
PER_FAMILY = 3


class Shape(NamedTuple):
    """How long the runs of a world are, and when their transitions come.

    Attributes
    ----------
    T : int
        Records of a run.
    events : tuple of int
        The record of the transition, by family.
    spread : int
        By how many records more or less it comes.
    soonest : int
        In noise, the first record at which something may be announced.
    """

    T: int
    events: tuple[int, ...]
    spread: int
    soonest: int


#: That of the runs of `own`.
SHAPE = Shape(T=140, events=(70, 80, 90, 100), spread=4, soonest=30)
#: Records before the transition from which what warns rises, and after it at which two modes would be equally
#: strong; by how much one of them grows in a record, and how strong noise is beside it.
BEFORE, AFTER, GROWS, NOISE = 14, 15, 0.12, 0.3


def world(number: int, planted: bool = True, shape: Shape = SHAPE) -> list[GramSequence]:
    """Runs of a few families, half of which have a transition that something announces, or that nothing does.

    Parameters
    ----------
    number : int
        Decides everything.
    planted : bool
        Whether it is where a transition comes that commutator and learning coefficient rise 14 records before, and a
        second mode grows towards the first. Else they do so at some time of any run. The losses never say anything.
    shape : Shape

    Returns
    -------
    list of GramSequence

    Examples
    --------
    >>> runs = world(0)
    >>> len(runs), runs[0].T
    (24, 140)
    """
    rng = np.random.default_rng([whole("number", number, 0), int(planted)])
    made = []
    for family, event in enumerate(shape.events):
        for i in range(2 * PER_FAMILY):
            at, comes = event + int(rng.integers(-shape.spread, shape.spread + 1)), i < PER_FAMILY
            told = (at if comes else None) if planted else int(rng.integers(shape.soonest, shape.T))
            made.append(_run(rng, f"family {family}", i, at if comes else None, told, shape.T))
    return made


def _run(
    rng: np.random.Generator, task: str, seed: int, at: int | None, told: int | None, T: int
) -> GramSequence:
    """Descent on a quadratic loss: one direction is flat, one so curved that updates along it turn at every record."""
    t = np.arange(T)
    away = np.full(T, -30.0) if told is None else np.clip(t - told, -30.0, 10.0)
    size = np.exp(GROWS * (away - AFTER))
    noise = rng.normal(scale=NOISE / 10, size=(T, 100)) * size[:, None]
    X = np.column_stack([np.ones(T), np.where(t % 2, -1.0, 1.0) * size, noise])
    factor = np.append(size[1:] / size[:-1], 1.0)
    response = np.full((T, W, W), np.nan)
    for end in range(W - 1, T, LOOK_EVERY):
        along = X[end - np.arange(W), 1]
        response[end] = (1 + factor[end]) * np.outer(along, along)
    rises = np.clip(1 + away / BEFORE, 0.0, 1.5)
    comes = np.zeros(T, dtype=bool) if at is None else t >= at
    return GramSequence.from_inner_products(
        X @ X.T,
        metrics={
            "test_accuracy": np.where(comes, 1.0, 0.04),
            "test_loss": np.exp(rng.normal(size=T)),
            "commutator": np.exp(3 * rises + rng.normal(scale=0.3, size=T)),
            "llc": 5 * rises + rng.normal(size=T),
        },
        probes={"response": response},
        config={"task": task, "seed": seed, "run": f"{task}, {seed}", "optimizer": "SGD", "learning_rate": 1.0,
                "weight_decay": 0.0},
    )  # fmt: skip


def supported(number: int, kind: str) -> list[str]:
    """Rivals that are supported in a world of `kind` "planted" or "noise"."""
    plain = next(one for one in FEATURES if one.name == PLAIN)
    found = early_warning(world(number, kind == "planted"), features=(plain, *RIVALS), horizon=LEAD)
    return [one.id for one in judge(found) if one.verdict == SUPPORTED]

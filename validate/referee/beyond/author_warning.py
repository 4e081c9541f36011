"""The rivals of `own_warning` on the author's single tasks: how they are judged, and worlds of as few and short runs.

All was set before a run of `author` was judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.beyond import author, own_warning
from spectral_edge.validate.referee.beyond.finding import Finding
from spectral_edge.validate.referee.early_warning.features import FEATURES
from spectral_edge.validate.referee.early_warning.judge import PLAIN, early_warning
from spectral_edge.validate.referee.early_warning.result import EarlyWarning
from spectral_edge.validate.referee.verdict import NOT_SPECIFIC, SUPPORTED
from spectral_edge.validate.runs.bundle import bundled

#: Where these runs come from, in the claims; the lead that can tell when and not only whether, in records; the placebo,
#: which is known before a run starts: every run that learns has decay, and every other has none.
WHERE, CLOSE, PLACEBO = "On the author's single tasks", min(author.LEADS), "weight decay"
#: Three families of three runs that learn and three that do not, of 30 records; learning sets in where it does in the
#: bundled runs.
SHAPE = own_warning.Shape(T=30, events=(24, 26, 25), spread=3, soonest=16)
#: In noise, by how much log commutator and learning coefficient differ where there is decay.
MARK = 2.0


def judge(found: Mapping[int, EarlyWarning]) -> list[Finding]:
    """By the rule of `own_warning`, ten records ahead; not specific where weight decay alone warns as well by it.

    Parameters
    ----------
    found : mapping of int to EarlyWarning
        By lead, that of `own_warning` and `CLOSE` among them; what can be told that close is among the readings.
    """
    ahead, close = found[own_warning.LEAD], found[CLOSE]
    placebo = ahead[PLACEBO]
    alone = placebo.auc.low > own_warning.CHANCE and placebo.over_loss.low > 0
    findings = []
    for rival, one in zip(own_warning.RIVALS, own_warning.judge(ahead, WHERE), strict=True):
        warner = close[rival.name]
        near = {
            "": warner.auc,
            ", less the validation loss": warner.over_loss,
            ", among runs that all have a transition": warner.when,
            ", the validation loss among those": close[PLAIN].when,
        }
        beside = {f"{CLOSE} records ahead{what}": value for what, value in near.items()}
        findings.append(
            replace(
                one,
                rule=f"{one.rule}, by which weight decay alone must fail",
                verdict=NOT_SPECIFIC if alone and one.verdict == SUPPORTED else one.verdict,
                readings={**one.readings, "weight decay alone": placebo.auc, **beside},
            )
        )
    return findings


def off_bundled(runs: Sequence[GramSequence]) -> dict[str, float]:
    """By how much K differs from that of the bundled run of the same name, over its largest entry.

    Parameters
    ----------
    runs : sequence of GramSequence
        Recorded at the same steps as the bundled ones, for as long or shorter.

    Returns
    -------
    dict of str to float
        By run; 0 where they are the same bit for bit. Runs of which there is no bundled recording by the same version
        of PyTorch, on the same device, are left out.
    """
    known = {_made(one): one for one in bundled()}
    return {run.config["run"]: _off(run, known[_made(run)]) for run in runs if _made(run) in known}


def _made(run: GramSequence) -> tuple[Any, ...]:
    return tuple(run.config.get(key) for key in ("run", "torch", "device"))


def _off(run: GramSequence, other: GramSequence) -> float:
    lags = min(run.T - 2, other.W_max)
    mine, its = run.band(lags), other.band(lags)[: run.T]
    return float(np.nanmax(np.abs(mine - its)) / np.nanmax(np.abs(its)))


# -- planted and noise -----------------------------------------------------------------------------------------


def world(number: int, planted: bool = True) -> list[GramSequence]:
    """A world of `own_warning` of this shape; in noise what is measured differs with decay, and says no more.

    Examples
    --------
    >>> runs = world(0, planted=False)
    >>> len(runs), runs[0].T, {run.config["weight_decay"] for run in runs}
    (18, 30, {0.0, 1.0})
    """
    runs = own_warning.world(number, planted, SHAPE)
    return runs if planted else [_marked(run) for run in runs]


def _marked(run: GramSequence) -> GramSequence:
    """The run as one with decay, if it learns: marked by it from the first record on."""
    decay = float(run.metrics["test_accuracy"][-1] == 1)
    measured = {
        "commutator": run.metrics["commutator"] * np.exp(MARK * decay),
        "llc": run.metrics["llc"] + MARK * decay,
    }
    return replace(run, metrics={**run.metrics, **measured}, config={**run.config, "weight_decay": decay})


def supported(number: int, kind: str) -> list[str]:
    """Rivals that are supported in a world of `kind` "planted" or "noise"."""
    known = [one for one in FEATURES if one.name in (PLAIN, PLACEBO)]
    runs, features = world(number, kind == "planted"), (*known, *own_warning.RIVALS)
    found = {lead: early_warning(runs, features=features, horizon=lead) for lead in author.LEADS}
    return [one.id for one in judge(found) if one.verdict == SUPPORTED]

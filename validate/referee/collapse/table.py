"""How good every form was by regime: what `validate.forecast` says of runs like yours, and a table of findings.

``python -m spectral_edge.validate.referee.collapse.table > validate/referee/collapse/accuracy.json`` counts anew, on
the bundled dense runs.
"""

import json
import sys
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from spectral_edge.theory.files import jsonable
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.collapse.accuracy import (
    EVERY,
    MEAN,
    SIZE,
    WHERE,
    Forecasts,
    W,
    placebo_of,
)
from spectral_edge.validate.referee.collapse.forecasts import FORMS, PLACEBOS

#: The file that is installed with the package.
STORED = "accuracy.json"


def regime_of(run: GramSequence) -> str:
    """The regime on the card of a dense run."""
    return str(run.config.get("regime", card(run).run))


def by_regime(runs: Sequence[GramSequence], W: int = W, every: int = EVERY) -> dict[str, Forecasts]:
    """Forecasts of every form in every regime.

    Parameters
    ----------
    runs : sequence of GramSequence
        Dense runs, with their regime on their cards.
    W, every : int
        Window, and records from one window that is looked at to the next.
    """
    own = {name: [run for run in runs if regime_of(run) == name] for name in map(regime_of, runs)}
    return {name: Forecasts.of(few, W=W, every=every) for name, few in own.items()}


def accuracy(forecasts: Forecasts, where: str = WHERE[-1]) -> dict[str, Any]:
    """How good every form was, JSON values.

    Parameters
    ----------
    forecasts : Forecasts
    where : str
        One of `accuracy.WHERE`.

    Returns
    -------
    dict
        `runs`, `states`, `exchanges`, and `forms`: by name concordance and median relative error (each with its
        interval), share within 30 %, share "never".
    """
    forecasts = forecasts.where(where)
    names = (*FORMS, MEAN, SIZE, *map(placebo_of, PLACEBOS))
    scores = {name: forecasts.score(name) for name in names}
    return {
        "runs": len(forecasts.names),
        "states": len(forecasts.time),
        "exchanges": forecasts.counts[0],
        "forms": {
            name: {
                "concordance": list(score.concordance),
                "error": list(score.error),
                "within": score.within,
                "never": score.never,
            }
            for name, score in scores.items()
            if score.exchanged.any()
        },
    }


def kind_of(run: GramSequence) -> str | None:
    """What decides which runs are alike: the optimiser, with or without momentum; None where it is not known."""
    own = card(run)
    name = (own.optimizer or "").lower()
    if name == "sgd":
        return "gradient descent with momentum" if own.momentum else "gradient descent"
    return "Adam" if name in ("adam", "adamw") else None


@cache
def stored() -> dict[str, dict[str, Any]]:
    """What was counted on the bundled dense runs; empty where it never was."""
    path = files(__name__.rpartition(".")[0]) / STORED
    return json.loads(path.read_text()) if path.is_file() else {}


def main() -> None:
    """Count on the bundled dense runs."""
    from spectral_edge.validate.runs import bundled

    runs = bundled("dense")
    kinds = {regime_of(run): kind_of(run) for run in runs}
    found = {name: {"kind": kinds[name], **accuracy(own)} for name, own in by_regime(runs).items()}
    json.dump(jsonable(found), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()

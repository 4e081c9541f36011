"""What else warns of a transition, beside the gap, the loss, the norm and the clock, at three leads."""

from collections.abc import Mapping, Sequence
from typing import Any

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.early_warning.features import FEATURES, Feature
from spectral_edge.validate.referee.early_warning.judge import early_warning
from spectral_edge.validate.referee.early_warning.result import EarlyWarning
from spectral_edge.validate.referee.early_warning.rivals import RIVALS

#: A transition within so many records.
LEADS = (3, 10, 30)


def judged(
    runs: Sequence[GramSequence], more: Sequence[Feature] = (), leads: Sequence[int] = LEADS
) -> dict[int, EarlyWarning]:
    """Early warning by every feature, its rivals and `more`, for each lead."""
    return {lead: early_warning(runs, features=(*FEATURES, *RIVALS, *more), horizon=lead) for lead in leads}


def rows(found: Mapping[int, EarlyWarning]) -> list[dict[str, Any]]:
    """AUC of every feature, each time on a family it was not learned on, matched in time; one row per feature and lead.

    The transition is the onset of learning; "late" is the AUC where it is a test accuracy of 0.95 instead.

    Parameters
    ----------
    found : mapping of int to EarlyWarning
        By lead, in records.
    """
    return [
        {"lead": lead, "feature": w.name, "group": w.group, "warns": w.warns, "auc": w.auc,
         "late": one.late.get(w.name), "when": w.when,
         "passes": w.passes, "transitions": w.transitions, "runs": w.runs}
        for lead, one in found.items()
        for w in one.warners
    ]  # fmt: skip

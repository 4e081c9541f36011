"""What else warns of a transition, beside the gap, the loss, the norm and the clock, at three leads."""

from collections.abc import Sequence
from typing import Any

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.early_warning.features import FEATURES
from spectral_edge.validate.referee.early_warning.judge import early_warning
from spectral_edge.validate.referee.early_warning.rivals import RIVALS

#: A transition within so many records.
LEADS = (3, 10, 30)


def rivals(runs: Sequence[GramSequence], leads: Sequence[int] = LEADS) -> list[dict[str, Any]]:
    """AUC of every feature, each time on a family it was not learned on, matched in time; one row a feature and lead.

    The transition is the onset of learning; "late" is the AUC where it is a test accuracy of 0.95 instead.

    Parameters
    ----------
    runs : sequence of GramSequence
        As for `validate.early_warning`.
    leads : sequence of int
        Records.
    """
    rows = []
    for lead in leads:
        found = early_warning(runs, features=(*FEATURES, *RIVALS), horizon=lead)
        rows += [
            {"lead": lead, "feature": w.name, "group": w.group, "warns": w.warns, "auc": w.auc,
             "late": found.late.get(w.name), "when": w.when,
             "passes": w.passes, "transitions": w.transitions, "runs": w.runs}
            for w in found.warners
        ]  # fmt: skip
    return rows

"""Data is judged: statistics, predictions, verdicts, early warning, report."""

from spectral_edge.validate.referee.early_warning.judge import EarlyWarning
from spectral_edge.validate.referee.scoreboard import Scoreboard, check
from spectral_edge.validate.referee.verdict import Prediction, Verdict

__all__ = ["EarlyWarning", "Prediction", "Scoreboard", "Verdict", "check"]

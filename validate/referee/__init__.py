"""Data is judged: statistics, predictions, verdicts, report."""

from spectral_edge.validate.referee.early_warning import EarlyWarning, early_warning
from spectral_edge.validate.referee.scoreboard import Scoreboard, check
from spectral_edge.validate.referee.verdict import Prediction, Verdict

__all__ = ["EarlyWarning", "Prediction", "Scoreboard", "Verdict", "check", "early_warning"]

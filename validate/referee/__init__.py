"""Data is judged: statistics, predictions, verdicts, report."""

from spectral_edge.validate.referee.scoreboard import Scoreboard, check
from spectral_edge.validate.referee.verdict import Prediction, Verdict

__all__ = ["Prediction", "Scoreboard", "Verdict", "check"]

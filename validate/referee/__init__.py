"""Data is judged: statistics, predictions, verdicts, report."""

"""Pictures of runs and verdicts: axes in, axes out; and how a report sets them."""

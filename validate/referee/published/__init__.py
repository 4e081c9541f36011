"""The first column of every verdict: the author's own statistic and criterion, as far as they are public."""

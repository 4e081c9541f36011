"""The report: one page, findings.md and the tables of runs, each from a scoreboard."""

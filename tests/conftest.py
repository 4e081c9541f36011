"""Shared by all tests: reproducible hypothesis, no display."""

import os

import matplotlib
from hypothesis import settings

matplotlib.use("agg")
os.environ.setdefault("COLUMNS", "200")  # tables are not folded in captured output
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=80, database=None)
settings.load_profile("reproducible")

"""Shared by all tests: reproducible hypothesis, no display."""

import os

import matplotlib
from hypothesis import settings

matplotlib.use("agg")
os.environ.setdefault("COLUMNS", "200")  # tables are not folded in captured output
settings.register_profile("reproducible", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("reproducible")

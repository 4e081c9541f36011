"""One scoreboard of six bundled runs, and one report of it, serve all tests of the referee."""

from collections.abc import Callable
from typing import Any

import pytest

from spectral_edge import validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee.report.page import render


@pytest.fixture(scope="session")
def additions() -> list[GramSequence]:
    """Modular addition: seeds 137, 2024 and 42 without weight decay, then with."""
    return [run for run in validate.bundled() if run.config["task"] == "modular-addition"]


@pytest.fixture(scope="session")
def board(
    additions: list[GramSequence], shared: Callable[[str, Callable[[], Any]], Any]
) -> validate.Scoreboard:
    return shared("board", lambda: validate.check(additions, seed=0))


@pytest.fixture(scope="session")
def page(board: validate.Scoreboard, shared: Callable[[str, Callable[[], Any]], Any]) -> str:
    """The report of `board`, rendered once."""
    return shared("page", lambda: render(board))

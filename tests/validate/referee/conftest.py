"""One scoreboard of six bundled runs serves all tests of the referee."""

import pytest

from spectral_edge import validate
from spectral_edge.validate import GramSequence


@pytest.fixture(scope="session")
def additions() -> list[GramSequence]:
    """Modular addition: seeds 137, 2024 and 42 without weight decay, then with."""
    return [run for run in validate.bundled() if run.config["task"] == "modular-addition"]


@pytest.fixture(scope="session")
def board(additions: list[GramSequence]) -> validate.Scoreboard:
    return validate.check(additions, seed=0)

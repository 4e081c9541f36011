"""One scoreboard of the bundled runs serves all tests of the referee."""

import pytest

from spectral_edge import validate


@pytest.fixture(scope="session")
def board() -> validate.Scoreboard:
    return validate.check(validate.bundled(), seed=0)

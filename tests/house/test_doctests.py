"""Every example in a docstring runs and gives what it says."""

import pytest

from tests.examples import failures, modules

NAMES = modules(torch=False)


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str) -> None:
    assert failures(name, torch=False) == 0


def test_there_are_examples() -> None:
    assert len(NAMES) > 50

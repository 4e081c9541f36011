"""The examples that need PyTorch run and give what they say."""

import pytest

from tests.examples import failures, modules

NAMES = modules(torch=True)


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str) -> None:
    assert failures(name, torch=True) == 0


def test_there_are_examples() -> None:
    assert NAMES

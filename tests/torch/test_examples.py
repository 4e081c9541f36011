"""The examples that need PyTorch run and give what they say."""

from importlib import import_module

import pytest

from tests.examples import failures, modules
from tests.house.test_docstrings import lacks

NAMES = modules(torch=True)


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str) -> None:
    assert failures(name, torch=True) == 0


def test_there_are_examples() -> None:
    assert NAMES


@pytest.mark.parametrize("framework", ["huggingface", "lightning"])
def test_the_docstring_of_a_callback_is_complete(framework: str) -> None:
    callbacks = import_module(f"spectral_edge.validate.gram.integrations.{framework}")
    assert lacks("class", callbacks.GramCallback) == []

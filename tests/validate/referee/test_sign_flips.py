"""Turn the sign of any statistic round: its planted world must stop giving the verdict that is expected there."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.verdict import Prediction

pytestmark = pytest.mark.slow

Change = Callable[[Any], Any]


def changed(function: Callable[..., Any], change: Change) -> Callable[..., Any]:
    return lambda *args, **kwargs: change(function(*args, **kwargs))


@pytest.mark.parametrize(
    ("prediction", "name"),
    [pytest.param(p, name, id=f"{p.id}-{name}") for p in PREDICTIONS for name in p.turned],
)
def test_a_flipped_sign_loses_the_planted_verdict(
    monkeypatch: pytest.MonkeyPatch, prediction: Prediction, name: str
) -> None:
    module, change = sys.modules[prediction.judge.__module__], prediction.turned[name]
    original = getattr(module, name)
    if isinstance(original, dict):  # in place: others may look into the same table
        for key, function in dict(original).items():
            monkeypatch.setitem(original, key, changed(function, change))
    else:
        monkeypatch.setattr(module, name, changed(original, change))
    assert prediction.judge_planted(0) != prediction.expected_when_planted


def test_every_prediction_says_what_turns_it_round() -> None:
    assert [p.number for p in PREDICTIONS if p.turned] == list(range(1, 21))

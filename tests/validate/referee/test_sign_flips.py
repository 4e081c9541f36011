"""Turn the sign of any statistic round: its planted world must stop giving the verdict that is due there."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spectral_edge.validate.referee.collapse import forecasts as collapse_forms
from spectral_edge.validate.referee.predictions import (
    PREDICTIONS,
    p01_bbp_vacuous,
    p02_gap_above_noise,
    p03_small_gap_position,
    p04_krylov_bound,
    p05_three_phases,
    p06_stability_hierarchy,
    p07_gap_flow,
    p08_inverted_hierarchy,
    p09_loss_decomposition,
    p10_gap_precedes_grokking,
    p11_weight_decay_needed,
    p12_gap_opens_at_grokking,
    p13_optimiser_dependence,
    p14_adiabatic_regimes,
    p15_gap_tracks_loss,
    p16_gap_maximality,
    p17_projection_keeps_gap,
    p18_lag_flip,
    p19_shift_detection,
    p20_collapse_time,
)

Change = Callable[[Any], Any]


def minus(value: Any) -> Any:
    return -np.asarray(value) if np.ndim(value) else -value


def inverse(value: float) -> float:
    return 1 / value


def reversed_axis(points: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return [(-x, y) for x, y in points]


def observed_backwards(flow: p07_gap_flow.Flow) -> p07_gap_flow.Flow:
    return flow._replace(observed=-flow.observed)


def risen(found: Any) -> Any:
    return None if found is None else found._replace(fall=1 / found.fall)


def never_but_else(step: int | None) -> int | None:
    return 100 if step is None else None


#: Module, the function (or table of readings) that is the statistic, and what is done to its value.
FLIPS: list[tuple[Any, str, Change]] = [
    (p01_bbp_vacuous, "READINGS", inverse),
    (p02_gap_above_noise, "_share", lambda share: 1 - share),
    (p03_small_gap_position, "_shares", lambda shares: [1 - s for s in shares]),
    (p04_krylov_bound, "READINGS", minus),
    (p05_three_phases, "log_ratio", minus),
    (p06_stability_hierarchy, "READINGS", minus),
    (p07_gap_flow, "measure", observed_backwards),
    (p08_inverted_hierarchy, "_steady", reversed_axis),
    (p08_inverted_hierarchy, "_points", reversed_axis),
    (p09_loss_decomposition, "correlation", minus),
    (p10_gap_precedes_grokking, "READINGS", risen),
    (p11_weight_decay_needed, "grok_step", never_but_else),
    (p12_gap_opens_at_grokking, "rise", minus),
    (p13_optimiser_dependence, "READINGS", lambda k_star: 10 - k_star),
    (p14_adiabatic_regimes, "_parameter", minus),
    (p15_gap_tracks_loss, "strength", minus),
    (p16_gap_maximality, "disruption", minus),
    (p17_projection_keeps_gap, "largest_error", lambda error: 1e-3 / error),
    (p18_lag_flip, "cross_correlation", lambda r: r[..., ::-1] * np.linspace(0, 1, r.shape[-1])),
    (p19_shift_detection, "alarms", np.logical_not),
]


def changed(function: Callable[..., Any], change: Change) -> Callable[..., Any]:
    return lambda *args, **kwargs: change(function(*args, **kwargs))


@pytest.mark.parametrize(
    ("module", "name", "change"), FLIPS, ids=lambda x: getattr(x, "__name__", str(x))[-30:]
)
def test_a_flipped_sign_loses_the_planted_verdict(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, change: Change
) -> None:
    original = getattr(module, name)
    if isinstance(original, dict):
        monkeypatch.setattr(module, name, {key: changed(f, change) for key, f in original.items()})
    else:
        monkeypatch.setattr(module, name, changed(original, change))
    prediction = module.PREDICTION
    assert prediction.judge_planted(0) != prediction.expected_when_planted


def test_a_flipped_forecast_loses_the_planted_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = (p20_collapse_time.FORM, p20_collapse_time.LINE)
    forms = {name: changed(collapse_forms.FORMS[name], inverse) for name in needed}
    monkeypatch.setattr(collapse_forms, "FORMS", forms)
    monkeypatch.setattr(p20_collapse_time, "FORMS", forms)
    prediction = p20_collapse_time.PREDICTION
    assert prediction.judge_planted(0) != prediction.expected_when_planted


def test_every_prediction_is_flipped() -> None:
    flipped = {module.PREDICTION.number for module, _, _ in FLIPS} | {p20_collapse_time.PREDICTION.number}
    assert flipped == {p.number for p in PREDICTIONS} == set(range(1, 21))

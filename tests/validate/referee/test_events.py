"""Events found where they were put."""

import numpy as np
import pytest

from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee.events import fall_before, grok_step, last_fall

W = 10


def sequence(second: np.ndarray, accuracy: np.ndarray | None = None) -> GramSequence:
    """A run with three orthogonal directions whose second has strength `second` and third strength 1."""
    T = len(second)
    angle = 2 * np.pi * np.arange(T) / W
    # in time the three are orthogonal over every window, so that strengths are singular values
    patterns = np.stack([np.ones(T), np.sqrt(2) * np.cos(angle), np.sqrt(2) * np.sin(angle)], axis=1)
    flat = patterns * np.stack([np.full(T, 30.0), second, np.ones(T)], axis=1)
    metrics = {} if accuracy is None else {"test_accuracy": accuracy}
    return GramSequence.from_updates(flat, steps=100 * np.arange(1, T + 1), metrics=metrics)


def test_grok_step_is_the_first_above() -> None:
    accuracy = np.array([0.1, 0.5, 0.95, 0.2, 1.0])
    assert grok_step(sequence(np.ones(5), accuracy)) == 300
    assert grok_step(sequence(np.ones(5), 0.9 * accuracy)) is None
    assert grok_step(sequence(np.ones(5))) is None


def test_a_fall_is_found_after_it_happened_and_not_before() -> None:
    second = np.where(np.arange(60) < 30, 10.0, 1.2)
    windows = sequence(second).window(W)
    fallen = fall_before(windows, 5000, 1.5)
    assert fallen is not None
    assert fallen.fall > 10
    assert 3100 <= fallen.step <= 4000  # windows ending there hold some of the weak updates
    assert fallen.lead == 5000 - fallen.step
    early = fall_before(windows, 2500, 1.5)
    assert early is not None
    assert early.fall < 5


def test_no_fall_where_the_gap_stays_or_rises() -> None:
    steady = sequence(np.linspace(5, 20, 60)).window(W)
    found = fall_before(steady, 5000, 3.0)
    assert found is not None
    assert found.fall < 3
    assert found.step == -1
    assert fall_before(steady, 1000, 1.5) is None  # one window only: nothing to compare


def test_last_fall_is_the_last_change_point() -> None:
    second = np.where(np.arange(80) < 30, 14.0, 4.0)
    second[60:] = 1.2
    found = last_fall(sequence(second).window(W), 8000)
    assert found is not None
    assert found.fall > 1.5
    assert found.step > 5500


def test_last_fall_needs_a_change() -> None:
    T = 40
    windows = sequence(np.full(T, 10.0)).window(W)
    found = last_fall(windows, 100 * T)
    assert found is None or found.fall == pytest.approx(1, abs=0.9)
    assert last_fall(windows, 1200) is None

"""How many runs would decide: by simulation, and where it is no matter of their number."""

import numpy as np
import pytest

from spectral_edge.validate.referee.deciding import POWER, runs_to_decide
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.statistics import UNKNOWN, Estimate, mean


def test_so_many_runs_decide_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    truth, spread, n = 0.4, 0.31, 10
    half = 1.96 * spread / np.sqrt(n)
    needed = runs_to_decide(Estimate(truth, truth - half, truth + half), n, [0.5])
    assert needed is not None

    def decided(runs: int) -> float:
        found = [mean(truth + spread * rng.standard_normal(runs)) for _ in range(1000)]
        return float(np.mean([one.high < 0.5 for one in found]))

    assert decided(needed) == pytest.approx(POWER, abs=0.05)
    assert decided(needed // 3) < POWER - 0.2


def test_either_side_counts_by_itself_and_the_nearest_way_out() -> None:
    skewed = Estimate(0.0, -0.1, 0.4)
    assert runs_to_decide(skewed, 10, [-0.05]) == runs_to_decide(Estimate(0.0, -0.1, 0.1), 10, [-0.05])
    assert runs_to_decide(skewed, 10, [-0.01, 0.2]) == runs_to_decide(skewed, 10, [0.2])


def test_where_it_is_no_matter_of_their_number() -> None:
    clear = Estimate(0.4, 0.3, 0.45)
    assert runs_to_decide(clear, 10, [0.5]) is None
    assert runs_to_decide(clear, 10, [0.41, 0.5]) is None  # one exclusion is enough
    assert runs_to_decide(clear, 10, []) is None
    assert runs_to_decide(UNKNOWN, 10, [0.5]) is None
    assert runs_to_decide(clear, 1, [0.41]) is None
    assert runs_to_decide(Estimate(0.5, -np.inf, np.inf), 2, [0.4]) is None
    assert runs_to_decide(clear, 10, [0.4]) is None  # the effect stands on it


@pytest.mark.parametrize("prediction", [p for p in PREDICTIONS if p.number != 20], ids=lambda p: p.id)
def test_every_prediction_says_what_would_change_its_verdict(prediction) -> None:
    assert len(prediction.changed_by) > 80
    assert prediction.changed_by.endswith(".")

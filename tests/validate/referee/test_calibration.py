"""Size and power: counted as they should be, resumed, and within what is allowed."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from spectral_edge.validate.referee import size_and_power as calibration
from spectral_edge.validate.referee.predictions import (
    PREDICTIONS,
    p11_weight_decay_needed,
    p13_optimiser_dependence,
)
from spectral_edge.validate.referee.size_and_power import Count

FAST = (p11_weight_decay_needed.PREDICTION, p13_optimiser_dependence.PREDICTION)


@pytest.fixture(scope="module")
def counted() -> dict[str, Count]:
    return calibration.calibrate(FAST, replicates=12)


def test_counts_are_those_of_the_single_replicates(counted: dict[str, Count]) -> None:
    for prediction in FAST:
        total = Count(0, 0, 0)
        for seed in range(calibration.FIRST, calibration.FIRST + 12):
            total += calibration.replicate(prediction, seed)
        assert counted[prediction.id] == total


def test_an_executor_changes_nothing(counted: dict[str, Count]) -> None:
    with ThreadPoolExecutor(2) as executor:
        assert calibration.calibrate(FAST, replicates=12, executor=executor) == counted


def test_interrupted_work_goes_on(counted: dict[str, Count], tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"

    def stop(id: str, n: int) -> None:
        if n >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibration.calibrate(FAST, replicates=12, path=path, progress=stop)
    begun = sum(entry["n"] for entry in json.loads(path.read_text()).values())
    assert 0 < begun < 24
    told: list[int] = []
    found = calibration.calibrate(FAST, replicates=12, path=path, progress=lambda id, n: told.append(n))
    assert found == counted
    assert (
        calibration.calibrate(FAST, replicates=12, path=path, progress=stop) == counted
    )  # nothing left to do


def test_counts_of_another_rule_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    calibration.calibrate(FAST[:1], replicates=2, path=path)
    entry = json.loads(path.read_text())
    entry[FAST[0].id] |= {"rule": "of yesterday", "false_positives": 2}
    path.write_text(json.dumps(entry))
    assert calibration.calibrate(FAST[:1], replicates=2, path=path)[FAST[0].id].false_positives == 0


def test_a_test_that_always_supports_has_size_one() -> None:
    prediction = FAST[0]
    credulous = replace(prediction, judge=lambda runs, noise: prediction.verdict("supported"))
    assert calibration.replicate(credulous, 0) == Count(1, 1, 1)


def test_no_replicates() -> None:
    with pytest.raises(ValueError, match="replicates must be at least 1, got 0"):
        calibration.calibrate(FAST, replicates=0)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_stored_sizes_are_allowed_and_powers_are_real(prediction) -> None:
    count = calibration.rates(prediction)
    assert count.n >= calibration.QUICK, "make calibration"
    assert count.size.value <= calibration.LARGEST_SIZE
    assert count.power.low > 0.5

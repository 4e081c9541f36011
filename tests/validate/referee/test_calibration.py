"""Size and power: counted as they should be, resumed, and within what is allowed."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from spectral_edge.validate.referee import rules
from spectral_edge.validate.referee import size_and_power as calibration
from spectral_edge.validate.referee.predictions import (
    PREDICTIONS,
    p11_weight_decay_needed,
    p12_gap_opens_at_grokking,
)
from spectral_edge.validate.referee.size_and_power import Count
from spectral_edge.validate.referee.verdict import Prediction

pytestmark = pytest.mark.slow

FAST = (p11_weight_decay_needed.PREDICTION, p12_gap_opens_at_grokking.PREDICTION)


#: Replicates per prediction: each takes seconds.
N = 6


@pytest.fixture(scope="module", autouse=True)
def replicated() -> Iterator[Callable[[Prediction, int], Count]]:
    """A replicate depends on its prediction and its seed alone: here each is judged once."""
    judge, known = calibration.replicate, {}

    def replicate(prediction: Prediction, seed: int) -> Count:
        if prediction not in FAST:
            return judge(prediction, seed)
        key = prediction.id, seed
        known[key] = known.get(key) or judge(prediction, seed)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "replicate", replicate)
        yield judge


@pytest.fixture(scope="module")
def counted(replicated: Callable[[Prediction, int], Count]) -> dict[str, Count]:
    return calibration.calibrate(FAST, replicates=N)


def test_counts_are_those_of_the_single_replicates(counted: dict[str, Count]) -> None:
    for prediction in FAST:
        total = Count()
        for seed in range(calibration.FIRST, calibration.FIRST + N):
            total = total.plus(calibration.replicate(prediction, seed))
        assert counted[prediction.id] == total


def test_an_executor_changes_nothing(
    replicated: Callable[[Prediction, int], Count], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = calibration.calibrate(FAST, replicates=2)
    monkeypatch.setattr(calibration, "replicate", replicated)  # judged, and not known from before
    with ThreadPoolExecutor(2) as executor:
        assert calibration.calibrate(FAST, replicates=2, executor=executor) == alone


def test_interrupted_work_goes_on(counted: dict[str, Count], tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"

    def stop(id: str, n: int) -> None:
        if n >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibration.calibrate(FAST, replicates=N, path=path, progress=stop)
    begun = sum(entry["counts"]["n"] for entry in json.loads(path.read_text()).values())
    assert 0 < begun < 2 * N
    told: list[int] = []
    found = calibration.calibrate(FAST, replicates=N, path=path, progress=lambda id, n: told.append(n))
    assert found == counted
    assert (
        calibration.calibrate(FAST, replicates=N, path=path, progress=stop) == counted
    )  # nothing left to do


def test_counts_of_another_rule_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    calibration.calibrate(FAST[:1], replicates=2, path=path)
    entry = json.loads(path.read_text())
    entry[FAST[0].id]["counts"] |= {"rule": "of yesterday", "false_positives": 2}
    path.write_text(json.dumps(entry))
    assert calibration.calibrate(FAST[:1], replicates=2, path=path)[FAST[0].id].false_positives == 0


def test_counts_of_the_same_rule_over_other_ground_are_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    calibration.calibrate(FAST[:1], replicates=2, path=path)
    entry = json.loads(path.read_text())
    entry[FAST[0].id]["counts"] |= {"shared": "of yesterday", "false_positives": 2}
    path.write_text(json.dumps(entry))
    assert calibration.calibrate(FAST[:1], replicates=2, path=path)[FAST[0].id].false_positives == 0


# -- what counts belong to -------------------------------------------------------------------------------------


def test_a_rule_is_its_version_and_its_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = FAST[0]
    before = rules.rule(prediction)
    # what is said of it, and where its constants are written, does not matter
    assert rules.rule(replace(prediction, claim="Something else.", turned={})) == before
    monkeypatch.setattr(p11_weight_decay_needed, "UNDECIDED", "undecided")
    assert rules.rule(prediction) == before
    assert calibration.rates(prediction).n > 0
    assert rules.rule(replace(prediction, version=prediction.version + 1)) != before
    assert calibration.rates(replace(prediction, version=prediction.version + 1)).n == 0
    monkeypatch.setattr(p11_weight_decay_needed, "CLAIMED", 0.4)
    assert rules.rule(prediction) != before
    assert calibration.rates(prediction).n == 0


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("import numpy as np", "from numpy import array\nimport numpy as np", False),
        ("    return", "    # why\n    return", False),
        ('"""Of it."""', '"""Of something else."""', False),
        ("x: float", "x: int", False),
        ("(x + 1)", "(\n        x + 1\n    )", False),
        ("x + 1", "x + 2", True),
        ("x + 1", "x - 1", True),
        ("3.0", "4.0", True),
        ("f(x", "g(x", True),
    ],
)
def test_what_is_shared_changes_with_the_code_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str, differs: bool
) -> None:
    text = 'import numpy as np\n\nLIMIT = 3.0\n\n\ndef f(x: float) -> float:\n    """Of it."""\n    return (x + 1)\n'

    def seen(text: str) -> str:
        (tmp_path / "ground.py").write_text(text)
        monkeypatch.setattr(rules, "SHARED", ("ground",))
        return rules.shared.__wrapped__()

    monkeypatch.syspath_prepend(tmp_path)
    assert old in text
    assert (seen(text) != seen(text.replace(old, new))) == differs


def test_changed_ground_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = {id: entry["counts"]["shared"] for id, entry in calibration.stored().items()}
    own = {counted[prediction.id] for prediction in FAST}
    for ground in set(counted.values()):
        monkeypatch.setattr(calibration, "shared", lambda ground=ground: ground)
        assert len(calibration.remarks(FAST)) == (own != {ground})
    monkeypatch.setattr(calibration, "shared", lambda: "of tomorrow")
    (remark,) = calibration.remarks(FAST)
    assert remark.startswith("size and power of 2 tests were counted before")
    assert calibration.rates(FAST[0]).n > 0  # said, not hidden


# -- the planted world -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_the_verdict_expected_is_stored_of_the_rule_as_it_is(prediction: Prediction) -> None:
    found = calibration.stored()[prediction.id]["planted"]
    now = (rules.rule(prediction), rules.shared())
    assert (found["rule"], found["shared"]) == now, (
        "out of date, and judged anew at every check: make planted"
    )
    assert found["verdict"] == prediction.expected_when_planted


@pytest.mark.parametrize("number", [3, 11, 12, 13, 16, 17, 19])
def test_what_is_stored_of_the_planted_world_is_what_is_judged_there(number: int) -> None:
    prediction = next(p for p in PREDICTIONS if p.number == number)
    stored = calibration.stored()[prediction.id]["planted"]["verdict"]
    assert stored == prediction.judge_planted(calibration.PLANTED)


def test_only_what_is_of_this_rule_and_ground_and_world_is_taken_from_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prediction = FAST[0]
    entry = {"rule": rules.rule(prediction), "shared": rules.shared(), "verdict": "as stored"}
    monkeypatch.setattr(calibration, "stored", lambda: {prediction.id: {"planted": entry}})
    assert calibration.planted(prediction, calibration.PLANTED) == "as stored"
    assert calibration.planted(prediction, calibration.PLANTED + 1) == "supported"
    own = replace(prediction, planted=lambda seed: prediction.planted(seed))
    assert calibration.planted(own, calibration.PLANTED) == "supported"
    for stale in ("rule", "shared"):
        monkeypatch.setitem(entry, stale, "of yesterday")
        assert calibration.planted(prediction, calibration.PLANTED) == "supported"
        monkeypatch.undo()
        monkeypatch.setattr(calibration, "stored", lambda: {prediction.id: {"planted": entry}})
    monkeypatch.setattr(p11_weight_decay_needed, "CLAIMED", 0.4)
    assert calibration.planted(prediction, calibration.PLANTED) == "supported"


def test_the_planted_world_is_judged_once(tmp_path: Path) -> None:
    path, told = tmp_path / "size_and_power.json", []
    calibration.calibrate(FAST[:1], replicates=2, path=path)
    for _ in range(2):
        calibration.store_planted(FAST, path, progress=lambda id, n: told.append(id))
    assert told == [p.id for p in FAST]
    found = json.loads(path.read_text())
    assert [found[p.id]["planted"]["verdict"] for p in FAST] == ["supported", "supported"]
    assert found[FAST[0].id]["counts"]["n"] == 2  # and what was counted stays


def test_a_test_that_always_supports_has_size_one() -> None:
    prediction = FAST[0]
    credulous = replace(prediction, judge=lambda runs, noise: prediction.verdict("supported"))
    assert calibration.replicate(credulous, 0) == Count(1, 1, 1, 0)


def test_no_replicates() -> None:
    with pytest.raises(ValueError, match="replicates must be at least 1, got 0"):
        calibration.calibrate(FAST, replicates=0)


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_stored_sizes_are_allowed_and_powers_are_real(prediction) -> None:
    count = calibration.rates(prediction)
    if count.n < calibration.QUICK:  # make calibration: until then every scoreboard says so
        (remark,) = [one for one in calibration.remarks([prediction]) if "newer than their counts" in one]
        assert prediction.id in remark
        return
    # few sets cannot tell 5 % from 10 %: until all are counted a size is too large where its whole interval is
    size = count.size.value if count.n >= calibration.REPLICATES else count.size.low
    assert size <= calibration.LARGEST_SIZE
    assert count.power.low > 0.5

"""Stress worlds: what they say they are, nothing of `simulate`, counted as they should be, and the worst one shown."""

import ast
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectral_edge.validate.referee import bench, stress, stress_size
from spectral_edge.validate.referee import size_and_power as calibration
from spectral_edge.validate.referee.predictions import (
    PREDICTIONS,
    p11_weight_decay_needed,
    p12_gap_opens_at_grokking,
)
from spectral_edge.validate.referee.statistics import Estimate, proportion
from spectral_edge.validate.referee.stress_size import StressSize, Tally
from spectral_edge.validate.referee.verdict import Verdict

FAST = (p11_weight_decay_needed.PREDICTION, p12_gap_opens_at_grokking.PREDICTION)
P = 400


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds in few dimensions: quick, and enough for what does not look at the updates."""
    monkeypatch.setattr(stress, "P", P)


# -- the worlds ------------------------------------------------------------------------------------------------


def test_the_generators_have_nothing_of_the_noise_they_are_to_check() -> None:
    tree = ast.parse(Path(stress.__file__).read_text(encoding="utf-8"))
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert "numpy" in names
    assert not [name for name in names if "simulate" in name or "worlds" in name]


def updates(world: str, T: int = 400, decays: bool = True, seed: int = 0) -> np.ndarray:
    return stress.WORLDS[world](np.random.default_rng(seed), T, decays)


def correlation(X: np.ndarray, lag: int = 1) -> np.ndarray:
    unit = X / np.linalg.norm(X, axis=1)[:, None]
    return np.einsum("tp,tp->t", unit[lag:], unit[:-lag])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("rho", [0.5, 0.8, 0.9, 0.95])
def test_correlated_updates_are(rho: float) -> None:
    X = updates(f"correlation {rho:g}")
    # 400 inner products of standard error below 1/√P, correlated over 1/(1 − ρ) records: five of it
    allowed = 5 / np.sqrt(P * 400 * (1 - rho))
    assert abs(correlation(X).mean() - rho) < allowed
    assert abs(correlation(X, 3).mean() - rho**3) < 3 * allowed
    assert abs(correlation(X).mean() - (rho - 0.1)) > allowed


@pytest.mark.usefixtures("small")
def test_each_world_has_its_habit() -> None:
    x = updates("Student t, 3 degrees of freedom")
    assert np.mean((x / x.std()) ** 4) > 10  # normal entries: 3
    changing = correlation(updates("colour changes", stress.LONGEST))
    assert changing[:15].mean() > 0.4
    assert changing[-15:].mean() < 0
    norms = {
        w: np.linalg.norm(updates(w, 100), axis=1) for w in ("norms decay", "norms wander", "norms burst")
    }
    assert norms["norms decay"][-1] < 0.2 * norms["norms decay"][0]
    assert np.log(norms["norms wander"]).std() > 0.1
    assert np.quantile(norms["norms burst"], 0.97) > 2.5 * np.median(norms["norms burst"])
    lam = np.linalg.eigvalsh(np.cov(updates("anisotropic").T))[::-1]
    assert lam[0] > 5 * lam[20]
    for world in ("one direction drifts", "three directions rotate"):  # far records have something in common
        assert correlation(updates(world, 60), 20).mean() > 0.1
    gone = correlation(updates("directions come and go"))
    assert gone.min() < 0.35 < 0.8 < gone.max()
    switched = updates("correlation and size change", stress.LONGEST)
    assert np.linalg.norm(switched[-1]) < 0.6 * np.linalg.norm(switched[0])
    assert correlation(switched)[:10].mean() > 0.6
    with_decay, without = (
        updates("weight decay reddens and shrinks", 60, decays) for decays in (True, False)
    )
    assert correlation(with_decay).mean() > 0.5 > 0.3 > correlation(without).mean()
    assert np.linalg.norm(with_decay[-1]) < 0.5 < 0.7 < np.linalg.norm(without[-1])


@pytest.mark.usefixtures("small")
def test_sets_of_runs_can_be_judged_by_all_and_repeat_bit_by_bit() -> None:
    one, again, other = (stress.runs_of("correlation 0.5", seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.K, b.K) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0].K, other[0].K)
    assert [run.config["weight_decay"] for run in one] == [1.0] * stress.PAIRS + [0.0] * stress.PAIRS
    for prediction in PREDICTIONS:
        seen = [run for run in stress_size.viewed(one, prediction) if run is not None]
        assert len(seen) >= 4
        assert all(run.K is one[0].K for run in seen[:1])  # the updates are shared
        assert any(prediction.needs.met(run) for run in seen), prediction.id


# -- counting --------------------------------------------------------------------------------------------------

FEW = {"sets": 2, "most": 2}


@pytest.fixture
def two_worlds(monkeypatch: pytest.MonkeyPatch, small: None) -> None:
    kept = {world: stress.WORLDS[world] for world in ("correlation 0.5", "norms decay")}
    monkeypatch.setattr(stress, "WORLDS", kept)
    monkeypatch.setattr(stress_size, "BLIND", frozenset())


@pytest.mark.usefixtures("two_worlds")
def test_counts_are_those_of_the_single_sets_whatever_the_executor() -> None:
    found = stress_size.count(FAST, **FEW)
    for prediction in FAST:
        for world in stress.WORLDS:
            wanted = Tally()
            for seed in range(calibration.FIRST, calibration.FIRST + 2):
                wanted = wanted.plus(stress_size.judged(world, seed, FAST)[prediction.id])
            assert found[prediction.id][world] == wanted
    with ThreadPoolExecutor(2) as executor:
        assert stress_size.count(FAST, **FEW, executor=executor) == found


@pytest.mark.usefixtures("two_worlds")
def test_interrupted_counts_go_on_and_counts_of_other_rules_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "stress_size.json"

    def stop(world: str, n: int) -> None:
        if world == "norms decay":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stress_size.count(FAST, **FEW, path=path, progress=stop)
    told: list[str] = []
    found = stress_size.count(FAST, **FEW, path=path, progress=lambda world, n: told.append(world))
    assert 0 < len(told) < 4
    assert found == stress_size.count(FAST, **FEW)
    told.clear()
    stress_size.count(FAST, **FEW, path=path, progress=lambda world, n: told.append(world))
    assert not told  # nothing left to do
    entry = json.loads(path.read_text())
    entry[FAST[0].id] |= {"rule": "of yesterday", "worlds": {"norms decay": [2, 2, 2, 0]}}
    path.write_text(json.dumps(entry))
    assert stress_size.count(FAST, **FEW, path=path) == found


@pytest.mark.usefixtures("two_worlds")
def test_a_world_that_is_bad_by_chance_is_counted_further(monkeypatch: pytest.MonkeyPatch) -> None:
    credulous = iter(["supported"] + ["undecided"] * 99)
    monkeypatch.setattr(
        stress_size,
        "_task",
        lambda world, seed, numbers: {FAST[0].id: next(credulous) if world == "norms decay" else "undecided"},
    )
    found = stress_size.count(FAST[:1], sets=2, most=20)[FAST[0].id]
    assert found == {"correlation 0.5": Tally(2, 2, 0, 0), "norms decay": Tally(20, 20, 1, 0)}


def test_the_worst_world_is_the_one_shown_but_where_the_claim_holds() -> None:
    prediction = next(p for p in PREDICTIONS if p.id == "gap-above-noise")
    tallies = {
        "correlation 0.5": Tally(40, 40, 1, 38),
        "norms decay": Tally(80, 40, 4, 0),  # of those that could be judged
        "norms burst": Tally(4, 4, 1, 0),  # too few to say
        "norms wander": Tally(40, 0, 0, 0),
        "one direction drifts": Tally(40, 40, 40, 0),  # a gap above noise is what a direction makes
    }
    found = stress_size.worst(prediction, tallies)
    assert found == StressSize(
        proportion(4, 40), "norms decay", 40, proportion(38, 40), "correlation 0.5", 40
    )
    assert stress_size.worst(FAST[0], tallies).world == "one direction drifts"
    assert stress_size.worst(FAST[0], {}).world == ""
    assert stress_size.worst(FAST[0], {"norms wander": Tally(40, 0, 0, 0)}).world == ""


def test_what_looks_at_no_update_is_tried_in_one_world(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {p.id for p in FAST} == stress_size.BLIND
    (world,) = stress_size.count(FAST[:1], sets=1, most=1)[FAST[0].id]
    one, other = (stress_size.judged(w, 1000, FAST) for w in list(stress.WORLDS)[:2])
    assert one.keys() == other.keys()
    for (
        prediction
    ) in FAST:  # another world, the same figures but for the seed: nothing of the updates is read
        runs = stress.viewed(stress.runs_of(world, 3), prediction.id)
        blank = [replace(run, K=np.eye(run.T)) for run in runs if run is not None]
        assert repr(prediction.judge(blank, [])) == repr(
            prediction.judge([run for run in runs if run is not None], [])
        )


def test_no_sets() -> None:
    with pytest.raises(ValueError, match="sets must be at least 1, got 0"):
        stress_size.count(FAST, sets=0)


# -- what it is for --------------------------------------------------------------------------------------------


def judged(verdict: str, **more):
    prediction = FAST[1]
    return bench.capped(replace(prediction.verdict(verdict, meaning="Said."), **more), prediction)


def test_a_verdict_that_noise_gets_as_well_is_not_given() -> None:
    small, large = proportion(2, 40), proportion(8, 40)

    def supported(size: Estimate, sets: int) -> Verdict:
        return judged("supported", stress_size=size, stress_world="bursts", stress_sets=sets)

    assert supported(small, 40).verdict == "supported"
    assert supported(proportion(1, 4), 4).verdict == "supported"  # four sets prove nothing
    assert supported(proportion(3, 4), 4).verdict == "undecided"
    held = supported(large, 40)
    assert held.verdict == "undecided"
    assert held.meaning.startswith(
        "Supported by its rule, but that does not count: “bursts” is supported too, 20% of"
    )
    against = judged("refuted", refuted_size=large, refuted_world="bursts", refuted_sets=40)
    assert against.verdict == "undecided"
    assert judged("refuted", stress_size=large, refuted_size=small).verdict == "refuted"
    assert judged("supported", stress_size=Estimate(np.nan, np.nan, np.nan)).verdict == "supported"
    honest = FAST[0]
    assert honest.noise_refutes
    refuted = replace(honest.verdict("refuted"), refuted_size=large, refuted_world="bursts", refuted_sets=40)
    assert bench.capped(refuted, honest).verdict == "refuted"


def test_a_verdict_that_a_placebo_gets_as_well_is_not_specific() -> None:
    held = judged("supported", placebos={"time alone": "supported", "norms": "undecided"})
    assert held.verdict == "not specific"
    assert "time alone is supported too" in held.meaning
    assert judged("supported", placebos={"time alone": "undecided"}).verdict == "supported"


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_stored_stress_sizes_are_allowed(prediction) -> None:
    tallies = stress_size.stored_tallies(prediction)
    if min(tally.n for tally in tallies.values()) < stress_size.SETS:  # make stress: every scoreboard says so
        (remark,) = stress_size.remarks([prediction])
        assert prediction.id in remark
    found = stress_size.worst(prediction, tallies)
    if not found.sets:
        return
    # beyond doubt: the whole interval lies above what is allowed
    assert found.size.low <= calibration.LARGEST_SIZE
    if not prediction.noise_refutes:
        assert found.refuted.low <= calibration.LARGEST_SIZE


def test_what_is_of_no_prediction_of_the_package_has_no_counts_to_wait_for() -> None:
    own = replace(FAST[0], claim="Something of one's own.")
    assert stress_size.remarks([own]) == []
    assert stress_size.remarks([]) == []


@pytest.mark.slow
def test_every_test_can_be_tried_there() -> None:
    """Noise copies have what their runs have, where a claim is about what the optimiser sees."""
    found = stress_size.judged("norms decay", 0, PREDICTIONS)
    assert found.keys() == {prediction.id for prediction in PREDICTIONS}
    assert found["gap-flow"] != "not run"

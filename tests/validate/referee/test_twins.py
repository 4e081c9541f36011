"""Runs beside their twins: each statement can pass and can fail, and the difference is what it is said to be."""

from pathlib import Path

import numpy as np
import pytest

from spectral_edge import simulate
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.beyond import __main__ as command
from spectral_edge.validate.referee.beyond import lockstep, table, twin_noise, twin_worlds
from spectral_edge.validate.referee.beyond.finding import Finding, load
from spectral_edge.validate.referee.beyond.twins import Twins
from spectral_edge.validate.referee.verdict import SUPPORTED


def found(kind: str, copies: int = 1) -> dict[str, Finding]:
    runs = [twin_worlds.world(number, kind) for number in range(twin_worlds.RUNS)]
    return {
        one.id: one for one in twin_noise.judge(runs, [twin_noise.beside(run, copies=copies) for run in runs])
    }


def test_signal_that_twins_share_is_not_in_their_difference() -> None:
    verdicts = {id: one.verdict for id, one in found("shared").items()}
    assert all(verdicts[id] == SUPPORTED for id in twin_noise.SHARED)
    assert verdicts[twin_noise.NOISE] != SUPPORTED


def test_noise_alone_supports_nothing() -> None:
    assert SUPPORTED not in {one.verdict for one in found("noise").values()}


def test_signal_of_each_alone_stands_above_noise() -> None:
    of = found("parted")[twin_noise.NOISE]
    assert of.verdict == SUPPORTED
    assert of.treated.low > 0.9
    assert of.control.high < 0.9


def test_sum_and_difference_by_hand() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 9, 40))
    X = np.concatenate([a, b])
    twins = Twins("by hand", "none", 40, np.arange(1, 10), X @ X.T, stretch=4)
    assert twins.T == 8  # the ninth record is in no whole stretch
    for kind, vectors in {"run": a, "sum": (a + b) / np.sqrt(2), "difference": (a - b) / np.sqrt(2)}.items():
        np.testing.assert_allclose(twins.sequence(kind).K, vectors[:8] @ vectors[:8].T, atol=1e-12)
    shared = 2 * np.sum(a * b, axis=1) / np.sum(a * a + b * b, axis=1)
    np.testing.assert_allclose(twins.shared, shared[:8])
    with pytest.raises(ValueError, match="kind must be"):
        twins.sequence("other")


def test_colour_is_fitted_within_stretches() -> None:
    """Where every stretch begins anew, noise fitted across new starts has too little colour."""
    parts = [simulate.noise(10, P=1e7, autocorrelation=0.8, seed=seed).K for seed in range(4)]
    K = np.zeros((40, 40))
    for number, part in enumerate(parts):
        K[10 * number : 10 * number + 10, 10 * number : 10 * number + 10] = part
    run = GramSequence.from_inner_products(K)
    inside = np.arange(40) % 10 != 0
    np.testing.assert_allclose(twin_noise.within(run, 10).colour.phi[inside, 0], 0.8, atol=0.01)
    assert twin_noise.within(run, 10).colour.phi[~inside].max() == 0
    assert worlds.noise_model(run).colour.phi[inside, 0].mean() < 0.75


def test_what_is_looked_at_by_hand() -> None:
    run = twin_worlds.world(2, "shared").sequence("run")
    at = twin_noise.starts(30, 10, 10)
    seen = twin_noise.look(run, twin_noise.within(run, 10), at, 10, np.random.default_rng(0))
    windows = run.window(10)
    assert seen.log_R == pytest.approx(np.log(windows.ratio[::10]).mean())
    assert seen.k_star == pytest.approx(windows.k_star[::10].mean())
    assert seen.small == np.mean(windows.k_star[::10] <= 3)
    assert seen.windows == 3
    assert (seen.rank, seen.above) == (1.0, 1.0)


def test_windows_of_five_that_share_no_update() -> None:
    run = twin_worlds.world(3, "noise").sequence("run")
    at = twin_noise.starts(30, 10, 5)
    assert len(at) == 18
    seen = twin_noise.look(run, twin_noise.within(run, 10, 5), at, 5, np.random.default_rng(0))
    assert seen.windows == 6


def test_what_is_planned() -> None:
    names = [name for (name,) in lockstep.plans((42, 137))]
    assert len(names) == len(set(names)) == 9
    assert names[:3] == ["single-a+b-wd1-seed42", "dyck1-wd1-seed42", "single-a-b-wd1-seed42"]


MADE: list[str] = []


def made(name: str) -> Twins:
    """A world in the place of a run that is trained."""
    MADE.append(name)
    return twin_worlds.world(int(name))


@pytest.mark.slow
def test_the_command_stores_what_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MADE.clear()
    monkeypatch.setattr(lockstep, "plans", lambda seeds: [(str(number),) for number in range(3)])
    monkeypatch.setattr(lockstep, "record", made)
    arguments = ["twins", "--seeds", "1", "--out", str(tmp_path), "--work", str(tmp_path / "work")]
    command.main(arguments)
    first = load("twins", tmp_path)
    command.main(arguments)
    assert MADE == ["0", "1", "2"]  # what is kept is read again
    assert load("twins", tmp_path) == first
    assert [one["id"] for one in first["findings"]] == [*twin_noise.SHARED, twin_noise.NOISE]
    assert first["findings"][0]["n"] == 3
    assert "(prediction 2)" in table.table(tmp_path)

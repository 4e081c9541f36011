"""`validate.forecast`: what it says of a run whose future is known, and when it says nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectral_edge import validate
from spectral_edge.cli import main
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.collapse import table
from spectral_edge.validate.referee.collapse.forecasts import FORMS
from spectral_edge.validate.referee.collapse.states import states
from spectral_edge.validate.referee.collapse.tracks import Tracks

W = 10


@pytest.fixture(scope="module")
def crossing() -> GramSequence:
    """A drift that fades, overtaken by an oscillation, both known: gradient descent on a quadratic loss."""
    factor, size, eta = np.array([0.96, -0.9995, 0.9]), np.array([20.0, 1.0, 0.5]), 1e-3
    X = size * factor ** np.arange(120.0)[:, None]
    h = (1 - factor) / eta
    hessian = np.full((120, W, W), np.nan)
    for t in range(W - 1, 120):
        rows = X[t - W + 1 : t + 1][::-1]
        hessian[t] = (rows * h) @ rows.T
    return GramSequence.from_inner_products(
        X @ X.T, P=3, probes={"hessian": hessian},
        config={"optimizer": "SGD", "learning_rate": eta, "weight_decay": 0.0, "run": "crossing"},
    )  # fmt: skip


def test_an_exchange_that_is_seen_coming(crossing: GramSequence) -> None:
    tracks = Tracks.of(crossing)
    seen = states(tracks)
    i = next(
        i
        for i in np.flatnonzero(seen.exchanged)
        if 15 < seen.time[i] < 40 and tracks.looked[seen.row[i]] >= 30
    )
    step = int(tracks.windows.steps[tracks.looked[seen.row[i]]])
    found = validate.forecast(crossing, step=step)
    assert found.step == step
    assert found.followed[seen.pair[i]]
    for form in ("propagated", "fitted", "checked"):
        assert found.collapse_time[form][seen.pair[i]] == pytest.approx(seen.time[i], abs=0.1)
    upper, lower = found.pairs[seen.pair[i]]
    assert (upper, lower) == (seen.pair[i] + 1, seen.pair[i] + 2)
    assert f"modes {upper} and {lower}" in str(found)
    assert f"in {seen.time[i]:.0f} records" in str(found)


def test_the_contract(crossing: GramSequence) -> None:
    found = validate.forecast(crossing, step=60)
    assert found.pairs.dtype.kind == "i"
    assert {"propagated", "fitted", "damping", "line"} <= set(found.collapse_time)
    assert all(times.shape == (len(found.pairs),) for times in found.collapse_time.values())
    assert found.ahead.shape == (61, W)
    np.testing.assert_allclose(found.ahead[0, :2], found.past[-1, :2])
    later = validate.forecast(crossing, step=80).past[-1, :2]
    np.testing.assert_allclose(found.ahead[20, :2], later, rtol=1e-4)


def test_a_shorter_horizon_sees_less(crossing: GramSequence) -> None:
    near, far = (validate.forecast(crossing, step=60, horizon=horizon) for horizon in (5, 60))
    assert near.ahead.shape == (6, W)
    for form, times in far.collapse_time.items():
        shortened = near.collapse_time[form]
        assert (np.isnan(times) == np.isnan(shortened)).all()
        assert np.isinf(shortened[times > 5]).all()


def test_only_the_past_counts(crossing: GramSequence) -> None:
    rng = np.random.default_rng(0)
    later = np.concatenate(
        [np.linalg.cholesky(crossing.K[:70, :70] + 1e-12 * np.eye(70)), np.zeros((70, 30))], axis=1
    )
    noise = np.concatenate([later, rng.normal(size=(30, 100))])
    hessian = np.concatenate([crossing.probes["hessian"][:70], np.full((30, W, W), np.nan)])
    other = GramSequence.from_inner_products(
        noise @ noise.T, probes={"hessian": hessian}, config=crossing.config
    )
    one, two = validate.forecast(crossing, step=70), validate.forecast(other, step=70)
    for form, times in one.collapse_time.items():
        known = one.followed & two.followed
        np.testing.assert_allclose(times[known], two.collapse_time[form][known], rtol=1e-2)


def test_K_alone_allows_less(crossing: GramSequence) -> None:
    bare = replace(crossing, probes={}, config={})
    found = validate.forecast(bare, step=60)
    assert set(found.collapse_time) == {"fitted", "transport", "line", "line-of-gap"}
    assert found.best == "fitted"
    assert "On no run like it was tested how good that is." in str(found)
    assert found.record == {}


@pytest.mark.parametrize("lags", [15, 16, 40])
@pytest.mark.parametrize("step", [17, 18, 60])
def test_a_band_is_cut_where_it_is_asked_for(crossing: GramSequence, lags: int, step: int) -> None:
    K = np.full((120, lags + 1), np.nan)
    for lag in range(lags + 1):
        K[lag:, lag] = np.diag(crossing.K, -lag)
    banded = replace(crossing, K=K)
    one, other = (validate.forecast(run, step=step) for run in (crossing, banded))
    for form, times in one.collapse_time.items():
        np.testing.assert_allclose(times, other.collapse_time[form], rtol=1e-6)


def test_the_last_record_with_a_curvature_is_taken(crossing: GramSequence) -> None:
    hessian = crossing.probes["hessian"].copy()
    hessian[60:] = np.nan
    sparse = replace(crossing, probes={"hessian": hessian})
    assert validate.forecast(sparse, step=63).step == 60
    late = validate.forecast(sparse, step=100)
    assert late.step == 100
    assert np.isnan(late.collapse_time["propagated"]).all()  # that curvature is too old


def test_batches_leave_nothing_to_be_said() -> None:
    rng = np.random.default_rng(1)
    run = GramSequence.from_updates(rng.normal(size=(80, 3000)), 100 * np.arange(1, 81))
    found = validate.forecast(run)
    assert not found.followed.any()
    assert "cannot be said" in str(found)
    assert "record every" in str(found)
    assert found.lasts < 5
    dense = validate.forecast(replace(run, steps=np.arange(1, 81)))
    assert "every step is recorded already" in str(dense)


def test_bad_input(crossing: GramSequence) -> None:
    with pytest.raises(ValueError, match="horizon must be"):
        validate.forecast(crossing, horizon=61)
    with pytest.raises(ValueError, match="step must be"):
        validate.forecast(crossing, step=0)
    with pytest.raises(ValueError, match="sequence must hold 16 records"):
        validate.forecast(crossing, step=12)


def test_what_it_says_of_runs_like_it(crossing: GramSequence, monkeypatch: pytest.MonkeyPatch) -> None:
    forms = {
        "checked": {"concordance": [0.8, 0.7, 0.9], "error": [0.2, 0.1, 0.3], "within": 0.6, "never": 0.2}
    }
    other = {
        "checked": {"concordance": [0.9, 0.8, 1.0], "error": [0.1, 0.1, 0.2], "within": 0.7, "never": 0.1}
    }
    monkeypatch.setattr(
        table, "stored",
        lambda: {"a": {"kind": "gradient descent", "exchanges": 20, "forms": forms},
                 "b": {"kind": "gradient descent", "exchanges": 9, "forms": other},
                 "few": {"kind": "gradient descent", "exchanges": 7, "forms": {"checked": {}}},
                 "c": {"kind": "Adam", "exchanges": 30, "forms": {}}},
    )  # fmt: skip
    found = validate.forecast(crossing, step=60)
    assert found.record["checked"]["concordance"] == (0.8, 0.9)
    assert "right in 80% to 90% of pairs" in str(found)
    assert "median error 10% to 20%" in str(found)


def test_kinds_of_runs(crossing: GramSequence) -> None:
    def kind(**card: object) -> str | None:
        return table.kind_of(replace(crossing, config=card))

    assert kind(optimizer="SGD") == "gradient descent"
    assert kind(optimizer="SGD", momentum=0.9) == "gradient descent with momentum"
    assert kind(optimizer="AdamW") == kind(optimizer="adam") == "Adam"
    assert kind(optimizer="Muon") is None
    assert kind() is None


def test_accuracy_by_regime() -> None:
    runs = [
        replace(run, config={**run.config, "regime": name})
        for name, seed in (("one", 0), ("two", 1))
        for run in worlds.planted("window-exchange", 3)(seed)
    ]
    found = {name: table.accuracy(own) for name, own in table.by_regime(runs).items()}
    assert list(found) == ["one", "two"]
    assert found["one"]["runs"] == 3
    assert set(found["two"]["forms"]) >= set(FORMS)
    assert found["two"]["forms"]["propagated"]["error"][0] < 1e-3
    json.dumps(found)


def test_picture(crossing: GramSequence) -> None:
    ax = validate.forecast(crossing, step=60).plot()
    assert ax.get_yscale() == "log"
    assert any("exchange" in text.get_text() for text in ax.get_legend().get_texts())


def test_command(crossing: GramSequence, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = crossing.save(tmp_path / "run.npz")
    figure = tmp_path / "forecast.svg"
    with pytest.raises(SystemExit) as stopped:
        main(["forecast", str(path), "--step", "60", "--json", "--out", str(figure)])
    assert stopped.value.code == 0
    told = json.loads(capsys.readouterr().out)
    found = validate.forecast(crossing, step=60)
    assert told["sentence"] == str(found)
    assert told["pairs"] == found.pairs.tolist()
    assert told["collapse_time"]["line"][:2] == [pytest.approx(found.collapse_time["line"][0]), None]
    assert figure.read_text().startswith("<?xml")
    with pytest.raises(SystemExit) as stopped:
        main(["forecast", str(path), "--step", "60"])
    assert stopped.value.code == 0
    assert "Records until they exchange" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["forecast", str(tmp_path / "none.npz")])
    assert stopped.value.code == 2


def test_notes_of_the_reading_are_on_standard_error_and_in_the_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for epoch, theta in enumerate(np.cumsum(np.random.default_rng(0).normal(size=(30, 50)), axis=0)):
        np.save(tmp_path / f"epoch={epoch}.npy", theta)
    with pytest.raises(SystemExit):
        main(["forecast", str(tmp_path), "--json"])
    out, err = capsys.readouterr()
    notes = json.loads(out)["notes"]
    assert any("epoch" in note for note in notes)
    assert [line.removeprefix("note: ") for line in err.splitlines()] == notes


def test_the_command_of_a_run_of_which_nothing_can_be_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    run = GramSequence.from_updates(rng.normal(size=(80, 3000)), 100 * np.arange(1, 81))
    with pytest.raises(SystemExit) as stopped:
        main(["forecast", str(run.save(tmp_path / "run.npz"))])
    assert stopped.value.code == 0
    assert "cannot be said" in capsys.readouterr().out


def test_a_run_that_is_being_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.npz"
    s = np.arange(60.0)
    theta = np.stack([500 * 0.96**s, 0.5 * (-0.9995) ** s, 0.01 * np.sin(s)], axis=1)
    tracker = validate.GramTracker(W_max=16, path=path)
    for row in theta:
        tracker.update(row)
    with pytest.raises(SystemExit) as stopped:
        main(["forecast", str(path)])
    assert stopped.value.code == 0
    assert "at step 59; modes 1 and 2" in capsys.readouterr().out
    tracker.close()


def test_several_runs_are_not_one(
    crossing: GramSequence, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        replace(crossing, K=crossing.K * (1 + (name == "two")), config={"run": name}).save(
            tmp_path / f"{name}.npz"
        )
    with pytest.raises(SystemExit) as stopped:
        main(["forecast", str(tmp_path)])
    assert stopped.value.code == 2
    assert "path must hold one run, got 2" in capsys.readouterr().err

"""Curvature as the optimiser sees it: from whichever probes there are, no further down than rounding allows."""

from dataclasses import replace

import numpy as np
import pytest

from spectral_edge import theory
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import curvature, worlds
from spectral_edge.validate.referee.cards import with_field
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.predictions import p08_inverted_hierarchy as p08
from spectral_edge.validate.referee.predictions import p14_adiabatic_regimes as p14
from spectral_edge.validate.referee.worlds import Noise

W = 4
D = np.array([1.0, 4.0, 0.5, 2.0, 3.0, 0.25])
H = np.diag([3.0, 8.0, 0.1, 1.0, 2.0, 0.5])


def recorded(optimizer: str, *, T: int = 12, decades: float = 0.0, single: bool = False) -> GramSequence:
    """Random updates with all probes, newest first; directions fall by `decades` from the first to the last."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(T, len(D))) * 10 ** -np.linspace(0, decades, len(D))
    forms = {"hessian": H, "metric": np.diag(D), "response": np.diag(1 / D) @ H}
    probes: dict[str, np.ndarray] = {name: np.full((T, W, W), np.nan) for name in forms}
    probes["gradient"] = np.full((T, W + 1), np.nan)
    for t in range(W, T):
        rows = X[t - W + 1 : t + 1][::-1]
        for name, form in forms.items():
            probes[name][t] = rows @ form @ rows.T
        probes["gradient"][t] = X[t - W : t + 1][::-1] @ np.ones(len(D))
    if single:
        probes = {name: probe.astype(np.float32) for name, probe in probes.items()}
    config = {"optimizer": optimizer, "learning_rate": 0.1, "weight_decay": 0.0}
    return GramSequence.from_updates(X, steps=5 * np.arange(1, T + 1), probes=probes, config=config)


def only(run: GramSequence, *names: str) -> GramSequence:
    return replace(run, probes={name: run.probes[name] for name in names})


@pytest.mark.parametrize(
    ("optimizer", "probes", "expected"),
    [
        ("AdamW", ("response", "hessian", "metric"), "response"),
        ("AdamW", ("hessian", "metric"), "metric"),
        ("AdamW", ("hessian",), None),
        ("AdamW", ("metric",), None),
        ("Muon", ("hessian",), None),
        ("SGD", ("hessian",), "hessian"),
        ("", ("hessian",), None),  # unknown is unknown
    ],
)
def test_which_probe_tells(optimizer: str, probes: tuple[str, ...], expected: str | None) -> None:
    run = only(recorded("SGD"), *probes)
    run = with_field(run, "optimizer", optimizer or None)
    assert curvature.source(run, W) == expected
    assert curvature.source(run, W + 1) is None  # they reach no further
    if expected is None:
        with pytest.raises(ValueError, match="run must hold the probe response"):
            curvature.seen(run, W)


def test_every_probe_tells_its_own() -> None:
    run = recorded("AdamW")
    windows = run.window(W)
    v = (
        np.einsum("nsj,nsp->njp", windows.u, [run_rows(run, t) for t in range(W - 1, run.T)])
        / windows.sigma[..., None]
    )
    wanted = {
        "response": np.einsum("njp,pq,njq->nj", v, H / D[:, None], v),
        "hessian": np.einsum("njp,pq,njq->nj", v, H, v),
    }
    measured = np.arange(len(windows.steps)) >= 1  # from the first record with a lag more than the window
    found = {"response": curvature.seen(run, W), "hessian": curvature.plain(run, W)}
    for name, h in found.items():
        assert np.isnan(h[~measured]).all()
        np.testing.assert_allclose(h[measured], wanted[name][measured], rtol=1e-6, atol=1e-9)
    by_metric = curvature.seen(only(run, "hessian", "metric"), W)[measured]
    rows = range(W, run.T)
    blocks = [(X @ X.T, (X * D) @ X.T, X @ H @ X.T) for X in (run_rows(run, t) for t in rows)]
    np.testing.assert_allclose(by_metric, [theory.projected_curvature(*block) for block in blocks], rtol=1e-6)
    assert not np.allclose(by_metric, found["hessian"][measured], rtol=0.05)


def run_rows(run: GramSequence, t: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(run.T, len(D)))[t - W + 1 : t + 1]


def test_what_rounding_leaves_is_not_told() -> None:
    double, single = (recorded("AdamW", decades=4.0, single=one) for one in (False, True))
    sigma = single.window(W).sigma[1:]
    assert np.isfinite(curvature.seen(double, W)[1:]).all()
    floors = {
        2: np.sqrt(W * np.finfo(np.float32).eps / curvature.ROUNDED),
        1: np.sqrt(W * np.finfo(np.float32).eps),
    }
    for found, degree in ((curvature.seen(single, W), 2), (curvature.gradients(single, W), 1)):
        np.testing.assert_array_equal(np.isfinite(found[1:]), sigma > floors[degree] * sigma[:, :1])
        assert np.isnan(found[1:]).any()
        assert np.isfinite(found[1:]).any()
    strong = np.isfinite(curvature.seen(single, W))
    np.testing.assert_allclose(
        curvature.seen(single, W)[strong],
        curvature.seen(double, W)[strong],
        atol=2e-3 * 2 * H.max() / D.min(),
    )


def test_the_rate_is_that_of_all_steps_between_two_records() -> None:
    run = recorded("SGD")
    assert curvature.rate(run) == pytest.approx(0.1 * 5)
    assert curvature.rate(with_field(run, "momentum", 0.9)) == pytest.approx(0.1 * 5 / 0.1)


# -- which runs decide ---------------------------------------------------------------------------------------------


def as_dense(runs: list[GramSequence]) -> list[GramSequence]:
    return [with_field(run, "experiment", "dense") for run in runs]


def noise_of(runs: list[GramSequence]) -> list[Noise]:
    return [worlds.matched_noise(run, 0, copies=3) for run in runs]


def test_runs_recorded_at_every_step_decide_and_the_others_are_a_reading() -> None:
    planted = p08.PREDICTION.planted(0)
    dense, others = as_dense(planted[:3]), planted[3:]
    found = p08.PREDICTION.judge([*others, *dense], noise_of([*others, *dense]))
    alone = p08.PREDICTION.judge(planted[:3], noise_of(planted[:3]))
    assert (found.n, found.statistic, found.verdict) == (3, alone.statistic, alone.verdict)
    assert any("records further apart" in reading.name for reading in found.readings)
    assert not any("records further apart" in reading.name for reading in alone.readings)
    bare = [replace(run, probes={}) for run in dense]  # dense runs that say nothing decide nothing
    assert p08.PREDICTION.judge([*others, *bare], noise_of([*others, *bare])).n == 3


def test_predictions_about_flows_and_transitions_take_dense_runs() -> None:
    assert [p.number for p in PREDICTIONS if p.dense] == [4, 7, 8, 14, 16, 20]


def test_a_dense_run_that_groks_counts_whatever_its_decay() -> None:
    runs = [with_field(run, "weight_decay", 0.0) for run in p14.PREDICTION.planted(0)[:3]]
    assert p14.PREDICTION.judge(runs, noise_of(runs)).verdict == "not run"
    dense = as_dense(runs)
    found = p14.PREDICTION.judge(dense, noise_of(dense))
    assert found.n == 3
    assert not any("tangent" in reading.name for reading in found.readings)
    kernel = [replace(run, metrics={**run.metrics, "tangent_rate": np.ones(run.T)}) for run in dense]
    told = p14.PREDICTION.judge(kernel, noise_of(kernel))
    own = next(reading for reading in told.readings if "tangent" in reading.name)
    assert own.treated.value > 0.9  # 1/(ηg²) alone: the planted gap nearly closes at the transition
    assert told.statistic == found.statistic

"""Runs as they come from trainings that went wrong: they are judged and drawn to the end, without a numpy warning."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from spectral_edge.cli import main
from spectral_edge.validate import GramSequence, check, forecast
from spectral_edge.validate.gram.derived import between
from spectral_edge.validate.runs import Plan, record
from tests.torch.runs.tiny import OPTIONS

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.slow]
STEPS = 400


@pytest.fixture(scope="module")
def runs() -> list[GramSequence]:
    """Runs with all probes, of which those with decay grok, so that every prediction has something to look at."""
    plan = Plan(
        **OPTIONS | {"window": 10, "W_max": 24, "max_steps": STEPS, "seeds": (0, 1, 2), "ablations": 6}
    )
    found = []
    for run in record(plan).values():
        at = 200 if run.config["weight_decay"] else STEPS - 10
        accuracy = np.where(run.steps > at, 0.99, 0.5)
        found.append(replace(run, metrics={**run.metrics, "test_accuracy": accuracy}))
    return found


def measured(**metrics):
    def change(run):
        made = {
            name: value(run) if callable(value) else np.full(run.T, value) for name, value in metrics.items()
        }
        return replace(run, metrics={**run.metrics, **made})

    return change


def probed(make, *names):
    def change(run):
        return replace(
            run, probes={name: make(v) if not names or name in names else v for name, v in run.probes.items()}
        )

    return change


def at_one_record(value):
    return lambda probe: np.where(
        np.arange(len(probe)).reshape(-1, *[1] * (probe.ndim - 1)) == 30, value, probe
    )


def said(**config):
    return lambda run: replace(run, config={**run.config, **config})


def first(n):
    return lambda run: between(run, 0, n)


def at_rest(run):
    still = np.arange(run.T) >= 70
    probes = {
        name: np.where(still.reshape(-1, *[1] * (v.ndim - 1)), 0.0, v) for name, v in run.probes.items()
    }
    return replace(run, K=np.where(still[:, None], 0 * run.K, run.K), probes=probes)


def products(by_lag):
    """K of updates whose products depend on their lag alone."""
    return lambda run: replace(
        run, K=np.where(np.isnan(run.K), np.nan, by_lag(np.arange(run.K.shape[1]))), probes={}
    )


def growing(rate):
    def change(run):
        t, lag = np.indices(run.K.shape)
        return replace(run, K=run.K * np.exp(rate * (t + np.maximum(t - lag, 0))), probes={})

    return change


HARD = {
    "no loss any more": measured(test_loss=0.0, train_loss=0.0),
    "loss that does not change": measured(test_loss=1.0),
    "loss of NaN": measured(test_loss=np.nan),
    "infinite loss": measured(test_loss=lambda run: np.where(np.arange(run.T) == 5, np.inf, 1.0)),
    "grokked at once": measured(test_accuracy=1.0),
    "nothing measured": lambda run: replace(run, metrics={}),
    "diverged curvature": probed(at_one_record(np.inf), "hessian", "response", "metric"),
    "diverged gradient": probed(at_one_record(np.inf), "gradient"),
    "probes of 0": probed(lambda v: 0 * v),
    "probes of NaN": probed(lambda v: np.nan * v),
    "as long as a window": first(10),
    "one record longer": first(11),
    "two records": first(2),
    "hardly a forecast": first(16),
    "rate of 0 on the card": said(learning_rate=0.0),
    "impossible momentum": said(betas=[1.0, 1.0]),
    "wild schedule": measured(learning_rate=lambda run: 1e-3 * np.exp(np.sin(np.arange(run.T)))),
    "comes to rest": at_rest,
    "the same update again and again": products(lambda lag: np.ones(len(lag))),
    "updates that alternate": products(lambda lag: (-1.0) ** lag),
    "orthogonal updates": lambda run: replace(
        run, K=np.where(np.arange(run.K.shape[1]) == 0, run.K, 0 * run.K), probes={}
    ),
    "blows up": growing(1.0),
    "dies out": growing(-1.0),
    "uneven steps": lambda run: replace(run, steps=np.cumsum(1 + np.arange(run.T) ** 2)),
}


#: Too short for a forecast.
SHORT = ("as long as a window", "one record longer", "two records")


@pytest.mark.parametrize("name", HARD)
def test_verdicts_come_for_all_predictions(runs, name):
    board = check([HARD[name](run) for run in runs])
    assert len(board.verdicts) == 20
    assert {verdict.verdict for verdict in board} <= {
        "supported",
        "not specific",
        "refuted",
        "undecided",
        "not run",
    }
    assert json.loads(json.dumps(board.to_dict(), allow_nan=False))["verdicts"]


@pytest.mark.parametrize("name", [name for name in HARD if name not in SHORT])
def test_a_forecast_is_a_sentence_and_a_picture(runs, name):
    found = forecast(HARD[name](runs[0]))
    assert re.search("expected to exchange|cannot be said", str(found))
    assert "inf " not in str(found)
    assert found.plot(Figure().subplots()).lines


@pytest.mark.parametrize(
    "name",
    [
        "no loss any more",
        "diverged curvature",
        "comes to rest",
        "updates that alternate",
        "as long as a window",
    ],
)
def test_the_report_is_written(runs, name, tmp_path, capsys):
    for i, run in enumerate(runs):
        HARD[name](run).save(tmp_path / "runs" / f"{i}.npz")
    with pytest.raises(SystemExit) as end:
        main(["validate", str(tmp_path / "runs"), "--out", str(tmp_path / "report"), "--jobs", "1"])
    assert not end.value.code, capsys.readouterr().err
    assert (tmp_path / "report" / "index.html").stat().st_size > 100_000

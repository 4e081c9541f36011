"""What a prediction says it needs is what it needs: with no more it is judged, without any of it it is not."""

from dataclasses import replace

import numpy as np
import pytest

from spectral_edge import validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import KEYS, with_field
from spectral_edge.validate.referee.needs import CURVATURE, HOW, QUERIES, TRANSITION, Needs, how
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.verdict import NOT_RUN, Prediction

#: What the words of a prediction's needs say of its runs, not of a key: their place among other runs.
OF_THE_RUNS = ("experiment", "weight_decay", "task", "operation")
METRICS = {TRANSITION: ("test_accuracy",), QUERIES: (".Q.sigma_1", ".Q.sigma_2"), "test_loss": ("test_loss",)}


#: Probes by what they tell.
PROBES = {CURVATURE: ("response", "metric", "hessian")}


def probes_of(*names: str) -> set[str]:
    return {probe for name in names for probe in PROBES.get(name, (name,))}


def stripped(run: GramSequence, needs: Needs) -> GramSequence:
    """The run with nothing but what is needed."""
    names = [end for name in needs.metrics for end in METRICS[name]]
    return replace(
        run,
        P=run.P if needs.P else None,
        metrics={
            name: values for name, values in run.metrics.items() if name.endswith(tuple(names or ["-"]))
        },
        probes={name: values for name, values in run.probes.items() if name in probes_of(*needs.probes)},
        config={key: value for key, value in run.config.items() if key in (*needs.config, *OF_THE_RUNS)},
    )


def without(run: GramSequence, name: str) -> GramSequence:
    """The run without one thing."""
    if name == "P":
        return replace(run, P=None)
    if name in KEYS:
        return with_field(run, name, None)
    ends = METRICS.get(name, (name,))
    return replace(
        run,
        metrics={key: values for key, values in run.metrics.items() if not key.endswith(ends)},
        probes={key: values for key, values in run.probes.items() if key not in probes_of(name)},
    )


def judged(prediction: Prediction, runs: list[GramSequence]) -> str:
    return prediction.judge(runs, [worlds.matched_noise(run, 0, copies=3) for run in runs]).verdict


def few(prediction: Prediction) -> list[GramSequence]:
    """Planted runs, no more than it takes."""
    runs = prediction.planted(0)
    controls = [run for run in runs if run.config.get("weight_decay") == 0]
    treated = [run for run in runs if run not in controls] if not controls else runs[: len(controls)]
    return [*treated[:2], *controls[:2]]


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.id)
def test_what_is_needed_is_enough_and_all_of_it_is_needed(prediction: Prediction) -> None:
    needs = prediction.needs
    runs = [stripped(run, needs) for run in few(prediction)]
    assert all(needs.met(run) for run in runs)
    assert judged(prediction, runs) != NOT_RUN
    for name in (*needs.config, *needs.metrics, *needs.probes, *(("P",) if needs.P else ())):
        lacking = [without(run, name) for run in runs]
        assert needs.missing(lacking) == {name: len(runs)}, name
        assert judged(prediction, lacking) == NOT_RUN, name


@pytest.mark.parametrize("prediction", [p for p in PREDICTIONS if p.needs.records], ids=lambda p: p.id)
def test_shorter_and_narrower_runs_are_not_judged(prediction: Prediction) -> None:
    needs, runs = prediction.needs, few(prediction)
    short = [run_of(run, needs.records - 1, run.W_max) for run in runs]
    assert set(needs.missing(short)) >= {"records"}
    assert judged(prediction, short) == NOT_RUN
    if needs.records > needs.band:
        narrow = [run_of(run, run.T, needs.band - 1) for run in runs]
        assert needs.missing(narrow) == {"band": len(runs)}
        assert judged(prediction, narrow) == NOT_RUN


def run_of(run: GramSequence, T: int, lags: int) -> GramSequence:
    """The first T records of a run, in a band of so many lags."""
    lags = min(lags, T - 1)
    return replace(
        run,
        K=run.band(lags)[:T] if lags < T - 1 else run.K[:T, :T],
        steps=run.steps[:T],
        metrics={name: values[:T] for name, values in run.metrics.items()},
        probes={name: values[:T] for name, values in run.probes.items()},
    )


def test_everything_that_may_be_missing_has_its_how() -> None:
    for prediction in PREDICTIONS:
        needs = prediction.needs
        assert set(needs.metrics) | set(needs.probes) <= set(HOW)
        assert set(needs.config) <= set(KEYS)
    assert how("weight_decay") == "config={'weight_decay': …}"


def told_of(run: GramSequence) -> str:
    return next(p for p in PREDICTIONS if p.number == 15).needs.told([run])


def test_a_scoreboard_names_what_is_missing_and_how_it_is_recorded() -> None:
    walk = np.cumsum(np.random.default_rng(0).normal(size=(15, 400)), axis=0)
    metrics = {"val_loss": np.ones(14)}
    bare = GramSequence.from_parameters(walk, metrics=metrics)
    told = GramSequence.from_parameters(walk, metrics=metrics, config={"lr": 0.1, "wd": 1})
    board = validate.check([bare, told], predictions=[p for p in PREDICTIONS if p.number in (1, 7, 11, 15)])
    found = {v.number: v.meaning for v in board}
    assert "1 of 2 lack learning_rate (config={'learning_rate': …})." in found[1]
    assert "None has batch_size (config={'batch_size': …})." in found[1]
    told_so = (
        "None has gradient, response (or metric beside hessian) "
        "(probes=validate.probes.from_loss(model, loss, optimizer=optimizer) "
    )
    assert told_so in found[7]
    assert "It needs runs with weight decay and without." in found[11]
    assert "None has transition (tracker.update(model, step=step, test_accuracy=…), or event=)." in found[11]
    assert "None has 29 updates (record more often, or longer)." in found[15]
    assert "test_loss" not in found[15]  # it is there, by another name
    assert "test_loss" not in told_of(bare)
    some = np.where(np.arange(14) % 4 == 3, 1.0, np.nan)  # once an epoch, as trainers measure it
    lacks = "None has test_loss at every record (tracker.update(model, step=step, test_loss=…), with every= as often"
    assert lacks in told_of(replace(bare, metrics={"val_loss": some}))
    assert board["bbp-vacuous"].details["missing"]["learning_rate"] == {
        "runs": 1, "how": "config={'learning_rate': …}"
    }  # fmt: skip

"""A transition may be another than a test accuracy: a condition on any metric, a step, or a step of each run."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spectral_edge import validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.conditions import Event, with_event
from spectral_edge.validate.referee.early_warning.judge import early_warning
from spectral_edge.validate.referee.events import grok_step, is_watched, transition
from spectral_edge.validate.referee.partners import decay_groups
from spectral_edge.validate.referee.predictions import PREDICTIONS, p10_gap_precedes_grokking
from spectral_edge.validate.referee.scoreboard import run_row

pytestmark = pytest.mark.slow


def run(name: str = "a", T: int = 12, **about: Any) -> GramSequence:
    metrics = {"val_loss": np.linspace(2.4, 1.3, T), "val_acc": np.linspace(4, 92, T)}
    return GramSequence.from_updates(
        np.random.default_rng(0).normal(size=(T, 30)),
        steps=10 * np.arange(1, T + 1),
        metrics=about.pop("metrics", metrics),
        config={"run": name, **about},
    )


@pytest.mark.parametrize(
    ("event", "step"),
    [
        ("val_loss<1.65", 90),
        ("val_loss <= 1.6", 90),
        ("test_loss<1.65", 90),
        ("VAL/LOSS<1.65", 90),
        ("val_loss<1", None),
        ("val_acc>=84", 110),
        ("val_acc>1e2", None),
        (70, 70),
        (lambda run: int(run.steps[2]), 30),
        (lambda run: None, None),
        ({"a": 40}, 40),
        ({"a": None}, None),
    ],
)
def test_the_step_is_the_first_that_meets_the_condition(event: Event, step: int | None) -> None:
    (found,) = with_event([run()], event)
    assert grok_step(found) == step
    assert is_watched(found)
    assert run_row(found)["grok_step"] == step
    assert run_row(found)["status"] == ("not grokked" if step is None else "grokked")


def test_the_accuracy_no_longer_counts() -> None:
    early = run(metrics={"val_loss": np.linspace(2.4, 1.3, 12), "test_accuracy": np.linspace(0.9, 1, 12)})
    assert grok_step(early) == 70
    (found,) = with_event([early], "val_loss<1.65")
    assert grok_step(found) == 90
    unknown = run("b", metrics={"test_accuracy": np.ones(12)})
    both = with_event([early, unknown], "val_loss<1.65")
    assert not is_watched(both[1])
    assert grok_step(both[1]) is None
    assert run_row(both[1])["status"] == "no test accuracy"


def test_a_card_may_say_its_step() -> None:
    known, never = run(event_step=50, metrics={}), run(event_step=-1, metrics={})
    assert (grok_step(known), grok_step(never)) == (50, None)
    assert is_watched(never)
    assert transition([known]) == "a step of your own"
    groups = decay_groups([run(event_step=50, weight_decay=1), run(event_step=-1, weight_decay=0)])
    assert [len(group) for group in groups] == [1, 1]


@pytest.mark.parametrize(
    "event", ["val_loss", "<1.2", "val_loss<", "val_loss=<1", "val_loss=1", "val_loss<1.2.3e"]
)
def test_what_is_no_condition(event: str) -> None:
    with pytest.raises(ValueError, match=r"event must be a step or a condition such as 'val_loss<1\.2', got"):
        with_event([run()], event)


def test_a_condition_on_what_no_run_has() -> None:
    with pytest.raises(
        ValueError,
        match=r"event must be about what was recorded of a run \(val_acc, val_loss\), got 'perplexity<3'",
    ):
        with_event([run()], "perplexity<3")
    with pytest.raises(ValueError, match="event must be"):
        with_event([run()], {"another": 30})
    with pytest.raises(ValueError, match="event must be at least 0, got -3"):
        with_event([run()], -3)


def by_loss(runs: list[GramSequence]) -> list[GramSequence]:
    """The same runs, whose transitions show in a perplexity alone."""
    found = []
    for one in runs:
        perplexity = np.where(one.metrics["test_accuracy"] >= 0.95, 5.0, 50.0)
        metrics = {name: v for name, v in one.metrics.items() if name != "test_accuracy"}
        found.append(replace(one, metrics={**metrics, "eval/perplexity": perplexity}))
    return found


def test_predictions_are_judged_by_it(additions: list[GramSequence]) -> None:
    chosen = [p for p in PREDICTIONS if p.number in (10, 11)]
    other = by_loss(additions)
    usual = validate.check(additions, predictions=chosen)
    found = validate.check(other, predictions=chosen, event="eval_perplexity<10")
    for one, same in zip(usual, found, strict=True):
        assert (one.verdict, one.statistic, one.effect, one.p_value) == (
            same.verdict, same.statistic, same.effect, same.p_value,
        )  # fmt: skip
        assert one.worlds == same.worlds
    assert found["weight-decay-needed"].readings[0].name == "eval_perplexity<10"
    assert found.notes[0] == "a transition is eval_perplexity<10: it came in 3 of 6 runs"
    assert {v.verdict for v in validate.check(other, predictions=chosen)} == {"not run"}
    with pytest.raises(ValueError, match="event must be"):
        validate.check(other, predictions=chosen, event="no condition")


def test_a_planted_transition_is_found_by_any_metric() -> None:
    prediction = p10_gap_precedes_grokking.PREDICTION
    runs = with_event(by_loss(prediction.planted(0)), "eval/perplexity < 10")
    assert prediction.judge(runs, [worlds.matched_noise(one, 0) for one in runs]).verdict == "supported"


def test_early_warning_by_it() -> None:
    runs = worlds.planted("gap-precedes-grokking", 4, with_controls=True)(0)
    families = [replace(one, config={**one.config, "operation": str(i % 2)}) for i, one in enumerate(runs)]
    usual = early_warning(families, event="test_accuracy >= 0.95")
    with pytest.raises(ValueError, match="no test accuracy was recorded"):
        early_warning(by_loss(families))
    assert early_warning(by_loss(families), event="eval/perplexity<10")["g_23"].auc == usual["g_23"].auc

"""What a run says of itself: understood by the names trainers use, unknown everywhere where it is not said."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spectral_edge import validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import Card, card, comparable, metric, read, remarks
from spectral_edge.validate.referee.early_warning.judge import early_warning
from spectral_edge.validate.referee.events import grok_step
from spectral_edge.validate.referee.figures import predictions as prediction_figures
from spectral_edge.validate.referee.figures.drawing import picture
from spectral_edge.validate.referee.partners import decay_groups, decay_pairs, shuffled, twins
from spectral_edge.validate.referee.predictions import PREDICTIONS, p03_small_gap_position
from spectral_edge.validate.referee.published.record import Published
from spectral_edge.validate.referee.statistics import Estimate
from spectral_edge.validate.referee.verdict import SUPPORTED, Reading, Verdict


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"learning_rate": 0.1, "weight_decay": 0}, Card(learning_rate=0.1, weight_decay=0.0)),
        ({"lr": "1e-3", "wd": 0.1}, Card(learning_rate=1e-3, weight_decay=0.1)),
        ({"LR": 0.1, "Weight-Decay": 1}, Card(learning_rate=0.1, weight_decay=1.0)),
        ({"optimizer": {"name": "AdamW", "lr": 0.1, "betas": [0.9, 0.95]}},
         Card(optimizer="AdamW", learning_rate=0.1, betas=(0.9, 0.95))),
        ({"optimizer.lr": 0.1, "scheduler.name": "cosine"}, Card(learning_rate=0.1)),
        ({"lr": 0.1, "optimizer": {"name": "SGD", "lr": 0.2}}, Card(learning_rate=0.1, optimizer="SGD")),
        ({"adam_beta1": 0.9, "adam_beta2": 0.98, "train_batch_size": 32}, Card(betas=(0.9, 0.98), batch_size=32.0)),
        ({"run_name": "a", "name": "b", "random_seed": 7.0}, Card(run="a", seed=7)),
        ({"dataset": "cifar10", "momentum": 0.9, "opt": "sgd"}, Card(task="cifar10", momentum=0.9, optimizer="sgd")),
        ({"lr": None, "base_lr": 0.1}, Card(learning_rate=0.1)),
        ({"beta1": 0.9}, Card()),
        ({"run_name": None}, Card()),
    ],
)  # fmt: skip
def test_synonyms(config: Mapping[str, Any], expected: Card) -> None:
    assert read(config) == expected


@pytest.mark.parametrize(
    ("config", "field", "message"),
    [
        ({"weight_decay": None}, "weight_decay", "weight_decay must be a number of at least 0, got None"),
        ({"wd": -1}, "weight_decay", "wd must be a number of at least 0, got -1"),
        ({"seed": "run-a"}, "seed", "seed must be a whole number, got 'run-a'"),
        ({"seed": True}, "seed", "seed must be a whole number, got True"),
        ({"learning_rate": None}, "learning_rate", "learning_rate must be a positive number, got None"),
        ({"lr": 0}, "learning_rate", "lr must be a positive number, got 0"),
        ({"batch_size": float("nan")}, "batch_size", "batch_size must be a positive number, got nan"),
        ({"lr": 0.1, "learning_rate": 0.2}, "learning_rate", "learning_rate is 0.2 but lr is 0.1"),
        ({"run": ["a"]}, "run", "run must be a name, got ['a']"),
        ({"betas": 0.9}, "betas", "betas must be two numbers, got 0.9"),
        ({"shift_step": 2.5}, "shift_step", "shift_step must be a whole number of at least 0, got 2.5"),
    ],
)
def test_odd_values_are_unknown_and_named(config: Mapping[str, Any], field: str, message: str) -> None:
    found = read(config)
    assert getattr(found, field) is None
    assert found.odd == (message,)


def bare(T: int = 12, **about: Any) -> GramSequence:
    return GramSequence.from_updates(np.random.default_rng(0).normal(size=(T, 50)), **about)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("val_loss", "test_loss"), ("eval/loss", "test_loss"), ("Validation Loss", "test_loss"),
     ("val_acc", "test_accuracy"), ("eval_accuracy", "test_accuracy"), ("test/acc1", "test_accuracy"),
     ("loss", "train_loss"), ("training_acc", "train_accuracy")],
)  # fmt: skip
def test_metrics_by_the_names_trainers_use(name: str, wanted: str) -> None:
    values = np.linspace(0, 1, 12)
    run = bare(metrics={name: values})
    found = metric(run, wanted)
    assert found is not None
    assert np.array_equal(found, values)
    assert all(
        metric(run, other) is None
        for other in ("train_loss", "test_loss", "test_accuracy")
        if other != wanted
    )


def test_the_usual_name_comes_first() -> None:
    run = bare(metrics={"val_loss": np.ones(12), "test_loss": np.zeros(12)})
    found = metric(run, "test_loss")
    assert found is not None
    assert not found.any()


def test_per_cent_is_noticed() -> None:
    # 1.2 per cent is not a run that has grokked
    values = np.array([1.2, *np.linspace(1, 97, 11)])
    run = bare(metrics={"val_acc": values}, config={"run": "mine"})
    assert grok_step(run) == 12
    assert remarks([run]) == ["mine: the test accuracy goes beyond 1; taken as per cent"]


def judged_decays(runs: list[GramSequence]) -> list[GramSequence]:
    """Those without weight decay on their card, the others as they are."""
    return [replace(run, config={k: v for k, v in run.config.items() if k != "weight_decay"}) for run in runs]


def test_an_unknown_decay_is_neither_treated_nor_control() -> None:
    known = worlds.planted("small-gap-position", 4, with_controls=True)(0)
    unknown = judged_decays(known)
    assert decay_groups(unknown) == ([], [])
    noise = [worlds.matched_noise(run, 0, copies=3) for run in known]
    prediction = p03_small_gap_position.PREDICTION
    assert prediction.judge(unknown, noise).verdict == "not run"
    # beside others it changes nothing
    alone, beside = prediction.judge(known, noise), prediction.judge([*known, *unknown], [*noise, *noise])
    assert repr(alone) == repr(beside)


def test_an_unknown_decay_is_no_control_in_a_picture() -> None:
    rate = Estimate(0.5, 0.2, 0.8)
    verdict = Verdict(
        3, "small-gap-position", "", SUPPORTED, readings=(Reading("a", rate, rate, None, None),)
    )
    known = worlds.planted("small-gap-position", 2, with_controls=True)(0)
    drawn = picture(prediction_figures.pictures(verdict, [*known[:2], *judged_decays(known[2:])])[1]).svg
    assert "with weight decay" in drawn
    assert "without" not in drawn
    assert len(prediction_figures.pictures(verdict, judged_decays(known))) == 1


def test_an_unknown_decay_is_named_in_early_warning() -> None:
    runs = worlds.planted("gap-precedes-grokking", 4, with_controls=True)(0)
    families = [replace(run, config={**run.config, "operation": str(i % 2)}) for i, run in enumerate(runs)]
    odd = replace(families[0], config={**families[0].config, "weight_decay": None, "run": "odd one"})
    found = early_warning([odd, *families[1:]])["weight decay"]
    assert found.missing == ("odd one",)
    assert found.runs < early_warning(families)["weight decay"].runs


@pytest.mark.slow
def test_one_odd_card_is_named_and_stops_no_other(additions: list[GramSequence]) -> None:
    values = {
        "weight_decay": None,
        "seed": "run-a",
        "learning_rate": None,
        "batch_size": "many",
        "run": "odd",
    }
    odd = replace(additions[0], config={**additions[0].config, **values})
    # those that read the card, and none that takes long
    chosen = [p for p in PREDICTIONS if p.number in (3, 10, 11, 13, 19)]
    board = validate.check([odd, *additions[1:]], predictions=chosen)
    others = validate.check(additions[1:], predictions=chosen)
    assert [v.verdict for v in board] == [v.verdict for v in others]
    judged = [p.id for p, v in zip(chosen, board, strict=True) if v.verdict != "not run"]
    assert len(judged) == 3
    for id in judged:
        # as published some ask nothing of the card
        pair = [replace(found[id], worlds={}, published=Published()) for found in (board, others)]
        assert repr(pair[0]) == repr(pair[1])
    assert sum(note.startswith("odd: ") for note in board.notes) == 4
    assert board.to_dict()["notes"] == list(board.notes)
    for prediction in PREDICTIONS:
        prediction.judge([odd], [()] if prediction.number not in (1, 2, 5, 6, 15, 18) else
                         [worlds.matched_noise(odd, 0, copies=2)])  # fmt: skip


# -- partners --------------------------------------------------------------------------------------------------


def grid(**cards: dict[str, Any]) -> list[GramSequence]:
    accuracy = {"test_accuracy": np.linspace(0, 1, 12)}
    return [bare(metrics=accuracy, config={"run": run, "task": "t", **about}) for run, about in cards.items()]


def names(group: dict[Any, GramSequence]) -> list[str | None]:
    return [card(run).run for run in group.values()]


def test_several_decays_of_one_seed_share_their_partner() -> None:
    runs = grid(
        a={"wd": 1, "seed": 1}, b={"wd": 0.1, "seed": 1}, c={"wd": 0, "seed": 1}, d={"wd": 1, "seed": 2}
    )
    treated, control = decay_pairs(runs)
    assert names(treated) == ["a", "b", "d"]
    assert names(control) == ["c", "c"]
    assert list(control) == list(treated)[:2]


def test_a_run_of_another_learning_rate_is_no_partner() -> None:
    one, other = {"wd": 1, "seed": 1, "lr": 0.1}, {"wd": 0, "seed": 1, "lr": 0.2}
    assert not decay_pairs(grid(a=one, b=other))[1]
    assert decay_pairs(grid(a=one, b={**other, "lr": 0.1}))[1]
    assert decay_pairs(grid(a=one, b={"wd": 0, "seed": 1}))[1]  # what is not said sets nothing apart


def test_twins_need_a_seed_and_a_known_contrast() -> None:
    a, b, c = grid(a={"wd": 1, "seed": 1}, b={"wd": 0, "seed": 1}, c={"seed": 1})
    assert twins(a, [a, c, b]) == [b]
    assert twins(c, [a, b]) == []
    unseeded = grid(a={"wd": 1}, b={"wd": 0})
    assert twins(unseeded[0], unseeded) == []


def test_permuted_fields_take_their_synonyms_along() -> None:
    runs = grid(a={"wd": 1}, b={"weight_decay": 0.0}, c={"optimizer": {"name": "x", "wd": 2}}, d={})
    found = [card(run).weight_decay for run in shuffled(runs, "weight_decay", 3)]
    assert sorted(found, key=str) == [0.0, 1.0, 2.0, None]
    assert found != [1.0, 0.0, 2.0, None]


def test_bundled_cards_say_all() -> None:
    for run in validate.bundled():
        found = card(run)
        assert found.odd == ()
        assert None not in (
            found.run,
            found.task,
            found.seed,
            found.weight_decay,
            found.learning_rate,
            found.betas,
        )
        assert found.record_every == np.median(np.diff(run.steps))


def test_runs_of_two_recipes_are_not_compared() -> None:
    def run(decay: float, recipe: str | None, **more: Any) -> GramSequence:
        config = {"task": "sum", "seed": 1, "weight_decay": decay, "recipe": recipe, **more}
        return bare(config=config, metrics={"test_accuracy": np.ones(12)})

    both, alone = [run(1.0, "own"), run(0.0, "own")], run(1.0, "author")
    assert comparable([*both, alone]) == [True, True, False]
    assert comparable([*both, alone, run(0.0, "author")]) == [True] * 4
    assert comparable([run(1.0, "author", operation="a"), run(0.0, "author", operation="b")]) == [False] * 2
    assert comparable([run(1.0, None)]) == [True]  # one's own runs say no recipe
    # the partner of each is of its own recipe, whatever the order
    treated, control = decay_pairs([alone, *both])
    assert {key.family: key in control for key in treated} == {"sum (author)": False, "sum (own)": True}
    assert {p.number for p in PREDICTIONS if p.compares} == {3, 10, 11, 12}

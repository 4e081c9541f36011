"""A plan of runs for a task of one's own: recorded with all probes, the same however often interrupted, and judged."""

import numpy as np
import pytest
import torch

from spectral_edge import validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee.figures import predictions
from spectral_edge.validate.referee.figures.drawing import picture
from spectral_edge.validate.referee.figures.thesis import query_figures
from spectral_edge.validate.referee.needs import CURVATURE
from spectral_edge.validate.runs import Plan, record
from tests.torch.runs.tiny import OPTIONS


def test_every_run_has_all_probes_and_its_card(tmp_path):
    told = []
    runs = record(Plan(**OPTIONS), tmp_path, lambda name, step, metrics: told.append((name, step)))
    names = [f"product-sign-wd{decay}-seed{seed}" for seed in (0, 1) for decay in ("0.5", "0")]
    assert list(runs) == names
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(f"{name}.npz" for name in names)
    assert told[29] == (names[0], 120)
    run = GramSequence.load(tmp_path / f"{names[0]}.npz")
    assert run.T == 30
    assert run.K.shape == (30, 13)
    assert run.probes.keys() == {
        "gradient", "validation_gradient", "parameters", "hessian", "response", "metric", "ablation", "ablation_random",
        "storage_rounding",
    }  # fmt: skip
    for name, count in {
        "gradient": 30,
        "response": 15,
        "metric": 15,
        "ablation": 3,
        "ablation_random": 3,
    }.items():
        measured = ~np.isnan(run.probes[name].reshape(30, -1)).all(axis=1)
        assert measured.sum() == count, name
    assert run.metrics.keys() == {
        "train_loss", "train_accuracy", "test_loss", "test_accuracy", "response_norm", "learning_rate",
    }  # fmt: skip
    card = {
        key: run.config[key] for key in ("task", "weight_decay", "seed", "batch_size", "optimizer", "betas")
    }
    assert card == {
        "task": "product-sign", "weight_decay": 0.5, "seed": 0, "batch_size": 16, "optimizer": "AdamW",
        "betas": [0.9, 0.98],
    }  # fmt: skip
    # pairs begin alike and differ by their decay
    pair = [runs[name].metrics["train_loss"] for name in names[:2]]
    assert abs(pair[0][0] - pair[1][0]) < 0.05 * pair[0][0]
    assert not np.array_equal(*pair)


def test_an_interrupted_plan_is_the_uninterrupted_one(tmp_path):
    whole = record(Plan(**OPTIONS))

    class Stop(Exception):
        pass

    stops = {("product-sign-wd0.5-seed0", 52), ("product-sign-wd0-seed0", 100)}

    def stop_at(name, step, metrics):
        if (name, step) in stops:
            stops.discard((name, step))
            raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            record(Plan(**OPTIONS), tmp_path, stop_at)
        left = sorted(entry.name for entry in (tmp_path / "unfinished").iterdir())
        assert any(name.endswith(".pt") for name in left)
    found = record(Plan(**OPTIONS), tmp_path)
    assert not (tmp_path / "unfinished").exists()
    for name, run in whole.items():
        np.testing.assert_array_equal(found[name].K, run.K)
        for probe in run.probes:
            np.testing.assert_array_equal(found[name].probes[probe], run.probes[probe])
        assert found[name].config == run.config


def test_a_run_that_is_there_is_not_made_again(tmp_path):
    plan = Plan(**OPTIONS | {"seeds": (0,), "max_steps": 40, "ablations": 0})
    record(plan, tmp_path)
    again = Plan(
        **OPTIONS | {"seeds": (0,), "max_steps": 40, "ablations": 0, "make_model": lambda seed: 1 / 0}
    )
    assert record(again, tmp_path)["product-sign-wd0-seed0"].T == 10
    other = Plan(**OPTIONS | {"seeds": (0,), "max_steps": 80, "ablations": 0})
    with pytest.raises(
        ValueError, match=r"out must hold no other run called .*, got one with max_steps = 40, not 80"
    ):
        record(other, tmp_path)
    for changed, message in (
        ({"learning_rate": 1e-3}, "learning_rate = 0.01, not 0.001"),
        ({"betas": (0.9, 0.95)}, r"betas = \[0.9, 0.98\], not \[0.9, 0.95\]"),
        ({"window": 4}, "window = 5, not 4"),
    ):
        with pytest.raises(ValueError, match=f"out must hold no other run called .*, got one with {message}"):
            record(Plan(**OPTIONS | {"seeds": (0,), "max_steps": 40, "ablations": 0} | changed), tmp_path)


def warm_up_and_drop(model, decay):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=decay)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=20)
    return optimizer, warm, torch.optim.lr_scheduler.MultiStepLR(optimizer, [60, 90], gamma=0.5)


def test_a_schedule_is_followed_and_survives_an_interruption(tmp_path):
    plan = Plan(**OPTIONS | {"seeds": (0,), "weight_decays": (0.5,), "make_optimizer": warm_up_and_drop})
    (name, whole), *_ = record(plan).items()
    assert whole.config["learning_rate"] == 1e-2  # not what a warm-up begins with
    assert whole.config["schedule"] == "LinearLR, MultiStepLR"
    taken = whole.steps - 1  # steps of the schedule before the one that was recorded
    expected = (
        1e-2 * np.minimum(1, 0.1 + 0.9 * taken / 20) * 0.5 ** ((taken >= 60).astype(int) + (taken >= 90))
    )
    np.testing.assert_allclose(whole.metrics["learning_rate"], expected, rtol=1e-12)

    def stop(name, step, metrics):
        if step == 72:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(plan, tmp_path, stop)
    found = record(plan, tmp_path)[name]
    np.testing.assert_array_equal(found.K, whole.K)
    np.testing.assert_array_equal(found.metrics["learning_rate"], whole.metrics["learning_rate"])

    with pytest.raises(KeyboardInterrupt):
        record(plan, tmp_path / "other", stop)
    constant = Plan(
        **OPTIONS
        | {"seeds": (0,), "weight_decays": (0.5,), "make_optimizer": lambda *of: warm_up_and_drop(*of)[0]}
    )
    with pytest.raises(ValueError, match="one with schedule = 'LinearLR, MultiStepLR', not 'constant'"):
        record(constant, tmp_path / "other")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda o: (o, torch.optim.lr_scheduler.ReduceLROnPlateau(o)), "need no measurement, got ReduceLROnPlateau"),
        (lambda o: [], "must return torch optimisers, and then schedulers, got none"),
        (lambda o: ([o], []), "must return torch optimisers, and then schedulers, got list, list"),
        (lambda o: None, "must return torch optimisers, and then schedulers, got NoneType"),
        (lambda o: torch.optim.LBFGS(o.param_groups[0]["params"]), "step without a closure, got LBFGS"),
    ],
)  # fmt: skip
def test_what_steps_is_checked(made, message):
    def make_optimizer(model, decay):
        return made(torch.optim.SGD(model.parameters(), lr=0.1))

    with pytest.raises(ValueError, match=f"make_optimizer .*{message}"):
        record(Plan(**OPTIONS | {"make_optimizer": make_optimizer}))


@pytest.mark.filterwarnings("error")
def test_runs_that_come_to_rest_are_judged_as_far_as_they_move():
    def cosine_to_nothing(model, decay):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=decay)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: max(0.0, float(np.cos(np.pi * min(step, 90) / 180)) - 1e-12)
        )

    plan = Plan(**OPTIONS | {"window": 10, "W_max": 20, "make_optimizer": cosine_to_nothing})
    runs = record(plan)
    assert all((run.K[-7:, 0] == 0).all() for run in runs.values())
    board = validate.check(list(runs.values()))
    assert [run.steps[-1] for run in board.runs] == [92] * 4
    told = [note for note in board.notes if "rests" in note]
    assert told[0] == (
        "product-sign-wd0.5-seed0 rests: it is judged by the longest stretch in which its parameters move, "
        "steps 4 to 92 of 4 to 120"
    )
    assert len(told) == 4


def test_a_run_stops_after_its_target():
    plan = Plan(
        **OPTIONS
        | {"seeds": (0,), "target": lambda metrics: metrics["train_loss"] < 1e9, "steps_after_target": 60}
    )
    assert [run.steps[-1] for run in record(plan).values()] == [64, 64]


def test_another_optimiser_and_all_examples_at_every_step():
    def sgd(model, decay):
        return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=decay)

    options = {"seeds": (0,), "batch_size": 0, "make_optimizer": sgd, "max_steps": 40, "ablations": 0}
    run = record(Plan(**OPTIONS | options))["product-sign-wd0.5-seed0"]
    assert (run.config["optimizer"], run.config["momentum"], run.config["batch_size"]) == ("SGD", 0.9, 80)
    M, R = run.probes["hessian"][-1], run.probes["response"][-1]
    np.testing.assert_allclose(R, M, rtol=1e-3, atol=1e-4 * np.nanmax(np.abs(M)))  # D is 1

    def unknown(model, decay):
        return torch.optim.Adamax(model.parameters(), weight_decay=decay)

    run = record(Plan(**OPTIONS | options | {"make_optimizer": unknown}))["product-sign-wd0-seed0"]
    assert "hessian" in run.probes
    assert "response" not in run.probes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "a/b"}, "task must be a name that a file can have, got 'a/b'"),
        ({"evaluate": 3}, "evaluate must be callable, got 3"),
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"weight_decays": (-1.0,)}, "weight_decays must not be negative, got -1.0"),
        ({"window": 40}, "window must be between 2 and 13, got 40"),
        ({"max_steps": 7}, "max_steps must be at least 2·record_every = 8, got 7"),
        ({"seeds": ()}, "weight_decays and seeds must hold at least one each, got an empty one"),
        ({"seeds": (1, 1)}, "must name every run once, got product-sign-wd0-seed1 again"),
    ],
)
def test_a_plan_is_checked_before_anything_runs(options, message):
    with pytest.raises(ValueError, match=message):
        Plan(**OPTIONS | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluate": lambda *of: None}, "evaluate must return a mapping of names to numbers, got NoneType"),
        ({"evaluate": lambda *of: {"accuracy": "good"}}, "train_accuracy must be a number, .* got 'good'"),
        ({"loss": lambda model, half: model(half[0])[:, 0]}, r"loss must return a scalar tensor, got shape \(16,\)"),
        ({"loss": lambda model, half: 1.0}, "loss must return a scalar tensor, got float"),
    ],
)  # fmt: skip
def test_what_a_plans_functions_return_is_checked(options, message):
    with pytest.raises(ValueError, match=message):
        record(Plan(**OPTIONS | options))


def test_data_may_be_arrays():
    options = {"seeds": (0,), "max_steps": 40, "ablations": 0}
    arrays = Plan(
        **OPTIONS
        | options
        | {"make_data": lambda seed: tuple((x.numpy(), y.numpy()) for x, y in OPTIONS["make_data"](seed))}
    )
    for name, run in record(Plan(**OPTIONS | options)).items():
        np.testing.assert_array_equal(record(arrays)[name].K, run.K)


def test_a_target_that_is_met_at_once_leaves_a_sequence():
    plan = Plan(**OPTIONS | {"seeds": (0,), "target": lambda metrics: True, "steps_after_target": 0})
    assert [run.T for run in record(plan).values()] == [2, 2]


def test_data_of_another_form_are_refused():
    plan = Plan(**OPTIONS | {"make_data": lambda seed: ((torch.zeros(3), torch.zeros(4)), (torch.zeros(3),))})
    with pytest.raises(ValueError, match="make_data must return two halves of at least two tensors"):
        record(plan)


def test_the_runs_can_be_judged(tmp_path):
    plan = Plan(**OPTIONS | {"window": 10, "W_max": 20})
    board = validate.check(list(record(plan).values()))
    for id in ("krylov-bound", "inverted-hierarchy", "loss-decomposition", "weight-decay-needed"):
        assert not board[id].details.get("missing"), board[id].meaning


def test_curvature_that_does_not_reach_over_a_window_is_told(tmp_path):
    runs = list(record(Plan(**OPTIONS | {"seeds": (0,)})).values())
    board = validate.check(runs)
    told = [
        note for note in board.notes if "reach over 5 updates, the windows that are judged over 10" in note
    ]
    assert len(told) == 2
    assert board["krylov-bound"].details["missing"][CURVATURE]["runs"] == 2


def test_a_plan_with_attention_has_what_prediction_12_asks_for():
    class Reader(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.token = torch.nn.Linear(1, 8)
            self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.layer(self.token(x[..., None])).mean(1))

    plan = Plan(
        **OPTIONS
        | {"make_model": lambda seed: Reader(), "seeds": (0, 1), "max_steps": 160, "ablations": 0}
        | {"evaluate": lambda model, half: {}, "window": 10, "hessian_every": 100, "W_max": 20}
    )
    runs = list(record(plan).values())
    assert all(np.all(run.metrics["layer.self_attn.Q.sigma_1"] > 0) for run in runs)
    board = validate.check(runs, event=100)
    assert board["gap-opens-at-grokking"].verdict != "not run"
    assert board["gap-opens-at-grokking"].n >= 2
    drawn = predictions.pictures(board["gap-opens-at-grokking"], list(board.runs))
    assert any("singular values of W_Q" in panel.description for panel in drawn)
    (four,) = query_figures(runs)
    assert all(picture(panel).svg for panel in (*drawn, *four.panels))

"""Beyond the twenty predictions: what is measured in training is what an obvious second implementation finds."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from spectral_edge.validate.referee.beyond import (
    author,
    collapses,
    function_space,
    measured,
    own,
    removal,
    ticket,
    watched,
    widths,
)
from spectral_edge.validate.referee.beyond.__main__ import main
from spectral_edge.validate.referee.beyond.finding import load
from spectral_edge.validate.referee.beyond.seen import W
from spectral_edge.validate.referee.beyond.training import Trainer
from spectral_edge.validate.referee.verdict import SUPPORTED
from spectral_edge.validate.runs import examine, training
from spectral_edge.validate.runs.bundle import bundled
from spectral_edge.validate.runs.dense import networks
from spectral_edge.validate.runs.dense.config import dense_run
from spectral_edge.validate.runs.dense.recording import train
from spectral_edge.validate.runs.models import is_attention
from spectral_edge.validate.runs.plan import planned
from tests.torch.runs.tiny import MODULAR


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WIDTH": 4, "HIDDEN": 4, "MODULUS": 5, "D_MODEL": 4, "FEEDFORWARD": 6}.items():
        monkeypatch.setattr(networks, name, value)
    monkeypatch.setattr(watched, "BATCH", 3)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "regime", ["mlp-adamw-batch", "mlp-momentum", "quadratic-adamw", "transformer-adamw"]
)
def test_the_same_run_as_is_recorded(regime: str) -> None:
    config = dense_run(regime, 3, max_steps=15, W_max=6, span=4)
    trainer, thetas = Trainer(config), []
    for _ in range(16):
        thetas.append(trainer.now().numpy())
        trainer.step()
    delta = np.diff(thetas, axis=0)
    np.testing.assert_allclose(train(config)["dense"].K[:, 0], (delta**2).sum(axis=1), rtol=1e-9)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("regime", ["quadratic-adamw", "transformer-adamw"])
def test_a_run_is_seen_as_by_hand(regime: str) -> None:
    plan = watched.Plan(regime, 36, 2)
    run = watched.watch(plan, 5)
    config = dense_run(regime, 5, max_steps=36)
    trainer = Trainer(config)
    batch = trainer.problem.test.take(torch.arange(3))
    thetas, steps = [trainer.now()], [trainer.now()]
    for step in range(1, 37):
        trainer.step()
        steps.append(trainer.now())
        if step % 2 == 0:
            thetas.append(trainer.now())

    def outputs(theta: torch.Tensor) -> torch.Tensor:
        found = trainer.output(theta, batch)
        return (found - found.mean(-1, keepdim=True) if regime.startswith("transformer") else found).flatten()

    f = torch.stack([outputs(theta) for theta in thetas]).numpy()
    np.testing.assert_allclose(run.outputs.K, np.diff(f, axis=0) @ np.diff(f, axis=0).T, atol=1e-12)
    kernels = []
    for record in run.looked:
        J = torch.autograd.functional.jacobian(outputs, thetas[record + 1])
        kernels.append((J @ J.T).numpy())
    lam = np.linalg.eigvalsh(kernels[-1])[::-1]
    np.testing.assert_allclose(run.kernel[-1], lam[: run.kernel.shape[1]], rtol=1e-6, atol=1e-9 * lam[0])
    rate = np.linalg.norm(kernels[-1] - kernels[-2]) / (2 * watched.LOOK_EVERY)
    assert run.kernel_rate[-1] == pytest.approx(rate)
    window = torch.stack(thetas[-W - 1 :])
    X = window.diff(dim=0).numpy()
    v = np.linalg.svd(X, full_matrices=False)[2][0]
    P = len(v)
    assert run.participation[-1] == pytest.approx(1 / (P * np.sum(v**4)))
    before = torch.stack(steps).numpy()[-2 * W - 1 : -1]
    decay = -config.learning_rate * config.weight_decay * before.reshape(W, 2, P).sum(axis=1) @ v
    assert run.decay_share[-1, 0] == pytest.approx(
        decay @ decay / (decay @ decay + np.sum((X @ v - decay) ** 2))
    )
    assert run.accuracy[-1] == trainer.accuracy(thetas[-1])
    assert len(function_space.STATEMENTS) == 7


@pytest.mark.usefixtures("small")
def test_without_weight_decay_none_of_v_1_is_decay() -> None:
    """Decay split with ω = 0 is an identity."""
    run = watched.watch(watched.Plan("quadratic-gd", 24, 2), 0)
    assert np.nanmax(run.decay_share) == 0


def test_directions_that_are_taken_out() -> None:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(10, 300, generator=generator, dtype=torch.float64)
    X[:, 0] += 40
    X[:, 1] += 30 * torch.tensor([1.0, -1.0] * 5)
    v = torch.linalg.svd(X, full_matrices=False)[2]
    found = {arm: removal.directions(X, arm, generator) for arm in removal.ARMS[1:]}
    for arm, space in found.items():
        assert space is not None, arm
        torch.testing.assert_close(space @ space.T, torch.eye(len(space), dtype=X.dtype), atol=1e-9, rtol=0)
        assert len(space) == (3 if arm.startswith("three") else 2)
    for arm in ("leading", "shrunk"):
        assert (found[arm] @ v[:2].T).square().sum() == pytest.approx(2)
    assert (found["bulk"] @ v[2:].T).square().sum() == pytest.approx(2)
    assert (found["random"] @ v.T).square().sum() < 0.5
    assert removal.directions(torch.zeros(10, 300, dtype=torch.float64), "leading", generator) is None


@pytest.mark.slow
def test_removal_in_both_worlds() -> None:
    assert removal.judge([removal.planted(seed) for seed in range(3)]).verdict == SUPPORTED
    assert removal.judge([removal.planted(seed, signal=False) for seed in range(3)]).verdict != SUPPORTED


def test_an_untouched_run_is_the_run() -> None:
    """The first arm changes nothing, and what it needs is what the others are compared with."""
    config = dense_run("mlp-gd-edge", 0, max_steps=24)
    found = removal.remove(config)
    assert found.delay["nothing"] == 0
    assert found.learned["nothing"]
    trainer, losses = Trainer(config), []
    for _ in range(24):
        trainer.step()
        losses.append(float(trainer.loss(trainer.theta.detach(), trainer.problem.train)))
    needed = next(i for i, loss in enumerate(losses, 1) if loss <= losses[8])
    assert found.delay["leading"] <= np.log(24 / needed) + 1e-12


def test_runs_for_prediction_16_are_dense_runs_without_curvature() -> None:
    plans = [config for (config,) in collapses.plans([1, 2])]
    assert len({config.name for config in plans}) == 2 * len(collapses.REGIMES)
    config = dataclasses.replace(plans[2], max_steps=40)
    run = collapses.record(config)
    whole = train(dense_run(config.regime, 1, max_steps=40))["dense"]
    np.testing.assert_array_equal(run.K, whole.K)
    assert "hessian" in whole.probes
    assert run.probes.keys() == {"gradient"}
    assert run.config["experiment"] == "dense"


def test_masks() -> None:
    config = dense_run("mlp-adamw", 0)
    trainer, thetas = Trainer(config), []
    for _ in range(12):
        thetas.append(trainer.now())
        trainer.step()
    stacked = torch.stack(thetas)
    sizes = [tensor.numel() for tensor in trainer.problem.start.values()]
    masks = {
        kind: ticket.chosen(ticket.scores(stacked, kind, sizes, torch.Generator().manual_seed(1)))
        for kind in ticket.MASKS
    }
    P = stacked.shape[1]
    assert masks.pop("all").all()
    assert {int(mask.sum()) for mask in masks.values()} == {round(ticket.KEPT * P)}
    at = np.cumsum([0, *sizes])
    for low, high in itertools.pairwise(at):
        assert masks["modes"][low:high].sum() == masks["random by tensor"][low:high].sum()
    top = (stacked[-1] - stacked[0]).abs()
    assert top[masks["change"]].min() >= top[~masks["change"]].max()


@pytest.mark.slow
def test_masks_in_both_worlds() -> None:
    assert ticket.judge([ticket.planted(seed) for seed in range(3)]).verdict == SUPPORTED
    assert ticket.judge([ticket.planted(seed, sparse=False) for seed in range(3)]).verdict != SUPPORTED


def test_parametrisations_agree_at_the_first_width_only() -> None:
    one, other = (widths.train(widths.BASE, 1, name, 30) for name in widths.PARAMETRISATIONS)
    assert one[3:] == other[3:]
    assert widths.train(128, 1, "standard", 30)[3:] != widths.train(128, 1, "maximal update", 30)[3:]
    with pytest.raises(ValueError, match="parametrisation must be"):
        widths.train(64, 1, "tangent")


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(removal, "LENGTHS", {"mlp-gd-edge": 30})
    main(["intervention", "--seeds", "0", "1", "--out", str(tmp_path)])
    found = load("intervention", tmp_path)
    assert found["findings"][0]["n"] == 2
    assert found["seeds"] == [0, 1]
    assert "intervention: " in capsys.readouterr().out


def test_commutator_defect_by_hand() -> None:
    """Of quadratic losses the two orders differ by η²(H_B g_A − H_A g_B), whatever η."""
    generator = torch.Generator().manual_seed(0)
    H = [torch.randn(6, 6, generator=generator, dtype=torch.float64) for _ in range(2)]
    H = [one @ one.T for one in H]
    theta = torch.randn(6, generator=generator, dtype=torch.float64)
    turn = itertools.cycle((0, 1))
    found = measured.commutator_defect(lambda at, i: H[i] @ at, theta, lambda: next(turn))
    a, b = (one @ theta for one in H)
    assert found == pytest.approx(float((H[1] @ a - H[0] @ b).norm() / (a.norm() * b.norm())), rel=1e-6)
    same = measured.commutator_defect(lambda at, i: H[0] @ at, theta, lambda: next(turn))
    assert same == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("hold", "pace"), [(1e-3, 1e-4), (2e3, 4e-5)])
def test_learning_coefficient_of_a_regular_model(hold: float, pace: float) -> None:
    """d/2 where little holds the steps, and less, as is foretold, where much does."""
    h = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    n = 2_000
    generator = torch.Generator().manual_seed(1)
    found = measured.learning_coefficient(
        lambda w: (h * w.square()).sum() / 2, torch.zeros(4, dtype=torch.float64), n, generator,
        hold=hold, pace=pace, burn=400, draws=8_000,
    )  # fmt: skip
    beta = n / np.log(n)
    expected = float((beta * h / (beta * h + hold)).sum() / 2)
    assert found == pytest.approx(expected, rel=0.15)
    assert (expected > 1.9) is (hold < 1)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("regime", ["quadratic-adamw", "quadratic-gd"])
def test_own_runs_are_measured_as_by_hand(regime: str) -> None:
    run = own.record(watched.Plan(regime, 32, 2), 5)
    trainer = Trainer(dense_run(regime, 5, max_steps=32))
    thetas = [trainer.now()]
    for step in range(1, 27):
        trainer.step()
        if step % 2 == 0:
            thetas.append(trainer.now())
    looked = np.isfinite(run.metrics["llc"])
    assert np.flatnonzero(looked).tolist() == [9, 12, 15]
    assert np.isfinite(run.metrics["commutator"][looked]).all()
    H = torch.autograd.functional.hessian(lambda at: trainer.loss(at, trainer.problem.train), thetas[-1])
    X = torch.stack(thetas[-W - 1 :]).diff(dim=0).flip(0)
    D = trainer.preconditioner()
    np.testing.assert_allclose(run.probes["response"][12], X @ ((X @ H) / D).T, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(run.K[3:13, 3:13], X.flip(0) @ X.flip(0).T, rtol=1e-9)
    norm = np.sqrt(sum(run.metrics[f"{name}.norm"][12] ** 2 for name in trainer.problem.start))
    assert norm == pytest.approx(float(thetas[-1].norm()))
    assert (D == 1).all() or regime.endswith("adamw")


@pytest.mark.usefixtures("small")
def test_arms_of_own_runs() -> None:
    plan = watched.Plan("quadratic-adamw", 24, 2)
    runs = {arm: own.record(plan, 5, arm) for arm in own.ARMS}
    assert [run.config["weight_decay"] for run in runs.values()] == [0.1, 0.1, 0.0]
    first = {arm: run.metrics["train_loss"][0] for arm, run in runs.items()}
    assert len(set(first.values())) == 3
    with pytest.raises(ValueError, match="arm must be"):
        own.record(plan, 5, "other")
    assert sum(arm == own.ARMS[2] for _, _, arm in own.plans((1, 2))) == 4


SMALL = dataclasses.replace(MODULAR, d_model=4, d_feedforward=6)


def test_what_may_warn_does_not_disturb_the_authors_task() -> None:
    run, plain = author.watch(SMALL, before=10), training.train(SMALL)["attention"]
    np.testing.assert_array_equal(run.K, plain.K)
    for name, values in plain.metrics.items():
        np.testing.assert_array_equal(run.metrics[name], values, err_msg=name)
    looked = np.arange(run.T) >= 10
    for values in (run.metrics["commutator"], run.metrics["llc"], run.probes["response"][:, 0, 0]):
        np.testing.assert_array_equal(np.isfinite(values), looked)


def test_the_authors_task_is_measured_as_by_hand() -> None:
    config = dataclasses.replace(SMALL, max_steps=55)  # eleven records
    run = author.watch(config, before=10)
    done = training.Training(config, None, torch.device("cpu"))
    thetas: list[torch.Tensor] = []
    names = [name for name, _ in done.model.named_parameters() if is_attention(name)]

    def keep(step: int, metrics: dict[str, float]) -> None:
        thetas.append(torch.cat([done.model.get_parameter(name).detach().flatten() for name in names]))

    done.finish(keep)
    model, examples = done.model.double(), done.phases[0][1].train
    parameters = dict(model.named_parameters())
    attention = [parameters[name] for name in names]
    slope = torch.autograd.grad(examine.loss_of(model, examples), attention, create_graph=True)
    flat = torch.cat([piece.flatten() for piece in slope])
    H = torch.stack(
        [
            torch.cat([g.flatten() for g in torch.autograd.grad(one, attention, retain_graph=True)])
            for one in flat
        ]
    )
    state = [done.optimizers[0].state[parameters[name]] for name in names]
    squares = torch.cat([one["exp_avg_sq"].flatten() for one in state]).double()
    D = (squares / (1 - config.beta2**config.max_steps)).sqrt() + 1e-8
    X = torch.stack(thetas[-W - 1 :]).double().diff(dim=0).flip(0)
    np.testing.assert_allclose(run.probes["response"][-1], X @ ((X @ H) / D).T, rtol=1e-4, atol=1e-12)

    generator = torch.Generator().manual_seed(config.seed + 7_000_000)

    def slope_at(theta: list[torch.Tensor], rows: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            for parameter, value in zip(parameters.values(), theta, strict=True):
                parameter.copy_(value)
        loss = examine.loss_of(model, examples.take(rows))
        return list(torch.autograd.grad(loss, list(parameters.values())))

    def stepped(theta: list[torch.Tensor], rows: torch.Tensor) -> list[torch.Tensor]:
        return [a - measured.STEP * g for a, g in zip(theta, slope_at(theta, rows), strict=True)]

    def norm(tensors: list[torch.Tensor]) -> float:
        return float(torch.cat([tensor.flatten() for tensor in tensors]).norm())

    theta, found = [parameter.detach().clone() for parameter in parameters.values()], []
    for _ in range(measured.PAIRS):
        A, B = (torch.randint(examples.size, (config.batch_size,), generator=generator) for _ in range(2))
        one, other = stepped(stepped(theta, A), B), stepped(stepped(theta, B), A)
        apart = norm([a - b for a, b in zip(one, other, strict=True)])
        found.append(apart / (measured.STEP**2 * norm(slope_at(theta, A)) * norm(slope_at(theta, B))))
    assert run.metrics["commutator"][-1] == pytest.approx(np.median(found), rel=1e-6)


def test_the_authors_runs_are_those_planned() -> None:
    names = [name for (name,) in author.plans((42, 137))]
    assert len(set(names)) == len(names) == 12
    assert set(names) <= set(planned())


@pytest.mark.slow
def test_the_authors_run_is_the_bundled_one() -> None:
    """On another machine, but for rounding."""
    (name,) = author.plans((42,))[0]
    run = author.watch(dataclasses.replace(planned()[name], max_steps=200, ablation_examples=1))
    (other,) = (one for one in bundled() if one.config["run"] == name)
    np.testing.assert_allclose(run.band(0), other.band(0)[: run.T], rtol=1e-4)

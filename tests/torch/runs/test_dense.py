"""Dense runs: what is recorded is what an obvious second implementation finds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spectral_edge.cli import main
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.collapse import further
from spectral_edge.validate.runs.bundle import Files, recorded
from spectral_edge.validate.runs.dense import networks
from spectral_edge.validate.runs.dense.config import (
    AT_INTERVALS,
    INTERVALS,
    REGIMES,
    DenseConfig,
    dense_run,
    dense_runs,
)
from spectral_edge.validate.runs.dense.recording import TANGENT, _Training, train

SHORT = {"max_steps": 12, "W_max": 6, "span": 4, "curvature_every": 3}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WIDTH": 3, "HIDDEN": 3, "MODULUS": 5, "D_MODEL": 4, "FEEDFORWARD": 6}.items():
        monkeypatch.setattr(networks, name, value)


def by_hand(config: DenseConfig) -> dict[str, Any]:
    """The same run, step by step: full Hessian by autograd, optimisers from their published rules."""
    problem = networks.problem(config)
    shapes = {name: tensor.shape for name, tensor in problem.start.items()}

    def loss(theta: torch.Tensor, examples: networks.Examples) -> torch.Tensor:
        named, at = {}, 0
        for name, shape in shapes.items():
            named[name] = theta[at : at + shape.numel()].view(shape)
            at += shape.numel()
        return problem.loss(problem.output(named, examples.inputs), examples.labels)

    def slope(theta: torch.Tensor, examples: networks.Examples) -> torch.Tensor:
        theta = theta.clone().requires_grad_()
        return torch.autograd.grad(loss(theta, examples), theta)[0]

    theta = torch.cat([tensor.flatten() for tensor in problem.start.values()])
    batches = torch.Generator().manual_seed(config.seed + 2_000_000)
    thetas, gradients, hessians, preconditioners = [theta], [], {}, []
    m, v, velocity = torch.zeros_like(theta), torch.zeros_like(theta), torch.zeros_like(theta)
    D = torch.ones_like(theta)
    for step in range(1, config.max_steps + 1):
        examples = problem.train
        if config.batch_size:
            rows = torch.randint(len(examples.labels), (config.batch_size,), generator=batches)
            examples = examples.take(rows)
        g = slope(theta, examples)
        if config.optimizer == "SGD":
            velocity = config.momentum * velocity + g
            change = velocity
        else:
            m = config.beta1 * m + (1 - config.beta1) * g
            v = config.beta2 * v + (1 - config.beta2) * g * g
            D = (v / (1 - config.beta2**step)).sqrt() + 1e-8
            change = m / (1 - config.beta1**step) / D
        theta = theta - config.learning_rate * (change + config.weight_decay * theta)
        thetas.append(theta)
        gradients.append(slope(theta, problem.train))
        if step % 6 == 0:
            whole = torch.autograd.functional.hessian(lambda t: loss(t, problem.train), theta, vectorize=True)
            hessians[step - 1] = whole.numpy()
        preconditioners.append(D)
    lists = {"theta": thetas, "gradient": gradients, "D": preconditioners}
    return {"H": hessians, **{name: torch.stack(values).numpy() for name, values in lists.items()}}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("regime", REGIMES)
def test_recorded_as_found_by_hand(regime: str) -> None:
    config = dense_run(regime, 3, **SHORT)
    sequence, found = train(config)["dense"], by_hand(config)
    delta = np.diff(found["theta"], axis=0)
    reference = np.array([delta[t] @ delta[t - 4] for t in range(4, 12)])
    np.testing.assert_allclose(sequence.K[4:, 4], reference, rtol=1e-7, atol=1e-9 * np.abs(reference).max())
    for t in (5, 11):
        X, H, D = delta[t : t - 4 : -1], found["H"][t], found["D"][t]
        expected = {"hessian": X @ H @ X.T}
        if config.optimizer != "SGD":
            expected |= {"response": X @ (H / D[:, None]) @ X.T, "metric": X * D @ X.T}
        assert set(sequence.probes) == {"gradient", "validation_gradient", *expected}
        for name, value in expected.items():
            size = np.abs(value).max()
            exact = name == "response" or config.optimizer == "SGD"
            assert sequence.probes[name].dtype == (np.float64 if exact else np.float32)
            np.testing.assert_allclose(
                sequence.probes[name][t], value, rtol=1e-6, atol=(1e-8 if exact else 1e-6) * size
            )
        gradient = X @ found["gradient"][t]
        np.testing.assert_allclose(sequence.probes["gradient"][t, :4], gradient, rtol=1e-5, atol=1e-9)
        norm = np.linalg.norm(H @ delta[t] / D)
        assert sequence.metrics["response_norm"][t] == pytest.approx(norm, rel=1e-5)
        top = np.abs(np.linalg.eigvalsh(H / np.sqrt(np.outer(D, D)))).max()
        assert abs(sequence.metrics["sharpness"][t]) <= top * (1 + 1e-6)
    assert np.isnan(sequence.probes["hessian"][6]).all()
    assert np.isnan(sequence.metrics["response_norm"][6])


@pytest.mark.usefixtures("small")
def test_a_run_recorded_at_intervals_is_the_same_run() -> None:
    every = dense_run("mlp-gd-edge", 0, **SHORT)
    fine, coarse = train(every)["dense"], train(replace(every, record_every=3, span=2))["intervals"]
    K = np.zeros((12, 12))
    for t in range(12):
        for lag in range(min(6, t) + 1):
            K[t, t - lag] = K[t - lag, t] = fine.K[t, lag]
    sums = K.reshape(4, 3, 4, 3).sum(axis=(1, 3))
    np.testing.assert_allclose(coarse.band(1)[1:, 1], np.diag(sums, -1), rtol=1e-9)
    assert coarse.config["run"].endswith("-every3")
    assert coarse.steps.tolist() == [3, 6, 9, 12]


@pytest.mark.usefixtures("small")
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("regime", ["quadratic-gd", "transformer-adamw"])
def test_the_tangent_kernel_is_that_of_the_right_outputs(regime: str) -> None:
    config = dense_run(regime, 4, **SHORT)
    rate = train(config)["dense"].metrics["tangent_rate"]
    problem = networks.problem(config)
    run = _Training(config)
    few = min(TANGENT, len(problem.train.labels))

    def kernel() -> torch.Tensor:
        rows = []
        for i in range(few):  # one example after another
            _, output = run.flat.loss(problem.train.take(torch.tensor([i])))
            (row,) = torch.autograd.grad(output[0, problem.train.labels[i]], run.flat.theta)
            rows.append(row)
        return torch.stack(rows) @ torch.stack(rows).T

    for wanted in rate[:3]:
        before = kernel()
        (run.flat.theta.grad,) = torch.autograd.grad(run.flat.loss(problem.train)[0], run.flat.theta)
        run.optimizer.step()
        assert float((kernel() - before).norm()) == pytest.approx(float(wanted), rel=1e-5)
    assert "tangent_rate" not in train(dense_run("mlp-gd", 4, **SHORT))["dense"].metrics


def test_same_bits_and_not_made_again(tmp_path: Path) -> None:
    config = dense_run("transformer-adamw", 1, **SHORT)
    one, again = train(config, tmp_path)["dense"], train(config)["dense"]
    assert np.array_equal(one.K, again.K, equal_nan=True)
    assert np.array_equal(one.probes["response"], again.probes["response"], equal_nan=True)
    (path,) = tmp_path.rglob("*.npz")
    assert path == Files(tmp_path, config.name, config.groups).recordings["dense"]
    before = path.stat().st_mtime_ns
    train(config, tmp_path)
    assert path.stat().st_mtime_ns == before
    assert [run.config["run"] for run in recorded(tmp_path, "dense")] == [config.name]
    with pytest.raises(
        ValueError, match="no other run called dense-transformer-adamw-seed1, got one with max"
    ):
        train(replace(config, max_steps=13), tmp_path)


def test_a_run_that_diverges_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="learning_rate must let the run converge"):
        train(dense_run("mlp-gd", 0, learning_rate=1e3, max_steps=100), tmp_path)
    assert not list(tmp_path.rglob("*"))


def test_float32_parameters_spoil_the_weaker_modes() -> None:
    """Why everything is trained in float64: the same parameters, rounded, have another spectrum."""
    config = dense_run("mlp-gd", 0)
    problem = networks.problem(config)
    theta = [tensor.clone().requires_grad_() for tensor in problem.start.values()]
    optimizer, kept = torch.optim.SGD(theta, lr=config.learning_rate), []
    for _ in range(250):
        kept.append(torch.cat([tensor.detach().flatten() for tensor in theta]).numpy())
        optimizer.zero_grad()
        named = dict(zip(problem.start, theta, strict=True))
        problem.loss(problem.output(named, problem.train.inputs), problem.train.labels).backward()
        optimizer.step()
    exact = np.array(kept)
    rounded = exact.astype(np.float32).astype(float)
    sigma = [np.linalg.svd(np.diff(rows[-11:], axis=0), compute_uv=False) for rows in (exact, rounded)]
    assert sigma[1][3] > 10 * sigma[0][3]
    assert sigma[1][0] == pytest.approx(sigma[0][0], rel=1e-3)


def test_bad_configurations() -> None:
    with pytest.raises(ValueError, match="regime must be"):
        dense_run("lamb", 0)
    with pytest.raises(ValueError, match=r"momentum goes with SGD without weight decay, got 0\.9"):
        DenseConfig(regime="x", seed=0, momentum=0.9, weight_decay=0.1)
    with pytest.raises(ValueError, match="span must be"):
        DenseConfig(regime="x", seed=0, span=30)
    names = [run.name for run in dense_runs()]
    assert len(set(names)) == len(names) == 3 * len(REGIMES) + 2 * len(AT_INTERVALS) * len(INTERVALS)


def test_record_one_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGIMES, "mlp-gd", {"max_steps": 20})
    with pytest.raises(SystemExit) as stopped:
        main(["record", "dense-mlp-gd-seed100", "--out", str(tmp_path)])
    assert stopped.value.code == 0
    assert GramSequence.load(tmp_path / "dense" / "dense-mlp-gd-seed100.npz").T == 20


def test_runs_of_further_seeds_are_judged_at_every_window(tmp_path: Path) -> None:
    (config,) = further.runs((110,), ("mlp-momentum",))
    short = replace(config, max_steps=160)
    train(short, tmp_path)
    found = {(regime, W): one for regime, W, one in further.by_window([short], tmp_path)}
    assert set(found) == {("mlp-momentum", W) for W in further.WINDOWS}
    assert all(one["runs"] == 1 and one["states"] > 0 for one in found.values())

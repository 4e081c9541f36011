"""What a recording holds, against brute force on a tiny model."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from spectral_edge.validate import GramSequence
from spectral_edge.validate.runs import examine
from spectral_edge.validate.runs.models import is_attention
from spectral_edge.validate.runs.observer import ablated_records, is_curved
from spectral_edge.validate.runs.tasks.modular import ModularConfig
from spectral_edge.validate.runs.training import train
from tests.torch.runs.tiny import MODULAR, TASKS

DATA = MODULAR.phases()[0][1]


@cache
def recording() -> dict[str, GramSequence]:
    return train(MODULAR)


@cache
def snapshots() -> list[dict[str, np.ndarray]]:
    """Train again by hand and keep every snapshot."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = MODULAR.model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)
    generator = torch.Generator().manual_seed(MODULAR.seed + 1)
    (inputs,), labels = DATA.train.inputs, DATA.train.labels
    kept = []
    for step in range(MODULAR.max_steps + 1):
        if step % MODULAR.record_every == 0:
            kept.append({name: p.detach().double().numpy().copy() for name, p in model.named_parameters()})
        chosen = torch.randint(len(labels), (MODULAR.batch_size,), generator=generator)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    torch.set_num_threads(threads)
    return kept


def stacked(group: str) -> np.ndarray:
    names = [name for name in snapshots()[0] if group == "all" or is_attention(name)]
    return np.array([np.concatenate([shot[name].ravel() for name in names]) for shot in snapshots()])


def loss_at(theta: np.ndarray, which: str) -> torch.Tensor:
    model = MODULAR.model().double()
    vector_to_parameters(torch.from_numpy(theta), model.parameters())
    return examine.loss_of(model, getattr(DATA, which))


def gradient_at(theta: np.ndarray, which: str) -> np.ndarray:
    model = MODULAR.model().double()
    vector_to_parameters(torch.from_numpy(theta), model.parameters())
    examine.loss_of(model, getattr(DATA, which)).backward()
    return parameters_to_vector([p.grad for p in model.parameters()]).numpy()


@pytest.mark.parametrize("group", ["attention", "all"])
def test_K_is_the_gram_matrix_of_the_updates(group: str) -> None:
    sequence, thetas = recording()[group], stacked(group)
    updates = np.diff(thetas, axis=0)
    assert updates.shape == (12, sequence.P)
    assert pytest.approx(updates @ updates.T, rel=1e-5, abs=1e-12) == sequence.K
    assert sequence.steps.tolist() == list(range(5, 61, 5))
    assert sequence.config["group"] == {"attention": "attention weights", "all": "all weights"}[group]


def test_vector_probes_are_inner_products_with_the_updates() -> None:
    sequence, thetas = recording()["all"], stacked("all")
    updates = np.diff(thetas, axis=0)
    t = 10
    vectors = {
        "parameters": thetas[t + 1],
        "gradient": gradient_at(thetas[t + 1], "seen"),
        "validation_gradient": gradient_at(thetas[t + 1], "unseen"),
    }
    for name, vector in vectors.items():
        expected = updates[t::-1] @ vector
        found = sequence.probes[name][t, : t + 1]
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4 * np.abs(expected).max()), name


@pytest.mark.parametrize("group", ["attention", "all"])
def test_window_hessian_is_that_of_differences_of_gradients(group: str) -> None:
    sequence, t = recording()[group], 9  # the tenth record
    thetas = stacked("all")
    updates = np.diff(thetas, axis=0)[t::-1]
    if group == "attention":
        attention = [np.full(p.size, is_attention(name)) for name, p in snapshots()[0].items()]
        updates = updates * np.concatenate(attention)
    eps = 1e-4
    columns = [
        (gradient_at(thetas[t + 1] + eps * d, "seen") - gradient_at(thetas[t + 1] - eps * d, "seen"))
        / (2 * eps)
        for d in updates
    ]
    expected = updates @ np.array(columns).T
    found = sequence.probes["hessian"][t]
    assert found.shape == (10, 10)
    assert found == pytest.approx(expected, rel=1e-3, abs=2e-4 * np.abs(expected).max())
    assert np.isnan(sequence.probes["hessian"][[0, 8, 10]]).all()  # every fifth record with a full window
    assert np.isfinite(sequence.window(10).curvature()[0]).all()


def test_ablation_is_the_loss_without_the_direction() -> None:
    sequence, t = recording()["all"], 9
    thetas = stacked("all")
    theta, updates = thetas[t + 1], np.diff(thetas, axis=0)[: t + 1]
    _, _, directions = np.linalg.svd(updates, full_matrices=False)
    found = sequence.probes["ablation"][t]
    for j in range(4):  # those that single precision resolves
        v = directions[j]
        without = theta - (theta @ v) * v
        for column, which in enumerate(("seen", "unseen")):
            expected = float((loss_at(without, which) - loss_at(theta, which)).detach())
            assert found[j, column] == pytest.approx(expected, abs=2e-4)
            along = gradient_at(theta, which) @ v
            assert abs(found[j, 2 + column]) == pytest.approx(abs(along), rel=1e-2, abs=1e-4)
        assert abs(found[j, 4]) == pytest.approx(abs(theta @ v), rel=1e-2, abs=1e-4)


def test_ten_records_are_ablated_more_of_them_early() -> None:
    assert sorted(ablated_records(ModularConfig())) == [10, 15, 24, 37, 57, 88, 136, 210, 324, 500]
    assert ablated_records(ModularConfig(max_steps=10_000)) == {10, 13, 17, 22, 28, 36, 46, 60, 77, 100}
    assert ablated_records(ModularConfig(max_steps=900)) == set()


def test_ablation_agrees_with_the_probes_and_has_its_control() -> None:
    sequence = recording()["attention"]
    ablated = np.flatnonzero(np.isfinite(sequence.probes["ablation"]).all(axis=(1, 2))) + 1
    assert set(ablated) == ablated_records(MODULAR) == {10, 11, 12}
    along = np.abs(sequence.window(10).project("gradient")[0][:4])
    assert np.abs(sequence.probes["ablation"][9, :4, 2]) == pytest.approx(along, rel=1e-2, abs=1e-5)
    control = sequence.probes["ablation_random"][9]
    # a random direction holds about |θ|/√P of the parameters
    theta = stacked("attention")[10]
    assert np.sqrt(np.mean(control[:, 4] ** 2)) < 3 * np.linalg.norm(theta) / np.sqrt(theta.size)
    assert np.isnan(sequence.probes["ablation_random"][5]).all()
    assert "ablation_random" not in recording()["all"].probes


def test_singular_values_of_every_attention_matrix() -> None:
    sequence, shots, d = recording()["attention"], snapshots(), MODULAR.d_model
    stack = shots[12]["encoder.layers.1.self_attn.in_proj_weight"]
    matrices = {letter: stack[i * d : (i + 1) * d] for i, letter in enumerate("QKV")}
    matrices["O"] = shots[12]["encoder.layers.1.self_attn.out_proj.weight"]
    for letter, matrix in matrices.items():
        sigma = np.linalg.svd(matrix, compute_uv=False)
        assert sequence.metrics[f"encoder.1.{letter}.norm"][-1] == pytest.approx(
            np.linalg.norm(matrix), rel=1e-5
        )
        for j in (1, 2, 3):
            found = sequence.metrics[f"encoder.1.{letter}.sigma_{j}"][-1]
            assert found == pytest.approx(sigma[j - 1], rel=1e-5)
    losses = {"train_loss", "test_loss", "train_accuracy", "test_accuracy"}
    assert set(recording()["all"].metrics) == losses
    assert len(sequence.metrics) == 4 + 2 * 4 * 4


def test_recording_changes_nothing() -> None:
    """The snapshots by hand, without any measurement, are the recorded run: so are losses at the end."""
    found = recording()["all"].metrics
    for column, which in (("train_loss", "seen"), ("test_loss", "unseen")):
        assert found[column][-1] == pytest.approx(
            float(loss_at(stacked("all")[-1], which).detach()), rel=1e-5
        )


@pytest.mark.parametrize("group", ["attention", "all"])
def test_metric_is_that_of_adam_written_out(group: str) -> None:
    """δᵀDδ, D = √v̂ + ε, with v̂ from the gradients of every step by hand."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    v, thetas = None, [parameters_to_vector(MODULAR.model().parameters()).detach().double()]
    model = MODULAR.model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)
    generator = torch.Generator().manual_seed(MODULAR.seed + 1)
    (inputs,), labels = DATA.train.inputs, DATA.train.labels
    for step in range(1, 51):
        chosen = torch.randint(len(labels), (MODULAR.batch_size,), generator=generator)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        slope = parameters_to_vector([p.grad for p in model.parameters()]).double()
        v = 0.02 * slope**2 if v is None else 0.98 * v + 0.02 * slope**2
        optimiser.step()
        if step % MODULAR.record_every == 0:
            thetas.append(parameters_to_vector(model.parameters()).detach().double())
    torch.set_num_threads(threads)
    D = (v / (1 - 0.98**50)).sqrt() + 1e-8
    wanted = torch.cat(
        [torch.full((p.numel(),), group == "all" or is_attention(n)) for n, p in model.named_parameters()]
    )
    updates = [now - before for now, before in zip(thetas[1:], thetas[:-1], strict=True)][::-1]
    expected = np.array([[float((a * D * b)[wanted].sum()) for b in updates] for a in updates])
    found = recording()[group].probes["metric"]
    assert found[9] == pytest.approx(expected, rel=1e-3, abs=1e-4 * expected.max())
    there = np.isfinite(found).all(axis=(1, 2))
    assert np.array_equal(there, np.isfinite(recording()[group].probes["hessian"]).all(axis=(1, 2)))


def test_muon_has_no_metric() -> None:
    config = dataclasses.replace(TASKS["language"], record_every=1, max_steps=10)
    found = train(config)["attention"].probes
    assert "hessian" in found
    assert "metric" not in found


def test_window_hessians_are_fewer_after_the_hundredth_record() -> None:
    curved = [record for record in range(1, 500) if is_curved(record)]
    assert curved[:3] == [10, 15, 20]
    assert curved[18:21] == [100, 110, 120]

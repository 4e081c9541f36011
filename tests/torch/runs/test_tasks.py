"""Every task trains, repeats itself, and is scored as it says."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from spectral_edge.validate.runs import examine
from spectral_edge.validate.runs.config import IGNORED
from spectral_edge.validate.runs.models import attention_matrices, attention_weights
from spectral_edge.validate.runs.plan import planned
from spectral_edge.validate.runs.tasks import scan
from spectral_edge.validate.runs.tasks.dyck import DyckConfig
from spectral_edge.validate.runs.training import optimizers, train
from tests.torch.runs.tiny import MODULAR, TASKS


@pytest.mark.parametrize("name", TASKS)
def test_two_hundred_steps(name: str) -> None:
    config = dataclasses.replace(TASKS[name], max_steps=200, record_every=20, weight_decay=0.0)
    if name == "shift":
        config = dataclasses.replace(config, shift_step=160)
    found = train(config)["attention"]
    assert found.steps.tolist() == list(range(20, 201, 20))
    loss = found.metrics["train_loss"]
    assert loss[7] < 0.9 * loss[0]  # up to the shift, where there is one
    assert np.all((found.metrics["test_accuracy"] >= 0) & (found.metrics["test_accuracy"] <= 1))
    if name == "shift":
        assert loss[8] > 1.5 * loss[7]


@pytest.mark.parametrize("name", TASKS)
def test_same_seed_same_run(name: str) -> None:
    config = dataclasses.replace(TASKS[name], max_steps=20)
    one, two, other = (train(dataclasses.replace(config, seed=seed))["all"] for seed in (3, 3, 4))
    assert np.array_equal(one.K, two.K)
    assert all(np.array_equal(one.metrics[key], two.metrics[key]) for key in one.metrics)
    assert not np.array_equal(one.K, other.K)


def test_random_numbers_and_threads_are_left_alone() -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(dataclasses.replace(MODULAR, max_steps=60))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_it_stops_after_the_target() -> None:
    config = dataclasses.replace(MODULAR, target_accuracy=0.0, steps_after_target=20, max_steps=1000)
    assert train(config)["attention"].steps[-1] == 25


@pytest.mark.parametrize(
    ("name", "attention", "matrices"),
    [
        ("dyck-wd1-seed42", 131_072, 8),
        ("scan-wd1-seed42", 2_359_296, 36),
        ("language-muon-seed42", 131_072, 8),
    ],
)
def test_the_sizes_in_the_plan(name: str, attention: int, matrices: int) -> None:
    model = planned()[name].model()
    assert sum(w.numel() for w in attention_weights(model).values()) == attention
    assert len(attention_matrices(model)) == matrices


def test_layers_begin_different_where_the_card_says_so() -> None:
    for name, copies in (("modular", True), ("language", False), ("scan", False)):
        found = attention_matrices(TASKS[name].model())
        assert torch.equal(found["encoder.0.Q"], found["encoder.1.Q"]) is copies


@pytest.mark.parametrize("name", ["language", "scan"])
def test_no_answer_sees_what_comes_after_it(name: str) -> None:
    config = TASKS[name]
    model, data = config.model(), config.phases()[0][1]
    inputs = [tensor.clone() for tensor in data.unseen.inputs]
    before = model(*inputs)
    inputs[-1][:, 8:] = 1
    after = model(*inputs)
    assert torch.allclose(before[:, :8], after[:, :8], atol=1e-5)
    assert not torch.allclose(before[:, 8:], after[:, 8:], atol=1e-3)


@pytest.mark.parametrize("name", ["dyck", "scan"])
def test_padding_changes_no_answer(name: str) -> None:
    config = TASKS[name]
    model, examples = config.model(), config.phases()[0][1].unseen
    shortest = int((examples.labels != IGNORED).sum(1).argmin())
    rows = slice(shortest, shortest + 1)
    alone, padded = examples.take(rows), examples._replace(padded=False).take(rows)
    asked = alone.labels != IGNORED
    assert alone.labels.shape[1] < padded.labels.shape[1]
    short, long = model(*alone.inputs), model(*padded.inputs)
    assert torch.allclose(short[asked], long[:, : short.shape[1]][asked], atol=1e-5)


def test_scan_tokens_are_the_commands_and_actions() -> None:
    data = TASKS["scan"].phases()[0][1]
    seen = set()
    for examples in (data.train, data.unseen):
        for source, written, labels in zip(*examples.inputs, examples.labels, strict=True):
            command = " ".join(scan.WORDS[token - 1] for token in source.tolist() if token)
            answer = [token for token in labels.tolist() if token != IGNORED]
            assert tuple(scan.ACTIONS[token - 1] for token in answer[:-1]) == scan.commands()[command]
            assert answer[-1] == scan.END
            assert written.tolist()[: len(answer)] == [scan.BEGIN, *answer[:-1]]
            assert command not in seen  # no test command was trained on
            seen.add(command)
    assert len(seen) == 64 + 16


def test_language_asks_for_the_next_character() -> None:
    data = TASKS["language"].phases()[0][1]
    for examples in data:
        assert torch.equal(examples.inputs[0][0, 1:], examples.labels[0, :-1])


@pytest.mark.parametrize("whole", [False, True])
def test_scores_are_those_of_a_loop(whole: bool) -> None:
    config = TASKS["scan"]
    model, examples = config.model(), config.phases()[0][1].unseen
    loss, accuracy = examine.evaluate(model, examples, 5, whole)
    losses, right = [], []
    with torch.no_grad():
        for i in range(examples.size):
            one = examples.take(slice(i, i + 1))
            logits, asked = model(*one.inputs)[0], one.labels[0] != IGNORED
            losses += [float(cross_entropy(logits[t], one.labels[0, t])) for t in asked.nonzero().flatten()]
            hits = (logits.argmax(-1) == one.labels[0])[asked].tolist()
            right += [all(hits)] if whole else hits
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert accuracy == pytest.approx(np.mean(right))


def test_muon_takes_the_matrices_of_the_layers_and_adamw_the_rest() -> None:
    config = TASKS["language"]
    model = config.model()
    muon, adamw = optimizers(config, model)
    assert isinstance(muon, torch.optim.Muon)
    names = {id(p): name for name, p in model.named_parameters()}
    inner = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    outer = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert inner | outer == set(names.values())
    assert not inner & outer
    assert set(attention_weights(model)) < inner
    assert {"token.weight", "position.weight", "head.weight"} < outer
    assert len(optimizers(DyckConfig(), model)) == 1

"""Every task trains, repeats itself, and is scored as it says."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from spectral_edge.validate.runs import examine
from spectral_edge.validate.runs.config import IGNORED
from spectral_edge.validate.runs.models import attention_matrices, attention_weights, encode
from spectral_edge.validate.runs.observer import Observer
from spectral_edge.validate.runs.plan import planned
from spectral_edge.validate.runs.tasks import dyck, scan
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


@pytest.mark.parametrize(
    ("changes", "last", "stop"),
    [
        ({}, 35, 15),  # the third evaluation
        ({"record_every": 1}, 35, 15),  # records between evaluations do not count
        ({"target_records": 1}, 25, 5),
        ({"steps_after_target": None}, 60, 15),
        ({"target_accuracy": 1.1}, 60, 60),
        ({"target_accuracy": None}, 60, 60),
    ],
)
def test_it_stops_after_the_target(changes: dict[str, Any], last: int, stop: int) -> None:
    config = dataclasses.replace(MODULAR, target_accuracy=0.0, steps_after_target=20)
    found = train(dataclasses.replace(config, **changes))["attention"]
    assert (found.steps[-1], found.config["stop_step"]) == (last, stop)


def test_evaluations_must_reach_the_target_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two, a miss, two, a miss, three."""
    accuracies = iter([0.9, 0.9, 0.1, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])
    recorded = Observer.record

    def record(self: Observer, step: int, data: Any) -> dict[str, float]:
        return recorded(self, step, data) | {"test_accuracy": next(accuracies)}

    monkeypatch.setattr(Observer, "record", record)
    config = dataclasses.replace(MODULAR, target_accuracy=0.9, steps_after_target=0)
    found = train(config)["attention"]
    assert found.steps[-1] == found.config["stop_step"] == 45


@pytest.mark.parametrize(
    ("name", "attention", "matrices"),
    [
        ("single-a+b-wd1-seed42", 131_072, 8),
        ("tri-wd1-seed42", 131_072, 8),
        ("dyck1-wd1-seed42", 131_072, 8),
        ("scan-simple-wd1-seed42", 2_359_296, 36),
        ("language-muon-seed42", 131_072, 8),
    ],
)
def test_the_sizes_in_the_plan(name: str, attention: int, matrices: int) -> None:
    model = planned()[name].model()
    assert sum(w.numel() for w in attention_weights(model).values()) == attention
    assert len(attention_matrices(model)) == matrices


def test_layers_begin_different_where_the_card_says_so() -> None:
    for name, copies in (("modular", True), ("dyck", True), ("language", False), ("scan", False)):
        model = TASKS[name].model()
        first, second = (dict(model.encoder.layers[layer].named_parameters()) for layer in (0, 1))
        matrices = [key for key, tensor in first.items() if tensor.ndim == 2]
        assert len(matrices) == 4
        assert all(torch.equal(first[key], second[key]) is copies for key in matrices)


def test_the_recipe_starts_where_it_says() -> None:
    """Tokens N(0, 1) everywhere; positions N(0, 1/d) in modular arithmetic, N(0, 1) in Dyck-1; Xavier in SCAN."""
    models = {
        name: planned()[f"{name}-wd1-seed42"].model() for name in ("single-a+b", "dyck1", "scan-simple")
    }
    for name, std in (("single-a+b", 128**-0.5), ("dyck1", 1.0)):
        assert models[name].position.std().item() == pytest.approx(std, rel=0.1)
        assert models[name].token.weight.std().item() == pytest.approx(1.0, rel=0.1)
    assert models["single-a+b"].position.shape == (2, 128)
    assert models["dyck1"].position.shape == (48, 128)
    assert models["dyck1"].heads[0].out_features == 13
    scan_model = models["scan-simple"]
    assert (scan_model.position.shape[0], scan_model.target_position.shape[0]) == (11, 50)
    for tensor in (tensor for tensor in scan_model.parameters() if tensor.ndim == 2):
        assert tensor.abs().max() <= (6 / sum(tensor.shape)) ** 0.5


def test_models_compute_what_pytorch_does() -> None:
    """The shortcuts of the forward pass against PyTorch's own stacks of layers."""
    torch.manual_seed(0)
    modular, dyck1, translator = (TASKS[name].model() for name in ("tri", "dyck", "scan"))
    data = {name: TASKS[name].phases()[0][1].unseen for name in ("tri", "dyck", "scan")}
    with torch.no_grad():
        (pairs,) = data["tri"].inputs
        read = modular.encoder(modular.token(pairs) + modular.position)[:, 0]  # normalised, at position 0
        expected = torch.stack([head(read) for head in modular.heads], 1)
        assert torch.allclose(modular(pairs), expected, atol=1e-5)

        (words,) = data["dyck"].inputs
        length = words.shape[1]
        x = dyck1.token(words) + dyck1.position[:length]
        expected = dyck1.heads[0](dyck1.encoder(x, mask=torch.ones(length, length).triu(1).bool()))
        assert torch.allclose(dyck1(words), expected, atol=1e-5)

        source, target = data["scan"].inputs
        pad = source == 0
        memory = translator.encoder(translator.token(source) + translator.position, src_key_padding_mask=pad)
        y = translator.target_token(target) + translator.target_position[: target.shape[1]]
        later = torch.ones(target.shape[1], target.shape[1]).triu(1).bool()
        decoded = translator.decoder(y, memory, tgt_mask=later, tgt_key_padding_mask=target == 0)
        expected = translator.head(translator.norm(decoded))
        asked = data["scan"].labels != IGNORED
        assert torch.allclose(translator(source, target)[asked], expected[asked], atol=1e-5)


def test_both_ways_through_the_first_layer_agree() -> None:
    """Few tokens are embedded one by one, many by a table."""
    model, (words,) = TASKS["dyck"].model(), TASKS["dyck"].phases()[0][1].unseen.inputs
    assert words[:2].numel() < 3 * words.shape[1] <= words.numel()
    assert torch.allclose(model(words)[:2], model(words[:2]), atol=1e-5)


def test_a_twin_starts_the_same_and_sees_other_batches() -> None:
    twin = dataclasses.replace(MODULAR, variant="twin")
    assert twin.name == f"{MODULAR.name}-twin"
    for one, two in zip(MODULAR.model().parameters(), twin.model().parameters(), strict=True):
        assert torch.equal(one, two)
    assert torch.equal(MODULAR.phases()[0][1].train.labels, twin.phases()[0][1].train.labels)
    found = [train(config)["attention"] for config in (MODULAR, twin)]
    assert not np.array_equal(found[0].K, found[1].K)
    assert found[1].config["experiment"] == "twin"


def test_another_interval_is_the_same_run() -> None:
    wider = dataclasses.replace(MODULAR, variant="interval", record_every=10)
    assert wider.name == f"{MODULAR.name}-every10"
    usual, found = train(MODULAR)["attention"], train(wider)["attention"]
    thinned = usual.K.reshape(6, 2, 6, 2).sum(axis=(1, 3))  # an update of ten steps is two of five
    assert pytest.approx(thinned, rel=1e-4, abs=1e-6 * thinned.max()) == found.K


def test_losses_of_several_tasks_add_up() -> None:
    config = TASKS["tri"]
    model, examples = config.model(), config.phases()[0][1].unseen
    logits = model(*examples.inputs).detach()
    each = [float(cross_entropy(logits[:, task], examples.labels[:, task])) for task in range(3)]
    assert float(examine.loss_of(model, examples).detach()) == pytest.approx(sum(each), rel=1e-6)
    said = examine.evaluate(model, examples, 7, whole_sequence=False)[""].said("test")
    right = (logits.argmax(-1) == examples.labels).float().mean(0).tolist()
    assert said["test_loss"] == pytest.approx(sum(each), rel=1e-6)
    assert [said[f"test_accuracy_{task}"] for task in (1, 2, 3)] == pytest.approx(right)
    assert said["test_accuracy"] == pytest.approx(min(right))


@pytest.mark.parametrize("name", ["language", "scan", "dyck"])
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
def test_what_is_cut_off_changes_no_answer(name: str) -> None:
    config = TASKS[name]
    model, examples = config.model(), config.phases()[0][1].unseen
    shortest = int((examples.labels != IGNORED).sum(1).argmin())
    rows = slice(shortest, shortest + 1)
    alone, padded = examples.take(rows), examples._replace(padded=False).take(rows)
    asked = alone.labels != IGNORED
    assert alone.labels.shape[1] < padded.labels.shape[1]
    short, long = model(*alone.inputs), model(*padded.inputs)
    assert torch.allclose(short[asked], long[:, : short.shape[1]][asked], atol=1e-5)


def test_scan_writes_with_an_eye_on_the_padding_of_what_it_reads() -> None:
    """Not masked in the recipe, and so never cut off; within the sequence that is read, it is masked."""
    model, examples = TASKS["scan"].model(), TASKS["scan"].phases()[0][1].unseen
    shortest = int((examples.inputs[0] != 0).sum(1).argmin())
    part = examples.take(slice(shortest, shortest + 1))
    source, target = part.inputs
    assert source.shape[1] == 11
    assert not torch.allclose(model(source, target), model(source[:, :-1], target), atol=1e-4)
    x = model.token(source) + model.position
    looked_at = (source != 0)[:, None, None]
    whole = encode(model.encoder.layers[0], x, x, mask=looked_at)
    short = encode(model.encoder.layers[0], x[:, :-1], x[:, :-1], mask=looked_at[..., :-1])
    assert torch.allclose(whole[:, :-1], short, atol=1e-6)


def test_scan_tokens_are_the_commands_and_actions() -> None:
    data = TASKS["scan"].phases()[0][1]
    seen = set()
    for examples in (data.train, data.unseen):
        for source, written, labels in zip(*examples.inputs, examples.labels, strict=True):
            begin, *words, end = (token for token in source.tolist() if token)
            assert (begin, end) == (scan.BEGIN, scan.END)
            command = " ".join(scan.WORDS[token - 3] for token in words)
            answer = [token for token in labels.tolist() if token != IGNORED]
            assert tuple(scan.ACTIONS[token - 3] for token in answer[:-1]) == scan.commands()[command]
            assert answer[-1] == scan.END
            assert written.tolist()[: len(answer)] == [scan.BEGIN, *answer[:-1]]
            assert command not in seen  # no test command was trained on
            seen.add(command)
    assert len(seen) == 64 + 16


def test_language_asks_for_the_next_character() -> None:
    data = TASKS["language"].phases()[0][1]
    for examples in data[:3]:
        assert torch.equal(examples.inputs[0][0, 1:], examples.labels[0, :-1])


@pytest.mark.parametrize("whole", [False, True])
def test_scores_are_those_of_a_loop(whole: bool) -> None:
    config = TASKS["scan"]
    model, examples = config.model(), config.phases()[0][1].unseen
    said = examine.evaluate(model, examples, 5, whole)[""].said("test")
    losses: list[float] = []
    right: dict[str, list[bool]] = {"sequences": [], "answers": []}
    with torch.no_grad():
        for i in range(examples.size):
            one = examples.take(slice(i, i + 1))
            logits, asked = model(*one.inputs)[0], one.labels[0] != IGNORED
            losses += [float(cross_entropy(logits[t], one.labels[0, t])) for t in asked.nonzero().flatten()]
            hits = (logits.argmax(-1) == one.labels[0])[asked].tolist()
            right["sequences"] += [all(hits)]
            right["answers"] += hits
    kind, other = ("sequences", "answers")[:: 1 if whole else -1]
    assert said["test_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert said["test_accuracy"] == pytest.approx(np.mean(right[kind]))
    assert said[f"test_accuracy_{other}"] == pytest.approx(np.mean(right[other]))


def test_what_looks_familiar_is_left_out() -> None:
    """The two further test sets of Dyck-1, word by word."""
    config = TASKS["dyck"]
    assert isinstance(config, DyckConfig)
    train_words, test_words = dyck.words(config)
    data = config.phases()[0][1]
    for row, word in enumerate(sorted(test_words, key=len)):
        for end in range(len(word)):
            start = word[: end + 1]
            asked = {name: int(labels[row, end]) for name, labels in data.others.items()}
            assert (asked["test_new_words"] == IGNORED) is (word in train_words)
            assert (asked["test_new_starts"] == IGNORED) is any(w.startswith(start) for w in train_words)
    model = config.model()
    said = examine.evaluate(model, data.unseen, 7, whole_sequence=False, others=data.others)
    logits = model(*data.unseen.inputs).detach()
    for name, labels in data.others.items():
        asked = labels != IGNORED
        found = said[name].said(name)
        right = float((logits.argmax(-1) == labels)[asked].float().mean())
        assert found[f"{name}_accuracy"] == pytest.approx(right)
        assert found[f"{name}_loss"] == pytest.approx(
            float(cross_entropy(logits[asked], labels[asked])), rel=1e-5
        )


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
    assert {"token.weight", "position", "heads.0.weight"} < outer
    assert len(optimizers(DyckConfig(), model)) == 1

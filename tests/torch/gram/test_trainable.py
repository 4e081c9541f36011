"""What of a model is recorded: trainable parameters, as they come and go; and how a tracker is attached."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from spectral_edge.validate import GramSequence, GramTracker

accelerate = pytest.importorskip("accelerate")


class Adapted(nn.Module):
    """A frozen layer with two low-rank factors beside it, as LoRA has them."""

    def __init__(self, d=32, r=2):
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Linear(d, d)
        self.base.requires_grad_(False)
        self.A, self.B = nn.Parameter(torch.randn(r, d) / d**0.5), nn.Parameter(torch.zeros(d, r))
        self.head = nn.Linear(d, 3)
        self.head.requires_grad_(False)

    def forward(self, x):
        return self.head(self.base(x) + x @ self.A.T @ self.B.T)


def batch(n=64, d=32):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, d, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def step_of(model, optimizer):
    x, y = batch()
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


def trained(model):
    return [p for p in model.parameters() if p.requires_grad]


def flat(parameters):
    return torch.cat([p.detach().reshape(-1) for p in parameters]).double().numpy()


def test_frozen_parameters_are_left_out_and_that_is_said():
    model, said = Adapted(), []
    optimizer = torch.optim.AdamW(trained(model), lr=1e-2)
    tracker = GramTracker(4, say=said.append)
    tracker.attach(optimizer, model)
    assert said == [
        "recording 128 parameters in 2 tensors (A, B); 6 vectors, 3.07 kB on cpu; "
        "left out: 4 not trained (base.weight, base.bias, head.weight, head.bias)"
    ]
    thetas = [flat([model.A, model.B])]
    for _ in range(10):
        step_of(model, optimizer)
        thetas.append(flat([model.A, model.B]))
    found = tracker.sequence()
    assert found.P == 128
    assert tracker._store._stores[""]._rings.keys() == {"A", "B"}  # no memory for the rest
    np.testing.assert_allclose(found.K, GramSequence.from_parameters(np.array(thetas), W_max=4).K, rtol=1e-6)
    everything = GramTracker(4, frozen=True, say=None)
    everything.update(model)
    assert "recording 1,283 parameters in 6 tensors" in everything.describe(model)


def test_a_model_of_which_nothing_is_trained_is_recorded_whole():
    model = Adapted().requires_grad_(False)
    assert "recording 1,283 parameters" in GramTracker(4).describe(model)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("options", [{}, {"sketch": 6000}, {"by": "layer"}])
def test_unfreezing_is_no_reason_to_fail_and_loses_nothing(tmp_path, every, options):
    model, said = Adapted(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    tracker = GramTracker(4, every=every, path=tmp_path / "run.npz", say=said.append, **options)
    tracker.attach(optimizer, model)
    thetas = [flat(model.parameters())]
    for taken in range(1, 19):
        if taken == 8:
            model.head.requires_grad_(True)
        step_of(model, optimizer)
        thetas.append(flat(model.parameters()))
    assert any(
        "head.weight, head.bias began to be trained and are recorded from now on" in line for line in said
    )
    tracker.close()
    found = GramSequence.load(tmp_path / "run.npz")
    # what was frozen did not move, so the whole model is the oracle
    wanted = GramSequence.from_parameters(np.array(thetas[::every]), W_max=4)
    tolerance = 0.1 if "sketch" in options else 1e-5
    np.testing.assert_allclose(found.K, wanted.K, rtol=tolerance, atol=tolerance * np.nanmax(wanted.K))
    assert found.P == 227
    if "by" in options:
        parts = found.parts()
        assert {name: part.P for name, part in parts.items()} == {"A": 64, "B": 64, "head": 99}
        assert (parts["head"].K[: 7 // every, 0] == 0).all()
        assert (parts["head"].K[8 // every :, 0] > 0).all()


def test_freezing_is_no_reason_to_fail_either():
    model = Adapted()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    tracker = GramTracker(4, say=None, by=lambda name: name)
    tracker.attach(optimizer, model)
    for taken in range(12):
        if taken == 6:
            model.A.requires_grad_(False)
        step_of(model, optimizer)
        if taken >= 6:
            model.A.grad = None
    parts = tracker.sequence().parts()
    assert (parts["A"].K[7:, 0] == 0).all()
    assert (parts["B"].K[:, 0] > 0).all()


def test_an_update_that_may_have_been_missed_is_told():
    model, tracker = Adapted(), GramTracker(4, say=None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for step in range(4):
        tracker.update(model, step=step)
        step_of(model, optimizer)
    model.head.requires_grad_(True)
    step_of(model, optimizer)
    with pytest.warns(
        UserWarning, match="head.weight, head.bias began to be trained: what moved them up to step 9"
    ):
        tracker.update(model, step=9)


def test_a_state_dictionary_after_a_model_is_no_thaw():
    model, tracker = Adapted(), GramTracker(2, say=None)
    tracker.update(model, step=0)
    tracker.update(model.state_dict(), step=1)
    tracker.update(model.state_dict(), step=2)
    assert tracker.sequence().P == 128


def test_resuming_a_run_that_has_thawed(tmp_path):
    def run(tracker, model, steps, start=0):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        tracker.attach(optimizer, model)
        for taken in range(start, start + steps):
            if taken == 4:
                model.head.requires_grad_(True)
            step_of(model, optimizer)

    model, whole = Adapted(), GramTracker(4, say=None)
    run(whole, model, 14)
    model, first = Adapted(), GramTracker(4, say=None)
    run(first, model, 8)
    state = torch.load(_saved(tmp_path, first.state_dict()), weights_only=True)
    second, again = GramTracker(4, say=None), copy.deepcopy(model)
    second.load_state_dict(state)
    run(second, again, 6, start=8)
    np.testing.assert_array_equal(second.sequence().K, whole.sequence().K)


def _saved(folder, state):
    torch.save(state, folder / "state.pt")
    return folder / "state.pt"


def test_batch_norm_live_and_from_files_is_the_same(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    live, said, states = GramTracker(4), [], GramTracker(4, say=None)
    told = GramTracker(4, say=said.append)
    for step in range(10):
        for tracker, params in ((live, model), (states, model.state_dict()), (told, model.state_dict())):
            tracker.update(params, step=step)
        step_of(model, optimizer)
    np.testing.assert_array_equal(states.sequence().K, live.sequence().K)
    assert sum(p.numel() for p in model.parameters()) == states.sequence().P
    assert "2 buffers (1.running_mean, 1.running_var)" in said[0]


# -- attaching -------------------------------------------------------------------------------------------


def test_accelerate_is_unwrapped_and_accumulation_counts_steps():
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    x, y = batch()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
    model = nn.Linear(32, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.3)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    tracker = GramTracker(3, say=None)
    tracker.attach(optimizer, model, gradients=True)
    thetas = [flat(model.parameters())]
    for x, y in loader:  # eight batches, four steps
        with accelerator.accumulate(model):
            accelerator.backward(nn.functional.cross_entropy(model(x), y))
            optimizer.step()
            optimizer.zero_grad()
            if accelerator.sync_gradients:
                thetas.append(flat(model.parameters()))
    found = tracker.sequence()
    np.testing.assert_array_equal(found.steps, [1, 2, 3, 4])
    np.testing.assert_allclose(found.K, GramSequence.from_parameters(np.array(thetas)).K, rtol=1e-5)
    assert (np.abs(found.probes["gradient"][:, 0]) > 0).all()
    assert found.config == {
        "optimizer": "AdamW", "learning_rate": 0.01, "weight_decay": 0.3, "betas": [0.9, 0.999], "eps": 1e-08,
    }  # fmt: skip


def test_what_cannot_be_attached_is_refused_in_a_line():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    cases = [
        ((model, optimizer), "attach takes the optimizer and then the model, got them the other way round"),
        ((optimizer, optimizer), "model must be a torch module, got SGD"),
        ((model, model), "optimizer must be a torch optimizer, got Linear"),
        ((None, model), "optimizer must be a torch optimizer, got NoneType"),
        (([], model), "optimizer must be a torch optimizer, got an empty list"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            GramTracker(3, say=None).attach(*arguments)
    with pytest.raises(ValueError, match="params must be a model, arrays or a mapping of them, got int"):
        GramTracker(3).update(3)


def test_several_optimisers_are_one_step():
    model = nn.Sequential(nn.Linear(32, 16), nn.Linear(16, 3))
    muon = torch.optim.Muon([model[0].weight], lr=1e-2)
    adam = torch.optim.AdamW([model[0].bias, *model[1].parameters()], lr=1e-3, weight_decay=0.0)
    tracker, thetas = GramTracker(3, say=None), [flat(model.parameters())]
    tracker.attach([muon, adam], model)
    x, y = batch()
    for _ in range(6):
        model.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        muon.step()
        adam.step()
        thetas.append(flat(model.parameters()))
    found = tracker.sequence()
    np.testing.assert_allclose(found.K, GramSequence.from_parameters(np.array(thetas), W_max=3).K, rtol=1e-5)
    assert found.config["optimizers"] == ["Muon", "AdamW"]


def test_an_error_in_a_hook_does_not_end_the_training(tmp_path, monkeypatch):
    from spectral_edge.validate.gram.live.journal import Journal

    def full(journal, record):
        raise OSError(28, "No space left on device")

    def run(**options):
        model = Adapted()
        optimizer = torch.optim.SGD(trained(model), lr=0.3)
        tracker = GramTracker(4, path=tmp_path / f"{len(options)}.npz", say=None, **options)
        tracker.attach(optimizer, model, metrics=lambda: {"loss": 1.0})
        for taken in range(8):
            if taken == 5:
                monkeypatch.setattr(Journal, "append", full)
                monkeypatch.setattr(tracker._recording, "save", lambda: full(None, None))
            step_of(model, optimizer)
        return flat(model.parameters())

    with pytest.warns(
        UserWarning, match="recording failed, the training goes on: .*No space left.*is kept in memory"
    ) as told:
        warned = run()
    assert len(told) == 1
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space left"):
        run(on_error="raise")
    monkeypatch.undo()
    model = Adapted()
    optimizer = torch.optim.SGD(trained(model), lr=0.3)
    for _ in range(8):
        step_of(model, optimizer)
    np.testing.assert_array_equal(warned, flat(model.parameters()))


def test_gradients_that_are_gone_are_told():
    model = Adapted()
    optimizer = torch.optim.SGD(trained(model), lr=0.3)
    tracker = GramTracker(4, say=None)
    tracker.attach(optimizer, model, gradients=True)
    optimizer.zero_grad()
    with pytest.warns(UserWarning, match="gradients must be there after the optimiser's step, got none"):
        optimizer.step()

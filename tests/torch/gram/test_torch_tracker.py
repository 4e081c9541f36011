"""The tracker on PyTorch: models, tied and frozen weights, devices, Hessians, optimisers, resuming."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from spectral_edge.validate import GramSequence, GramTracker
from spectral_edge.validate.gram.live import rings, sketch
from spectral_edge.validate.gram.live.probes import hessian_product
from spectral_edge.validate.referee.cards import learning_rate


def make_model(seed=0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def data(n=64):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 4, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def flat(model) -> np.ndarray:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double().numpy()


def train(model, optimizer, steps, after=lambda step: None, start=0):
    x, y = data()
    for step in range(start + 1, start + steps + 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        after(step)


@pytest.mark.filterwarnings("ignore:.*rounding of bfloat16 parameters")  # they are bfloat16
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_model_gives_the_offline_sequence(dtype):
    model = make_model().to(dtype)
    tracker, thetas = GramTracker(5), [flat(model)]
    tracker.update(model, step=0)

    def after(step):
        tracker.update(model, step=step)
        thetas.append(flat(model))

    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x, y = data()
    for step in range(1, 13):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x.to(dtype)), y).backward()
        optimizer.step()
        after(step)
    live, offline = tracker.sequence(), GramSequence.from_parameters(np.array(thetas), W_max=5)
    np.testing.assert_allclose(live.K, offline.K, rtol=1e-6, atol=1e-7 * np.nanmax(offline.K))
    assert sum(p.numel() for p in model.parameters()) == live.P


def test_training_is_not_changed():
    with_tracker, without = make_model(), make_model()
    optimizer = torch.optim.AdamW(with_tracker.parameters())
    GramTracker(3).attach(optimizer, with_tracker)
    train(with_tracker, optimizer, 10)
    train(without, torch.optim.AdamW(without.parameters()), 10)
    np.testing.assert_array_equal(flat(with_tracker), flat(without))


@pytest.mark.filterwarnings("ignore:.*rounding of float32 parameters")  # the same update again and again
def test_tied_weights_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 5), nn.Linear(5, 7, bias=False)
            self.head.weight = self.embed.weight

    model, tracker = Tied(), GramTracker(2)
    for step in range(4):
        tracker.update(model, step=step)
        with torch.no_grad():
            model.embed.weight += 1
    assert tracker.sequence().P == 35
    states = GramTracker(2)
    for step in range(4):
        states.update(model.state_dict(), step=step)  # detached: tied by storage only
        with torch.no_grad():
            model.embed.weight += 1
    assert states.sequence().P == 35


@pytest.mark.filterwarnings("ignore:.*rounding of float32 parameters")
def test_compiled_and_wrapped_names_are_the_same():
    model = make_model()
    tracker = GramTracker(2)
    tracker.update(model, step=0)
    tracker.update({f"module._orig_mod.{name}": p for name, p in model.named_parameters()}, step=1)
    tracker.update(nn.DataParallel(model), step=2)
    assert tracker.sequence().T == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.append(nn.Linear(3, 3)),
            "keep their tensors, got 3.bias, 3.weight more and nothing less",
        ),
        (lambda m: m.double(), "keep their dtype, float32 of '0.weight', got float64 at step 9"),
        (lambda m: m.to("meta"), "keep their device, cpu of '0.weight', got meta at step 9"),
        (lambda m: m[2].bias.data.fill_(float("nan")), "got NaN or infinity in '2.bias' at step 9"),
    ],
)
def test_what_changes_in_mid_run_is_named(change, message):
    model, tracker = make_model(), GramTracker(3)
    for step in range(3):
        tracker.update(model, step=step)
    change(model)
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        tracker.update(model, step=9)


@pytest.mark.parametrize("store", [None, "bfloat16", "float32"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_device_path_is_the_host_path(store, dtype):
    generator = torch.Generator().manual_seed(0)
    thetas = torch.randn(9, 6, 10, generator=generator).cumsum(0).to(dtype)
    host, device = rings.HostRing(thetas[0], 4, store), rings.DeviceRing(thetas[0], 4, store)
    for t, theta in enumerate(thetas[1:]):
        here, there = host.advance(theta, t % 4), device.advance(theta, t % 4)
        np.testing.assert_allclose(there.numpy(), here, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(device.inner(theta).numpy(), host.inner(theta), rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(device.moved(7), host.moved(7))
    torch.testing.assert_close(device.direction(1), host.direction(1))
    assert device.direction(1).shape == (6, 10)
    assert device.direction(1).dtype == dtype
    again = rings.DeviceRing(thetas[0], 4, store)
    again.load(device.state())
    torch.testing.assert_close(again.inner(theta), device.inner(theta))
    assert device.finite()


def test_long_tensors_on_a_device_are_multiplied_in_blocks(monkeypatch):
    monkeypatch.setattr(rings, "DEVICE_BLOCK", 7)
    thetas = torch.randn(5, 40).cumsum(0)
    device, host = rings.DeviceRing(thetas[0], 3, None), rings.HostRing(thetas[0], 3, None)
    for t, theta in enumerate(thetas[1:]):
        np.testing.assert_allclose(
            device.advance(theta, t % 3).numpy(), host.advance(theta, t % 3), rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5])
def test_the_torch_projection_is_that_of_the_kernel(seed, monkeypatch):
    monkeypatch.setattr(sketch, "BLOCK", 300)
    values, out = torch.randn(1001, dtype=torch.float64), np.zeros(34)
    sketch.project(values, out, seed, 12345)
    np.testing.assert_allclose(sketch.project_torch(values, 34, seed, 12345), out, atol=1e-12)


# torch itself, when torch.func.jvp is first used
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_window_hessian_is_that_of_the_loss():
    model, (x, y) = make_model().double(), data()
    x = x.double()
    tracker = GramTracker(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.5)
    names = [name for name, _ in model.named_parameters()]

    def loss(params):
        return nn.functional.cross_entropy(torch.func.functional_call(model, params, (x,)), y)

    def flat_loss(theta):
        parts = torch.split(theta, [p.numel() for p in model.parameters()])
        shapes = [p.shape for p in model.parameters()]
        return loss({name: part.reshape(s) for name, part, s in zip(names, parts, shapes, strict=True)})

    thetas = [flat(model)]
    tracker.update(model, step=0)
    for step in range(1, 9):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        thetas.append(flat(model))
        product = hessian_product(loss, dict(model.named_parameters())) if step >= 4 else None
        gradient = torch.func.grad(loss)({n: p.detach() for n, p in model.named_parameters()})
        tracker.update(model, step=step, hessian=product, probes={"gradient": gradient})
    spectra = tracker.sequence().window(4)
    updates = np.diff(thetas, axis=0)
    for i in range(len(spectra.steps)):
        theta = torch.tensor(thetas[i + 4])
        H = torch.autograd.functional.hessian(flat_loss, theta).numpy()
        g = torch.func.grad(flat_loss)(theta).numpy()
        _, sigma, v = np.linalg.svd(updates[i : i + 4], full_matrices=False)
        good = sigma > 1e-4 * sigma[0]
        h = np.einsum("ja,ab,jb->j", v, H, v)
        np.testing.assert_allclose(spectra.curvature()[i][good], h[good], rtol=1e-5, atol=1e-8)
        along = np.abs(spectra.project("gradient")[i])
        np.testing.assert_allclose(along[good], np.abs(v @ g)[good], rtol=1e-4, atol=1e-8)


# -- optimisers ------------------------------------------------------------------------------------------


def test_attach_records_after_every_step(tmp_path):
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    logged = []
    tracker = GramTracker(4, path=tmp_path / "run.npz", every=2, log=lambda v, step: logged.append((step, v)))
    attached = tracker.attach(optimizer, model, gradients=True, metrics=lambda: {"loss": 1.0})
    with pytest.raises(ValueError, match="tracker must be attached once only"):
        tracker.attach(optimizer, model)
    train(model, optimizer, 20)
    attached.remove()
    train(model, optimizer, 4)
    found = GramSequence.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(found.steps, np.arange(2, 21, 2))
    np.testing.assert_array_equal(found.metrics["learning_rate"], np.full(10, 1e-2))
    assert np.isfinite(found.probes["gradient"][:, 0]).all()
    assert len(logged) == 7
    assert np.isfinite(logged[-1][1]["adiabatic"])
    tracker.attach(optimizer, model)  # after remove it may listen again


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: min(1.0, step / 10)),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1e-2, total_steps=30),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 30),
    ],
    ids=["warm-up from 0", "one cycle", "cosine"],
)
def test_a_schedule_is_recorded_and_its_peak_is_on_the_card(schedule):
    model = make_model().double()
    x = torch.randn(64, next(model.parameters()).shape[1], dtype=torch.float64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = schedule(optimizer)
    tracker = GramTracker(12, say=None)
    tracker.attach(optimizer, model)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        scheduler.step()
    found = tracker.sequence()
    assert found.config["learning_rate"] == pytest.approx(1e-2, rel=1e-12)
    np.testing.assert_array_equal(found.metrics["learning_rate"], rates)
    judged = learning_rate(found)
    np.testing.assert_array_equal(judged[judged > 0], [rate for rate in rates if rate > 0])
    assert np.isnan(judged[np.array(rates) == 0]).all()


ENDS = """
import sys
import torch  # first: it has hooks of its own for the end of the process
from spectral_edge import validate

def train():
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tracker = validate.GramTracker(4, path=sys.argv[1], overwrite=True, say=None)
    tracker.attach(optimizer, model)
    for step in range(30):
        if step == 20 and sys.argv[2] == "interrupted" and not kept:
            kept.append(tracker)
            raise KeyboardInterrupt
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
    kept.append(tracker)

kept = []
try:
    train()
except KeyboardInterrupt as interruption:
    sys.last_exc = interruption  # as a notebook keeps it
    train()
"""


@pytest.mark.parametrize("how", ["through", "interrupted"])
def test_the_file_is_whole_when_a_process_with_torch_ends(tmp_path, how):
    path = tmp_path / "run.npz"
    subprocess.run([sys.executable, "-c", ENDS, str(path), how], check=True, capture_output=True)
    left = {entry.name for entry in tmp_path.iterdir()}
    assert not left & {"run.npz.journal", "run.npz.lock"}
    assert ("run.npz.1" in left) == (how == "interrupted")  # what the interrupted one had recorded
    assert GramSequence.load(path).T == 30


@pytest.mark.parametrize("options", [{}, {"store": "bfloat16"}, {"sketch": 20}])
def test_a_resumed_training_continues_the_sequence(tmp_path, options):
    def start(path=None):
        model = make_model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        return model, optimizer, GramTracker(4, path=path, resume=True, every=2, say=None, **options)

    model, optimizer, whole = start()
    whole.attach(optimizer, model)
    train(model, optimizer, 21)

    path = tmp_path / "run.npz"
    model, optimizer, first = start(path)
    first.attach(optimizer, model)
    train(model, optimizer, 9)
    saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "gram": first.state_dict()}
    torch.save(saved, tmp_path / "checkpoint.pt")
    train(model, optimizer, 5)  # lost

    model, optimizer, second = start(path)
    loaded = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    model.load_state_dict(loaded["model"])
    optimizer.load_state_dict(loaded["optimizer"])
    second.load_state_dict(loaded["gram"])
    second.attach(optimizer, model, step=9)
    train(model, optimizer, 12)
    np.testing.assert_array_equal(second.sequence().K, whole.sequence().K)
    np.testing.assert_array_equal(second.sequence().steps, whole.sequence().steps)
    np.testing.assert_array_equal(GramSequence.load(path).K, whole.sequence().K)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_cuda():
    generator = torch.Generator().manual_seed(0)
    thetas = torch.randn(9, 1000, generator=generator).cumsum(0)
    here, there = GramTracker(4), GramTracker(4)
    for theta in thetas:
        here.update(theta)
        there.update(theta.cuda())
    np.testing.assert_allclose(there.sequence().K, here.sequence().K, rtol=1e-9)

"""Probes from a loss function: against dense Hessians, and the optimiser's own steps as the oracle of its metric."""

import numpy as np
import pytest
import torch
from torch import nn

from spectral_edge.validate import GramTracker, probes
from spectral_edge.validate.gram.live.metric import Metric


class Net(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.drop, self.last = nn.Linear(4, 6), nn.Dropout(dropout), nn.Linear(6, 3)

    def forward(self, x):
        return self.last(self.drop(torch.tanh(self.first(x))))


def examples(n=64, seed=1):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def loss_on(data):
    x, y = data
    return lambda model: nn.functional.cross_entropy(model(x.to(next(model.parameters()))), y)


def flat(tensors):
    return torch.cat([t.detach().reshape(-1) for t in tensors]).double().numpy()


def dense(model, loss):
    """Gradient and Hessian over all parameters, by torch.autograd, one entry at a time."""
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(loss(model), parameters, create_graph=True)
    g = torch.cat([part.reshape(-1) for part in gradient])
    rows = [flat(torch.autograd.grad(entry, parameters, retain_graph=True)) for entry in g]
    return g.detach().double().numpy(), np.array(rows)


OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.3),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=1e-2, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-2, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-1),
}


def D_by_hand(kind, optimizer, model):
    """The diagonal of D from the formulas, parameter by parameter."""
    found = []
    for p in model.parameters():
        state, group = optimizer.state[p], optimizer.param_groups[0]
        if kind in ("sgd", "momentum"):
            found.append(torch.ones_like(p))
        elif kind == "rmsprop":
            found.append((state["square_avg"] - state["grad_avg"].square()).sqrt() + group["eps"])
        elif kind == "adagrad":
            found.append(state["sum"].sqrt() + group["eps"])
        else:
            v = state["max_exp_avg_sq" if kind == "amsgrad" else "exp_avg_sq"]
            found.append((v / (1 - 0.999 ** float(state["step"]))).sqrt() + 1e-8)
    return flat(found)


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_curvature_response_and_metric_are_those_of_the_dense_hessian(kind):
    model, W = Net().double(), 4
    loss, optimizer = loss_on(examples()), OPTIMISERS[kind](model.parameters())
    tracker = GramTracker(5, say=None)
    measured = probes.from_loss(
        model, loss, validation=loss_on(examples(seed=2)), optimizer=optimizer, window=W
    )
    tracker.attach(optimizer, model, probes=measured)
    thetas, wanted = [flat(model.parameters())], []
    for _ in range(9):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
        thetas.append(flat(model.parameters()))
        wanted.append((*dense(model, loss), D_by_hand(kind, optimizer, model)))
    run, updates = tracker.sequence(), np.diff(thetas, axis=0)
    for t, (g, H, D) in enumerate(wanted):
        n = min(W, t + 1)
        X = updates[t - n + 1 : t + 1][::-1]  # by lag, the newest first
        near = {"rtol": 1e-7, "atol": 1e-12}
        np.testing.assert_allclose(run.probes["gradient"][t, :n], X @ g, **near)
        np.testing.assert_allclose(run.probes["hessian"][t, :n, :n], X @ H @ X.T, **near)
        np.testing.assert_allclose(run.probes["metric"][t, :n, :n], (X * D) @ X.T, **near)
        np.testing.assert_allclose(run.probes["response"][t, :n, :n], X @ (H / D[:, None]) @ X.T, **near)
        assert run.metrics["response_norm"][t] == pytest.approx(np.linalg.norm(H @ X[0] / D))
        if n < W:
            assert np.isnan(run.probes["response"][t, n:]).all()
            assert np.isnan(run.probes["response"][t, :, n:]).all()
    g, _ = dense(model, loss_on(examples(seed=2)))
    np.testing.assert_allclose(
        run.probes["validation_gradient"][-1, :W], updates[: -W - 1 : -1] @ g, rtol=1e-7
    )


@pytest.mark.parametrize(("kind", "beta"), [("sgd", 0.0), ("momentum", 0.9), ("adam", 0.9), ("adamw", 0.9)])
def test_the_response_is_what_the_next_update_does(kind, beta):
    """The recurrence of 10.3 with the recorded D⁻¹H, against the optimiser's own next step, on a quadratic loss."""
    rng = torch.Generator().manual_seed(0)
    A = torch.randn(12, 12, generator=rng, dtype=torch.float64)
    H = A @ A.T / 12 + 0.1 * torch.eye(12, dtype=torch.float64)

    class Quadratic(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(
                torch.randn(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            )

    model = Quadratic()
    optimizer = OPTIMISERS[kind](model.parameters())
    loss = lambda model: model.w @ H @ model.w / 2  # noqa: E731
    tracker = GramTracker(3, say=None)
    measured = probes.from_loss(model, loss, optimizer=optimizer, window=3)
    before = 2_000 if "adam" in kind else 40  # long enough for D to be slow
    thetas = []
    for taken in range(before + 6):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
        if taken == before:
            tracker.attach(optimizer, model, probes=measured)
        if taken >= before:
            thetas.append(model.w.detach().numpy().copy())
    run, updates = tracker.sequence(), np.diff(thetas, axis=0)
    eta, omega = optimizer.param_groups[0]["lr"], optimizer.param_groups[0].get("weight_decay", 0.0)
    omega = omega if kind == "adamw" else 0.0
    rate = eta * (1 - beta) if "adam" in kind else eta
    t = len(updates) - 2
    now, before, after = updates[t], updates[t - 1], updates[t + 1]
    # <δ_t, δ_{t+1}> by the recurrence, in which only the response is not an inner product of updates
    product = now @ now + beta * (now @ now - now @ before) - rate * run.probes["response"][t, 0, 0]
    product -= eta * omega * (now @ now - beta * (now @ before))
    assert now @ after == pytest.approx(product, rel=1e-4 if "adam" in kind else 1e-9)
    wrong = product + rate * run.probes["response"][t, 0, 0] - rate * run.probes["hessian"][t, 0, 0]
    if "adam" in kind:  # the control: without the metric
        assert abs(wrong - now @ after) > 10 * abs(product - now @ after)


@pytest.fixture
def precise(monkeypatch):
    """`torch.optim.Muon` orthogonalises in bfloat16: here in float64, so that its steps can be told apart."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.double().clone())


@pytest.mark.parametrize("shape", [(5, 8), (8, 5)])
@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_the_response_of_muon_is_the_derivative_of_its_step(shape, adjust, nesterov, precise):
    def normal(seed):
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    options = {"lr": 1e-2, "weight_decay": 0.0, "nesterov": nesterov, "adjust_lr_fn": adjust}

    def stepped(last):
        """Three steps, the third with another gradient; the optimiser, and that step."""
        w = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        muon = torch.optim.Muon([w], **options)
        for w.grad in (normal(1), normal(2), last):
            before = w.detach().clone()
            muon.step()
        return muon, w, w.detach() - before

    muon, w, _ = stepped(normal(3))
    change, mu = normal(4), 0.95
    h = 1e-4
    with_more, with_less = (stepped(normal(3) + sign * h * change)[2] for sign in (1, -1))
    wanted = (with_more - with_less) / (2 * h)  # a gradient moves what is orthogonalised by this share of it:
    share = (1 - mu) * (1 + mu) if nesterov else 1 - mu
    found = -1e-2 * share * Metric([muon], {"w": w}).inverse({"w": change})["w"]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-8)
    # there is no D: the momentum may be as long as it likes
    momentum = (
        w.grad.lerp(muon.state[w]["momentum_buffer"], mu) if nesterov else muon.state[w]["momentum_buffer"]
    )
    assert float(Metric([muon], {"w": w}).inverse({"w": momentum})["w"].norm()) < 1e-10
    with pytest.raises(
        ValueError, match="number for every entry for a metric, got Muon's 'w': a longer momentum"
    ):
        Metric([muon], {"w": w}).times({"w": change})


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_response_of_muon_is_what_the_next_update_does(nesterov, precise):
    """The recurrence of 10.3 on a quadratic loss, by steps so short that what is of second order in them is small."""
    rng = torch.Generator().manual_seed(0)
    A = torch.randn(54, 54, generator=rng, dtype=torch.float64)
    H = A @ A.T / 54 + 0.1 * torch.eye(54, dtype=torch.float64)
    model = nn.Linear(9, 6, bias=False).double()
    nn.init.zeros_(model.weight)  # large weights would round away what short steps change of an update
    goal = torch.randn(54, generator=rng, dtype=torch.float64)
    loss = lambda model: (model.weight.reshape(-1) - goal) @ H @ (model.weight.reshape(-1) - goal) / 2  # noqa: E731
    muon = torch.optim.Muon(model.parameters(), lr=1e-5, weight_decay=0.0, nesterov=nesterov)
    tracker = GramTracker(4, say=None)
    updates = []
    for taken in range(112):
        muon.zero_grad()
        loss(model).backward()
        before = flat(model.parameters())
        muon.step()
        updates.append(flat(model.parameters()) - before)
        if taken == 100:
            tracker.attach(muon, model, probes=probes.from_loss(model, loss, optimizer=muon, window=4))
    run, beta, updates = tracker.sequence(), 0.95, np.array(updates)[101:]
    assert "metric" not in run.probes
    errors, acts = [], []
    for t in range(5, 10):
        now, before, after = updates[t], updates[t - 1], updates[t + 1]
        for lag in (1, 2, 3):
            past = updates[t - lag]
            R = run.probes["response"][t, lag]
            force = (1 + beta) * R[0] - beta * R[1] if nesterov else R[0]  # Nesterov's looks ahead
            acts.append(1e-5 * (1 - beta) * force)
            errors.append(past @ now + beta * (past @ now - past @ before) - acts[-1] - past @ after)
    assert np.linalg.norm(errors) < 0.02 * np.linalg.norm(acts)


def test_groups_with_other_learning_rates_count_as_part_of_the_metric():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    sgd = torch.optim.SGD([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.5}])
    found = Metric([sgd], {"a": a, "b": b}).inverse({"a": torch.ones(2), "b": torch.ones(2)})
    np.testing.assert_allclose(found["b"] / found["a"], 5)


def test_what_has_no_metric_is_named():
    model = Net()
    tracker, optimizer = GramTracker(3, say=None, on_error="raise"), torch.optim.Adamax(model.parameters())
    tracker.attach(
        optimizer, model, probes=probes.from_loss(model, loss_on(examples()), optimizer=optimizer, window=2)
    )
    loss_on(examples())(model).backward()
    with pytest.raises(
        ValueError, match=r"optimizer must be one of SGD, Adam, AdamW, .* for a response, got Adamax"
    ):
        optimizer.step()
    part = torch.optim.SGD(model.first.parameters(), lr=0.1)
    with pytest.raises(
        ValueError, match="optimizer must have every parameter that is recorded, got none with 'last"
    ):
        Metric([part], dict(model.named_parameters()))


def test_ablations_are_the_change_of_both_losses():
    model, W = Net().double(), 4
    train, test = loss_on(examples()), loss_on(examples(seed=2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    tracker = GramTracker(5, say=None)
    measured = probes.from_loss(
        model, train, validation=test, window=W, hessian_every=3, ablation_every=4, seed=5
    )
    tracker.attach(optimizer, model, probes=measured)
    thetas, kept = [flat(model.parameters())], {}
    for taken in range(1, 10):
        optimizer.zero_grad()
        train(model).backward()
        optimizer.step()
        thetas.append(flat(model.parameters()))
        kept[taken] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run = tracker.sequence()
    measured_at = ~np.isnan(run.probes["ablation"]).all(axis=(1, 2))
    np.testing.assert_array_equal(np.flatnonzero(measured_at) + 1, [4, 8])
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(run.probes["hessian"][:, 0, 0])) + 1, [3, 6, 9])
    X = np.diff(thetas, axis=0)[4:8]
    _, sigma, v = np.linalg.svd(X, full_matrices=False)
    again, theta = Net().double(), thetas[8]
    again.load_state_dict(kept[8])
    before = [float(loss(again).detach()) for loss in (train, test)]
    g = [dense(again, loss)[0] for loss in (train, test)]
    for j in range(W):
        if sigma[j] < 1e-6 * sigma[0]:
            continue
        torch.nn.utils.vector_to_parameters(torch.tensor(theta - (theta @ v[j]) * v[j]), again.parameters())
        changes = [float(loss(again).detach()) - was for loss, was in zip((train, test), before, strict=True)]
        found = run.probes["ablation"][7, j]
        np.testing.assert_allclose(found[:2], changes, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(
            np.abs(found[2:]), np.abs([g[0] @ v[j], g[1] @ v[j], theta @ v[j]]), rtol=1e-5
        )
    random = run.probes["ablation_random"][7]
    assert np.isfinite(random).all()
    assert not np.allclose(random, run.probes["ablation"][7])
    with pytest.raises(ValueError, match="ablation_every needs a validation loss"):
        probes.from_loss(model, train, ablation_every=4)


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
        )
        self.layers[1].eval()  # one that its owner keeps in evaluation mode

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("make", [lambda: Net(dropout=0.5), Normed])
@pytest.mark.parametrize("probed", [False, True])
def test_a_training_is_not_changed_by_its_probes(make, probed):
    def train(probed):
        model = make()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        torch.manual_seed(3)
        if probed:
            loss = loss_on(examples(seed=4))
            measured = probes.from_loss(
                model, loss, validation=loss, optimizer=optimizer, window=3, ablation_every=2
            )
            GramTracker(4, say=None, on_error="raise").attach(optimizer, model, probes=measured)
        for _ in range(8):
            optimizer.zero_grad()
            loss_on(examples())(model).backward()
            optimizer.step()
        modes = [module.training for module in model.modules()]
        return model.state_dict(), modes

    (plain, modes), (found, same) = train(False), train(probed)
    assert modes == same
    for name, tensor in plain.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_wrapped_selected_and_tied_parameters():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.body, self.head = (
                nn.Embedding(7, 5),
                nn.Linear(5, 5),
                nn.Linear(5, 7, bias=False),
            )
            self.head.weight = self.embed.weight

        def forward(self, tokens):
            return self.head(torch.tanh(self.body(self.embed(tokens))))

    tokens = torch.arange(7)
    loss = lambda model: nn.functional.cross_entropy(model(tokens), (tokens + 1) % 7)  # noqa: E731
    model = Tied().double()
    wrapped = nn.DataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    tracker = GramTracker(3, select=["*weight"], say=None)
    tracker.attach(optimizer, wrapped, probes=probes.from_loss(wrapped, loss, optimizer=optimizer, window=2))
    thetas = [flat([model.embed.weight, model.body.weight])]
    for _ in range(4):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
        thetas.append(flat([model.embed.weight, model.body.weight]))
    g, H = dense(model, loss)
    keep = np.r_[0:35, 35:60]  # without the bias, which comes last of all
    order = np.concatenate([np.full(p.numel(), name != "body.bias") for name, p in model.named_parameters()])
    assert order.sum() == len(keep)
    X = np.diff(thetas, axis=0)[:-3:-1]
    found = tracker.sequence()
    np.testing.assert_allclose(found.probes["hessian"][-1], X @ H[np.ix_(order, order)] @ X.T, rtol=1e-7)
    np.testing.assert_allclose(found.probes["gradient"][-1, :2], X @ g[order], rtol=1e-7)


def test_fused_attention_and_functions_without_a_forward_derivative():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(context, inputs, output):
            context.save_for_backward(inputs[0])

        @staticmethod
        def backward(context, gradient):
            (x,) = context.saved_tensors
            return 3 * x**2 * gradient

    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.q = nn.Linear(4, 8)

        def forward(self, x):
            q = self.q(x)[:, None]
            return Cube.apply(nn.functional.scaled_dot_product_attention(q, q, q)).mean()

    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model, loss = Attends().double(), lambda model: model(x)
    tracker = GramTracker(2, say=None)
    measured = probes.from_loss(model, loss, window=2)
    thetas = []
    for step in range(4):
        thetas.append(flat(model.parameters()))
        tracker.update(model, step=step, probes=measured)
        with torch.no_grad():
            for p in model.parameters():
                p += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(step))
    model = Attends().double()
    torch.nn.utils.vector_to_parameters(torch.tensor(thetas[-1]), model.parameters())
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        _, H = dense(model, loss)
    X = np.diff(thetas, axis=0)[:-3:-1]
    np.testing.assert_allclose(tracker.sequence().probes["hessian"][-1], X @ H @ X.T, rtol=1e-7)


def test_what_a_probe_cannot_do_is_said():
    model = Net()
    tracker, measured = GramTracker(3, say=None), probes.from_loss(model, loss_on(examples()))
    tracker.update(model, step=0, probes=measured)
    with pytest.raises(ValueError, match=r"window must be at most W_max \+ 1 = 4, got 10"):
        tracker.update(model, step=1, probes=measured)
    with pytest.raises(ValueError, match=r"window of the probes must be at most W_max \+ 1 = 4, got 10"):
        GramTracker(3, say=None).attach(torch.optim.SGD(model.parameters()), model, probes=measured)
    tracker = GramTracker(3, say=None)
    measured = probes.from_loss(model, lambda model: model(examples()[0]), window=2)
    tracker.update(model, step=0)
    with pytest.raises(ValueError, match="loss must return a scalar tensor, got Tensor"):
        tracker.update(model, step=1, probes=measured)
    with pytest.raises(ValueError, match="hessian needs whole updates, got a tracker with sketch="):
        GramTracker(3, sketch=40, say=None).update(model, probes=measured)
    with pytest.raises(ValueError, match="optimizer must be a torch optimizer, got str"):
        probes.from_loss(model, loss_on(examples()), optimizer="adam")
    other = probes.from_loss(nn.Linear(3, 2), loss_on(examples()), window=2)
    with pytest.raises(
        ValueError, match="probes must be of the model that is recorded, got one without 'first"
    ):
        tracker.update(model, step=2, probes=other)

"""States as training scripts save them: wrapped, nested, distributed; whatever the frameworks write themselves."""

import os
import warnings

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn

from spectral_edge.validate import GramSequence, GramTracker
from spectral_edge.validate.gram.files.checkpoints import read_checkpoints
from spectral_edge.validate.gram.files.discovery import find_checkpoints
from spectral_edge.validate.gram.files.distributed import distributed
from spectral_edge.validate.gram.files.formats import content_of
from spectral_edge.validate.gram.files.reading import read_run
from spectral_edge.validate.gram.files.rounding import STORAGE
from spectral_edge.validate.gram.files.tensors import Joined, Spilled
from spectral_edge.validate.gram.files.trees import weights

N = 6


def states(n=N, seed=0):
    generator = torch.Generator().manual_seed(seed)
    now = {"0.weight": torch.zeros(8, 5), "0.bias": torch.zeros(8), "1.weight": torch.zeros(3, 8)}
    found = []
    for _ in range(n):
        now = {name: tensor + torch.randn(tensor.shape, generator=generator) for name, tensor in now.items()}
        found.append(now)
    return found


def exact(found):
    thetas = np.array(
        [torch.cat([t.double().reshape(-1) for t in state.values()]).numpy() for state in found]
    )
    return np.diff(thetas, axis=0) @ np.diff(thetas, axis=0).T


def saved(folder, wrap, suffix=".pt"):
    folder.mkdir(parents=True, exist_ok=True)
    found = states()
    for step, state in enumerate(found):
        torch.save(wrap(state, step), folder / f"step{step}{suffix}")
    return exact(found)


def ema(state):
    return {name: 0.5 * tensor for name, tensor in state.items()}


WRAPPED = {
    "weights beside a loss": lambda s, t: {
        "weights": s,
        "loss": torch.tensor(1.0 / (t + 1)),
        "lr": torch.tensor(0.1),
    },
    "a name of one's own": lambda s, t: {"my_net": s, "val_curve": torch.randn(t + 1), "epoch": t},
    "net": lambda s, t: {"net": s, "acc": 0.5},
    # before its first step an optimiser has no tensors
    "an optimiser called opt": lambda s, t: {
        "net": s,
        "opt": {"state": {0: {"exp_avg": s["1.weight"]}} if t else {}},
    },
    "an optimiser by any name": lambda s, t: {
        "my_net": s,
        "muon": {"state": {i: {"momentum_buffer": v} for i, v in enumerate(s.values())}, "param_groups": []},
    },
    "params": lambda s, t: {"params": s},
    "module": lambda s, t: {"module": s, "optimizer": {"state": {0: {"exp_avg": torch.randn(8, 5)}}}},
    "only an average": lambda s, t: {"ema": s, "step": t},
    "an average beside": lambda s, t: {"model": s, "model_ema": ema(s)},
    "a teacher beside": lambda s, t: {"student": s, "teacher": ema(s)},
    "deeper": lambda s, t: {
        "state": {"model": s, "optimizers": {"adam": {"a": torch.randn(4)}}},
        "rng": [torch.ones(3)],
    },
    "lightning": lambda s, t: {
        "state_dict": s,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.randn(9)}}}],
    },
    "flat beside scalars": lambda s, t: {**s, "loss": torch.tensor(float(t)), "epoch": torch.tensor(t)},
    "data parallel": lambda s, t: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
}


@pytest.mark.parametrize("kind", WRAPPED)
@pytest.mark.parametrize("suffix", [".pt", ".pth.tar", ".tar", ".ckpt", ".chk"])
def test_the_weights_are_found_in_any_mapping(tmp_path, kind, suffix):
    K = saved(tmp_path, WRAPPED[kind], suffix)
    found = read_checkpoints(tmp_path)
    np.testing.assert_allclose(found.whole.K, K, rtol=1e-9, atol=1e-9)
    assert found.whole.P == 72
    if kind == "weights beside a loss":
        assert {"loss", "lr"} <= dict(found.left_out).keys()


def test_parts_of_a_model_are_taken_together(tmp_path):
    other = states(seed=1)
    K = saved(tmp_path, lambda s, t: {"generator": s, "discriminator": {"conv.weight": other[t]["1.weight"]}})
    both = read_checkpoints(tmp_path)
    assert both.whole.P == 72 + 24
    np.testing.assert_allclose(
        read_checkpoints(tmp_path, select="generator.*").whole.K, K, rtol=1e-9, atol=1e-9
    )


def test_one_of_several_models_must_be_chosen(tmp_path):
    other = states(seed=1)
    K = saved(tmp_path, lambda s, t: {"net_a": s, "net_b": other[t]})
    with pytest.raises(
        ValueError, match=r"one model, got net_a, net_b with the same tensors .*--select 'net_a\.\*'"
    ):
        read_checkpoints(tmp_path)
    np.testing.assert_allclose(read_checkpoints(tmp_path, select="net_a.*").whole.K, K, rtol=1e-9, atol=1e-9)


def test_modules_of_one_shape_are_no_rivals(tmp_path):
    layers = states(seed=1)
    saved(
        tmp_path,
        lambda s, t: {"params": {f"Dense_{i}": {"kernel": layers[t]["0.weight"] + i} for i in range(3)}},
    )
    assert read_checkpoints(tmp_path).whole.P == 120


def test_what_is_inside_says_the_step(tmp_path):
    for step, state in enumerate(states()):
        torch.save(
            {"state_dict": state, "global_step": 70 - 10 * step}, tmp_path / f"2025-11-25_10-0{step}-00.ckpt"
        )
        torch.save({"state": {"model": state, "timestamp": {"step": step}}}, tmp_path / f"x{step}.other")
    assert [c.step for c in find_checkpoints(tmp_path).checkpoints] == [20, 30, 40, 50, 60, 70]
    assert content_of(tmp_path / "2025-11-25_10-00-00.ckpt").step == 70


# -- one file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "collect",
    [
        lambda found: found,
        lambda found: {100 * i: state for i, state in enumerate(found)},
        lambda found: {f"step_{100 * i}": state for i, state in enumerate(found)},
        lambda found: {"history": found, "config": {"lr": 0.1}},
        lambda found: [torch.cat([t.reshape(-1) for t in state.values()]) for state in found],
        lambda found: torch.stack([torch.cat([t.reshape(-1) for t in state.values()]) for state in found]),
        lambda found: {
            "thetas": torch.stack([torch.cat([t.reshape(-1) for t in s.values()]) for s in found])
        },
    ],
)
def test_one_file_that_holds_a_run(tmp_path, collect):
    found = states()
    torch.save(collect(found), tmp_path / "run.pt")
    read = read_run(tmp_path / "run.pt", W_max=4)
    np.testing.assert_allclose(
        read.whole.band(3), GramSequence.from_inner_products(exact(found)).band(3), rtol=1e-9
    )
    assert len(read.files) == N
    assert read.whole.steps[0] in (1, 100)


@pytest.mark.parametrize(
    "wrap",
    [lambda s: s, lambda s: {"model": s}, lambda s: nn.Sequential(*[nn.Linear(3, 3)] * 4).state_dict()],
)
def test_one_file_that_holds_a_model_is_one_line(tmp_path, wrap):
    torch.save(wrap(states()[0]), tmp_path / "x.pt")
    with pytest.raises(
        ValueError, match="path must hold at least 3 checkpoints, got one file with"
    ) as refused:
        read_run(tmp_path / "x.pt")
    assert "\n" not in str(refused.value)


# -- types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.complex128])
@pytest.mark.parametrize("transposed", [False, True])
def test_small_and_complex_numbers(tmp_path, dtype, transposed):
    found = []
    for step, state in enumerate(states()):
        weight = torch.view_as_complex(
            torch.stack([state["0.weight"], -(state["0.weight"] ** 2)], -1).double()
        )
        weight = weight.to(dtype) if dtype.is_complex else state["0.weight"].to(dtype)
        found.append({"w": torch.view_as_real(weight) if dtype.is_complex else weight.float()})
        torch.save(
            {
                "w": weight.t().contiguous().t() if transposed else weight,
                "n": torch.ones(2, dtype=torch.int8),
            },
            tmp_path / f"{step}.pt",
        )
    read = read_checkpoints(tmp_path)
    np.testing.assert_allclose(read.whole.K, exact(found), rtol=1e-9, atol=1e-9)
    assert read.dtypes == {str(dtype).removeprefix("torch."): read.whole.P}
    assert dict(read.left_out)["n"] == "int8: not floating-point"


def test_sparse_tensors_are_said(tmp_path):
    for step, state in enumerate(states()):
        torch.save({"a": state["0.bias"], "s": torch.eye(3).to_sparse()}, tmp_path / f"{step}.pt")
    assert dict(read_checkpoints(tmp_path).left_out)["s"] == "float32: its layout is sparse_coo"


def test_a_straight_drift_in_half_precision_is_said_to_be_rounding(tmp_path):
    generator = torch.Generator().manual_seed(0)
    start, direction = (torch.randn(400, generator=generator, dtype=torch.float64) for _ in range(2))
    found = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        folder = tmp_path / str(dtype)
        folder.mkdir()
        for t in range(14):
            torch.save({"w": (start + 1e-4 * t * direction).to(dtype)}, folder / f"step{100 * t}.pt")
        found[dtype] = read_checkpoints(folder).whole.window(5)
    coarse, fine = found[torch.bfloat16], found[torch.float32]
    assert (coarse.sigma < coarse.stored_floor[:, None]).all()  # nothing of it is the run's
    assert (fine.sigma[:, 0] > 100 * fine.stored_floor).all()
    assert (fine.sigma[:, 1] < 1.1 * fine.stored_floor).all()
    assert fine.stored_floor.max() < 1e-4 * coarse.stored_floor.min()


# -- buffers: the same rule live and from files -----------------------------------------------------------


class Rotary(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("inv_freq", torch.logspace(0, -4, 16))
        self.register_buffer("mask", torch.triu(torch.full((20, 20), float("-inf")), 1))
        self.mix = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.mix.sum()


def test_files_and_a_tracker_count_the_same(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), Rotary(), nn.Linear(16, 2))
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    live = GramTracker(4)
    for step in range(12):
        live.update(model, step=step)
        torch.save(model.state_dict(), tmp_path / f"step{step}.pt")
        x = 10 * torch.randn(32, 4)
        nn.functional.mse_loss(model(x), x[:, :2]).backward()
        optimizer.step()
        optimizer.zero_grad()
    found, wanted = read_checkpoints(tmp_path, W_max=4), live.sequence()
    assert found.whole.P == wanted.P
    np.testing.assert_allclose(found.whole.K, wanted.K, rtol=1e-5)
    np.testing.assert_allclose(found.whole.window(4).ratio, wanted.window(4).ratio, rtol=1e-4)
    left = dict(found.left_out)
    assert left["1.running_var"] == "a buffer, not a parameter"
    assert left["0.bias"] == "the same in all checkpoints"
    assert {"2.inv_freq", "2.mask", "1.num_batches_tracked"} <= left.keys()


# -- torch.distributed.checkpoint -------------------------------------------------------------------------


def save_distributed(state, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one process
        dcp.save(state, checkpoint_id=folder)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s, t: s,
        lambda s, t: {
            "model": s,
            "optim": {"state": {"0.weight": {"exp_avg": torch.randn(8, 5)}}},
            "step": t,
        },
        lambda s, t: {"app": {"model": {k: nn.Parameter(v) for k, v in s.items()}}},
        lambda s, t: {k: v.t().contiguous().t() if v.ndim == 2 else v for k, v in s.items()},
        lambda s, t: {k: torch.cat([v, v])[len(v) :] for k, v in s.items()},  # views
    ],
)
def test_folders_of_distributed_checkpoints(tmp_path, wrap):
    found = states()
    for step, state in enumerate(found):
        save_distributed(wrap(state, step), tmp_path / f"step-{step}")
    read = read_checkpoints(tmp_path)
    np.testing.assert_allclose(read.whole.K, exact(found), rtol=1e-9, atol=1e-9)
    assert read.whole.P == 72


def sharded(rank, folder, port):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    torch.distributed.init_process_group("gloo")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (2,))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))  # 7 and 3 rows on two ranks: uneven shards
    fully_shard(model, mesh=mesh)
    column = torch.randn(4, 9)
    for step in range(5):
        with torch.no_grad():
            for p in model.parameters():
                p.to_local().add_(torch.randn(p.to_local().shape))
        state = {
            "model": model.state_dict(),
            "column": distribute_tensor(column + step * step, mesh, [Shard(1)]),
        }
        dcp.save(state, checkpoint_id=f"{folder}/step-{step}")
    torch.distributed.destroy_process_group()


def test_shards_of_two_processes(tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(sharded, (str(tmp_path), port), nprocs=2)
    leaves, _ = weights(distributed(tmp_path / "step-0").leaves)
    assert isinstance(leaves["model.0.weight" if "model.0.weight" in leaves else "0.weight"], Joined)
    assert isinstance(leaves["column"], Spilled)  # cut along its second axis
    found = []
    for step in range(5):
        state = {
            "model": {
                "0.weight": torch.empty(7, 5),
                "0.bias": torch.empty(7),
                "1.weight": torch.empty(3, 7),
                "1.bias": torch.empty(3),
            },
            "column": torch.empty(4, 9),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcp.load(state, checkpoint_id=tmp_path / f"step-{step}")
        found.append({**state["model"], "column": state["column"]})
    read = read_checkpoints(tmp_path)
    np.testing.assert_allclose(read.whole.K, exact(found), rtol=1e-9, atol=1e-9)
    assert read.whole.P == 5 * 7 + 7 + 3 * 7 + 3 + 36
    assert (read.whole.probes[STORAGE] > 0).all()


def test_the_index_of_a_distributed_checkpoint_cannot_run_code(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    save_distributed(states()[0], tmp_path / "step-0")
    (tmp_path / "step-0" / ".metadata").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"path must hold a whole \.metadata"):
        content_of(tmp_path / "step-0")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("victim", [".metadata", "__0_0.distcp"])
def test_a_distributed_checkpoint_cut_short(tmp_path, victim):
    for step, state in enumerate(states()):
        save_distributed(state, tmp_path / f"step-{step}")
    file = tmp_path / "step-3" / victim
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"step-3.*--skip-damaged"):
        read_checkpoints(tmp_path)
    assert read_checkpoints(tmp_path, skip_damaged=True).whole.T == N - 2

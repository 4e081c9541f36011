"""PyTorch checkpoints: read where they lie, never unpickled unsafely."""

import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from spectral_edge.validate import GramSequence
from spectral_edge.validate.gram.files.checkpoints import read_checkpoints
from spectral_edge.validate.gram.files.formats import content_of
from spectral_edge.validate.gram.files.tensors import Flat, Spilled


def states(dtype=torch.float32, n=5):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)).to(dtype)
    found = []
    for _ in range(n):
        with torch.no_grad():
            for p in model.parameters():
                p += torch.randn_like(p)
        found.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    return found


def exact(found):
    thetas = np.array(
        [torch.cat([t.double().reshape(-1) for t in state.values()]).numpy() for state in found]
    )
    updates = np.diff(thetas, axis=0)
    return updates @ updates.T


SHAPES = {
    "state dict": lambda state: state,
    "nested": lambda state: {"model": state, "optimizer": {"lr": 1.0}, "epoch": 3},
    "lightning": lambda state: {"state_dict": state, "global_step": 7},
    "parameters": lambda state: {name: nn.Parameter(tensor) for name, tensor in state.items()},
}


@pytest.mark.parametrize("suffix", [".pt", ".bin"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_every_shape_gives_the_same_K(tmp_path, suffix, shape, dtype):
    found = states(dtype)
    for step, state in enumerate(found):
        torch.save(SHAPES[shape](state), tmp_path / f"step{step}{suffix}")
    assert all(isinstance(source, Flat) for source in content_of(tmp_path / f"step0{suffix}").leaves.values())
    np.testing.assert_allclose(GramSequence.from_checkpoints(tmp_path).K, exact(found), rtol=1e-9, atol=1e-9)


def test_transposed_views_and_old_files_are_spilled(tmp_path):
    found = states()
    for step, state in enumerate(found):
        old = {"_use_new_zipfile_serialization": False} if step % 2 else {}
        torch.save(
            {name: t.t().contiguous().t() if t.ndim == 2 else t for name, t in state.items()},
            tmp_path / f"{step}.pt",
            **old,
        )
    assert isinstance(content_of(tmp_path / "0.pt").leaves[("0.weight",)], Spilled)
    np.testing.assert_allclose(GramSequence.from_checkpoints(tmp_path).K, exact(found), rtol=1e-9, atol=1e-9)


def test_tied_weights_count_once(tmp_path):
    for step, state in enumerate(states()):
        shared = state["0.weight"]
        torch.save({"embed": shared, "head": shared, "part": shared[:2]}, tmp_path / f"{step}.pt")
    assert read_checkpoints(tmp_path, select=["embed", "head"]).whole.P == 24


class Trap:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def test_an_unsafe_file_is_refused_with_the_reason(tmp_path):
    (tmp_path / "run").mkdir()
    for step, state in enumerate(states()):
        torch.save(
            state | ({"trap": Trap(tmp_path / "ran")} if step == 2 else {}), tmp_path / "run" / f"{step}.pt"
        )
    with pytest.raises(
        ValueError, match=r"path must be safe to read \(weights_only=True\), got .*mkdir.*2\.pt"
    ):
        GramSequence.from_checkpoints(tmp_path / "run")
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps({"a": 1})])
def test_a_foreign_file(tmp_path, content):
    for step, state in enumerate(states()):
        torch.save(state, tmp_path / f"{step}.pt")
    (tmp_path / "3.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"3\.pt"):
        GramSequence.from_checkpoints(tmp_path)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_cut_short(tmp_path, share):
    for step, state in enumerate(states()):
        torch.save(state, tmp_path / f"{step}.pt")
    whole = (tmp_path / "3.pt").read_bytes()
    (tmp_path / "3.pt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"path must be .*3\.pt"):
        GramSequence.from_checkpoints(tmp_path)

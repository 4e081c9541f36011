"""K is a sum over shards: two gloo processes give the K of the unsharded run."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from spectral_edge.validate import GramSequence, GramTracker

PREAMBLE = """
import sys
from pathlib import Path
import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from spectral_edge.validate import GramTracker

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
thetas = torch.randn(10, 31, generator=torch.Generator().manual_seed(0)).cumsum(0)

def refused(work):
    try:
        work()
    except ValueError as error:
        (folder / f"error{rank}").write_text(str(error))
"""


def two_ranks(tmp_path: Path, program: str) -> None:
    text = PREAMBLE + textwrap.dedent(program) + "\ndist.destroy_process_group()\n"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", text, str(rank), str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    try:
        for rank in ranks:
            _, errors = rank.communicate(timeout=300)
            assert rank.returncode == 0, errors
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def whole(**options) -> GramSequence:
    thetas = torch.randn(10, 31, generator=torch.Generator().manual_seed(0)).cumsum(0)
    tracker = GramTracker(4, **options)
    for theta in thetas:
        tracker.update(theta)
    return tracker.sequence()


@pytest.mark.parametrize("options", ["", ", store='bfloat16'", ", probe_parameters=True"])
def test_shards_of_two_ranks_add_up(tmp_path, options):
    two_ranks(
        tmp_path,
        f"""
        tracker = GramTracker(4, group="world", path=folder / "run.npz"{options})
        own = slice(0, 13) if rank == 0 else slice(13, 31)
        for step, theta in enumerate(thetas):
            tracker.update(theta[own], step=step, probes={{"gradient": theta[own]}} if step else {{}}, loss=1.0)
        np.save(folder / f"K{{rank}}.npy", tracker.sequence().K)
        """,
    )
    wanted = whole(**eval(f"dict({options.lstrip(', ')})"))
    for rank in range(2):
        np.testing.assert_allclose(np.load(tmp_path / f"K{rank}.npy"), wanted.K, rtol=1e-14, atol=1e-12)
    found = GramSequence.load(tmp_path / "run.npz")  # written by the first rank alone
    np.testing.assert_array_equal(found.K, np.load(tmp_path / "K0.npy"))
    assert found.P == 31
    assert not list(tmp_path.glob("*.journal"))
    if options.endswith("True"):
        np.testing.assert_allclose(
            found.probes["parameters"], wanted.probes["parameters"], rtol=1e-14, atol=1e-12
        )
        np.testing.assert_allclose(
            found.probes["gradient"], wanted.probes["parameters"], rtol=1e-14, atol=1e-12
        )


def test_ranks_that_disagree_are_told(tmp_path):
    two_ranks(tmp_path, "refused(lambda: GramTracker(4 + rank, group='world').update(thetas[0]))")
    for rank in range(2):
        message = (tmp_path / f"error{rank}").read_text()
        assert message.startswith("W_max, every and sketch must be the same on every rank")
        assert str(4 + rank) in message


def test_a_nan_on_one_rank_stops_both(tmp_path):
    two_ranks(
        tmp_path,
        """
        tracker = GramTracker(4, group="world")
        own = slice(0, 13) if rank == 0 else slice(13, 31)
        for step in range(5):
            tracker.update(thetas[step, own], step=step)
        bad = torch.full((18,), float("nan")) if rank else thetas[5, own]
        refused(lambda: tracker.update(bad, step=5))
        assert tracker.sequence().T == 4
        """,
    )
    assert "got NaN or infinity in 'params' at step 5" in (tmp_path / "error1").read_text()
    assert "params were refused on another rank" in (tmp_path / "error0").read_text()


def test_a_sketch_over_two_ranks(tmp_path):
    two_ranks(
        tmp_path,
        """
        tracker = GramTracker(4, group="world", sketch=2000)
        own = slice(0, 13) if rank == 0 else slice(13, 31)
        for step, theta in enumerate(thetas):
            tracker.update(theta[own], step=step)
        np.save(folder / f"K{rank}.npy", tracker.sequence().K)
        """,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "K0.npy"), np.load(tmp_path / "K1.npy"))
    exact = whole().K
    error = np.abs(np.load(tmp_path / "K0.npy") - exact) / np.nanmax(exact)
    assert np.nanmax(error) < 5 * np.sqrt(2 / 2000)


def test_fsdp2_gives_the_unsharded_sequence(tmp_path):
    two_ranks(
        tmp_path,
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        def make():
            torch.manual_seed(0)
            return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))

        x, y = torch.randn(32, 5, generator=torch.Generator().manual_seed(1)), torch.arange(32) % 3

        def run(model, tracker):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
            tracker.attach(optimizer, model)
            for _ in range(8):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
            return tracker.sequence()

        model = make()
        fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
        sharded = run(model, GramTracker(4, group="world"))
        alone = run(make(), GramTracker(4))
        assert sharded.P == alone.P, (sharded.P, alone.P)
        np.testing.assert_allclose(sharded.K, alone.K, rtol=2e-4, atol=1e-9)
        stored = sharded.probes["storage_rounding"], alone.probes["storage_rounding"]
        np.testing.assert_allclose(*stored, rtol=0.05)  # of all shards
        """,
    )


FSDP = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))

x, y = torch.randn(32, 5, generator=torch.Generator().manual_seed(1)), torch.arange(32) % 3

def run(model, tracker, steps=8, first=0, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    attached = tracker.attach(optimizer, model, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    attached.remove()
    return tracker.sequence()

def sharded():
    return fully_shard(make(), mesh=init_device_mesh("cpu", (2,)))
"""


def test_gradients_of_shards_are_those_of_the_whole(tmp_path):
    two_ranks(
        tmp_path,
        FSDP
        + """
found = run(sharded(), GramTracker(4, group="world", say=None), gradients=True)
alone = run(make(), GramTracker(4, say=None), gradients=True)
assert np.abs(alone.probes["gradient"][:, 0]).min() > 0
np.testing.assert_allclose(found.probes["gradient"], alone.probes["gradient"], rtol=2e-4, atol=1e-7)
""",
    )


def test_shards_without_a_group_and_replicas_with_one_are_refused(tmp_path):
    two_ranks(
        tmp_path,
        FSDP
        + """
try:
    GramTracker(4).update(sharded())
    raise AssertionError("one shard was recorded as the whole")
except ValueError as error:
    assert str(error).startswith(
        "params are shards of a model that is spread over several processes: pass group='world' to the tracker of "
        "every rank, got 4 shards (0.weight, 0.bias, 2.weight, 2.bias)"), error
for model in (DistributedDataParallel(make()), make()):
    try:
        GramTracker(4, group="world", say=None).update(model)
        raise AssertionError("replicas were counted twice")
    except ValueError as error:
        assert "got tensors that are the same on all 2 ranks (0.weight, 0.bias, 2.weight, 2.bias)" in str(error), error
        assert "make the tracker on one rank, without group" in str(error)

class Zeros(nn.Module):  # nothing to tell replicas by at first
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(6))

same, own = GramTracker(4, group="world", say=None), GramTracker(4, group="world", say=None)
model = Zeros()
for tracker in (same, own):
    tracker.update(model, step=0)
with torch.no_grad():
    model.w += torch.arange(6) + 1
refused(lambda: same.update(model, step=1))
with torch.no_grad():
    model.w += 10 * rank
own.update(model, step=1)  # the control: shards
""",
    )
    for rank in range(2):
        assert "the same on all 2 ranks (w)" in (tmp_path / f"error{rank}").read_text()


def test_ddp_is_recorded_by_one_rank_and_a_second_is_refused(tmp_path):
    two_ranks(
        tmp_path,
        FSDP
        + """
model = DistributedDataParallel(make())
if rank == 0:
    tracker = GramTracker(4, path=folder / "run.npz", say=None)
dist.barrier()
if rank == 1:
    refused(lambda: GramTracker(4, path=folder / "run.npz"))
    for _ in range(8):
        pass
if rank == 0:
    found = run(model.module, tracker)
    alone = run(make(), GramTracker(4, say=None))
    np.testing.assert_allclose(found.K, alone.K, rtol=1e-5)
dist.barrier()
""",
    )
    message = (tmp_path / "error1").read_text()
    assert message.startswith("path is being recorded by process ")
    assert (
        "with DistributedDataParallel make the tracker on rank 0 only; for shards pass group='world'"
        in message
    )
    assert GramSequence.load(tmp_path / "run.npz").T == 8


def test_tensor_parallel_and_hybrid_shards(tmp_path):
    two_ranks(
        tmp_path,
        FSDP
        + """
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

mesh = init_device_mesh("cpu", (2,))
def even():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))

split = parallelize_module(even(), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
found, alone = run(split, GramTracker(4, group="world", say=None)), run(even(), GramTracker(4, say=None))
assert found.P == alone.P, (found.P, alone.P)  # the replicated bias is counted once
np.testing.assert_allclose(found.K, alone.K, rtol=2e-4, atol=1e-9)

whole = torch.randn(6, 4, generator=torch.Generator().manual_seed(3))
same = GramTracker(4, say=None)  # every rank has all of a replicated DTensor: no group is needed
for step in range(4):
    same.update({"w": distribute_tensor(whole * (step + 1) ** 2, mesh, [Replicate()])}, step=step)
assert same.sequence().P == 24
hybrid = init_device_mesh("cpu", (2, 1), mesh_dim_names=("replicate", "shard"))
tracker = GramTracker(4, group="world", say=None)
model = fully_shard(make(), mesh=hybrid)
found, alone = run(model, tracker), run(make(), GramTracker(4, say=None))
assert found.P == alone.P
np.testing.assert_allclose(found.K, alone.K, rtol=2e-4, atol=1e-9)
""",
    )


def test_empty_shards_on_every_rank_are_refused(tmp_path):
    two_ranks(
        tmp_path,
        """
        class Partitioned(nn.Module):  # as ZeRO-3 leaves it between steps
            def __init__(self):
                super().__init__()
                self.big, self.small = nn.Parameter(torch.zeros(0)), nn.Parameter(torch.randn(3) + rank)
                self.big.ds_id = 0
        refused(lambda: GramTracker(4, group="world").update(Partitioned()))
        bare = GramTracker(4, group="world")
        try:
            bare.update({"w": torch.zeros(0)})
            raise AssertionError
        except ValueError as error:
            assert "params must not be empty, got no entries on any rank" in str(error), error
        """,
    )
    for rank in range(2):
        message = (tmp_path / f"error{rank}").read_text()
        assert (
            "params must not be empty, got no entries in 1 tensors (big): ZeRO-3 keeps parameters" in message
        )


def test_shards_layer_by_layer_and_taken_up_again(tmp_path):
    two_ranks(
        tmp_path,
        FSDP
        + """
def tracker(**options):
    return GramTracker(4, group="world", by="layer", path=folder / "run.npz", say=None, **options)

model, alone = sharded(), make()
first = tracker()
run(model, first, 6)
dist.barrier()
first.close()
dist.barrier()
refused(lambda: tracker())
second = tracker(resume=True)
assert second.step == 6
found = run(model, second, 5)
whole = run(alone, GramTracker(4, say=None, by="layer"), 11)
assert found.P == whole.P
assert [piece.T for piece in found.pieces()] == [6, 5]
inside = ~np.isnan(found.K)
np.testing.assert_allclose(found.K[inside], whole.K[inside], rtol=2e-4, atol=1e-9)
parts, wanted = found.parts(), whole.parts()
assert {n: p.P for n, p in parts.items()} == {n: p.P for n, p in wanted.items()} == {"0": 42, "2": 24}
for name in parts:
    np.testing.assert_allclose(parts[name].K[inside], wanted[name].K[inside], rtol=1e-3, atol=1e-9)
second.close()
""",
    )
    for rank in range(2):
        assert "path must be new, got a recording" in (tmp_path / f"error{rank}").read_text()
    assert GramSequence.load(tmp_path / "run.npz").T == 11


def test_an_error_on_one_rank_does_not_leave_the_other_waiting(tmp_path):
    two_ranks(
        tmp_path,
        """
        from spectral_edge.validate.gram.live import stores
        tracker = GramTracker(4, group="world", say=None)
        own = slice(0, 13) if rank == 0 else slice(13, 31)
        for step in range(4):
            tracker.update(thetas[step, own], step=step)
        if rank == 1:
            def broken(*arguments):
                raise MemoryError("no memory on the device")
            stores.Parts.advance = broken
        try:
            tracker.update(thetas[4, own], step=4)
            raise AssertionError
        except (ValueError, MemoryError) as error:
            (folder / f"error{rank}").write_text(str(error))
        """,
    )
    assert "no memory on the device" in (tmp_path / "error1").read_text()
    assert "params were refused on another rank" in (tmp_path / "error0").read_text()


def test_a_group_needs_torch_distributed():
    with pytest.raises(ValueError, match=r"group needs torch\.distributed to be initialised first"):
        GramTracker(4, group="world")

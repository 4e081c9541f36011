"""K is a sum over shards: two gloo processes give the K of the unsharded run."""

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
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", text, str(rank), str(tmp_path)], stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    try:
        for rank in ranks:
            _, errors = rank.communicate(timeout=120)
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
        for step in range(5):
            tracker.update(thetas[step], step=step)
        bad = torch.full((31,), float("nan")) if rank else thetas[5]
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
        """,
    )


def test_a_group_needs_torch_distributed():
    with pytest.raises(ValueError, match=r"group needs torch\.distributed to be initialised first"):
        GramTracker(4, group="world")

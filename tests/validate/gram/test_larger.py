"""Larger than a machine: dask arrays and a local cluster give the K of the arrays; shards add up."""

import dask.array
import numpy as np
import pytest
from distributed import Client, LocalCluster
from safetensors.numpy import save_file

from spectral_edge.validate import GramSequence


@pytest.fixture(scope="module")
def thetas():
    return np.cumsum(np.random.default_rng(0).normal(size=(9, 4001)), axis=0)


@pytest.mark.parametrize("W_max", [None, 3])
@pytest.mark.parametrize("chunks", [(9, 500), (2, 1000), (4, -1)])
def test_a_dask_array(thetas, W_max, chunks):
    lazy = dask.array.from_array(thetas, chunks=chunks)
    found = GramSequence.from_parameters(lazy, W_max=W_max)
    wanted = GramSequence.from_parameters(thetas, W_max=W_max)
    np.testing.assert_allclose(found.K, wanted.K, rtol=1e-12, atol=1e-9)
    assert found.P == 4001
    updates = GramSequence.from_updates(lazy, W_max=W_max)
    np.testing.assert_allclose(
        updates.K, GramSequence.from_updates(thetas, W_max=W_max).K, rtol=1e-12, atol=1e-9
    )


def test_bad_dask_arrays(thetas):
    lazy = dask.array.from_array(thetas)
    with pytest.raises(ValueError, match=r"thetas must be a stack of vectors \(n, P\)"):
        GramSequence.from_parameters(lazy[0])
    with pytest.raises(ValueError, match="thetas must hold at least 3 vectors, got 2"):
        GramSequence.from_parameters(lazy[:2])
    with pytest.raises(ValueError, match="thetas must be floating-point numbers, got dtype int64"):
        GramSequence.from_parameters(lazy.astype(np.int64))
    broken = thetas.copy()
    broken[4, 3000] = np.nan
    with pytest.raises(ValueError, match=r"NaN or infinity in thetas\[4\]"):
        GramSequence.from_parameters(dask.array.from_array(broken, chunks=(3, 700)))


# dask's own threads and sockets are not ours to warn about
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_local_cluster(thetas, tmp_path):
    for step, theta in enumerate(thetas):
        parts = {f"layers.{i}.w": part.copy() for i, part in enumerate(np.split(theta[:4000], 4))}
        save_file(parts, tmp_path / f"step{step}.safetensors")
    told = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        found = GramSequence.from_checkpoints(
            tmp_path, client=client, progress=lambda done, total: told.append(done / total)
        )
        lazy = GramSequence.from_parameters(dask.array.from_array(thetas, chunks=(9, 500)), W_max=4)
    np.testing.assert_array_equal(found.K, GramSequence.from_checkpoints(tmp_path).K)
    assert told[-1] == 1
    np.testing.assert_allclose(lazy.K, GramSequence.from_parameters(thetas, W_max=4).K, rtol=1e-12, atol=1e-9)


def test_sequences_of_shards_add(thetas):
    whole = GramSequence.from_parameters(thetas, W_max=4)
    shards = [GramSequence.from_parameters(part, W_max=4) for part in np.array_split(thetas, 3, axis=1)]
    total = shards[0] + shards[1] + shards[2]
    np.testing.assert_allclose(total.K, whole.K, rtol=1e-12, atol=1e-9)
    assert total.P == whole.P
    with pytest.raises(ValueError, match="sequences must have the same steps and band to be added"):
        whole + GramSequence.from_parameters(thetas)
    with pytest.raises(ValueError, match="sequences must have the same steps"):
        whole + GramSequence.from_parameters(thetas, np.arange(9) * 2, W_max=4)
    with pytest.raises(ValueError, match="sequences must have the same probes"):
        whole + GramSequence.from_parameters(thetas, W_max=4, probes={"g": np.zeros((8, 5))})
    with pytest.raises(TypeError):
        whole + 1

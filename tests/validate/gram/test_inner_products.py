"""The one-pass kernel against an obvious oracle: kinds of input, accuracy, memory, threads."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectral_edge.validate import GramSequence
from spectral_edge.validate.gram.arrays import inner_products, rows
from spectral_edge.validate.gram.arrays import kernels as _kernels

_spec = importlib.util.spec_from_file_location(
    "gram_dense", Path(__file__).parents[2] / "reference" / "gram_dense.py"
)
oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)

JIT_OFF = os.environ.get("NUMBA_DISABLE_JIT") == "1"


def walk(T: int, P: int, seed: int = 0, dtype=np.float64) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(T + 1, P)), axis=0).astype(dtype)


def band_of(vectors, lags, **options):
    options = {"differences": True, "precision": "float64"} | options
    found = inner_products.band_of_rows(rows.ArrayRows(vectors, "thetas"), lags, **options)
    return inner_products.padded_band(found)


# -- kernels against the oracle, with the JIT on and off -------------------------------------------------


@pytest.mark.parametrize(
    ("T", "P", "lags"),
    [(1, 1, 0), (2, 3, 1), (5, 300, 2), (7, 40, 6), (13, 17, 5), (8, 9, 7)]
    + [(T, 30, lags) for T in (21, 22, 23, 24) for lags in (8, 9, 10, 11)],  # the edge of tiles of four
)
@pytest.mark.parametrize("differences", [True, False])
def test_band_is_that_of_the_oracle(T, P, lags, differences):
    thetas = walk(T, P)
    vectors = oracle.updates(thetas) if differences else thetas[1:]
    found = band_of(thetas if differences else thetas[1:], lags, differences=differences)
    np.testing.assert_allclose(found, oracle.band(vectors, lags), rtol=1e-12, atol=1e-12 * P)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_advance_is_one_more_row_of_the_band(dtype):
    thetas, lags = walk(6, 37, dtype=dtype), 3
    ring, previous, found = np.zeros((lags + 1, 37), dtype), thetas[0].copy(), []
    for t, theta in enumerate(thetas[1:]):
        products = np.zeros(lags + 1)
        _kernels.advance(theta, previous, ring, t % (lags + 1), 0, 37, 16, products)
        found.append([products[(t - lag) % (lags + 1)] if lag <= t else np.nan for lag in range(lags + 1)])
    np.testing.assert_array_equal(previous, thetas[-1])
    # float32 updates are rounded before they are multiplied
    np.testing.assert_allclose(found, oracle.band(np.diff(thetas, axis=0), lags), rtol=1e-12)


def test_advance_half_is_the_gram_matrix_of_bfloat16_updates():
    thetas, lags = walk(6, 37, dtype=np.float32), 3
    ring, previous, found = np.zeros((lags + 1, 37), np.uint16), thetas[0].copy(), []
    for t, theta in enumerate(thetas[1:]):
        products = np.zeros(lags + 1)
        _kernels.advance_half(theta, previous, ring, t % (lags + 1), 0, 37, 16, products)
        found.append([products[(t - lag) % (lags + 1)] if lag <= t else np.nan for lag in range(lags + 1)])
    rounded = np.diff(thetas, axis=0).astype(ml_dtypes.bfloat16).astype(np.float64)
    np.testing.assert_allclose(found, oracle.band(rounded, lags), rtol=1e-12)


def test_bfloat16_rounding_is_that_of_ml_dtypes():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**32, 4096, dtype=np.uint32).view(np.float32)
    values = np.concatenate(
        [values, np.float32([0, -0.0, np.inf, -np.inf, np.nan, 1 + 2**-8, 1 + 3 * 2**-8])]
    )
    stored = np.zeros(values.size, np.uint16)
    _kernels._to_bfloat16(values, values.view(np.uint32), stored)
    with np.errstate(invalid="ignore"):
        wanted = values.astype(ml_dtypes.bfloat16)
    got = stored.view(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(np.isnan(got.astype(np.float32)), np.isnan(values))
    finite = ~np.isnan(values)
    np.testing.assert_array_equal(stored[finite], wanted.view(np.uint16)[finite])


@pytest.mark.skipif(JIT_OFF, reason="this is the run without the JIT")
def test_the_same_with_the_jit_off(request):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "oracle or advance or rounding",
        *(f"-W{one}" for one in request.config.getoption("pythonwarnings") or ()),
    ]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    ran = subprocess.run([*command, __file__], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert "passed" in ran.stdout


# -- kinds of input --------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    T=st.integers(2, 12),
    P=st.integers(1, 60),
    W_max=st.one_of(st.none(), st.integers(2, 14)),
    differences=st.booleans(),
    kind=st.sampled_from(["array", "fortran", "strided", "list", "iterator", "big-endian"]),
    dtype=st.sampled_from(["f8", "f4", "f2", "bf16"]),
)
def test_every_kind_of_input_gives_the_oracle(T, P, W_max, differences, kind, dtype):
    dtype = np.dtype(ml_dtypes.bfloat16 if dtype == "bf16" else dtype)
    vectors = walk(T - (not differences), P).astype(dtype)
    exact = vectors.astype(np.float64)
    exact = np.diff(exact, axis=0) if differences else exact
    if kind == "big-endian" and dtype.name == "bfloat16":
        kind = "array"
    given_as = {
        "array": lambda: vectors,
        "fortran": lambda: np.asfortranarray(vectors),
        "strided": lambda: np.repeat(vectors, 2, axis=1)[:, ::2],
        "list": lambda: list(vectors),
        "iterator": lambda: iter(list(vectors)),
        "big-endian": lambda: vectors.astype(dtype.newbyteorder(">")),
    }[kind]()
    make = GramSequence.from_parameters if differences else GramSequence.from_updates
    sequence = make(given_as, W_max=W_max)
    assert sequence.P == P
    full = exact @ exact.T
    tolerance = 3e-7 if dtype != np.float64 and kind == "iterator" else 1e-12  # an iterator's ring is float32
    scale = tolerance * np.abs(full).max()
    if W_max is None or W_max + 1 >= T:
        np.testing.assert_allclose(sequence.K, full, rtol=1e-9, atol=scale)
    else:
        np.testing.assert_allclose(sequence.K, oracle.band(exact, W_max), rtol=1e-9, atol=scale)


def test_a_memmap_and_its_views(tmp_path):
    thetas = walk(9, 5000, dtype=np.float32)
    mapped = np.memmap(tmp_path / "thetas.bin", np.float32, "w+", shape=thetas.shape)
    mapped[:] = thetas
    mapped.flush()
    for mode in ("r", "r+", "c"):
        again = np.memmap(tmp_path / "thetas.bin", np.float32, mode, shape=thetas.shape)
        for view, same in (
            (again, thetas),
            (again[2:], thetas[2:]),
            (again[:, 100:3000], thetas[:, 100:3000]),
        ):
            found = GramSequence.from_parameters(view, W_max=4).K
            np.testing.assert_array_equal(found, GramSequence.from_parameters(same.copy(), W_max=4).K)
        np.testing.assert_array_equal(again, thetas)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_a_memmap_of_any_dtype_with_an_offset(tmp_path, dtype):
    thetas = walk(5, 3000).astype(dtype)
    (tmp_path / "thetas.bin").write_bytes(b"header " * 1001 + thetas.tobytes())
    mapped = np.memmap(tmp_path / "thetas.bin", dtype, "r", offset=7007, shape=thetas.shape)
    found = GramSequence.from_parameters(mapped[1:, 7:], W_max=3)
    np.testing.assert_array_equal(found.K, GramSequence.from_parameters(thetas[1:, 7:], W_max=3).K)
    assert rows.ArrayRows(mapped, "thetas").waits


def test_a_memmap_whose_file_was_replaced_or_removed(tmp_path):
    thetas, path = walk(5, 3000, dtype=np.float32), tmp_path / "thetas.bin"
    thetas.tofile(path)
    mapped = np.memmap(path, np.float32, "r", shape=thetas.shape)
    path.rename(tmp_path / "moved.bin")
    wanted = GramSequence.from_parameters(thetas).K
    np.testing.assert_array_equal(GramSequence.from_parameters(mapped).K, wanted)
    np.zeros_like(thetas).tofile(path)
    np.testing.assert_array_equal(GramSequence.from_parameters(mapped).K, wanted)


def test_changes_of_a_copy_on_write_map_survive(tmp_path):
    thetas = walk(5, 3000, dtype=np.float32)
    thetas.tofile(tmp_path / "thetas.bin")
    private = np.memmap(tmp_path / "thetas.bin", np.float32, "c", shape=thetas.shape)
    private[2] = 7
    GramSequence.from_parameters(private)
    assert (private[2] == 7).all()


def test_an_iterator_is_read_once_and_only_the_band_is_held():
    alive, most = set(), 0

    class Counted(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def stream():
        nonlocal most
        for theta in walk(40, 50):
            vector = theta.view(Counted)
            alive.add(id(vector))
            most = max(most, len(alive))
            yield vector

    assert GramSequence.from_parameters(stream(), W_max=3).T == 40
    assert most <= 5


# -- accuracy --------------------------------------------------------------------------------------------


def planted(T: int, P: int, small: float, seed: int = 1) -> np.ndarray:
    """Updates along a few directions of falling strength, down to `small` of the first."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(P, 6)))[0].T
    strengths = np.geomspace(1, small, 6)
    return (rng.normal(size=(T, 6)) * strengths) @ directions + small * 1e-2 * rng.normal(
        size=(T, P)
    ) / np.sqrt(P)


@pytest.mark.parametrize("precision", ["float32", "float64", "auto"])
def test_float32_singular_values_within_a_millionth(precision):
    W, P = 8, 1 << 18
    updates = planted(12, P, 1e-2).astype(np.float32)
    spectra = GramSequence.from_updates(updates, precision=precision).window(W)
    wanted = oracle.singular_values(updates, W)
    error = np.abs(spectra.sigma - wanted) / wanted[:, :1]
    assert spectra.sigma_reliable.any(axis=1).all()
    assert error[spectra.sigma_reliable].max() < 1e-6


@pytest.mark.parametrize("kind", ["noise", "constant", "heavy"])
def test_float32_products_of_awkward_vectors(kind):
    rng, P = np.random.default_rng(2), 1 << 17
    updates = {
        "noise": rng.normal(size=(10, P)),
        "constant": np.linspace(0.1, 1, 10)[:, None] + 1e-2 * rng.normal(size=(10, P)),
        "heavy": rng.standard_t(2, size=(10, P)),
    }[kind].astype(np.float32)
    spectra = GramSequence.from_updates(updates, precision="float32").window(10)
    wanted = oracle.singular_values(updates, 10)
    error = np.abs(spectra.sigma - wanted) / wanted[:, :1]
    assert error[spectra.sigma_reliable].max() < 1e-6


def test_float64_singular_values_within_a_trillionth():
    updates = planted(12, 20_000, 1e-2)
    spectra = GramSequence.from_updates(updates).window(6)
    wanted = oracle.singular_values(updates, 6)
    assert spectra.sigma_reliable.all()
    assert (np.abs(spectra.sigma - wanted) / wanted[:, :1]).max() < 1e-12


def test_what_squaring_loses_is_said_and_refined():
    W, updates = 7, planted(12, 4000, 1e-9)
    sequence = GramSequence.from_updates(updates)
    plain = sequence.window(W)
    wanted = oracle.singular_values(updates, W)
    relative = wanted / wanted[:, :1]
    assert not plain.sigma_reliable[relative < 0.5e-6].any()
    assert plain.sigma_reliable[relative > 2e-6].all()
    fine = sequence.window(W, refine=True, vectors=updates)
    assert fine.refined.all()
    assert fine.sigma_reliable.all()
    np.testing.assert_allclose(fine.sigma, wanted, rtol=1e-5, atol=1e-14 * wanted.max())
    wrong = np.abs(plain.sigma[:, 5] / wanted[:, 5] - 1)
    assert wrong.max() > 0.1  # the control: without the second pass the small ones are wrong
    snapshots = np.concatenate([np.zeros((1, 4000)), np.cumsum(updates, axis=0)])
    again = sequence.window(W, refine=True, vectors=snapshots)
    np.testing.assert_allclose(again.sigma[:, :4], wanted[:, :4], rtol=1e-4)


def test_refine_wants_the_vectors_of_the_sequence():
    updates = planted(12, 500, 1e-9)
    sequence = GramSequence.from_updates(updates)
    with pytest.raises(ValueError, match="refine needs the vectors"):
        sequence.window(5, refine=True)
    with pytest.raises(ValueError, match="vectors must be the snapshots"):
        sequence.window(5, refine=True, vectors=updates[:, 1:])
    with pytest.raises(ValueError, match="vectors must be those of the sequence"):
        sequence.window(5, refine=True, vectors=2 * updates)


def test_tiny_float32_updates_do_not_vanish():
    updates = walk(5, 3000, dtype=np.float32) * np.float32(1e-24)
    found = GramSequence.from_updates(updates, precision="float32").K
    exact = updates.astype(np.float64)
    np.testing.assert_allclose(found, exact @ exact.T, rtol=1e-9)


def test_huge_float32_updates_do_not_overflow():
    updates = walk(5, 3000, dtype=np.float32) * np.float32(1e30)
    exact = updates.astype(np.float64)
    np.testing.assert_allclose(
        GramSequence.from_updates(updates, precision="float32").K, exact @ exact.T, rtol=1e-9
    )


def test_numbers_too_large_to_square():
    with pytest.raises(ValueError, match="updates must be small enough to be squared"):
        GramSequence.from_updates(np.full((4, 5), 1e200))


def test_precision_is_a_choice():
    with pytest.raises(ValueError, match="precision must be one of auto, float32, float64, got 'half'"):
        GramSequence.from_updates(np.eye(3), precision="half")


# -- one pass, any number of threads ---------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_same_bits_whatever_the_number_of_threads(precision, monkeypatch):
    monkeypatch.setattr(inner_products, "CHUNK", 2048)
    thetas = walk(9, 50_000, dtype=np.float32)
    one, two, five = (band_of(thetas, 4, precision=precision, threads=n) for n in (1, 2, 5))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, five)


def test_every_column_is_read_once(monkeypatch):
    monkeypatch.setattr(inner_products, "CHUNK", 1024)
    read, done = [], []

    class Watched(rows.ArrayRows):
        def block(self, start, stop):
            read.append((start, stop))
            return super().block(start, stop)

    thetas = walk(6, 10_007)
    inner_products.band_of_rows(Watched(thetas, "thetas"), 3, differences=True, progress=done.append)
    assert sorted(read) == [(a, min(a + 1024, 10_007)) for a in range(0, 10_007, 1024)]
    assert sum(done) == 10_007


RESIDENT = """
import resource, sys, numpy as np
from spectral_edge.validate import GramSequence
warm = np.random.default_rng(0).normal(size=(41, 5000)).astype(np.float32)
GramSequence.from_parameters(warm, W_max=10, precision="float32")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
thetas = np.memmap(sys.argv[1], np.float32, "r", shape=(41, 4_000_000))
GramSequence.from_parameters(thetas, W_max=10)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is measured in Linux's units")
def test_a_memmap_is_not_held_in_memory(tmp_path):
    thetas = np.memmap(tmp_path / "thetas.bin", np.float32, "w+", shape=(41, 4_000_000))
    thetas[:, ::4096] = 1  # sparse but mapped everywhere
    thetas[1::2, ::4096] = 2
    thetas.flush()
    ran = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(tmp_path / "thetas.bin")],
        capture_output=True,
        text=True,
        check=True,
    )
    # 656 MB of file; each chunk in flight holds at most 32 MiB
    assert float(ran.stdout) < 200, ran.stdout

"""Which tensors of checkpoints count: buffers and constants do not, and whatever is left out is named."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from spectral_edge.validate import GramSequence
from spectral_edge.validate.gram.copies import copies
from spectral_edge.validate.gram.files.bands import STORAGE
from spectral_edge.validate.gram.files.checkpoints import inventory, read_checkpoints
from spectral_edge.validate.gram.files.reading import read_run
from spectral_edge.validate.gram.files.tensors import STORED, decoded

T = 13


def walk(P: int = 400, n: int = T, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, P)), axis=0)


def write(folder: Path, thetas: np.ndarray, beside=lambda t: {}, dtype=np.float32) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for t, theta in enumerate(thetas):
        save_file({"layer.weight": theta.astype(dtype), **beside(t)}, folder / f"step{10 * t}.safetensors")
    return folder


def reason(found, name: str) -> str:
    return dict(found.left_out)[name]


# -- what is no parameter ---------------------------------------------------------------------------------

NOISY = np.random.default_rng(7)
BESIDE = {
    "bn.running_mean": lambda t: NOISY.normal(size=64),
    "bn.running_var": lambda t: 100 * NOISY.random(64),
    "rotary.inv_freq": lambda t: np.geomspace(1, 1e-4, 32),
    "attn.mask": lambda t: np.tril(np.ones((64, 64))),
    "attn.masked_bias": lambda t: np.array(-np.inf, np.float16),
    "attn.bias": lambda t: np.triu(np.full((1, 1, 64, 64), -np.inf, np.float16)),
    "table_of_ones_own": lambda t: np.arange(4096.0),
    "frozen.weight": lambda t: np.linspace(-1, 1, 4096).reshape(64, 64),
}


@pytest.mark.parametrize("name", BESIDE)
def test_buffers_and_constants_change_nothing(tmp_path: Path, name: str) -> None:
    def beside(t: int) -> dict[str, np.ndarray]:
        value = BESIDE[name](t)
        return {name: value if value.dtype == np.float16 else value.astype(np.float32)}

    plain = read_checkpoints(write(tmp_path / "plain", walk()))
    found = read_checkpoints(write(tmp_path / "beside", walk(), beside))
    np.testing.assert_array_equal(found.whole.K, plain.whole.K)
    assert found.whole.P == 400
    assert reason(found, name) in ("a buffer, not a parameter", "the same in all checkpoints")
    assert found.sizes[name] == BESIDE[name](0).size


def test_a_parameter_that_is_not_finite_is_refused_all_the_same(tmp_path: Path) -> None:
    def beside(t: int) -> dict[str, np.ndarray]:
        return {"other.weight": np.full(3, np.inf if t == 5 else 1.0, np.float32)}

    with pytest.raises(
        ValueError, match=r"must be finite, got NaN or infinity in 'other\.weight' of .*step50"
    ):
        read_checkpoints(write(tmp_path, walk(), beside))


def test_exclude_leaves_out_what_some_files_lack_or_have_in_another_shape(tmp_path: Path) -> None:
    def beside(t: int) -> dict[str, np.ndarray]:
        embedding = np.random.default_rng(t).normal(size=(100 + 5 * (t > 6), 4)).astype(np.float32)
        head = {"head.weight": embedding[:3]} if t % 2 else {}
        return {"embed.weight": embedding, **head}

    write(tmp_path, walk(), beside)
    with pytest.raises(ValueError, match=r"'head\.weight' .*--exclude 'head\.weight'"):
        read_checkpoints(tmp_path)
    with pytest.raises(ValueError, match=r"got \(105, 4\) of 'embed\.weight' .*--exclude 'embed\.weight'"):
        read_checkpoints(tmp_path, exclude="head.*")
    found = read_checkpoints(tmp_path, exclude=["head.*", "embed.*"])
    assert found.whole.P == 400
    assert reason(found, "embed.weight") == "not selected"


def test_names_that_are_the_same_without_wrappers_are_an_error(tmp_path: Path) -> None:
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "_fsdp_wrapped_module."):
        folder = tmp_path / prefix
        for t, theta in enumerate(walk()):
            folder.mkdir(exist_ok=True)
            save_file({f"{prefix}w": theta, "w": theta}, folder / f"{t}.safetensors")
        with pytest.raises(ValueError, match=r"names that differ without wrappers, got 'w' and|and 'w'"):
            read_checkpoints(folder)


def test_a_layer_called_module_keeps_its_name(tmp_path: Path) -> None:
    def beside(t: int) -> dict[str, np.ndarray]:
        return {
            f"enc{part}.w": walk(seed=seed)[t].astype(np.float32) for seed, part in ((1, ".module"), (2, ""))
        }

    found = read_checkpoints(write(tmp_path, walk(), beside), by=lambda name: name)
    assert sorted(found.groups) == ["enc.module.w", "enc.w", "layer.weight"]
    assert found.whole.P == 1200


# -- stored types -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [name for name in STORED if name.startswith("float8")])
def test_eight_bits_are_what_they_are(dtype: str) -> None:
    raw = bytes(range(256))
    expected = np.frombuffer(raw, getattr(ml_dtypes, dtype)).astype(np.float32)
    np.testing.assert_array_equal(decoded(raw, dtype), expected)


def raw_safetensors(path: Path, tensors: dict[str, tuple[str, np.ndarray]]) -> None:
    """A safetensors file with types that numpy has no name for."""
    header, data = {}, b""
    for name, (kind, array) in tensors.items():
        raw = array.tobytes()
        header[name] = {
            "dtype": kind,
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("F8_E4M3", ml_dtypes.float8_e4m3fn), ("F8_E5M2", ml_dtypes.float8_e5m2)]
)
def test_eight_bit_weights_are_read(tmp_path: Path, kind: str, dtype) -> None:
    thetas = (10 * walk()).clip(-400, 400).astype(dtype)
    for t, theta in enumerate(thetas):
        raw_safetensors(tmp_path / f"{t}.safetensors", {"w": (kind, theta)})
    found = read_checkpoints(tmp_path)
    np.testing.assert_allclose(
        found.whole.K, GramSequence.from_parameters(thetas.astype(np.float32)).K, rtol=1e-9
    )
    assert found.dtypes == {getattr(dtype, "__name__", str(dtype)): 400}


def test_complex_numbers_are_pairs_of_reals(tmp_path: Path) -> None:
    pairs = walk(800).astype(np.float32)
    for t, theta in enumerate(pairs):
        np.savez(
            tmp_path / f"{t}.npz",
            w=theta.view(np.complex64).reshape(20, 20),
            v=theta.view(np.complex64)[:5].T,
        )
    found = read_checkpoints(tmp_path, select="w")
    np.testing.assert_allclose(found.whole.K, GramSequence.from_parameters(pairs).K, rtol=1e-9)
    assert (found.whole.P, found.dtypes) == (800, {"complex64": 800})
    for t, theta in enumerate(pairs):
        np.savez_compressed(
            tmp_path / f"{t}.npz", w=np.asfortranarray(theta.view(np.complex64).reshape(20, 20))
        )
    np.testing.assert_allclose(read_checkpoints(tmp_path).whole.K, found.whole.K, rtol=1e-9)


def test_integers_are_said(tmp_path: Path) -> None:
    def beside(t: int) -> dict[str, np.ndarray]:
        return {"q.weight": np.full((30, 30), t, np.int8), "count": np.array([t]), "flags": np.ones(3, bool)}

    found = read_checkpoints(write(tmp_path, walk(), beside))
    assert reason(found, "q.weight") == "int8: not floating-point"
    assert reason(found, "flags") == "bool: not floating-point"
    assert found.sizes["q.weight"] == 900
    (note,) = found.notes  # more is lost than read
    assert "only 400 of 1,304 entries are floating-point: count, q.weight, flags are not read" in note
    assert not read_checkpoints(tmp_path, exclude="q.*").notes


# -- the rounding of what is stored -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "fraction"), [(np.float64, 52), (np.float32, 23), (np.float16, 10), (ml_dtypes.bfloat16, 7)]
)
def test_the_rounding_floor_is_the_variance_of_rounding(tmp_path: Path, dtype, fraction: int) -> None:
    rng = np.random.default_rng(0)
    thetas = rng.lognormal(0, 1, size=(T, 5000)).astype(dtype)
    found = read_checkpoints(write(tmp_path, thetas, dtype=dtype))
    values = thetas.astype(np.float64)
    ulp = 2.0 ** (np.floor(np.log2(np.abs(values))) - fraction)
    expected = (ulp**2).sum(axis=1) / 12
    np.testing.assert_allclose(found.whole.probes[STORAGE], expected[1:] + expected[:-1], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_singular_values_of_rounding_alone_lie_below_the_floor(tmp_path: Path, dtype) -> None:
    # a large number that stands still, and moves by much less than its last bit: all that is seen is rounding
    rng = np.random.default_rng(0)
    P, ulp = 20_000, float(ml_dtypes.finfo(dtype).eps)
    exact = 1 + rng.random(P) + ulp * np.cumsum(rng.normal(size=(T, P)) / 2, axis=0)
    found = read_checkpoints(write(tmp_path, exact, dtype=dtype)).whole.window(5)
    drift = np.diff(exact, axis=0)
    rounding = np.diff(exact.astype(dtype).astype(np.float64), axis=0) - drift
    worst = max(np.linalg.svd(rounding[i : i + 5], compute_uv=False)[0] for i in range(T - 5))
    assert worst < found.stored_floor.max() * 1.02
    assert worst > 0.9 * found.stored_floor.max()  # and is no idle bound


def test_entries_that_never_change_have_no_rounding(tmp_path: Path) -> None:
    still = np.full(5000, np.pi, np.float32)
    both = read_checkpoints(write(tmp_path / "a", np.hstack([walk(), np.tile(still, (T, 1))]))).whole
    alone = read_checkpoints(write(tmp_path / "b", walk())).whole
    np.testing.assert_allclose(both.probes[STORAGE], alone.probes[STORAGE], rtol=1e-12)


def test_a_stack_has_a_floor_too(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", walk().astype(np.float32))
    stack = read_run(tmp_path / "stack.npy").whole
    files = read_checkpoints(write(tmp_path / "files", walk())).whole
    np.testing.assert_allclose(stack.probes[STORAGE], files.probes[STORAGE], rtol=1e-12)


# -- copies, damage, band ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("later", "first"), [(5, 4), (6, 4), (12, 11), (9, 3)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_copies_are_found_and_dropped(tmp_path: Path, later: int, first: int, dtype) -> None:
    thetas = walk().astype(dtype)
    thetas[later] = thetas[first]
    found = read_checkpoints(write(tmp_path, thetas, dtype=dtype), W_max=8)
    assert copies(found.whole) == {later: first}
    without = read_checkpoints(tmp_path, W_max=8, drop=[10 * later])
    wanted = GramSequence.from_parameters(
        np.delete(thetas, later, 0), np.delete(10 * np.arange(T), later), W_max=8
    )
    np.testing.assert_allclose(without.whole.K, wanted.K, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(without.whole.steps, wanted.steps)
    assert not copies(without.whole)


def test_a_random_walk_has_no_copies() -> None:
    for seed in range(20):
        assert not copies(GramSequence.from_parameters(walk(P=50, n=60, seed=seed), W_max=12))
        assert not copies(GramSequence.from_parameters(walk(P=50, n=60, seed=seed).astype(np.float32)))


def test_equal_checkpoints_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"checkpoints must differ, got 13 with the same 1 tensors"):
        read_checkpoints(write(tmp_path, np.tile(walk()[:1], (T, 1))))


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign"])
def test_damaged_files_can_be_skipped(tmp_path: Path, damage: str) -> None:
    write(tmp_path, walk())
    victim = tmp_path / "step120.safetensors"  # the one being written
    whole = victim.read_bytes()
    victim.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "foreign": b"x" * 100}[damage])
    with pytest.raises(ValueError, match=r"step120\.safetensors.*--skip-damaged"):
        read_checkpoints(tmp_path)
    found = read_checkpoints(tmp_path, skip_damaged=True)
    assert found.whole.T == T - 2
    assert reason(found, "step120.safetensors") == "damaged"


def test_too_short_a_run_is_refused_before_it_is_read(tmp_path: Path, monkeypatch) -> None:
    from spectral_edge.validate.gram.files import bands

    monkeypatch.setattr(bands, "tensor_band", lambda *rest: pytest.fail("read"))
    with pytest.raises(ValueError, match="W must be at most the number of updates T = 12, got 13"):
        read_checkpoints(write(tmp_path, walk()), at_least=13)


def test_shards_without_an_index(tmp_path: Path) -> None:
    thetas = walk()
    for t, theta in enumerate(thetas):
        folder = tmp_path / "folders" / f"checkpoint-{t}"
        folder.mkdir(parents=True)
        for part in range(2):
            name = f"model-0000{part + 1}-of-00002.safetensors"
            save_file({f"part{part}": theta[200 * part : 200 * part + 200]}, folder / name)
            save_file({f"part{part}": theta[200 * part : 200 * part + 200]}, tmp_path / f"step{t}-{name}")
    wanted = GramSequence.from_parameters(thetas)
    for path in (tmp_path / "folders", str(tmp_path / "*.safetensors")):
        found = read_checkpoints(path).whole
        np.testing.assert_allclose(found.K, wanted.K, rtol=1e-9)
        np.testing.assert_array_equal(found.steps, wanted.steps)


def test_a_shard_that_is_not_there(tmp_path: Path) -> None:
    for t in range(4):
        for part in range(3 - (t == 2)):
            save_file({f"w{part}": walk()[t, :9]}, tmp_path / f"step{t}-0000{part + 1}-of-00003.safetensors")
    with pytest.raises(
        ValueError, match=r"must hold all shards, got 2 like step2-00001-of-00003.*--skip-damaged"
    ):
        read_checkpoints(tmp_path)
    assert read_checkpoints(tmp_path, skip_damaged=True).whole.T == 2


def test_one_checkpoint_by_itself_is_called_one(tmp_path: Path) -> None:
    save_file({"w": np.ones(3)}, tmp_path / "model.safetensors")
    (tmp_path / "optimizer.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"at least 3 checkpoints, got 1 in .* \(model\.safetensors\)"):
        read_checkpoints(tmp_path)


def test_the_inventory_reads_nothing_and_agrees(tmp_path: Path, monkeypatch) -> None:
    from spectral_edge.validate.gram.files.tensors import Flat

    write(
        tmp_path,
        walk(),
        lambda t: {"bn.running_mean": np.full(3, t, np.float32), "last.0.w": np.ones(2, np.float32)},
    )
    monkeypatch.setattr(Flat, "read", lambda *rest: pytest.fail("read"))
    found = inventory(tmp_path, exclude="last.*")
    assert [each["step"] for each in found["files"]] == [10 * t for t in range(T)]
    assert [(each["name"], each["entries"], each["dtype"]) for each in found["tensors"]] == [
        ("layer.weight", 400, "float32")
    ]
    assert {each["name"]: each["reason"] for each in found["left_out"]} == {
        "bn.running_mean": "a buffer, not a parameter", "last.0.w": "not selected",
    }  # fmt: skip


FOREIGN = {
    "DeepSpeed": "global_step{}/zero_pp_rank_0_mp_rank_00_optim_states.pt",
    "Orbax": "{}/_CHECKPOINT_METADATA",
    "Keras": "model_{}.keras",
    "Keras or HDF5": "weights_{}.h5",
    "Megatron": "iter_{}/mp_rank_00/model_optim_rng.pt",
    "Flax": "checkpoint_{}/flax_model.msgpack",
    "TensorFlow": "ckpt-{}.index",
    "pickle": "snapshot_{}.pkl",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_formats_that_are_not_read_are_named_with_how_to_convert_them(tmp_path: Path, kind: str) -> None:
    for t in range(T):
        path = tmp_path / FOREIGN[kind].format(t)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"something")
    with pytest.raises(ValueError, match=rf"got 0 in .*{kind}.*(save|convert|run)") as refused:
        read_checkpoints(tmp_path)
    assert "\n" not in str(refused.value)
